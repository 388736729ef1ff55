//! What a stopped mapper holds of the system. A test program of its own: open files are the process's, not the mapper's.
#![cfg(target_os = "linux")]

use portlease::{Config, Mapper, Release, wait};

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux lists them").count()
}

#[test]
fn a_stopped_mapper_that_nobody_has_freed_yet_holds_no_open_file() {
    // The first one may leave what a process has once, such as tokio's pipe for signals.
    let first = Mapper::start(Config::default()).unwrap();
    assert_eq!(wait(first.stop(None)), Release::Released);

    let before = open_files();
    let second = Mapper::start(Config::default()).unwrap();
    assert!(open_files() > before);
    assert_eq!(wait(second.stop(None)), Release::Released);
    assert_eq!(open_files(), before);
    drop((first, second));
}
