//! The command of `--on-change`: runs whenever an external address or port has changed.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};

use crate::output::Output;
use crate::outside::Outside;

/// How long one run may take: one that hangs would keep later changes from being told.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Runs a command, one at a time. A change during a run is told by the next run, several changes by one.
#[derive(Debug)]
pub(crate) struct Hook {
    script: String,
    limit: Duration,
    /// What the latest run was told.
    told: Outside,
    run: Option<(Child, Instant)>,
}

impl Hook {
    pub(crate) fn new(script: String) -> Self {
        Self { script, limit: LIMIT, told: Outside::default(), run: None }
    }

    /// Starts a run if `now` is news and none is under way. Fails if the command cannot be started.
    pub(crate) fn look(&mut self, now: &Outside) -> io::Result<()> {
        let nothing_new = *now == self.told || self.told == Outside::default() && now.is_nowhere();
        if nothing_new || self.run.is_some() {
            return Ok(());
        }
        self.told = now.clone();
        let mut command = shell(&self.script);
        // What it writes must not get between the lines of stdout that other programs read.
        command.stdin(Stdio::null()).stdout(io::stderr()).stderr(Stdio::inherit());
        now.tell(&mut command);
        self.run = Some((command.spawn()?, Instant::now() + self.limit));
        Ok(())
    }

    /// Waits for the end of the run, and ends it if it takes too long; waits for ever if there is none.
    pub(crate) async fn ended(&mut self, output: &Output) {
        let Some((child, deadline)) = &mut self.run else { return std::future::pending().await };
        let complaint = match timeout_at(*deadline, child.wait()).await {
            Ok(Ok(status)) if status.success() => None,
            Ok(Ok(status)) => Some(format!("ended with {status}")),
            Ok(Err(error)) => Some(format!("is lost: {error}")),
            Err(_) => {
                kill(child);
                Some(format!("took longer than {} s and was killed", self.limit.as_secs()))
            }
        };
        self.run = None;
        if let Some(complaint) = complaint {
            output.warning(&format!("on-change: `{}` {complaint}", self.script));
        }
    }
}

/// In a process group of its own, so that all of it can be killed, and Ctrl-C does not end it half way.
#[cfg(unix)]
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).process_group(0);
    command
}

#[cfg(windows)]
fn shell(script: &str) -> Command {
    let mut command = Command::new("cmd");
    command.arg("/C").raw_arg(script);
    command
}

#[cfg(unix)]
fn kill(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};

    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // It fails if all of it has just ended.
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
}

#[cfg(windows)]
fn kill(child: &mut Child) {
    // It fails if it has just ended.
    let _ = child.start_kill();
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process_group};

    use super::*;
    use portlease::snapshot::PublishedMapping;
    use portlease::{LeaseSnapshot, MapRequest, PortMapping, Protocol, Transport};

    fn outside(port: u16) -> Outside {
        let request = MapRequest::new(4000, Transport::Udp);
        let mut lease = LeaseSnapshot::new(1, &request);
        let mapping = PortMapping::new(request, ([192, 0, 1, 1], port), Duration::from_secs(60), Protocol::Pcp);
        lease.mapping = Some(std::sync::Arc::new(PublishedMapping::from(&mapping)));
        Outside::of([&lease])
    }

    fn block_on(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test);
    }

    #[test]
    fn a_run_that_hangs_is_killed_with_all_that_it_has_started() {
        block_on(async {
            let mut hook = Hook::new("sleep 600 & sleep 600".to_owned());
            hook.limit = Duration::from_millis(50);
            hook.look(&outside(4000)).unwrap();
            let id = hook.run.as_ref().and_then(|(child, _)| child.id()).unwrap();
            hook.ended(&Output::plain()).await;
            assert!(hook.run.is_none());
            let group = Pid::from_raw(id.try_into().unwrap()).unwrap();
            let begun = Instant::now();
            while test_kill_process_group(group) != Err(Errno::SRCH) {
                assert!(begun.elapsed() < Duration::from_secs(30), "the group lives");
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn it_runs_for_news_only_and_once_at_a_time() {
        block_on(async {
            let output = Output::plain();
            let mut hook = Hook::new("true".to_owned());
            hook.look(&Outside::of([&LeaseSnapshot::new(1, &MapRequest::new(4000, Transport::Udp))])).unwrap();
            assert!(hook.run.is_none(), "nothing was ever mapped");
            hook.look(&outside(4000)).unwrap();
            hook.look(&outside(4001)).unwrap();
            assert_eq!(hook.told, outside(4000));
            hook.ended(&output).await;
            hook.look(&outside(4002)).unwrap();
            assert_eq!(hook.told, outside(4002));
            hook.ended(&output).await;
            hook.look(&outside(4002)).unwrap();
            assert!(hook.run.is_none(), "nothing has changed");
        });
    }
}
