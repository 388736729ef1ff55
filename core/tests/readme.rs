//! The README's few lines in each language are lines of that language's own README, whose examples its own tests run.

use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    readme.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// Whether these lines are among those, in this order, whatever their indentation.
fn is_excerpt(excerpt: &str, whole: &str) -> bool {
    let mut rest = whole.lines().map(str::trim);
    excerpt.lines().map(str::trim).filter(|line| !line.is_empty()).all(|line| rest.any(|other| other == line))
}

#[test]
fn every_languages_example_is_an_excerpt_of_one_that_its_own_tests_run() {
    let readme = read("README.md");
    for (language, own) in [
        ("python", "python/README.md"),
        ("js", "node/README.md"),
        ("go", "go/README.md"),
        ("c", "bindings/c/README.md"),
        ("kotlin", "bindings/uniffi/README.md"),
    ] {
        let examples = blocks(&readme, language);
        assert!(!examples.is_empty(), "no example in {language}");
        for example in examples {
            let own = read(own);
            assert!(blocks(&own, language).iter().any(|whole| is_excerpt(example, whole)), "{language}:\n{example}");
        }
    }
}

#[test]
fn lines_in_another_order_or_with_another_word_are_no_excerpt() {
    assert!(is_excerpt("a\n  c\n", "a\nb\nc\n"));
    assert!(!is_excerpt("c\na\n", "a\nb\nc\n"));
    assert!(!is_excerpt("a\nd\n", "a\nb\nc\n"));
}
