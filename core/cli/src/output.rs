//! Where words go: plain lines, status lines on a terminal, JSON lines. Answers go to stdout; failures and warnings to
//! stderr, so that a reader of stdout is not confused by them.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use portlease::{ErrorKind, ErrorReport};
use serde::Serialize;

use crate::advice;

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
    /// Colour where the stream is a terminal that can show it and the user has not forbidden it.
    fn of(stream: &impl IsTerminal) -> Self {
        // https://no-color.org: any value but the empty one.
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(stream.is_terminal() && !forbidden && !dumb_terminal())
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self(false)
    }

    /// `text` in a colour, or as it is.
    pub(crate) fn colour(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

fn dumb_terminal() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// The lines at the bottom of a terminal that are drawn again and again.
#[derive(Debug)]
struct Live {
    screen: MultiProgress,
    lines: Vec<ProgressBar>,
}

/// Where one command's words go.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    stdout: Paint,
    stderr: Paint,
    live: RefCell<Option<Live>>,
    /// The kind whose advice was given last: the same advice is not given after every attempt.
    advised: Cell<Option<ErrorKind>>,
}

impl Output {
    /// Output for people, or for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            stdout: Paint::of(&io::stdout()),
            stderr: Paint::of(&io::stderr()),
            live: RefCell::default(),
            advised: Cell::default(),
        }
    }

    /// Output for people.
    pub(crate) fn plain() -> Self {
        Self::new(false)
    }

    /// Whether JSON is wanted.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// The colours of stdout.
    pub(crate) fn paint(&self) -> Paint {
        self.stdout
    }

    /// A line on stdout; above the status lines where there are any.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        self.above_live(|| {
            let mut out = io::stdout().lock();
            writeln!(out, "{text}")?;
            out.flush()
        })
    }

    /// One JSON object on a line of stdout.
    pub(crate) fn object(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string(value)?)
    }

    /// A line on stderr. Where that cannot be written there is nowhere to say so.
    pub(crate) fn note(&self, text: &str) {
        let _ = self.above_live(|| writeln!(io::stderr().lock(), "{text}"));
    }

    /// A warning on stderr.
    pub(crate) fn warning(&self, text: &str) {
        self.note(&format!("{} {text}", self.stderr.colour(Colour::Yellow, "portlease: warning:")));
    }

    /// A failure on stderr, with its kind, and what to try.
    pub(crate) fn failure(&self, error: &ErrorReport) {
        let head = self.stderr.colour(Colour::Red, &format!("portlease: {}:", error.kind));
        self.note(&format!("{head} {}", error.message));
        if self.advised.replace(Some(error.kind)) != Some(error.kind)
            && let Some(step) = advice::next_step(error.kind)
        {
            self.note(&format!("  try: {step}"));
        }
    }

    /// Begins to draw that many status lines, where stdout is a terminal that can show them and people read it.
    pub(crate) fn begin_live(&self, count: usize) -> bool {
        if self.json || !io::stdout().is_terminal() || dumb_terminal() {
            return false;
        }
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        if screen.is_hidden() {
            return false;
        }
        let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let lines = (0..count).map(|_| screen.add(ProgressBar::new_spinner().with_style(style.clone()))).collect();
        self.live.replace(Some(Live { screen, lines }));
        true
    }

    /// Draws the status lines anew.
    pub(crate) fn draw(&self, texts: impl Iterator<Item = String>) {
        if let Some(live) = &*self.live.borrow() {
            for (line, text) in live.lines.iter().zip(texts) {
                line.set_message(text);
            }
        }
    }

    /// Takes the status lines away.
    pub(crate) fn end_live(&self) {
        if let Some(live) = self.live.take() {
            // A terminal that is gone has no lines left to take away.
            let _ = live.screen.clear();
        }
    }

    fn above_live<T>(&self, write: impl FnOnce() -> T) -> T {
        match &*self.live.borrow() {
            Some(live) => live.screen.suspend(write),
            None => write(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_used_only_where_it_is_wanted() {
        assert_eq!(Paint(true).colour(Colour::Green, "up"), "\x1b[32mup\x1b[0m");
        assert_eq!(Paint(false).colour(Colour::Green, "up"), "up");
    }
}
