//! What a host with a fork hook gets. A test program of its own: the hook is the process's, not the mapper's.

use std::sync::Arc;
use std::time::Duration;

use portlease::client::NullPortMapper;
use portlease::log::{LogLevel, LogReader};
use portlease::task::Timing;
use portlease::{Config, ErrorKind, LeaseState, MapRequest, Mapper, Transport, fork, wait};

#[test]
fn with_a_hook_a_snapshot_knows_at_once_that_it_was_taken_in_a_forked_child() {
    fork::rely_on_hook();
    let start = || Mapper::start_with(Arc::new(NullPortMapper), Timing::from(&Config::default())).unwrap();
    let map = |mapper: &Mapper| mapper.map(MapRequest::new(4000, Transport::Udp)).unwrap();
    let before = start();
    let lease = map(&before);
    assert_ne!(lease.snapshot().state, LeaseState::Exited);
    let reader = LogReader::new(LogLevel::Debug);

    fork::in_child();
    assert_eq!(reader.next(None).unwrap_err().kind(), ErrorKind::Stopped);
    let reader = LogReader::new(LogLevel::Debug);
    assert_eq!(lease.snapshot().state, LeaseState::Exited);
    assert!(lease.snapshot().last_error.is_some_and(|error| error.message.contains("fork")));

    let after = start();
    let lease = map(&after);
    assert_ne!(lease.snapshot().state, LeaseState::Exited, "a mapper started after the fork is the child's own");
    assert_eq!(wait(after.stop(None)), portlease::Release::Released);
    assert!(reader.next(Duration::from_secs(10)).is_ok(), "so is a reader");
}
