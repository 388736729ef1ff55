//! The life of one lease: probe, install, renew, revoke, and release at the end.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::client::PortMapperClient;
use crate::config::{Config, RetryPolicy};
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping};
use crate::schedule::{QUICK_RETRY_DELAY, RELEASE_DEADLINE, SHUTDOWN_GRACE, grant_time, renewal_delay, retry_delay};
use crate::sink::MappingSink;

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
    /// Consecutive failed renewals after which the mapping is revoked.
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
            ttl: config.whole_ttl(),
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
/// let granted = MockPortMapperClient::mapping(request, ([203, 0, 113, 7].into(), 4000), Duration::from_secs(3600));
/// let client = Arc::new(MockPortMapperClient::default());
/// client.on_probe(Duration::ZERO, Ok(())).on_install(Duration::ZERO, Ok(granted));
///
/// let events = Arc::<EventLog>::default();
/// let reader = events.reader();
/// let sink = Arc::new(MappingSink::new(1, request, events));
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
}

/// How an attempt, or the keeping of a mapping, ended.
enum End<T> {
    /// The task was told to end; why its mapping could not be deleted, if so.
    Shutdown(Option<PortMappingError>),
    Outcome(T),
}

impl<C: PortMapperClient> PortMapperTask<C> {
    /// A task that asks `client` for `request` and publishes to `sink`.
    pub fn new(client: C, sink: Arc<MappingSink>, request: MapRequest, timing: Timing, shutdown: Shutdown) -> Self {
        Self { client, sink, request, timing, shutdown }
    }

    /// Runs until shutdown, or with [`RetryPolicy::Never`] until the first failure or loss.
    pub async fn run(self) {
        match self.run_until_over().await {
            End::Shutdown(release_error) => self.sink.stopped(release_error.as_ref()),
            End::Outcome(error) => self.sink.exited(&error),
        }
    }

    async fn run_until_over(&self) -> End<PortMappingError> {
        let mut failed_attempts = 0;
        let mut request = self.request;
        while !self.shutdown.token.is_cancelled() {
            self.sink.probing();
            let asked_at = Instant::now();
            let error = match self.establish(&request).await {
                End::Shutdown(release_error) => return End::Shutdown(release_error),
                End::Outcome(Ok(mapping)) => {
                    failed_attempts = 0;
                    match self.keep(mapping, asked_at).await {
                        End::Shutdown(release_error) => return End::Shutdown(release_error),
                        End::Outcome((error, external_port)) => {
                            // Ask for the same external port again, so that peers who know it can still connect.
                            if !request.exact {
                                request.external_port = Some(external_port);
                            }
                            error
                        }
                    }
                }
                End::Outcome(Err(error)) => {
                    self.sink.failed(&error, asked_at);
                    failed_attempts += 1;
                    error
                }
            };
            let RetryPolicy::Backoff { min, max } = self.timing.retry else { return End::Outcome(error) };
            if failed_attempts > 0 {
                let jitter = rand::random_range(-1.0..=1.0);
                let wait = retry_delay(failed_attempts - 1, min, max, error.retry_after(), jitter);
                tracing::debug!(?wait, %error, "next attempt to map");
                self.sleep_or_shutdown(after(Instant::now(), wait)).await;
            }
        }
        End::Shutdown(None)
    }

    /// Probe, then install. A shutdown in mid-install waits for the answer, because the gateway may have granted
    /// the mapping already, and releases it.
    async fn establish(&self, request: &MapRequest) -> End<Result<PortMapping, PortMappingError>> {
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => return End::Shutdown(None),
            probed = async { if self.client.install_is_probe() { Ok(()) } else { self.client.probe().await } } => if let Err(error) = probed { return End::Outcome(Err(error)) },
        }
        let mut install = pin!(self.client.install(request, self.timing.ttl));
        tokio::select! {
            biased;
            outcome = &mut install => End::Outcome(outcome),
            () = self.shutdown.token.cancelled() => {
                match timeout(SHUTDOWN_GRACE, install).await {
                    Ok(Ok(mapping)) => End::Shutdown(self.release(&mapping).await),
                    _ => End::Shutdown(None),
                }
            }
        }
    }

    /// Publishes and renews the mapping until shutdown (and releases it then) or until it is lost: then the answer is
    /// why, and the external port that it had.
    async fn keep(&self, mut mapping: PortMapping, asked_at: Instant) -> End<(PortMappingError, u16)> {
        let mut failures = 0;
        let mut granted_at = grant_time(asked_at, Instant::now());
        let mut renews_at = self.renews_at(&mapping, granted_at, failures);
        self.sink.installed(&mapping, asked_at, renews_at);
        loop {
            if self.sleep_or_shutdown(renews_at).await {
                return End::Shutdown(self.release(&mapping).await);
            }
            self.sink.renewing();
            let asked_at = Instant::now();
            let expires_at = mapping.lifetime.map(|lifetime| after(granted_at, lifetime));
            match self.renew(&mapping, expires_at).await {
                End::Shutdown(_) => return End::Shutdown(self.release(&mapping).await),
                End::Outcome(Ok(renewed)) => {
                    (mapping, granted_at, failures) = (renewed, grant_time(asked_at, Instant::now()), 0);
                    renews_at = self.renews_at(&mapping, granted_at, failures);
                    self.sink.renewed(&mapping, asked_at, renews_at);
                }
                End::Outcome(Err(error)) => {
                    failures += 1;
                    renews_at = self.renews_at(&mapping, granted_at, failures);
                    let expired = expires_at.is_some_and(|expiry| expiry <= Instant::now());
                    if !expired {
                        self.sink.renewal_failed(&error, asked_at, renews_at);
                    }
                    if expired || error.mapping_lost() || failures >= self.timing.failure_threshold {
                        self.sink.revoked(&error);
                        self.release(&mapping).await;
                        return End::Outcome((error, mapping.external.port()));
                    }
                }
            }
        }
    }

    /// One renewal attempt: a call, and one quick retry before it counts as failed. Ends at the expiry at the
    /// latest: an address whose lease has run out is never advertised.
    async fn renew(
        &self,
        mapping: &PortMapping,
        expires_at: Option<Instant>,
    ) -> End<Result<PortMapping, PortMappingError>> {
        let attempt = async {
            match self.client.renew(mapping).await {
                Ok(renewed) => Ok(renewed),
                Err(error) if error.mapping_lost() => Err(error),
                Err(error) => {
                    tracing::debug!(%error, "renewal failed once; quick retry");
                    sleep_until(Instant::now() + QUICK_RETRY_DELAY).await;
                    self.client.renew(mapping).await
                }
            }
        };
        let bounded = async {
            match expires_at {
                None => attempt.await,
                Some(expiry) => timeout_at(expiry, attempt).await.unwrap_or_else(|_| {
                    Err(PortMappingError::timeout("the lifetime ran out before the gateway renewed the mapping"))
                }),
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => End::Shutdown(None),
            outcome = bounded => End::Outcome(outcome),
        }
    }

    /// Deletes the mapping on the gateway, best effort and bounded, unless it shall be left to its lifetime.
    /// Answers with the reason where that did not work.
    async fn release(&self, mapping: &PortMapping) -> Option<PortMappingError> {
        if self.shutdown.keeps_mapping() {
            return None;
        }
        let error = match timeout(RELEASE_DEADLINE, self.client.remove(mapping)).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(_) => PortMappingError::timeout(format!(
                "{}: the gateway did not confirm the delete within {RELEASE_DEADLINE:?}",
                mapping.protocol
            )),
        };
        tracing::warn!(%error, external = %mapping.external, "mapping not deleted");
        Some(error)
    }

    fn renews_at(&self, mapping: &PortMapping, granted_at: Instant, failures: u32) -> Instant {
        let now = Instant::now();
        after(now, renewal_delay(mapping.lifetime, self.timing.renewal_interval, now - granted_at, failures))
    }

    /// Whether shutdown came first.
    async fn sleep_or_shutdown(&self, until: Instant) -> bool {
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => true,
            () = sleep_until(until) => false,
        }
    }
}

/// `start + delay`, or so far away that it never comes.
fn after(start: Instant, delay: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(86_400 * 365 * 10);
    start + delay.min(NEVER)
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
