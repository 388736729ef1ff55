//! Every `portlease ...` that a page of this repository or a help text shows is a command line that this program understands.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::Cli;

/// Folders of what is built or fetched.
const NOT_OURS: [&str; 4] = ["target", "dist", "node_modules", "native"];

/// The Markdown files below `folder`.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') || NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The command lines of a page: those in blocks of code, which must be whole, and those within sentences, which need not
/// (`false`). A line that ends in a backslash goes on in the next.
fn commands(page: &str) -> Vec<(Vec<String>, bool)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in page.replace("\\\n", " ").lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            found.extend(command(line).map(|words| (words, true)));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).filter_map(command).map(|words| (words, false)));
        }
    }
    found
}

/// The words of a command line of this program; `None` for others, and for a sentence that begins with its name.
fn command(line: &str) -> Option<Vec<String>> {
    let mut words = words(line);
    let before = |word: &String| ["$", "sudo", "npx"].contains(&word.as_str()) || word.contains('=');
    words.drain(..words.iter().position(|word| !before(word))?);
    let first = words.get(1).filter(|_| words.first().is_some_and(|program| program == "portlease"))?;
    let known = Cli::command().get_subcommands().any(|known| known.get_name() == first.as_str());
    (known || first == "help" || first.starts_with('-')).then(|| words.into_iter().map(filled).collect())
}

/// The words of a line as a shell reads them, up to a comment or another command.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        let Some(word) = words.last_mut() else { break };
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => word.push(c),
            ('\'' | '"', None) => quote = Some(c),
            ('#', None) if word.is_empty() => break,
            ('|' | '&' | ';' | '>', None) => break,
            (' ', None) => words.push(String::new()),
            (_, None) => word.push(c),
        }
    }
    words.retain(|word| !word.is_empty() && word != "...");
    words
}

/// A value for a placeholder such as PORT.
fn filled(word: String) -> String {
    match word.as_str() {
        "IP" | "ADDRESS" => "192.0.2.1".to_owned(),
        _ if word.chars().all(|c| c.is_ascii_uppercase()) => "4000".to_owned(),
        _ => word.replace("HOST", "192.0.2.1").replace("PORT", "4000"),
    }
}

/// Why this program does not understand the line.
fn complaint(words: &[String], whole: bool) -> Option<String> {
    let names_a_flag = words.last().is_some_and(|word| word.starts_with('-'));
    let error = Cli::command().try_get_matches_from(words).err()?;
    let kind = error.kind();
    let help = matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // A sentence may leave out what a command needs, or the value of the flag that it is about.
    let incomplete =
        matches!(kind, ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)
            || (kind == ErrorKind::InvalidValue && names_a_flag);
    let fine = help || (incomplete && !whole);
    (!fine).then(|| format!("{}\n{error}", words.join(" ")))
}

#[test]
fn every_command_line_of_every_page_is_understood() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !checkout.join("ARCHITECTURE.md").exists() {
        eprintln!("skipped: this is not a checkout of the repository");
        return;
    }
    let mut files = Vec::new();
    pages(&checkout, &mut files);
    let mut checked = 0;
    let mut complaints = Vec::new();
    for file in files {
        for (words, whole) in commands(&fs::read_to_string(&file).unwrap_or_default()) {
            checked += 1;
            complaints.extend(complaint(&words, whole).map(|complaint| format!("{}: {complaint}", file.display())));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(checked > 25, "there are more command lines than {checked}");
}

#[test]
fn every_example_of_the_help_is_understood() {
    let mut program = Cli::command();
    program.build();
    let mut checked = 0;
    for of in std::iter::once(&program).chain(program.get_subcommands()) {
        let text = of.get_after_help().map(ToString::to_string).unwrap_or_default();
        // What a column beside it says is two spaces away.
        let examples = text.lines().filter_map(|line| line.strip_prefix("  ")?.split("  ").next());
        for words in examples.filter_map(command) {
            assert_eq!(complaint(&words, true), None, "in the help of {}", of.get_name());
            checked += 1;
        }
    }
    assert!(checked > 5, "there are more examples than {checked}");
}

#[test]
fn a_flag_that_does_not_exist_is_found() {
    let complaint = |line: &str, whole| command(line).and_then(|words| complaint(&words, whole));
    assert!(complaint("portlease map 4000/udp --no-such-flag", true).is_some());
    assert!(complaint("portlease map", true).is_some());
    assert!(complaint("portlease map", false).is_none());
    assert!(complaint("sudo X=1 portlease doctor --repair PORT   # a comment", true).is_none());
}

#[test]
fn a_command_is_read_as_a_shell_reads_it() {
    let page = "`portlease list` or portlease demo\n```sh\n$ portlease gateway \\\n  --faults '{\"pcp\": 1}' | head\nportlease is\n```\n";
    let read: Vec<_> = commands(page).into_iter().map(|(words, whole)| (words.join(" "), whole)).collect();
    assert_eq!(
        read,
        [("portlease list".to_owned(), false), ("portlease gateway --faults {\"pcp\": 1}".to_owned(), true)]
    );
}
