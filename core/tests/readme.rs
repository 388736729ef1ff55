//! The few lines in other languages that pages about all of them show are lines of that language's own README, whose
//! examples its own tests run. Rust's are doctests.

use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    readme.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// The pages in this folder of the crate, by their paths within it.
fn pages(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("core");
    let names = entries.map(|entry| format!("{folder}{}", entry.expect("core").file_name().to_string_lossy()));
    names.filter(|name| name.ends_with(".md")).collect()
}

/// Whether these lines are among those, in this order, whatever their indentation.
fn is_excerpt(excerpt: &str, whole: &str) -> bool {
    let mut rest = whole.lines().map(str::trim);
    excerpt.lines().map(str::trim).filter(|line| !line.is_empty()).all(|line| rest.any(|other| other == line))
}

#[test]
fn every_example_in_another_language_is_an_excerpt_of_one_that_its_own_tests_run() {
    let mut found = 0;
    let docs = pages("docs/").into_iter().map(|page| format!("core/{page}"));
    for page in std::iter::once("README.md".to_owned()).chain(docs) {
        let text = read(&page);
        for (language, own) in [
            ("python", "python/README.md"),
            ("js", "node/README.md"),
            ("go", "go/README.md"),
            ("c", "bindings/c/README.md"),
            ("kotlin", "bindings/uniffi/README.md"),
        ] {
            let own = read(own);
            for example in blocks(&text, language) {
                found += 1;
                let runs = blocks(&own, language).iter().any(|whole| is_excerpt(example, whole));
                assert!(runs, "{page}: {language}:\n{example}");
            }
        }
    }
    assert!(found >= 2, "no examples");
}

/// Blocks of Rust in a page that the doctests of this crate do not include would never be compiled.
#[test]
fn every_page_with_rust_is_a_doctest() {
    let library = read("core/src/lib.rs");
    // tests/migration.rs runs the examples of MIGRATION.md.
    for page in pages("").into_iter().chain(pages("docs/")).filter(|page| page != "MIGRATION.md") {
        let included = library.contains(&format!("include_str!(\"../{page}\")"));
        assert!(
            included || !read(&format!("core/{page}")).contains("```rust"),
            "core/src/lib.rs does not include {page}"
        );
    }
    assert!(!read("README.md").contains("```rust"), "the front page is no doctest");
}

#[test]
fn lines_in_another_order_or_with_another_word_are_no_excerpt() {
    assert!(is_excerpt("a\n  c\n", "a\nb\nc\n"));
    assert!(!is_excerpt("c\na\n", "a\nb\nc\n"));
    assert!(!is_excerpt("a\nd\n", "a\nb\nc\n"));
}
