//! Texts of generated files.

use crate::{Result, root};

/// Wraps a text of one or more paragraphs into lines that begin with `prefix`, at most `width` characters long.
pub(crate) fn wrap(text: &str, prefix: &str, width: usize) -> String {
    let mut out = String::new();
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            out += prefix.trim_end();
            out.push('\n');
        }
        let mut line = prefix.to_owned();
        for word in paragraph.split_whitespace() {
            if line.len() > prefix.len() && line.chars().count() + 1 + word.chars().count() > width {
                out += line.trim_end();
                out.push('\n');
                line = prefix.to_owned();
            }
            if line.len() > prefix.len() {
                line.push(' ');
            }
            line += word;
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// A file with what is between its markers `<!-- generated: NAME -->` and `<!-- /generated -->` put anew.
pub(crate) fn between(path: &str, parts: &[(&str, String)]) -> Result<(String, String)> {
    let mut text = std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))?;
    for (name, part) in parts {
        let begin = format!("<!-- generated: {name} -->\n");
        let missing = || format!("{path} has no part {}", begin.trim_end());
        let start = text.find(&begin).ok_or_else(missing)? + begin.len();
        let end = start + text[start..].find("<!-- /generated -->").ok_or_else(missing)?;
        text.replace_range(start..end, part);
    }
    Ok((path.to_owned(), text))
}

/// A table of Markdown; a `|` within a cell is escaped.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let escaped = |row: &Vec<String>| row.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>();
    line(&head)
        + &format!("|{}\n", "---|".repeat(head.len()))
        + &rows.iter().map(|row| line(&escaped(row))).collect::<String>()
}

/// Documentation of Rust's without links: [`Lease::changed`](crate::Lease::changed) becomes `Lease.changed`, and
/// [a lease](crate::Lease) becomes "a lease". Brackets that are no such link stay.
pub(crate) fn plain(docs: &str) -> String {
    let mut parts = docs.split('[');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, after) = part.split_once(']').unwrap_or((part, ""));
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        let code = name.starts_with('`') && name.ends_with('`');
        if code || target.is_some() {
            out += &name.replace("::", ".");
            out += target.map_or(after, |(_, after)| after);
        } else {
            out += &format!("[{part}");
        }
    }
    out
}
