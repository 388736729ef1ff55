//! Core's diagnostics, for Python's `logging`: pulled by a thread of Python's.

use std::time::{Duration, UNIX_EPOCH};

use portlease::{LogLevel, LogReader as Core, LogRecord};
use pyo3::prelude::*;

/// Level by Python's numbers, target, message, seconds since 1970, and how many records were lost before.
type Entry = (u8, String, String, f64, u64);

/// Reads core's diagnostics from its making on.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct LogReader(Core);

#[pymethods]
impl LogReader {
    #[new]
    fn new() -> Self {
        // Python's loggers choose; their levels may change at any time.
        Self(Core::new(LogLevel::Trace))
    }

    /// Blocks, with the GIL released, until there are records: level by Python's numbers, target, message, time in
    /// seconds since 1970, and how many were lost before. `None` once closed, and in a forked child.
    fn next(&self, py: Python<'_>) -> Option<Vec<Entry>> {
        py.detach(|| {
            let first = self.0.next(None).ok()?;
            let more = std::iter::from_fn(|| self.0.next(Duration::ZERO).ok());
            Some(std::iter::once(first).chain(more).map(entry).collect())
        })
    }

    /// Ends the reading; `next()` gives what was told before.
    fn close(&self) {
        self.0.close();
    }
}

fn entry(record: LogRecord) -> Entry {
    // A clock before 1970 is no clock.
    let time = record.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    (python_level(record.level), record.target.replace("::", "."), record.message, time, record.dropped)
}

/// The numbers of Python's `logging`; `TRACE` has none there and is half of `DEBUG`.
fn python_level(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 40,
        LogLevel::Warn => 30,
        LogLevel::Info => 20,
        LogLevel::Debug => 10,
        LogLevel::Trace => 5,
    }
}
