//! A thread that takes signals in place of the program's main thread, if that ends before the others.
//!
//! The threads of the library take no signals. If they are the only ones left after a pthread_exit(3) of the main thread,
//! a signal to the process would wait for ever, SIGTERM too. A signal that a thread of the program takes is left to that
//! thread: it may wait in a call that the signal interrupts.

use std::cell::Cell;
use std::ffi::c_void;
use std::fs;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crate::thread::without_signals;

/// How often the stand-in looks which threads are left, and which signals they take: a process that has none left ends so
/// much later, and a signal that only the last of them took is taken by the second look from then on. The kernel tells nobody
/// of the end of a thread, and this costs one reading of a folder.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The threads of this process.
const TASKS: &str = "/proc/self/task";

thread_local! {
    static KNOWN: Cell<bool> = const { Cell::new(false) };
}

/// Before a call: if this is the main thread, its end is told. Only that of the thread: exit(3) runs no destructors of keys.
pub(crate) fn watch() {
    // This one has nothing to do at its end, so it is never gone.
    if !KNOWN.replace(true) && is_main() {
        register();
    }
}

fn is_main() -> bool {
    // SAFETY: it only asks.
    thread_number() == libc::c_long::from(unsafe { libc::getpid() })
}

/// As gettid(2), which glibc has only since 2.30: with an older one the library could not be loaded.
fn thread_number() -> libc::c_long {
    // SAFETY: it only asks.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

/// Has [`ended`] called when this thread ends. If the system has no key left, nothing is told.
fn register() {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the key can be written, and the destructor is a function of this library, which is never unloaded.
        let made = unsafe { libc::pthread_key_create(&raw mut key, Some(ended)) };
        (made == 0).then_some(key)
    });
    if let Some(key) = key {
        let any = std::ptr::NonNull::<c_void>::dangling();
        // SAFETY: the key was made; the value only has to be another than NULL.
        unsafe { libc::pthread_setspecific(*key, any.as_ptr()) };
    }
}

/// The main thread ends. The stand-in takes no other signals than this thread did, so that they go where they went.
unsafe extern "C" fn ended(_: *mut c_void) {
    if tasks().is_some_and(|tasks| tasks.iter().any(|task| is_engine(task))) {
        let left_alone = blocked(&own());
        let stand_in = move || stand_in(left_alone);
        // Without it all is as it would be without this module.
        drop(without_signals(|| thread::Builder::new().name("portlease-main".to_owned()).spawn(stand_in)));
    }
}

/// Lives as long as another thread does, and takes the signals that no other thread takes, but for those `left_alone`.
fn stand_in(left_alone: u64) {
    let own = own();
    // At two looks in a row: a thread takes no signals for a moment as it begins and as it ends, and one look may miss it.
    let mut before = 0;
    loop {
        let mut others: Vec<String> = tasks().unwrap_or_default();
        others.retain(|task| *task != own && lives(task));
        if others.is_empty() {
            return;
        }
        let taken_by_nobody = others.iter().fold(u64::MAX, |all, task| all & blocked(task));
        take(taken_by_nobody & before & !left_alone);
        before = taken_by_nobody;
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Lets this thread take these signals and no others: the lowest bit is signal 1.
fn take(signals: u64) {
    let mut set = MaybeUninit::uninit();
    // All of them fail for numbers that are no signals, and for nothing else.
    // SAFETY: the set can be written, and is read once it is filled in; the old one is not asked for.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for signal in (1..=64).filter(|signal| signals >> (signal - 1) & 1 == 1) {
            libc::sigdelset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// The signals that a thread of this process does not take, as in [`take`]; all of them if it has ended meanwhile.
fn blocked(task: &str) -> u64 {
    let status = fs::read_to_string(format!("{TASKS}/{task}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX)
}

/// The number of this thread.
fn own() -> String {
    thread_number().to_string()
}

/// The numbers of the threads of this process; `None` if the system does not tell.
fn tasks() -> Option<Vec<String>> {
    let entries = fs::read_dir(TASKS).ok()?;
    Some(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn is_engine(task: &str) -> bool {
    fs::read_to_string(format!("{TASKS}/{task}/comm")).is_ok_and(|name| name == "portlease\n")
}

/// A main thread that has ended stays in the list until the process ends, as a zombie.
fn lives(task: &str) -> bool {
    let stat = fs::read_to_string(format!("{TASKS}/{task}/stat")).unwrap_or_default();
    // The name is in brackets, and may have any characters.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
