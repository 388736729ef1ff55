use super::*;
use crate::error::ErrorKind;

/// Other tests of this process tell things too.
fn next_of(reader: &LogReader, text: &str) -> LogRecord {
    loop {
        let record = reader.next(Duration::from_secs(10)).unwrap();
        if record.message.starts_with(text) {
            return record;
        }
    }
}

#[test]
fn a_reader_hears_what_is_told_down_to_its_level_and_nothing_else() {
    let (all, some) = (LogReader::new(LogLevel::Trace), LogReader::new(LogLevel::Info));
    tracing::debug!(port = 4000, "of a test: detail");
    tracing::info!("of a test: event");
    let detail = next_of(&all, "of a test");
    assert_eq!((detail.level, detail.message.as_str()), (LogLevel::Debug, "of a test: detail port=4000"));
    assert_eq!(detail.target, "portlease::log::tests");
    assert_eq!(next_of(&all, "of a test").level, LogLevel::Info);
    assert_eq!(next_of(&some, "of a test").message, "of a test: event");
}

#[test]
fn a_closed_reader_gives_what_is_left_and_then_answers_stopped() {
    let reader = LogReader::new(LogLevel::Trace);
    tracing::info!("of another test");
    reader.close();
    tracing::info!("too late");
    assert_eq!(next_of(&reader, "of another").level, LogLevel::Info);
    let end = std::iter::repeat_with(|| reader.next(Duration::from_secs(10))).find_map(Result::err).unwrap();
    assert_eq!(end.kind(), ErrorKind::Stopped);
}

#[test]
fn a_reader_that_falls_behind_is_told_how_much_it_has_lost() {
    let reader = LogReader::new(LogLevel::Info);
    (0..QUEUE_LENGTH + 10).for_each(|_| tracing::info!("of many"));
    let _ = reader.next(None).unwrap();
    tracing::info!("the last one");
    let last = next_of(&reader, "the last one");
    assert!(last.dropped >= 10, "{last:?}");
}

#[test]
fn a_reader_is_notified_and_a_wait_for_nothing_ends_by_its_time_limit() {
    let (told, hears) = std::sync::mpsc::channel();
    let reader = LogReader::with_notify(LogLevel::Error, move || _ = told.send(()));
    assert_eq!(reader.next(Duration::from_millis(1)).unwrap_err().kind(), ErrorKind::Timeout);
    tracing::error!("an expected one");
    hears.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(next_of(&reader, "an expected one").level, LogLevel::Error);
}

#[test]
fn levels_read_back_from_their_strings() {
    for level in LogLevel::ALL {
        assert_eq!(level.as_str().parse::<LogLevel>().unwrap(), level);
    }
    assert_eq!("loud".parse::<LogLevel>().unwrap_err().kind(), ErrorKind::Invalid);
}
