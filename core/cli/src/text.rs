//! Text for a terminal. Device names, descriptions and error messages come from the network, so nothing is shown that
//! moves the cursor, colours the screen or turns the reading direction, except the colours of [`Paint`].

use std::io::IsTerminal;
use std::ops::Add;

/// Text that is safe to show. Made from any string, whose control characters are replaced, or by [`Paint::colour`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown(String);

impl Shown {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the blanks at the end.
    pub(crate) fn trim_end(self) -> Self {
        Self(self.0.trim_end().to_owned())
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self(text.chars().map(|c| if deceives(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
    }
}

impl From<&String> for Shown {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl<T: Into<Self>> Add<T> for Shown {
    type Output = Self;

    fn add(mut self, more: T) -> Self {
        self.0.push_str(&more.into().0);
        self
    }
}

/// Whether a terminal does something else with this character than to show it: control characters, line separators,
/// marks that turn the reading direction (Unicode TR 36, 2.1), and characters that nobody sees.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// JSON with the same meaning, in which these characters are written as `\u....`. They can only be inside of strings.
pub(crate) fn escaped(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match deceives(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}"))),
            false => safe.push(c),
        }
    }
    safe
}

/// The colours in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
}

/// How a stream is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Colour if the stream is a terminal that can show it and the user has not forbidden it.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        // https://no-color.org: any value but the empty one.
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(stream.is_terminal() && !forbidden && !dumb_terminal() && shows_colours())
    }

    /// No colours, whatever the stream is.
    pub(crate) const fn plain() -> Self {
        Self(false)
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self(false)
    }

    /// `text` in a colour, or as it is.
    pub(crate) fn colour(self, colour: Colour, text: &str) -> Shown {
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        let text = Shown::from(text);
        match self.0 {
            true => Shown(format!("\x1b[{code}m{}\x1b[0m", text.as_str())),
            false => text,
        }
    }
}

/// A console of Windows heeds escapes only if it is asked to; a terminal that comes from Unix says what it is.
#[cfg(windows)]
fn shows_colours() -> bool {
    anstyle_query::windows::enable_ansi_colors() == Some(true) || anstyle_query::term_supports_ansi_color()
}

#[cfg(not(windows))]
fn shows_colours() -> bool {
    true
}

pub(crate) fn dumb_terminal() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A colour, a bell, a new line, a C1 control, a change of the reading direction, an invisible letter.
    const HOSTILE: &str = "a\x1b[31mb\x07c\nd\u{9b}e\u{202e}f\u{2066}g\u{e0041}h";

    #[test]
    fn colour_is_used_only_if_it_is_allowed() {
        assert_eq!(Paint(true).colour(Colour::Green, "up").as_str(), "\x1b[32mup\x1b[0m");
        assert_eq!(Paint(false).colour(Colour::Green, "up").as_str(), "up");
    }

    #[test]
    fn what_comes_from_the_network_cannot_steer_the_terminal() {
        assert_eq!(
            Shown::from(HOSTILE).as_str(),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}g\u{fffd}h"
        );
        assert_eq!(Paint(true).colour(Colour::Red, "x\x1b[32my").as_str(), "\x1b[31mx\u{fffd}[32my\x1b[0m");
        let line = Paint(true).colour(Colour::Red, "no") + " " + HOSTILE;
        assert_eq!(line.as_str().matches('\x1b').count(), 2, "{line:?}");
    }

    #[test]
    fn other_scripts_and_symbols_are_shown() {
        for text in ["Fritz!Box von Jürgen", "客厅路由器", "الراوتر", "🎮 game"] {
            assert_eq!(Shown::from(text).as_str(), text);
        }
    }

    #[test]
    fn json_keeps_its_meaning_without_these_characters() {
        let json = serde_json::to_string(HOSTILE).unwrap();
        let safe = escaped(&json);
        assert!(!safe.chars().any(deceives), "{safe:?}");
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), HOSTILE);
    }
}
