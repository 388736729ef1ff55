//! `-v` and `--log-file`: what happens to mappings, and each exchange with the router, with timestamps.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{ArgAction, Args};
use portlease::PortMappingError;
use portlease::log::{LogLevel, LogReader, LogRecord};

use crate::leftover::clock_time;
use crate::output::Output;
use crate::text::Shown;

/// For how long the end of a command waits until the last lines are written: a terminal or a disk may hang.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// What is told beside the answer.
#[derive(Debug, Args)]
#[command(next_help_heading = "Diagnostics")]
pub(crate) struct LogArgs {
    /// Write to stderr what happens to mappings, and each exchange with the router: what was asked, what was answered, how long
    /// it took; -vv adds each step
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Append the same lines to this file; works without -v too
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
}

impl LogArgs {
    /// Whether the lines go to a terminal, where they would break what is drawn at its bottom.
    pub(crate) fn is_on_terminal(&self) -> bool {
        self.verbose > 0 && io::stderr().is_terminal()
    }

    /// Begins to write, if anything is to be written. Fails with `invalid` if the file cannot be opened.
    pub(crate) fn start(&self) -> Result<Option<Log>, PortMappingError> {
        let open = |path: &PathBuf| {
            OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                PortMappingError::invalid("log-file", format!("cannot open `{}`: {error}", path.display()))
            })
        };
        let file = self.log_file.as_ref().map(open).transpose()?;
        if self.verbose == 0 && file.is_none() {
            return Ok(None);
        }
        let level = if self.verbose > 1 { LogLevel::Trace } else { LogLevel::Debug };
        let reader = Arc::new(LogReader::new(level));
        let writer = Writer { stderr: self.verbose > 0, file };
        let (done, ended) = channel();
        let source = Arc::clone(&reader);
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || {
            writer.run(&source);
            // Nobody waits any more if that took too long.
            let _ = done.send(());
        });
        thread.map_err(|error| PortMappingError::internal(format!("cannot start a thread: {error}")))?;
        Ok(Some(Log { reader, ended }))
    }
}

/// The log while it is written. Dropping it waits until all is written.
#[derive(Debug)]
pub(crate) struct Log {
    reader: Arc<LogReader>,
    ended: Receiver<()>,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.reader.close();
        if self.ended.recv_timeout(WRITE_PATIENCE).is_err() {
            Output::plain().warning("the end of the log could not be written in time");
        }
    }
}

/// Where the lines go.
#[derive(Debug)]
struct Writer {
    stderr: bool,
    file: Option<File>,
}

impl Writer {
    /// Writes until the reader is closed.
    fn run(mut self, reader: &LogReader) {
        while let Ok(record) = reader.next(None) {
            self.write(&record);
        }
    }

    fn write(&mut self, record: &LogRecord) {
        let text = line(record);
        if self.stderr {
            // If stderr cannot be written there is nowhere to say so.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(text.as_bytes())
        {
            self.file = None;
            Output::plain().warning(&format!("cannot write the log file any more: {error}"));
        }
    }
}

/// `2026-07-01T12:00:00.123Z INFO  4000/udp installed: ...`, and what was lost before it.
fn line(record: &LogRecord) -> String {
    let time = timestamp(record.time);
    let level = record.level.as_str().to_uppercase();
    let message = Shown::from(record.message.as_str());
    let lost = match record.dropped {
        0 => String::new(),
        lost => format!("{time} WARN  {lost} lines are missing here: they could not be written in time\n"),
    };
    format!("{lost}{time} {level:<5} {}\n", message.as_str())
}

/// UTC by RFC 3339, with milliseconds.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = date(since.as_secs() / 86_400);
    format!("{year:04}-{month:02}-{day:02}T{}.{:03}Z", clock_time(since.as_secs()), since.subsec_millis())
}

/// The date in the Gregorian calendar so many days after 1970-01-01. Counted in years that begin in March, in which a leap day
/// is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    // 719,468 days from 0000-03-01; 146,097 days in 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_001, "2000-03-01T00:00:00.001Z"),
            (1_782_907_200_123, "2026-07-01T12:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }
}
