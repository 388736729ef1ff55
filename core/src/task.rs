//! The life of one lease: probe, install, renew, revoke, and release at the end.

mod keep;
mod repair;
mod rhythm;
mod signals;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::PortMapperClient;
use crate::client::by::By;
use crate::clock::{Clock, Moment};
use crate::config::{Config, RetryPolicy};
use crate::error::{ErrorKind, PortMappingError, in_seconds};
use crate::mapping::{MapRequest, PortMapping, whole_seconds};
use crate::schedule::{
    DEFAULT_STOP_TIMEOUT, LATE_CALL_DEADLINE, PREDECESSOR_PATIENCE, RELEASE_DEADLINE, SECOND_DELETE_MARGIN,
    SHUTDOWN_GRACE, retry_delay,
};
use crate::sink::MappingSink;
use crate::snapshot::Release;
use crate::world::Change;
use keep::Lost;
use rhythm::Spread;
use signals::Signal;
pub(crate) use signals::{Repairs, Signals};

/// The rules about time that a lease follows. The default is that of [`Config`].
///
/// ```
/// use portlease::task::Timing;
/// use portlease::{Config, RetryPolicy};
/// use std::time::Duration;
///
/// let timing = Timing::from(&Config::default().ttl(Duration::from_secs(600)).retry(RetryPolicy::Never));
/// assert_eq!((timing.ttl, timing.failure_threshold), (Duration::from_secs(600), 3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// The lifetime to ask for.
    pub ttl: Duration,
    /// The longest wait between renewals.
    pub renewal_interval: Duration,
    /// Renewal points in a row without a renewal after which the mapping is revoked.
    pub failure_threshold: u32,
    /// What happens after a failed attempt or a lost mapping.
    pub retry: RetryPolicy,
}

impl Default for Timing {
    fn default() -> Self {
        Self::from(&Config::default())
    }
}

impl From<&Config> for Timing {
    fn from(config: &Config) -> Self {
        Self {
            ttl: whole_seconds(config.ttl),
            renewal_interval: config.renewal_interval,
            failure_threshold: config.failure_threshold,
            retry: config.retry,
        }
    }
}

/// How a task is told to end, and whether it takes its mapping off the gateway first. Copies tell the same task.
///
/// ```
/// use portlease::task::Shutdown;
///
/// let shutdown = Shutdown::default();
/// let of_the_task = shutdown.clone();
/// shutdown.release();
/// assert!(of_the_task.is_requested());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    /// Whether the mapping is left on the gateway, once that is decided.
    keep_mapping: Arc<OnceLock<bool>>,
}

impl Shutdown {
    /// A shutdown that is also requested when `parent` is cancelled.
    pub(crate) fn child_of(parent: &CancellationToken) -> Self {
        Self { token: parent.child_token(), keep_mapping: Arc::default() }
    }

    /// Ends the task and releases the mapping, unless [`detach`](Self::detach) came first.
    pub fn release(&self) {
        self.keep_mapping.get_or_init(|| false);
        self.token.cancel();
    }

    /// Whether the task was told to end.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Ends the task and leaves the mapping to its lifetime, unless the task was told to end before.
    pub fn detach(&self) {
        self.keep_mapping.get_or_init(|| !self.is_requested());
        self.token.cancel();
    }

    fn keeps_mapping(&self) -> bool {
        self.keep_mapping.get().is_some_and(|keep| *keep)
    }
}

/// Keeps one port mapped until it is told to stop. [`Mapper`](crate::Mapper) runs one for each lease; a host with a tokio
/// runtime of its own can run one without a mapper:
///
/// ```
/// use portlease::client::MockPortMapperClient;
/// use portlease::event_log::EventLog;
/// use portlease::sink::MappingSink;
/// use portlease::task::{PortMapperTask, Shutdown, Timing};
/// use portlease::{EventKind, MapRequest, Transport};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// let request = MapRequest::new(4000, Transport::Udp);
/// let granted = MockPortMapperClient::mapping(request.clone(), ([203, 0, 113, 7].into(), 4000), Duration::from_secs(3600));
/// let client = Arc::new(MockPortMapperClient::default());
/// client.on_probe(Duration::ZERO, Ok(())).on_install(Duration::ZERO, Ok(granted));
///
/// let events = Arc::<EventLog>::default();
/// let reader = events.reader();
/// let sink = Arc::new(MappingSink::new(1, request.clone(), events));
/// let shutdown = Shutdown::default();
/// let task = PortMapperTask::new(client, Arc::clone(&sink), request, Timing::default(), shutdown.clone());
/// let running = tokio::spawn(task.run());
///
/// assert_eq!(reader.pull().await.unwrap().take().kind, EventKind::Installed);
/// assert_eq!(sink.snapshot().external().unwrap().port(), 4000);
/// shutdown.release();
/// running.await.unwrap();
/// assert!(sink.has_exited());
/// # });
/// ```
#[derive(Debug)]
pub struct PortMapperTask<C> {
    client: C,
    sink: Arc<MappingSink>,
    request: MapRequest,
    timing: Timing,
    shutdown: Shutdown,
    signals: Signals,
    spread: Spread,
}

/// How an attempt, or the keeping of a mapping, ended.
enum End<T> {
    /// The task was told to end; why its mapping could not be deleted, if so.
    Shutdown(Option<PortMappingError>),
    Outcome(T),
}

/// Attempts and losses in a row, which say how long the next attempt waits.
#[derive(Debug, Default)]
struct Row {
    /// Attempts that failed.
    failed: u32,
    /// Mappings that were lost before they were renewed even once, and the one that was lost last.
    lost: u32,
}

impl Row {
    fn lost(&mut self, lost: &Lost) {
        self.failed = 0;
        self.lost = if lost.proven { 1 } else { self.lost + 1 };
    }

    /// Which wait of the backoff comes next; `None` is none: the first loss is mended at once, but a gateway that makes
    /// mappings and loses them is not asked for more and more.
    fn backoff(&self) -> Option<u32> {
        if self.failed > 0 { Some(self.failed - 1) } else { self.lost.checked_sub(2) }
    }
}

impl<C: PortMapperClient> PortMapperTask<C> {
    /// A task that asks `client` for `request` and publishes to `sink`.
    pub fn new(client: C, sink: Arc<MappingSink>, request: MapRequest, timing: Timing, shutdown: Shutdown) -> Self {
        let spread: Spread = || rand::random_range(0.0..=1.0);
        Self { client, sink, request, timing, shutdown, signals: Signals::default(), spread }
    }

    /// The same, which heeds these signals.
    pub(crate) fn heeding(self, signals: Signals) -> Self {
        Self { signals, ..self }
    }

    fn clock(&self) -> &Clock {
        self.sink.clock()
    }

    /// The same with its renewals at the earliest that the standard allows.
    #[cfg(test)]
    fn without_spread(self) -> Self {
        Self { spread: || 0.0, ..self }
    }

    /// Runs until shutdown, or with [`RetryPolicy::Never`] until the first failure or loss.
    pub async fn run(self) {
        self.run_after(std::future::ready(())).await;
    }

    /// The same once `before` has ended. If that takes long, the gateway is asked meanwhile whether it answers, so that
    /// whoever waits for the lease is soon told if it does not.
    pub(crate) async fn run_after(mut self, before: impl Future<Output = ()>) {
        let mut signals = std::mem::take(&mut self.signals);
        let end = match self.wait_for(before).await {
            Some(end) => end,
            None => self.run_until_over(&mut signals).await,
        };
        drop(signals);
        match end {
            End::Shutdown(None) if self.shutdown.keeps_mapping() => self.sink.detached(),
            End::Shutdown(release_error) => self.sink.stopped(release_error.as_ref()),
            End::Outcome(error) => {
                self.sink.exited(&error);
                self.sink.released(match self.abandon().await {
                    None => Release::Released,
                    Some(_) => Release::Unconfirmed,
                });
            }
        }
    }

    async fn wait_for(&self, before: impl Future<Output = ()>) -> Option<End<PortMappingError>> {
        let mut before = pin!(before);
        let asked_at = self.clock().now();
        let silent = async {
            sleep(PREDECESSOR_PATIENCE).await;
            match self.client.probe().await {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => return Some(End::Shutdown(None)),
            () = &mut before => return None,
            error = silent => match self.timing.retry {
                RetryPolicy::Never => {
                    self.sink.failed_for_good(&error, asked_at);
                    return Some(End::Outcome(error));
                }
                RetryPolicy::Backoff { .. } => self.sink.failed(&error, asked_at),
            },
        }
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => Some(End::Shutdown(None)),
            () = before => None,
        }
    }

    async fn run_until_over(&self, signals: &mut Signals) -> End<PortMappingError> {
        let mut row = Row::default();
        let mut request = self.request.clone();
        while !self.shutdown.token.is_cancelled() {
            if signals.begin_attempt() {
                (row, request) = (Row::default(), self.request.clone());
            }
            self.sink.probing();
            let asked_at = self.clock().now();
            let attempt = tokio::select! {
                biased;
                attempt = self.establish(&request) => attempt,
                // What was under way is of the network that is gone.
                () = self.moved(signals) => {
                    (row, request) = (Row::default(), self.request.clone());
                    continue;
                }
            };
            let error = match attempt {
                End::Shutdown(release_error) => return End::Shutdown(release_error),
                End::Outcome(Ok(mapping)) => match self.keep(mapping, asked_at, signals).await {
                    End::Shutdown(release_error) => return End::Shutdown(release_error),
                    End::Outcome(lost) if lost.moved => {
                        (row, request) = (Row::default(), self.request.clone());
                        lost.error
                    }
                    End::Outcome(lost) => {
                        row.lost(&lost);
                        // Ask for the same external port again, so that peers who know it can still connect.
                        request = self.same_again(lost.external_port);
                        lost.error
                    }
                },
                End::Outcome(Err(error)) => {
                    row.failed += 1;
                    signals.ended_attempt();
                    match self.timing.retry {
                        RetryPolicy::Never => self.sink.failed_for_good(&error, asked_at),
                        RetryPolicy::Backoff { .. } => self.sink.failed(&error, asked_at),
                    }
                    let outcome = Err(error.clone());
                    signals.attempted(&outcome);
                    error
                }
            };
            let RetryPolicy::Backoff { min, max } = self.timing.retry else { return End::Outcome(error) };
            if let Some(attempt) = row.backoff() {
                let jitter = rand::random_range(-1.0..=1.0);
                let wait = retry_delay(attempt, min, max, error.retry_after(), jitter);
                tracing::debug!(?wait, error = %error.message(), "next attempt to map");
                if self.pause(self.clock().now().after(wait), signals).await == Some(Change::Moved) {
                    (row, request) = (Row::default(), self.request.clone());
                }
            }
        }
        End::Shutdown(self.abandon().await)
    }

    /// Waits until the machine is in another network. A task that was told to end has more urgent things to do.
    async fn moved(&self, signals: &mut Signals) {
        signals.moved().await;
        if self.shutdown.is_requested() {
            std::future::pending::<()>().await;
        }
    }

    /// What is asked for to get the mapping with this external port again.
    fn same_again(&self, external_port: u16) -> MapRequest {
        match self.request.exact {
            true => self.request.clone(),
            false => MapRequest { external_port: Some(external_port), ..self.request.clone() },
        }
    }

    /// Waits for the next attempt: until then, until shutdown, or until something makes an attempt worthwhile at once: news
    /// from the client, a change of the world, or the wish to be repaired.
    async fn pause(&self, until: Moment, signals: &mut Signals) -> Option<Change> {
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => None,
            signal = signals.next() => match signal {
                Signal::Changed(change) => Some(change),
                Signal::Repair(reply) => {
                    signals.answer_by_next_attempt(reply);
                    None
                }
            },
            () = self.client.news() => {
                tracing::debug!("the gateway has news: next attempt to map at once");
                None
            }
            () = self.clock().sleep_until(until) => None,
        }
    }

    /// Probe, then install. A shutdown in mid-install waits for the answer, because the gateway may have granted
    /// the mapping already, and releases it.
    async fn establish(&self, request: &MapRequest) -> End<Result<PortMapping, PortMappingError>> {
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => return End::Shutdown(self.abandon().await),
            probed = async { if self.client.install_is_probe() { Ok(()) } else { self.client.probe().await } } => if let Err(error) = probed { return End::Outcome(Err(error)) },
        }
        let mut install = pin!(self.client.install(request, self.timing.ttl));
        tokio::select! {
            biased;
            outcome = &mut install => End::Outcome(outcome),
            () = self.shutdown.token.cancelled() => End::Shutdown(self.end_call(install, None).await),
        }
    }

    /// Lets a call end that may be making a mapping, so that the delete does not overtake it, and deletes what it brought, or
    /// else `mapping`. After a while the lease is said to be over, and the call is waited for behind that: an answer as
    /// late as this is one that a client of the host's own gave.
    async fn end_call(
        &self,
        mut call: Pin<&mut impl Future<Output = Result<PortMapping, PortMappingError>>>,
        mapping: Option<&PortMapping>,
    ) -> Option<PortMappingError> {
        let outcome = match timeout(SHUTDOWN_GRACE, call.as_mut()).await {
            Ok(outcome) => outcome.ok(),
            Err(_) => {
                self.sink.stopping(&PortMappingError::unavailable(
                    "a request is still under way; what it brings is deleted in the background",
                ));
                timeout(LATE_CALL_DEADLINE, call).await.ok().and_then(Result::ok)
            }
        };
        match outcome.as_ref().or(mapping) {
            Some(mapping) => self.release(mapping).await,
            None => self.abandon().await,
        }
    }

    /// Deletes the mapping on the gateway, best effort and bounded, unless it shall be left to its lifetime, and with it
    /// what unanswered requests may have left. Answers with the reason where that did not work.
    async fn release(&self, mapping: &PortMapping) -> Option<PortMappingError> {
        if self.shutdown.keeps_mapping() {
            self.client.detach(mapping);
            return None;
        }
        let begun = Instant::now();
        let error = match timeout(RELEASE_DEADLINE, self.client.remove(mapping)).await {
            Ok(Ok(())) => return self.abandon().await,
            Ok(Err(error)) => error,
            Err(_) => not_confirmed(mapping),
        };
        tracing::debug!(error = %error.message(), external = %mapping.external, "mapping not deleted");
        let left = self.abandon().await;
        let again = match error.kind() {
            // An entry that two protocols have made belongs to the last one, whose delete comes with the unanswered requests;
            // then nothing is left for a second delete.
            ErrorKind::Refused => left.is_none(),
            // The gateway may be back in a moment. The caller of `stop` waits for the second delete too, so both must fit
            // into that wait.
            ErrorKind::Unavailable | ErrorKind::Timeout => {
                let twice = begun.elapsed().saturating_mul(2);
                self.shutdown.is_requested() && twice.saturating_add(SECOND_DELETE_MARGIN) <= DEFAULT_STOP_TIMEOUT
            }
            ErrorKind::Transport | ErrorKind::Invalid | ErrorKind::Stopped | ErrorKind::Internal => false,
        };
        if !again {
            return Some(error);
        }
        match timeout(RELEASE_DEADLINE, self.client.remove(mapping)).await {
            Ok(Ok(())) if left.is_none() => None,
            Ok(Ok(())) => self.abandon().await,
            Ok(Err(_)) | Err(_) => Some(error),
        }
    }

    /// Deletes what unanswered requests may have left on the gateway, and answers with the reason where that did not work.
    async fn abandon(&self) -> Option<PortMappingError> {
        if self.shutdown.keeps_mapping() {
            return None;
        }
        let error = match timeout(RELEASE_DEADLINE, self.client.abandon(&self.request)).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(_) => PortMappingError::unavailable(format!(
                "the gateway did not answer within {}",
                in_seconds(RELEASE_DEADLINE)
            )),
        };
        tracing::debug!(error = %error.message(), "what an unanswered request may have left was not deleted");
        Some(error)
    }
}

/// The error for a delete that the gateway has left unanswered.
fn not_confirmed(mapping: &PortMapping) -> PortMappingError {
    let (protocol, limit) = (mapping.protocol, in_seconds(RELEASE_DEADLINE));
    By::protocol(protocol).timeout(format!("{protocol}: the gateway did not confirm the delete within {limit}")).told()
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "task/world_tests.rs"]
mod world_tests;
