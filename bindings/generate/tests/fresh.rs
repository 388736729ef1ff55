//! What is committed is what the sources say.

#[test]
fn generated_files_are_fresh() {
    let files = portlease_generate::generate().unwrap_or_else(|error| panic!("{error}"));
    let stale = portlease_generate::stale(&files);
    assert!(stale.is_empty(), "run make generate: {} are stale", stale.join(", "));
}
