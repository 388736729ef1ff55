//! Core's diagnostics, for Python's `logging`: written into a bounded queue here, pulled by a thread of Python's.
//!
//! The subscriber is the global one of this module's own copy of `tracing`, which no other Rust code shares.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};

use arc_swap::ArcSwapOption;
use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// How many records wait for Python before the newest are dropped.
const QUEUE_LENGTH: usize = 4096;
/// Whose diagnostics are forwarded: ours, and not those of the crates beneath.
const TARGET: &str = "portlease";

/// Whether anybody listens: one load where nobody does.
static ON: AtomicBool = AtomicBool::new(false);
static QUEUE: ArcSwapOption<Queue> = ArcSwapOption::const_empty();

/// Level by Python's numbers, target, message.
type Entry = (u8, String, String);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    written: Condvar,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    dropped: u64,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, entry: Entry) {
        {
            let mut state = self.lock();
            if state.entries.len() >= QUEUE_LENGTH {
                state.dropped += 1;
                return;
            }
            state.entries.push_back(entry);
        }
        self.written.notify_one();
    }

    /// Blocks until there are entries; they, and how many were lost. `None` once the queue is closed and empty.
    fn next(&self) -> Option<(Vec<Entry>, u64)> {
        let mut state = self.lock();
        loop {
            if !state.entries.is_empty() {
                return Some((state.entries.drain(..).collect(), std::mem::take(&mut state.dropped)));
            }
            if state.closed {
                return None;
            }
            state = self.written.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Diagnostics on their way to Python.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct LogQueue(Arc<Queue>);

#[pymethods]
impl LogQueue {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Blocks, with the GIL released, until there are records: a list of (level, target, message), and how many were
    /// lost. `None` once closed.
    fn next(&self, py: Python<'_>) -> Option<(Vec<Entry>, u64)> {
        py.detach(|| self.0.next())
    }

    /// Ends `next()` when all is pulled.
    fn close(&self) {
        self.0.lock().closed = true;
        self.0.written.notify_all();
    }
}

/// Writes core's diagnostics into this queue from now on, or nowhere.
#[pyfunction]
#[pyo3(signature = (queue))]
pub(crate) fn log_to(queue: Option<&LogQueue>) {
    static INSTALLED: Once = Once::new();
    QUEUE.store(queue.map(|queue| Arc::clone(&queue.0)));
    ON.store(queue.is_some(), Ordering::Release);
    if queue.is_some() {
        INSTALLED.call_once(|| {
            // Fails only where this module's copy of tracing has a subscriber, which nobody but us can set.
            let _ = tracing::subscriber::set_global_default(Forward);
        });
    }
}

/// In a forked child the queue's lock may be held for ever.
pub(crate) fn in_child() {
    ON.store(false, Ordering::Release);
}

struct Forward;

impl Subscriber for Forward {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        let ours = metadata.is_event() && metadata.target().split("::").next() == Some(TARGET);
        // Whether anybody listens may change at any time.
        if ours { tracing::subscriber::Interest::sometimes() } else { tracing::subscriber::Interest::never() }
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        ON.load(Ordering::Acquire)
    }

    fn event(&self, event: &Event<'_>) {
        let Some(queue) = QUEUE.load_full() else { return };
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        queue.push((python_level(*metadata.level()), metadata.target().replace("::", "."), text.finish()));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The numbers of Python's `logging`; `TRACE` has none there and is half of `DEBUG`.
fn python_level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// The message first, then `name=value` for each field.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(self) -> String {
        self.message + &self.fields
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
