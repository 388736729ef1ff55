//! Diagnostics, for the host's own log.

use std::time::UNIX_EPOCH;

use portlease::log::LogReader as Core;

use crate::names::{LogLevel, PortLeaseError};
use crate::value::{Seconds, count};

/// One thing that was told.
#[derive(Debug, Clone, uniffi::Record)]
pub struct LogRecord {
    /// How much it matters.
    pub level: LogLevel,
    /// The part of portlease that tells it, such as `portlease::client::pcp`.
    pub target: String,
    /// What happened, followed by ` name=value` for each detail.
    pub message: String,
    /// When: the time since the beginning of 1970, in UTC.
    pub time: Seconds,
    /// How many records this reader lost just before this one because it did not pull them in time.
    pub dropped: i64,
}

impl From<portlease::log::LogRecord> for LogRecord {
    fn from(record: portlease::log::LogRecord) -> Self {
        Self {
            level: record.level.into(),
            target: record.target,
            message: record.message,
            time: record.time.duration_since(UNIX_EPOCH).unwrap_or_default().into(),
            dropped: count(record.dropped),
        }
    }
}

/// Reads what portlease tells, of all mappers of the process, from its making on.
#[derive(Debug, uniffi::Object)]
pub struct LogReader {
    core: Core,
}

#[uniffi::export]
impl LogReader {
    /// Begins to listen, down to this level.
    #[uniffi::constructor]
    pub fn start(level: LogLevel) -> Self {
        Self { core: Core::new(level.into()) }
    }

    /// Blocks the calling thread until there is a record, at most for `timeout`; without one, for ever.
    ///
    /// Fails with `timeout`, and with `stopped` once the reader is closed and its last record was read.
    #[uniffi::method(default(timeout = None))]
    pub fn next(&self, timeout: Option<Seconds>) -> Result<LogRecord, PortLeaseError> {
        Ok(self.core.next(timeout.map(Seconds::limit))?.into())
    }

    /// Ends the reading. May be called again.
    pub fn stop(&self) {
        self.core.close();
    }
}
