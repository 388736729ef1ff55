//! `include/portlease.h` is what the source says. `make generate` writes it.

use std::path::{Path, PathBuf};

use cbindgen::{Builder, Config, DocumentationStyle, EnumConfig, Language, Style};

const PROLOGUE: &str = include_str!("../src/prologue.h");
const EPILOGUE: &str = include_str!("../src/epilogue.h");
/// More is not read in one sitting.
const MOST_LINES: usize = 750;
/// No line of the header is longer, but for what cannot be broken.
const LINE_LENGTH: usize = 118;
/// Where the public items are, in the order in which the header has them; `waits` comes last.
const SOURCES: [&str; 15] = [
    "memory/place",
    "version",
    "names",
    "error",
    "values",
    "config",
    "snapshot",
    "event",
    "gateway",
    "mapper",
    "lease",
    "reasons",
    "table",
    "reader",
    "log",
];

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/portlease.h")
}

fn generate() -> String {
    let version = |part| format!("#define PORTLEASE_VERSION_{part}");
    let config = Config {
        language: Language::C,
        header: Some(format!("{PROLOGUE}\n#ifndef PORTLEASE_H\n#define PORTLEASE_H")),
        trailer: Some(EPILOGUE.trim_end().to_owned()),
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(str::to_owned).to_vec(),
        after_includes: Some(format!(
            "\n{} {}\n{} {}\n{} {}\n{} \"{}\"\n\n/// Each call's own default time-out.\n#define PORTLEASE_DEFAULT_TIMEOUT (-1.0)",
            version("MAJOR"),
            env!("CARGO_PKG_VERSION_MAJOR"),
            version("MINOR"),
            env!("CARGO_PKG_VERSION_MINOR"),
            version("PATCH"),
            env!("CARGO_PKG_VERSION_PATCH"),
            version("STRING"),
            env!("CARGO_PKG_VERSION"),
        )),
        cpp_compat: true,
        style: Style::Both,
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::Cxx,
        enumeration: EnumConfig::default(),
        ..Config::default()
    };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut builder = Builder::new().with_config(config);
    for source in SOURCES.iter().chain(["waits", "waits_ask"].iter()) {
        builder = builder.with_src(sources.join(source).with_extension("rs"));
    }
    let mut header = Vec::new();
    builder.generate().expect("a header").write(&mut header);
    shorten(&String::from_utf8(header).expect("text"))
}

/// Sets the generated text closer: one page less to read, and not a word less.
fn shorten(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut declaration: Option<String> = None;
    for line in text.lines() {
        // Types are used by their short names.
        let line = match line.starts_with("typedef ") || line.starts_with("//") {
            true => line.to_owned(),
            false => line.replace("enum portlease_", "portlease_").replace("struct portlease_", "portlease_"),
        };
        if line == "/// As above." {
            // The functions that this stands before follow each other without an empty line.
            assert_eq!(lines.pop().as_deref(), Some(""));
        } else if let Some(begun) = declaration.take() {
            declare(&mut lines, &mut declaration, format!("{begun} {}", line.trim_start()));
        } else if line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains('(') && !line.contains('{') {
            declare(&mut lines, &mut declaration, line);
        } else if let Some(merged) = lines.last().and_then(|comment| beside(lines.len(), &lines, comment, &line)) {
            lines.pop();
            lines.push(merged);
        } else {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// A declaration once it is whole, in as few lines as it fits into.
fn declare(lines: &mut Vec<String>, declaration: &mut Option<String>, text: String) {
    if !text.ends_with(';') {
        *declaration = Some(text);
        return;
    }
    let mut words = text.split_inclusive(", ");
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        if line.len() + word.trim_end().len() > LINE_LENGTH {
            lines.push(line.trim_end().to_owned());
            line = "    ".to_owned();
        }
        line += word;
    }
    lines.push(line);
}

/// A field or a value with its comment of one line beside it, where that fits.
fn beside(count: usize, lines: &[String], comment: &str, line: &str) -> Option<String> {
    let text = comment.strip_prefix("  /// ")?;
    let alone = count < 2 || !lines[count - 2].starts_with("  /// ");
    let merged = format!("{line} ///< {text}");
    (alone && line.starts_with("  ") && !line.starts_with("  ///") && merged.len() <= LINE_LENGTH).then_some(merged)
}

#[test]
fn the_header_is_fresh() {
    let fresh = generate();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path(), &fresh).expect("a header that can be written");
    }
    let committed = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(committed == fresh, "{} is stale: run make generate", path().display());
    assert!(fresh.lines().count() <= MOST_LINES, "{} lines are more than one reads", fresh.lines().count());
}
