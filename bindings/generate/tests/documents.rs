//! What the Markdown files of this repository promise: links that lead somewhere, and no package that cannot be had yet.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod checkout;

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use checkout::{files, pages};

/// Where the repository will be: links to it are links to files of this checkout.
const HOME: &str = "https://github.com/portlease/portlease";

/// Registries and archives show these pages without the rest of the repository.
const ALONE: [&str; 3] = ["python/README.md", "node/README.md", "core/cli/README.md"];

/// Commands and coordinates that need a published package.
const PROMISES: [&str; 8] = [
    "pip install portlease",
    "npm install portlease",
    "cargo add portlease",
    "cargo install portlease",
    "go get github.com/portlease",
    "<artifactId>portlease",
    "implementation(\"io.portlease",
    "apt install ./",
];

/// The lines outside of blocks of code.
fn prose(page: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            lines.push(line);
        }
    }
    lines
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets of a page's links.
fn links(page: &str) -> Vec<String> {
    let text = prose(page).into_iter().map(without_code).collect::<Vec<_>>().join("\n");
    let inline = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
    let tags = ["href=\"", "src=\""].into_iter().flat_map(|tag| text.split(tag).skip(1));
    inline.chain(tags.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))).collect()
}

/// The anchors that GitHub gives to the headings of a page, and those that the page names itself.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(page) {
        anchors.extend(line.split("id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let shown: String =
            heading.trim().split("](").map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)).collect();
        let slug: String = shown
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let again = (1..).map(|number| format!("{slug}-{number}"));
        let free = std::iter::once(slug.clone()).chain(again).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// The file of this checkout to which a link of `page` leads, and its anchor; `None` for other sites.
fn target(page: &Path, link: &str) -> Option<(PathBuf, Option<String>)> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    let file = if let Some(rest) = path.strip_prefix(HOME) {
        let file = rest.strip_prefix("/blob/main/").or_else(|| rest.strip_prefix("/tree/main/"));
        PathBuf::from(file.or_else(|| rest.is_empty().then_some(""))?)
    } else if path.contains("://") || path.starts_with("mailto:") {
        return None;
    } else if path.is_empty() {
        page.to_owned()
    } else {
        let mut file = page.parent().unwrap_or(Path::new("")).to_owned();
        for part in Path::new(path).components() {
            match part {
                Component::ParentDir => assert!(file.pop(), "{}: {link} leaves the repository", page.display()),
                Component::CurDir => {}
                part => file.push(part),
            }
        }
        file
    };
    Some((file, anchor))
}

/// What is wrong with a link.
fn wrong(page: &Path, link: &str, files: &BTreeSet<PathBuf>, pages: &HashMap<PathBuf, String>) -> Option<String> {
    let (file, anchor) = target(page, link)?;
    let alone = ALONE.iter().any(|name| page == Path::new(name));
    if alone && !link.starts_with(HOME) && !link.starts_with('#') {
        return Some(format!(
            "{}: {link} must begin with {HOME}, because the page is also shown elsewhere",
            page.display()
        ));
    }
    if !files.contains(&file) {
        return Some(format!("{}: {link} leads to no file", page.display()));
    }
    let anchor = anchor?;
    let text = pages.get(&file).or_else(|| pages.get(&file.join("README.md")))?;
    (!anchors(text).contains(&anchor)).then(|| format!("{}: {link} leads to no heading", page.display()))
}

#[test]
fn every_link_within_the_repository_leads_to_a_file_and_a_heading_that_exist() {
    let files = files();
    let pages = pages(&files);
    let mut checked = 0;
    let mut complaints = Vec::new();
    for (page, text) in &pages {
        for link in links(text) {
            checked += 1;
            complaints.extend(wrong(page, &link, &files, &pages));
        }
    }
    complaints.sort();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(checked > 100, "there are more links than {checked}");
}

#[test]
fn a_link_to_nowhere_is_found() {
    let page = PathBuf::from("core/page.md");
    let text = "# One `two`: three\n\n[a](#one-two-three) [b](#four) [c](../LICENSE-MIT) [d](LICENSE-MIT)\n```\n[e](no)\n```\n`[f](no)`\n";
    let files = BTreeSet::from([page.clone(), PathBuf::from("LICENSE-MIT")]);
    let pages = HashMap::from([(page.clone(), text.to_owned())]);
    let found: Vec<_> = links(text).iter().filter_map(|link| wrong(&page, link, &files, &pages)).collect();
    assert_eq!(found, ["core/page.md: #four leads to no heading", "core/page.md: LICENSE-MIT leads to no file"]);
}

/// The lines that promise a published package and do not say "once published" in their paragraph or the one before it.
fn promises(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut before = "";
    let mut fenced = false;
    let mut start = 0;
    let mut blocks = Vec::new();
    // A block of code is one paragraph, whatever blank lines it has.
    for line in page.split_inclusive('\n') {
        let end = line.as_ptr() as usize - page.as_ptr() as usize;
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if line.trim().is_empty() && !fenced {
            blocks.push(&page[start..end]);
            start = end;
        }
    }
    blocks.push(&page[start..]);
    for block in blocks.into_iter().filter(|block| !block.trim().is_empty()) {
        let said = [before, block].concat().to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        if !said.contains("once published") && !said.contains("once it is published") {
            found.extend(block.lines().filter(|line| PROMISES.iter().any(|promise| line.contains(promise))));
        }
        before = block;
    }
    found
}

/// Delete this test on the day of publication, and the words "once published" with it.
#[test]
fn no_page_promises_a_package_that_is_not_published() {
    let mut complaints = Vec::new();
    for (page, text) in pages(&files()) {
        complaints.extend(promises(&text).into_iter().map(|line| format!("{}: {line}", page.display())));
    }
    complaints.sort();
    assert!(complaints.is_empty(), "say \"once published\" there:\n{}", complaints.join("\n"));
}

#[test]
fn a_promise_is_found_unless_its_paragraph_or_the_one_before_says_once_published() {
    let command = "```sh\npip install portlease\n```\n";
    assert_eq!(promises(&format!("Install it:\n\n{command}")), ["pip install portlease"]);
    assert!(promises(&format!("Once\npublished:\n\n{command}")).is_empty());
    assert_eq!(promises(&format!("Once published:\n\nMore.\n\n{command}")), ["pip install portlease"]);
    assert!(promises("npm install portlease # once published\n").is_empty());
    assert!(promises("pip install ./python\n").is_empty());
}

#[test]
fn pages_name_the_version_of_rust_that_cargo_toml_requires() {
    for (page, text) in pages(&files()) {
        if page == Path::new("CHANGELOG.md") {
            continue;
        }
        for rest in text.split("Rust 1.").skip(1) {
            let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
            assert_eq!(format!("1.{minor}"), env!("CARGO_PKG_RUST_VERSION"), "{}", page.display());
        }
    }
}
