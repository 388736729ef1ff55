//! Diagnostics for hosts without `tracing`: core's events, kept in a bounded queue until the host pulls them.
//!
//! | level | what | target |
//! |---|---|---|
//! | INFO | a mapping was installed, changed, repaired, revoked or released; the network has changed | `portlease::event` |
//! | WARN | a mapping could not be made or renewed, or may be left on the router; something else does not work that should | any |
//! | DEBUG | each exchange with the router: what was asked, what was answered, milliseconds | `portlease::exchange` |
//! | DEBUG | why it does what it does | any other |
//! | TRACE | each request when it begins, and its repetitions | any |
//! | ERROR | a defect in portlease | any |
//!
//! In a Rust program `tracing` does this better. A library that is loaded into another language has a copy of `tracing` of its
//! own, which no other code shares, and this module is its subscriber.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::engine::seconds;
use crate::error::{PortMappingError, list};
use crate::escape::Escaping;
use crate::fork;

/// How many records wait for the host before the oldest are dropped.
const QUEUE_LENGTH: usize = 4096;
/// Whose diagnostics are kept: ours, and not those of the crates beneath.
const TARGET: &str = "portlease";

/// How much a record matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogLevel {
    /// A defect in portlease.
    Error,
    /// Something does not work that should.
    Warn,
    /// What happens to mappings: installed, changed, revoked, released.
    Info,
    /// Each exchange with the router.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Every level, the one that matters most first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    const fn of(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            Level::DEBUG => Self::Debug,
            Level::TRACE => Self::Trace,
        }
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = PortMappingError;

    /// Reads the stable string. Fails with kind `invalid`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let level = Self::ALL.into_iter().find(|level| level.as_str() == text);
        level.ok_or_else(|| PortMappingError::invalid("level", format!("`{text}` is not one of {}", list(Self::ALL))))
    }
}

/// One thing that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// How much it matters.
    pub level: LogLevel,
    /// The part of portlease that tells it: `portlease::event` for what happens to mappings, `portlease::exchange` for
    /// exchanges with the router, else a module.
    pub target: String,
    /// What happened, followed by ` name=value` for each detail. One line: control characters, which a router may have sent,
    /// are written as `\u{1b}`.
    pub message: String,
    /// When.
    pub time: SystemTime,
    /// How many records this reader lost just before this one because it did not pull them in time.
    pub dropped: u64,
}

static QUEUES: ArcSwapOption<Vec<Arc<Queue>>> = ArcSwapOption::const_empty();

struct Queue {
    level: LogLevel,
    /// The process that reads it. In a forked child its lock may be held for ever.
    generation: u32,
    process: u32,
    state: Mutex<State>,
    written: Condvar,
    notify: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    records: VecDeque<LogRecord>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn foreign(&self) -> bool {
        if fork::is_hooked() { fork::generation() != self.generation } else { std::process::id() != self.process }
    }

    fn push(&self, record: LogRecord) {
        {
            let mut state = self.lock();
            if state.closed {
                return;
            }
            state.records.push_back(record);
            if state.records.len() > QUEUE_LENGTH {
                let lost = state.records.pop_front().map_or(0, |oldest| oldest.dropped + 1);
                if let Some(next) = state.records.front_mut() {
                    next.dropped += lost;
                }
            }
        }
        self.written.notify_one();
        (self.notify)();
    }
}

/// Reads what core tells from the moment of its making on. Dropping it ends that.
///
/// ```
/// use portlease::log::{LogLevel, LogReader};
/// use std::time::Duration;
///
/// let reader = LogReader::new(LogLevel::Info);
/// assert!(reader.next(Duration::ZERO).is_err()); // nothing was told yet
/// ```
#[must_use = "dropping a reader ends the reading"]
pub struct LogReader {
    queue: Arc<Queue>,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("level", &self.queue.level).finish_non_exhaustive()
    }
}

impl LogReader {
    /// Begins to listen, down to this level.
    ///
    /// The first reader of a process installs a global `tracing` subscriber, which stays. In a program that has one of its own
    /// already no reader hears anything.
    pub fn new(level: LogLevel) -> Self {
        Self::with_notify(level, || {})
    }

    /// The same, and calls `notify` after each record, on the thread that tells it, which is most often the one that speaks to
    /// the router: it must do no more than to wake the host, must not block, must not panic and must not call portlease. It may
    /// be called from several threads at once, and once more while [`close`](Self::close) returns; it is dropped after that.
    pub fn with_notify(level: LogLevel, notify: impl Fn() + Send + Sync + 'static) -> Self {
        static INSTALLED: Once = Once::new();
        let queue = Arc::new(Queue {
            level,
            generation: fork::generation(),
            process: std::process::id(),
            state: Mutex::default(),
            written: Condvar::new(),
            notify: Box::new(notify),
        });
        // Fails only if the program has a subscriber, which then has the records.
        INSTALLED.call_once(|| drop(tracing::subscriber::set_global_default(Keep)));
        change_queues(|queues| queues.push(Arc::clone(&queue)));
        settle_level();
        Self { queue }
    }

    /// Blocks until there is a record, at most for `timeout`.
    ///
    /// Fails with `timeout`, and with `stopped` once the reader is closed and its last record was read, or in a forked child.
    pub fn next(&self, timeout: impl Into<Option<Duration>>) -> Result<LogRecord, PortMappingError> {
        let limit = timeout.into();
        if self.queue.foreign() {
            return Err(PortMappingError::stopped("the reader belongs to the process before the fork"));
        }
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.queue.lock();
        loop {
            if let Some(record) = state.records.pop_front() {
                return Ok(record);
            }
            if state.closed {
                return Err(PortMappingError::stopped("the reader is closed, and no record is left"));
            }
            let Some(end) = end else {
                state = self.queue.written.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(PortMappingError::timeout(format!("no record within {}", seconds(limit))));
            }
            state = self.queue.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the reading: [`next`](Self::next) gives what was told before, and then fails with `stopped`. It may be called
    /// again.
    pub fn close(&self) {
        change_queues(|queues| queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue)));
        if !self.queue.foreign() {
            self.queue.lock().closed = true;
            self.queue.written.notify_all();
            settle_level();
        }
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        self.close();
    }
}

fn change_queues(change: impl Fn(&mut Vec<Arc<Queue>>)) {
    QUEUES.rcu(|queues| {
        let mut queues = queues.as_ref().map(|queues| Vec::clone(queues)).unwrap_or_default();
        change(&mut queues);
        (!queues.is_empty()).then(|| Arc::new(queues))
    });
}

/// How deep the deepest reader listens.
fn depth() -> LevelFilter {
    let queues = QUEUES.load();
    let deepest = queues.iter().flat_map(|queues| queues.iter()).map(|queue| queue.level).max();
    deepest.map_or(LevelFilter::OFF, LogLevel::filter)
}

/// Makes `tracing` ask how deep the readers listen: what none of them hears costs no more than without a subscriber.
fn settle_level() {
    loop {
        let before = depth();
        tracing::callsite::rebuild_interest_cache();
        // Another thread may have made or closed a reader meanwhile, and `tracing` may have taken the older answer last.
        if depth() == before {
            return;
        }
    }
}

/// The subscriber that keeps what is told for the readers.
struct Keep;

impl Subscriber for Keep {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Events, and questions whether an event would be heard.
        let ours = !metadata.is_span() && metadata.target().split("::").next() == Some(TARGET);
        // Whether anybody listens may change at any time.
        if ours { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= depth()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(depth())
    }

    fn event(&self, event: &Event<'_>) {
        let Some(queues) = QUEUES.load_full() else { return };
        let metadata = event.metadata();
        let level = LogLevel::of(*metadata.level());
        let readers: Vec<_> = queues.iter().filter(|queue| level <= queue.level && !queue.foreign()).collect();
        if readers.is_empty() {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let (target, message) = (metadata.target().to_owned(), text.message + &text.fields);
        let record = LogRecord { level, target, message, time: SystemTime::now(), dropped: 0 };
        for queue in readers {
            queue.push(record.clone());
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message, and ` name=value` for each field.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string cannot fail.
        let _ = match field.name() {
            "message" => write!(Escaping(&mut self.message), "{value:?}"),
            name => write!(Escaping(&mut self.fields), " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
pub(crate) mod tests;
