//! A network of its own for a test.

#![expect(unsafe_code, reason = "system calls")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Runs `test` on a thread in a new network namespace, where only the loopback interface is. Skips it, and says so, if this
/// machine does not allow that or has no `ip`.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    let run = || {
        // SAFETY: the call takes no pointer, and changes the network of this thread alone.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            eprintln!("skipped: no network namespace: {}", std::io::Error::last_os_error());
        } else if let Err(error) = Command::new("ip").arg("-V").output() {
            eprintln!("skipped: no `ip` to change the namespace with: {error}");
        } else {
            ip("link set lo up");
            test();
        }
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs `ip` with these arguments, separated by spaces, in the network of the calling thread.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("`ip` runs");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs all these commands of `ip` in one process.
pub(crate) fn ip_batch(commands: &[String]) {
    let mut process = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("`ip` runs");
    let mut input = process.stdin.take().expect("a pipe");
    input.write_all(commands.join("\n").as_bytes()).expect("`ip` reads");
    drop(input);
    assert!(process.wait().expect("`ip` ends").success());
}

/// Makes an interface with a cable to one that nobody uses.
pub(crate) fn interface_up(name: &str) {
    ip(&format!("link add {name} type veth peer name {name}-far"));
    ip(&format!("link set {name} up"));
    ip(&format!("link set {name}-far up"));
}

/// Waits until the interface sends: the kernel drops what is sent before it has seen that the cable is there, which it looks for
/// once a second at most.
pub(crate) fn sends(interface: &str) {
    /// Longer than any machine takes.
    const PATIENCE: Duration = Duration::from_secs(30);
    let begun = Instant::now();
    loop {
        let shown = Command::new("ip").args(["-o", "link", "show", "dev", interface]).output().expect("`ip` runs");
        let shown = String::from_utf8_lossy(&shown.stdout);
        if shown.contains(" state UP ") {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{shown}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the neighbour of a test does: it is ready at some time, and goes on until the test has ended.
pub(crate) struct Neighbour<'a> {
    told: Sender<()>,
    running: &'a AtomicBool,
}

impl Neighbour<'_> {
    /// The test may begin.
    pub(crate) fn is_ready(&self) {
        self.told.send(()).expect("the test waits");
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }
}

/// Runs `neighbour` on a thread in another new namespace, at the far end of a new interface with that name, beside `test`.
pub(crate) fn with_neighbour(interface: &str, neighbour: impl FnOnce(&Neighbour<'_>) + Send, test: impl FnOnce()) {
    interface_up(interface);
    let (there, running) = (Barrier::new(2), AtomicBool::new(true));
    let ((tell, told), (number, thread)) = (channel(), channel());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: the call takes no pointer, and changes the network of this thread alone.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            // SAFETY: the call takes nothing.
            number.send(unsafe { libc::gettid() }).expect("the test waits");
            there.wait();
            ip("link set lo up");
            ip(&format!("link set {interface}-far up"));
            neighbour(&Neighbour { told: tell, running: &running });
        });
        ip(&format!("link set {interface}-far netns {}", thread.recv().expect("a namespace")));
        there.wait();
        told.recv().expect("the neighbour is ready");
        sends(interface);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        running.store(false, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
}
