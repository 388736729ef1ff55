//! What routers and other hosts say, kept from steering a terminal and from forging lines of a log.

use std::fmt::{self, Display, Write};

/// Shows a value on one line: control characters, separators of lines and marks that turn the reading direction are written
/// as `\u{1b}`.
#[derive(Debug)]
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Passes on what is written, escaped.
pub(crate) struct Escaping<'a, W: ?Sized>(pub(crate) &'a mut W);

impl<W: Write + ?Sized> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| misleads(*c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", c.escape_unicode())?;
            rest = &rest[at + c.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Whether a terminal does something else with this character than to show it, or a reader of lines takes it for an end:
/// control characters, separators of lines, and the bidirectional controls (Unicode UAX 9, 2).
pub(crate) fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_or_forge_a_line_is_written_as_its_number() {
        assert_eq!(
            Escaped("a\x1b[31mb\r\nERROR c\u{9b}d\u{202e}e").to_string(),
            "a\\u{1b}[31mb\\u{d}\\u{a}ERROR c\\u{9b}d\\u{202e}e"
        );
    }

    #[test]
    fn other_scripts_are_shown_as_they_are() {
        for text in ["", "Fritz!Box von Jürgen", "客厅路由器", "الراوتر 🎮"] {
            assert_eq!(Escaped(text).to_string(), text);
        }
    }
}
