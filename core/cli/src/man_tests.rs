//! The manual pages in `core/cli/man` are made from the command line itself, by `UPDATE=1 cargo test -p portlease-cli --lib man`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::Cli;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

/// Every page, by the name of its file.
fn pages() -> BTreeMap<String, String> {
    // `portlease help map` shows the same as `man portlease-map`.
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    std::iter::once(&program).chain(program.get_subcommands()).map(page).collect()
}

fn page(command: &Command) -> (String, String) {
    let rest = sections(command);
    // Without a version and a date, which would change all pages at each release.
    let plain = command.clone().after_help(None::<&str>).version(None::<&str>);
    let man = Man::new(plain).date(" ").source("portlease").manual("User Commands");
    let mut text = Vec::new();
    man.render(&mut text).expect("memory can be written");
    (man.get_filename(), String::from_utf8(text).expect("help is text") + &rest)
}

/// What stands after the help: paragraphs with a heading, prose, and indented lines of one or two columns.
fn sections(command: &Command) -> String {
    let mut roff = Roff::new();
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for section in text.split("\n\n").filter(|section| !section.is_empty()) {
        let (heading, rest) = section.split_once(':').expect("sections after the help have a heading");
        roff.control("SH", [heading.to_uppercase().as_str()]);
        for line in rest.split('\n').filter(|line| !line.is_empty()) {
            // JSON is shown as it is.
            if line.trim_start().starts_with(['{', '"']) && line.ends_with([',', '}']) {
                roff.control("nf", []).text([roman(line.trim())]).control("fi", []);
                continue;
            }
            let Some(entry) = line.strip_prefix("  ").filter(|entry| !entry.starts_with(' ')) else {
                roff.text([roman(line.trim())]);
                continue;
            };
            let (left, right) = entry.rsplit_once("  ").unwrap_or((entry, ""));
            roff.control("TP", []).text([bold(left.trim())]);
            if !right.is_empty() {
                roff.text([roman(right.trim())]);
            }
        }
    }
    if command.get_display_name().is_some_and(|name| name != "portlease") {
        roff.control("SH", ["SEE ALSO"]).text([roman("portlease(1)")]);
    }
    roff.to_roff()
}

#[test]
fn the_manual_pages_are_fresh() {
    let fresh = pages();
    if std::env::var_os("UPDATE").is_some() {
        let _ = std::fs::remove_dir_all(folder());
        std::fs::create_dir(folder()).expect("a folder that can be made");
        for (name, text) in &fresh {
            std::fs::write(folder().join(name), text).expect("a page that can be written");
        }
    }
    let committed = std::fs::read_dir(folder()).expect("core/cli/man").map(|entry| {
        let path = entry.expect("core/cli/man").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        (name, std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n"))
    });
    let committed: BTreeMap<_, _> = committed.collect();
    assert!(committed == fresh, "core/cli/man is stale: run make generate");
}
