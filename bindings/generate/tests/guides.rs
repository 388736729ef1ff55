//! The guides in core/docs quote what the program says, and name their sources.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core")
}

fn guide(name: &str) -> String {
    fs::read_to_string(core().join("docs").join(name)).unwrap()
}

/// The Rust files of a folder that are no tests, as one text in which a string that goes on in the next line is whole.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            text += &sources(&path);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let source = fs::read_to_string(&path).unwrap();
            let mut parts = source.split("\\\n");
            text += parts.next().unwrap();
            parts.for_each(|part| text += part.trim_start());
        }
    }
    text
}

/// What a text has between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The messages that a page quotes: in the paragraphs that begin with "You see", and in the first column of a table of messages.
fn messages(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut table = false;
    for paragraph in page.split("\n\n") {
        if paragraph.starts_with("**You see**") {
            found.extend(quoted(paragraph));
        }
        for line in paragraph.lines() {
            table = line.starts_with("| message |") || table && line.starts_with('|');
            if table && let Some(first) = line.split('|').nth(1) {
                found.extend(quoted(first));
            }
        }
    }
    // A single word may be an example, such as the name of an interface.
    found.retain(|message| message.contains(' ') || message.contains('_'));
    found
}

/// Whether the program says this. UPnP's errors are put together from a code and its name.
fn says(sources: &str, message: &str) -> bool {
    let words = message.trim_start_matches("upnp ");
    let named = words.split_once(' ').filter(|(code, _)| code.parse::<u16>().is_ok());
    sources.contains(named.map_or(words, |(_, name)| name)) || words.parse::<u16>().is_ok()
}

#[test]
fn every_message_that_the_troubleshooting_page_quotes_is_one_of_the_programs() {
    let sources = sources(&core().join("src")) + &sources(&core().join("cli/src"));
    let page = guide("troubleshooting.md");
    let messages = messages(&page);
    assert!(messages.len() > 20, "{messages:?}");
    let unknown: Vec<_> = messages.iter().filter(|message| !says(&sources, message)).collect();
    assert!(unknown.is_empty(), "no source says: {unknown:#?}");
}

#[test]
fn a_message_that_nothing_says_is_found() {
    let page = "**You see** `no such message` or `tun0`\n\nText `not quoted as a message`.\n\n| message | do |\n|---|---|\n| `728 NoName` | x |\n";
    assert_eq!(messages(page), ["no such message", "728 NoName"]);
    assert!(!says("other words", "no such message"));
    assert!(says("(728, \"NoName\")", "728 NoName") && says("x", "upnp 606"));
}

#[test]
fn every_section_of_the_troubleshooting_page_says_what_is_seen_what_it_means_and_what_to_do() {
    let page = guide("troubleshooting.md");
    let sections: Vec<_> = page.split("\n## ").skip(1).filter(|section| !section.starts_with("Still stuck?")).collect();
    assert!(sections.len() > 12, "{}", sections.len());
    for section in sections {
        let title = section.lines().next().unwrap();
        assert!(section.contains("**You see**"), "{title}");
        let explained = section.contains("**It means**") && section.contains("**Do this");
        assert!(explained || section.contains("\n|---|"), "{title} explains nothing");
        assert!(page.contains(&format!("- [{title}](#")), "the list at the top lacks {title}");
    }
}

#[test]
fn every_row_of_the_table_of_routers_names_its_source() {
    let page = guide("routers.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| router | where |")).skip(2);
    let rows: Vec<_> = table.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let source = row.trim_end_matches('|').rsplit('|').next().unwrap();
        assert!(source.contains("](https://"), "{row}");
    }
}

/// The blocks of code of all guides in a language, with the name of the page.
fn blocks(language: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(core().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let fence = format!("\n```{language}\n");
        let page = guide(&name);
        let code = page.split(&fence).skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
        found.extend(code.map(|code| (name.clone(), format!("{code}\n"))));
    }
    found
}

#[test]
fn the_examples_in_python_are_those_that_the_tests_of_the_python_package_run() {
    let readme = fs::read_to_string(core().join("../python/README.md")).unwrap();
    let ours: Vec<_> = blocks("python").into_iter().filter(|(page, _)| page == "recipes.md").collect();
    assert!(ours.len() >= 3, "{}", ours.len());
    for (page, code) in ours {
        assert!(readme.contains(&format!("```python\n{code}```")), "{page}: python/README.md has no\n{code}");
    }
}

#[test]
fn the_shell_understands_every_command() {
    let ours = blocks("sh");
    assert!(ours.len() > 10, "{}", ours.len());
    for (page, code) in ours {
        let checked = Command::new("sh").args(["-n", "-c", &code]).output().unwrap();
        assert!(checked.status.success(), "{page}: {}\n{code}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn systemd_understands_every_unit() {
    let units: Vec<_> = blocks("ini").into_iter().filter(|(_, code)| code.starts_with("# /etc/systemd/")).collect();
    assert!(!units.is_empty());
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: there is no systemd-analyze");
        return;
    }
    let folder = std::env::temp_dir().join(format!("portlease-units-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    for (page, code) in units {
        let name = code.lines().next().unwrap().rsplit('/').next().unwrap();
        let file = folder.join(name);
        // It wants to see the program, which a test has nowhere installed.
        fs::write(&file, code.replace("/usr/local/bin/portlease ", "/bin/true ")).unwrap();
        let checked = Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && !said.contains(name), "{page}: {said}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

/// The Rust files of a folder, tests included, as one text.
fn everything(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match path.is_dir() {
        true => everything(&path),
        false if path.extension().is_some_and(|extension| extension == "rs") => fs::read_to_string(&path).unwrap(),
        false => String::new(),
    };
    entries.map(read).collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let page = fs::read_to_string(core().join("../SECURITY.md")).unwrap();
    let code = everything(&core().join("src")) + &everything(&core().join("tests")) + &everything(&core().join("cli"));
    let table = page.lines().skip_while(|line| *line != "| promise | tests |").skip(2);
    let names: Vec<_> =
        table.take_while(|line| line.starts_with('|')).flat_map(quoted).filter(|name| !name.contains(' ')).collect();
    assert!(names.len() > 30, "{}", names.len());
    let gone: Vec<_> = names.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(gone.is_empty(), "no such tests: {gone:#?}");
}
