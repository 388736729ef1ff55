//! Ctrl-C and its like.

use portlease::PortMappingError;

#[cfg(unix)]
pub(crate) use unix::{Heard, Signals};
#[cfg(windows)]
pub(crate) use windows::{Heard, Signals};

impl Signals {
    /// Begins to listen. Fails with `internal` if the system does not allow it.
    pub(crate) fn listen() -> Result<Self, PortMappingError> {
        Self::try_listen().map_err(|error| PortMappingError::internal(format!("cannot listen for signals: {error}")))
    }

    /// Waits for the next signal, whichever it is.
    pub(crate) async fn next(&mut self) {
        let _: Heard = self.heard().await;
    }
}

#[cfg(unix)]
mod unix {
    use std::future::poll_fn;
    use std::io;
    use std::task::Poll;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// Hears the signals that ask a program to end, from its creation on: SIGINT, SIGQUIT, SIGTERM, and SIGHUP, which a
    /// program gets when its terminal is closed. If SIGHUP is ignored at the start, as under `nohup`, the program is to outlive
    /// its terminal, so it stays ignored.
    #[derive(Debug)]
    pub(crate) struct Signals(Vec<(Heard, Signal)>);

    /// Which signal it was.
    pub(crate) type Heard = SignalKind;

    impl Signals {
        pub(super) fn try_listen() -> io::Result<Self> {
            let mut kinds = vec![SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()];
            if !hangup_is_ignored() {
                kinds.push(SignalKind::hangup());
            }
            kinds.into_iter().map(|kind| Ok((kind, signal(kind)?))).collect::<io::Result<_>>().map(Self)
        }

        /// Waits for the next signal.
        pub(crate) async fn heard(&mut self) -> Heard {
            poll_fn(|cx| {
                let heard =
                    self.0.iter_mut().find_map(|(kind, signal)| signal.poll_recv(cx).is_ready().then_some(*kind));
                heard.map_or(Poll::Pending, Poll::Ready)
            })
            .await
        }
    }

    /// Whether this process ignores SIGHUP. If that cannot be found out it does not.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn hangup_is_ignored() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        ignores_hangup(&status)
    }

    /// Reads `/proc/PID/status`: bit 0 of the mask of ignored signals is SIGHUP, see proc_pid_status(5).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn ignores_hangup(status: &str) -> bool {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
    }

    /// Whether this process ignores SIGHUP. Only unsafe code can ask the system; but a child inherits what is ignored,
    /// so a shell that sends itself a SIGHUP lives on only then.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn hangup_is_ignored() -> bool {
        inherited_by_a_shell()
    }

    #[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
    fn inherited_by_a_shell() -> bool {
        use std::process::{Command, Stdio};
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "kill -HUP $$"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.status().is_ok_and(|status| status.success())
    }

    #[cfg(all(test, any(target_os = "linux", target_os = "android")))]
    mod tests {
        use super::*;

        #[test]
        fn both_ways_to_see_whether_hangups_are_ignored_agree() {
            assert_eq!(inherited_by_a_shell(), hangup_is_ignored());
        }

        #[test]
        fn the_mask_of_ignored_signals_is_read() {
            for (status, ignored) in [
                ("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n", false),
                ("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n", true),
                ("", false),
                ("SigIgn:\tx\n", false),
            ] {
                assert_eq!(ignores_hangup(status), ignored, "{status}");
            }
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::io;

    use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown};
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};

    /// Which of them it was does not matter.
    pub(crate) type Heard = ();

    /// Hears what asks a program to end, from its creation on. After a close, a logoff or a shutdown Windows gives the
    /// program about 5 s.
    #[derive(Debug)]
    pub(crate) struct Signals {
        interrupt: CtrlC,
        stop: CtrlBreak,
        close: CtrlClose,
        logoff: CtrlLogoff,
        shutdown: CtrlShutdown,
    }

    impl Signals {
        pub(super) fn try_listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: ctrl_c()?,
                stop: ctrl_break()?,
                close: ctrl_close()?,
                logoff: ctrl_logoff()?,
                shutdown: ctrl_shutdown()?,
            })
        }

        /// Waits for the next signal.
        pub(crate) async fn heard(&mut self) -> Heard {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.stop.recv() => {}
                _ = self.close.recv() => {}
                _ = self.logoff.recv() => {}
                _ = self.shutdown.recv() => {}
            }
        }
    }
}
