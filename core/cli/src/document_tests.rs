//! Every command in the Markdown files of the repository is one that the program takes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use crate::Cli;

/// The Markdown files below a folder, without what was built or fetched.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            found.push(path);
        } else if path.is_dir()
            && !name.starts_with('.')
            && !["target", "dist", "node_modules"].contains(&name.as_str())
        {
            found.extend(pages(&path));
        }
    }
    found
}

/// The lines of the blocks of shell commands; one that ends in a backslash goes on in the next.
fn shell_lines(page: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for block in page.split("```sh\n").skip(1) {
        let code = block.split_once("```").map_or(block, |(code, _)| code);
        lines.extend(code.replace("\\\n", " ").lines().map(str::to_owned));
    }
    lines
}

/// The words of a shell command up to its end, without quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => words.last_mut().unwrap().push(c),
            ('\'' | '"', None) => quote = Some(c),
            ('|' | '&' | ';' | '>' | '#', None) => break,
            (' ', None) => words.push(String::new()),
            (_, None) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The command line of portlease in a line of shell, if that is what it starts.
fn command(line: &str) -> Option<Vec<String>> {
    let mut words = words(line);
    let before = |word: &String| word == "sudo" || word.contains('=') || word == "$";
    let start = words.iter().position(|word| !before(word))?;
    words.drain(..start);
    (words.first()? == "portlease").then_some(words)
}

#[test]
fn every_command_in_the_documents_is_one_that_the_program_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut checked = 0;
    let mut complaints = Vec::new();
    for page in pages(&root) {
        let text = fs::read_to_string(&page).unwrap();
        for words in shell_lines(&text).iter().filter_map(|line| command(line)) {
            checked += 1;
            if let Err(error) = Cli::command().try_get_matches_from(&words)
                && error.use_stderr()
            {
                complaints.push(format!("{}: {}\n{error}", page.display(), words.join(" ")));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(checked > 15, "there are more commands than {checked}");
}

#[test]
fn a_command_is_read_as_a_shell_reads_it() {
    let line = "PORTLEASE_GATEWAY=127.0.0.1 portlease gateway --faults '{\"pcp\": \"silent\"}' | head -1  # of a test";
    let read = command(line).unwrap();
    assert_eq!(read, ["portlease", "gateway", "--faults", "{\"pcp\": \"silent\"}"]);
    assert_eq!(command("make demo"), None);
    assert_eq!(shell_lines("```sh\nportlease map \\\n  4000/udp\n```\n"), ["portlease map    4000/udp"]);
}
