//! Where words go: plain lines, status lines on a terminal, JSON lines. Answers go to stdout; failures and warnings to
//! stderr, so that a reader of stdout is not confused by them.

use std::cell::RefCell;
use std::io::{self, Write};

use portlease::{ErrorKind, ErrorReport};
use serde::Serialize;

use crate::advice::Hints;
use crate::screen::Screen;
use crate::text::{Colour, Paint, Shown, escaped};

/// Why a command has failed, as `--json` writes it.
#[derive(Debug, Serialize)]
struct JsonFailure<'a> {
    event: &'static str,
    kind: &'static str,
    message: &'a str,
    /// What to try; `null` if there is nothing to do.
    advice: Option<String>,
}

/// Where one command's words go.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    stdout: Paint,
    stderr: Paint,
    live: RefCell<Option<Screen>>,
    /// Whether status lines may be drawn.
    draws: bool,
    /// Whether stdout is left to another program.
    stdout_is_taken: bool,
    /// The advice that was given last: it is not given again after every attempt.
    advised: RefCell<Option<String>>,
    hints: Hints,
}

impl Output {
    /// Output for people, or for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            stdout: Paint::of(&io::stdout()),
            stderr: Paint::of(&io::stderr()),
            live: RefCell::default(),
            draws: true,
            stdout_is_taken: false,
            advised: RefCell::default(),
            hints: Hints::default(),
        }
    }

    /// Output for people.
    pub(crate) fn plain() -> Self {
        Self::new(false)
    }

    /// What the hints after failures depend on.
    pub(crate) fn hinting(self, hints: Hints) -> Self {
        Self { hints, ..self }
    }

    /// From now on no status lines are drawn: another thread writes to the terminal.
    pub(crate) fn draw_nothing(&mut self) {
        self.draws = false;
    }

    /// From now on stdout is another program's: what would go there goes to stderr.
    pub(crate) fn leave_stdout(&mut self) {
        self.stdout = self.stderr;
        (self.draws, self.stdout_is_taken) = (false, true);
    }

    /// Whether the output is JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// The colours of stdout.
    pub(crate) fn paint(&self) -> Paint {
        self.stdout
    }

    /// A line on stdout; above the status lines if there are any.
    pub(crate) fn line(&self, text: impl Into<Shown>) -> io::Result<()> {
        self.write(text.into().as_str())
    }

    fn write(&self, text: &str) -> io::Result<()> {
        if self.stdout_is_taken {
            // Where stderr cannot be written there is nowhere to say so.
            let _ = writeln!(io::stderr().lock(), "{text}");
            return Ok(());
        }
        self.above_live(|| {
            let mut out = io::stdout().lock();
            writeln!(out, "{text}")?;
            out.flush()
        })
    }

    /// One JSON object on a line of stdout.
    pub(crate) fn object(&self, value: &impl Serialize) -> io::Result<()> {
        self.write(&escaped(&serde_json::to_string(value)?))
    }

    /// A line on stderr. Where that cannot be written there is nowhere to say so.
    pub(crate) fn note(&self, text: impl Into<Shown>) {
        let text = text.into();
        let _ = self.above_live(|| writeln!(io::stderr().lock(), "{}", text.as_str()));
    }

    /// A warning on stderr.
    pub(crate) fn warning(&self, text: &str) {
        self.note(self.stderr.colour(Colour::Yellow, "portlease: warning:") + " " + text);
    }

    /// A failure on stderr, with its kind, and what to try.
    pub(crate) fn failure(&self, error: &ErrorReport) {
        let _ = self.failure_with(error, None);
    }

    /// A failure of the command: as [`failure`](Self::failure), and for programs one object beside their other JSON.
    pub(crate) fn fail(&self, error: &ErrorReport) {
        let advice = self.failure_with(error, None);
        self.failed(error.kind, &error.message, advice);
    }

    /// A failure of the command for programs only.
    pub(crate) fn failed(&self, kind: ErrorKind, message: &str, advice: Option<String>) {
        if self.json {
            // Where it cannot be written there is nowhere to say so.
            let _ = self.object(&JsonFailure { event: "failed", kind: kind.as_str(), message, advice });
        }
    }

    /// A failure on stderr about which there is nothing to do.
    pub(crate) fn setback(&self, error: &ErrorReport) {
        let head = self.stderr.colour(Colour::Red, &format!("portlease: {}:", error.kind));
        self.note(head + " " + &error.message);
    }

    /// A failure on stderr for which there may be better advice than the usual. Returns the advice.
    pub(crate) fn failure_with(&self, error: &ErrorReport, step: Option<&str>) -> Option<String> {
        self.setback(error);
        if let Some(step) = step {
            self.note(format!("  try: {step}"));
            return Some(step.to_owned());
        }
        let usual = self.hints.next_step(error);
        if let Some(step) = &usual
            && self.advised.borrow().as_ref() != Some(step)
        {
            self.note(format!("  try: {step}"));
        }
        self.advised.replace(usual.clone());
        usual
    }

    /// Begins to draw status lines, where stdout is a terminal that can show them and people read it.
    pub(crate) fn begin_live(&self) -> bool {
        if !self.json && self.draws {
            self.live.replace(Screen::begin());
        }
        self.live.borrow().is_some()
    }

    /// Draws the status lines anew.
    pub(crate) fn draw(&self, texts: impl Iterator<Item = Shown>) {
        if let Some(live) = &mut *self.live.borrow_mut() {
            // A terminal that is gone shows nothing; the next line that is written says so.
            let _ = live.draw(texts.collect());
        }
    }

    /// Takes the status lines away.
    pub(crate) fn end_live(&self) {
        if let Some(mut live) = self.live.take() {
            // A terminal that is gone has no lines left to take away.
            let _ = live.clear();
        }
    }

    fn above_live(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match &mut *self.live.borrow_mut() {
            Some(live) => live.above(write)?,
            None => write(),
        }
    }
}
