use super::*;
use crate::error::ErrorKind;

/// What is told on this thread while `act` runs, down to `level`. Readers hear the other tests of this process too.
pub(crate) fn told(level: LogLevel, act: impl FnOnce()) -> Vec<(LogLevel, String)> {
    struct Gather(LogLevel, Arc<Mutex<Vec<(LogLevel, String)>>>);

    impl Subscriber for Gather {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            !metadata.is_span() && metadata.target().starts_with(TARGET) && *metadata.level() <= self.0.filter()
        }

        fn event(&self, event: &Event<'_>) {
            let mut text = Text::default();
            event.record(&mut text);
            let line = (LogLevel::of(*event.metadata().level()), text.message + &text.fields);
            self.1.lock().unwrap().push(line);
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    let lines = Arc::default();
    tracing::subscriber::with_default(Gather(level, Arc::clone(&lines)), act);
    std::mem::take(&mut lines.lock().unwrap())
}

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
    tracing::debug!(port = 4000, name = %"a\nb", "of a test: detail\x1b[2J");
    tracing::info!("of a test: event");
    let detail = next_of(&all, "of a test");
    assert_eq!(
        (detail.level, detail.message.as_str()),
        (LogLevel::Debug, r"of a test: detail\u{1b}[2J port=4000 name=a\u{a}b")
    );
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
    tracing::info!("the last one");
    reader.close();
    let left: Vec<_> = std::iter::from_fn(|| reader.next(None).ok()).collect();
    assert_eq!(left.len(), QUEUE_LENGTH, "the oldest are dropped");
    assert!(left[0].dropped >= 11 && left[1..].iter().all(|record| record.dropped == 0), "{:?}", left[0]);
    assert!(left.iter().any(|record| record.message == "the last one"));
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
fn in_the_child_of_a_fork_a_reader_is_over_whoever_holds_its_lock() {
    let queue = Queue {
        level: LogLevel::Trace,
        generation: fork::generation(),
        process: 0,
        state: Mutex::default(),
        written: Condvar::new(),
        notify: Box::new(|| panic!("a reader of the parent is notified")),
    };
    let reader = LogReader { queue: Arc::new(queue) };
    change_queues(|queues| queues.push(Arc::clone(&reader.queue)));
    let own = LogReader::new(LogLevel::Info);
    let queue = Arc::clone(&reader.queue);
    let _held_for_ever = queue.lock();
    tracing::info!("of a forked child");
    assert_eq!(next_of(&own, "of a forked child").level, LogLevel::Info);
    assert_eq!(reader.next(None).unwrap_err().kind(), ErrorKind::Stopped);
    drop(reader);
    assert!(QUEUES.load().iter().flat_map(|queues| queues.iter()).all(|other| !Arc::ptr_eq(other, &queue)));
}

#[test]
fn levels_read_back_from_their_strings() {
    for level in LogLevel::ALL {
        assert_eq!(level.as_str().parse::<LogLevel>().unwrap(), level);
    }
    assert_eq!("loud".parse::<LogLevel>().unwrap_err().kind(), ErrorKind::Invalid);
}
