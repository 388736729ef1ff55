//! Diagnostics on their way to JavaScript.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use portlease::{LogLevel, LogReader, LogRecord};

use crate::config;
use crate::error::milliseconds;
use crate::error::{Failure, failure};
use crate::wait::Bell;

/// One thing that was told.
#[napi(object)]
pub struct LogView {
    /// How much it matters.
    pub level: String,
    /// The part of portlease that tells it.
    pub target: String,
    /// What happened.
    pub message: String,
    /// When, in milliseconds since 1970.
    pub time: f64,
    /// How many were lost just before.
    pub dropped: f64,
}

impl From<LogRecord> for LogView {
    fn from(record: LogRecord) -> Self {
        let time = record.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            level: record.level.to_string(),
            target: record.target,
            message: record.message,
            time: milliseconds(time).round(),
            dropped: record.dropped as f64,
        }
    }
}

/// A reader of what the whole process tells.
#[napi]
pub struct LogHandle {
    reader: LogReader,
    /// Whether the bell has rung and nobody has come yet.
    rung: Arc<AtomicBool>,
}

#[napi]
impl LogHandle {
    /// Begins to listen down to a level. `bell` is called when it is time to call [`next`](Self::next) until that finds nothing.
    #[napi(factory, catch_unwind)]
    pub fn listen(level: String, #[napi(ts_arg_type = "() => void")] bell: Bell) -> Result<Self, Failure> {
        let level: LogLevel = config::name("level", &level).map_err(|error| failure(&error))?;
        let rung = Arc::new(AtomicBool::new(false));
        let reader = LogReader::with_notify(level, {
            let rung = Arc::clone(&rung);
            move || {
                if !rung.swap(true, Ordering::AcqRel) {
                    // If the environment has gone, nobody is left to be told.
                    let _closing = bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
                }
            }
        });
        Ok(Self { reader, rung })
    }

    /// The next record, if there is one. Does not wait.
    #[napi(catch_unwind)]
    pub fn next(&self) -> Option<LogView> {
        // Before the look: a record that comes after it rings anew.
        self.rung.store(false, Ordering::Release);
        self.reader.next(Duration::ZERO).ok().map(LogView::from)
    }

    /// Ends the listening.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.reader.close();
    }
}
