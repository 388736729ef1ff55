//! A thread that takes signals in place of the program's main thread, if that ends before the others.
//!
//! The threads of the library take no signals. If they are the only ones left after a pthread_exit(3) of the main thread,
//! a signal to the process would wait for ever, SIGTERM too.

use std::cell::Cell;
use std::ffi::c_void;
use std::fs;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// How often the stand-in looks whether another thread is left: a process that has none left ends so much later. The
/// kernel tells nobody of the end of a thread, and this costs one reading of a folder.
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
    // SAFETY: both only ask.
    unsafe { libc::gettid() == libc::getpid() }
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

/// The main thread ends. The stand-in has its signal mask, so that signals go where they went.
unsafe extern "C" fn ended(_: *mut c_void) {
    if tasks().is_some_and(|tasks| tasks.iter().any(|task| is_engine(task))) {
        // Without it all is as it would be without this module.
        drop(thread::Builder::new().name("portlease-main".to_owned()).spawn(stand_in));
    }
}

/// Lives as long as another thread does.
fn stand_in() {
    // SAFETY: it only asks.
    let own = unsafe { libc::gettid() }.to_string();
    while tasks().is_some_and(|tasks| tasks.iter().any(|task| *task != own && lives(task))) {
        thread::sleep(LOOK_INTERVAL);
    }
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
