//! The commands that Markdown files show name targets, packages, tests and scripts that exist. Those of the program `portlease`
//! are parsed by its own tests, and the examples in each language run in that language's tests.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod checkout;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use checkout::{files, pages, root};

/// The commands of a page: lines in blocks of code, indented lines, and code within sentences.
fn commands(page: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside || line.starts_with("    ") {
            found.extend(line.split(" && ").map(|part| part.trim().to_owned()));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The words of a command up to its comment, without variables of the environment and sudo before it.
fn words(command: &str) -> Vec<&str> {
    let words = command.split_whitespace().take_while(|word| !word.starts_with('#'));
    words.skip_while(|word| *word == "sudo" || is_variable(word)).collect()
}

fn is_variable(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// A path that a page gives from the folder of the checkout.
fn path(word: &str) -> PathBuf {
    root().join(word.trim_start_matches("PATH/").trim_start_matches("./"))
}

/// The targets of a Makefile, if the folder has one.
fn targets(folder: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(folder.join("Makefile")).unwrap_or_default();
    let rules = text.lines().filter(|line| !line.starts_with(['\t', '#', '.'])).filter_map(|line| line.split_once(':'));
    let rules = rules.filter(|(_, rest)| !rest.starts_with('='));
    rules.flat_map(|(names, _)| names.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// What does not exist of `make [-C FOLDER] TARGET... [NAME=VALUE]...`.
fn wrong_make(words: &[&str], page: &Path) -> Option<String> {
    let mut folders = vec![root(), root().join(page.parent()?)];
    let mut wanted = Vec::new();
    let mut quoted = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let within = quoted;
        quoted ^= word.matches('"').count() % 2 == 1;
        match *word {
            _ if within => {}
            "-C" => folders = vec![path(words.next().filter(|folder| folder.contains(char::is_lowercase))?)],
            word if word.starts_with('-') || word.contains('=') => {}
            word => wanted.push(word),
        }
    }
    let known: BTreeSet<String> = folders.iter().flat_map(|folder| targets(folder)).collect();
    let missing = wanted.into_iter().find(|target| !known.contains(*target))?;
    Some(format!("make has no target {missing}"))
}

/// What does not exist of the packages, tests, examples and folders that a cargo command names.
fn wrong_cargo(words: &[&str], files: &BTreeSet<PathBuf>) -> Option<String> {
    let named = |package: &str| {
        let manifests = files.iter().filter(|file| file.ends_with("Cargo.toml"));
        let line = format!("name = \"{package}\"");
        manifests.into_iter().any(|file| fs::read_to_string(root().join(file)).unwrap_or_default().contains(&line))
    };
    let exists = |ends: [String; 2]| files.iter().any(|file| ends.iter().any(|end| file.ends_with(end)));
    for pair in words.windows(2) {
        let [flag, value] = pair else { continue };
        if *flag == "--" {
            break;
        }
        let fine = match *flag {
            "-p" => named(value),
            "--test" => exists([format!("tests/{value}.rs"), format!("tests/{value}/main.rs")]),
            "--example" => exists([format!("examples/{value}.rs"), format!("examples/{value}/main.rs")]),
            "--path" => path(value).join("Cargo.toml").exists(),
            _ => true,
        };
        if !fine {
            return Some(format!("cargo finds no {flag} {value}"));
        }
    }
    None
}

/// What does not exist of a script and the long flags that are given to it.
fn wrong_script(words: &[&str]) -> Option<String> {
    let Ok(text) = fs::read_to_string(path(words[0])) else { return Some(format!("there is no {}", words[0])) };
    let flag = words.iter().find(|word| word.starts_with("--") && **word != "--help" && !text.contains(**word))?;
    Some(format!("{} has no {flag}", words[0]))
}

/// Whether a command begins with a script of this repository, and not with a folder, another file or a pattern.
fn is_script(program: &str) -> bool {
    let ours = ["bindings/", "tests/", ".ci/"].iter().any(|folder| program.starts_with(folder));
    let extension = Path::new(program).extension();
    ours && extension.is_none_or(|extension| extension == "py") && !program.contains('*') && !path(program).is_dir()
}

/// What is wrong with a command; `None` also for programs that are not of this repository.
fn wrong(command: &str, page: &Path, files: &BTreeSet<PathBuf>) -> Option<String> {
    let words = words(command);
    let (program, rest) = words.split_first()?;
    match *program {
        "make" => wrong_make(rest, page),
        "cargo" => wrong_cargo(rest, files),
        "pip" | "npm" if rest.first() == Some(&"install") => {
            let folder = rest.get(1).filter(|folder| folder.contains('/'))?;
            let package = if *program == "pip" { "pyproject.toml" } else { "package.json" };
            (!path(folder).join(package).exists()).then(|| format!("{folder} has no {package}"))
        }
        _ if is_script(program) => wrong_script(&words),
        _ => None,
    }
}

#[test]
fn every_command_of_a_page_names_what_exists() {
    let files = files();
    let mut checked = 0;
    let mut complaints = Vec::new();
    for (page, text) in pages(&files) {
        for command in commands(&text) {
            checked += usize::from(command.starts_with("make ") || command.starts_with("cargo "));
            complaints
                .extend(wrong(&command, &page, &files).map(|wrong| format!("{}: {command}: {wrong}", page.display())));
        }
    }
    complaints.sort();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(checked > 50, "there are more commands than {checked}");
}

#[test]
fn a_command_that_names_what_does_not_exist_is_found() {
    let files = files();
    let page = Path::new("bindings/c/README.md");
    let wrong = |command: &str| wrong(command, page, &files);
    assert_eq!(wrong("make demo     # builds it"), None);
    assert_eq!(wrong("make header"), None, "it is in the folder of the page");
    assert_eq!(wrong("sudo make -C PATH/bindings/c install PREFIX=/usr/local"), None);
    assert_eq!(wrong("make no-such-target").as_deref(), Some("make has no target no-such-target"));
    assert_eq!(wrong("cargo test -p portlease --test soak"), None);
    assert_eq!(wrong("cargo test -p no-such-crate").as_deref(), Some("cargo finds no -p no-such-crate"));
    assert_eq!(wrong("pip install ./node").as_deref(), Some("./node has no pyproject.toml"));
    assert_eq!(wrong("tests/bench/bench.py --quick"), None);
    assert_eq!(wrong("tests/bench/bench.py --no-such").as_deref(), Some("tests/bench/bench.py has no --no-such"));
    assert_eq!(wrong("tests/no-such-script").as_deref(), Some("there is no tests/no-such-script"));
}
