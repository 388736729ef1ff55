//! What a client of one protocol knows and does behind its answers: grants that nobody waits for any more.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::error::PortMappingError;
use crate::mapping::{MapRequest, Transport};
use crate::schedule::{LATE_ANSWER_WINDOW, PCP_DEADLINE, UDP_DEADLINE_MAX};

/// One for each client. Whatever it runs in the background ends when the guard of [`Behind::guard`] is dropped.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    doubts: Mutex<HashMap<Port, Doubt>>,
    /// Whether the gateway has ever answered in this protocol.
    spoken: AtomicBool,
    late: Notify,
    /// A request for a mapping is about to be sent.
    asked: Notify,
    /// A late answer came, and no request was sent since.
    unheeded: AtomicBool,
    tasks: TaskTracker,
    end: CancellationToken,
}

/// What identifies a mapping in PCP and NAT-PMP, for one client.
type Port = (Transport, u16);

/// The gateway may have an entry that no lease knows of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doubt {
    reason: Reason,
    /// When the last request was sent for the first time.
    asked_at: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Reason {
    /// A request was sent, and was not answered yet.
    Asked,
    /// The same, and the lease has ended since.
    Abandoned,
    /// It was deleted, but a request from before may still be on its way.
    Deleted,
}

impl Behind {
    /// What ends everything that runs behind the client, to be held by the client itself.
    pub(crate) fn guard(&self) -> DropGuard {
        self.end.clone().drop_guard()
    }

    /// The end of the client.
    pub(crate) fn end(&self) -> CancellationToken {
        self.end.clone()
    }

    /// A request for a mapping is about to be sent. Answers with the doubt about earlier ones.
    pub(crate) fn asking(&self, request: &MapRequest) -> Option<Doubt> {
        self.unheeded.store(false, Ordering::Relaxed);
        let doubt = Doubt { reason: Reason::Asked, asked_at: Instant::now() };
        let before = self.doubts().insert(port(request), doubt);
        self.asked.notify_waiters();
        before
    }

    /// The gateway has granted it: the lease knows of the entry.
    pub(crate) fn granted(&self, request: &MapRequest) {
        self.doubts().remove(&port(request));
    }

    /// The gateway has refused it, which leaves things as they were. But if it was `repeated`, only one of the sendings
    /// was refused: another one may have been granted.
    pub(crate) fn refused(&self, request: &MapRequest, before: Option<Doubt>, repeated: bool) {
        if repeated {
            return;
        }
        let mut doubts = self.doubts();
        match before {
            Some(doubt) => drop(doubts.insert(port(request), doubt)),
            None => drop(doubts.remove(&port(request))),
        }
    }

    /// The gateway has confirmed the delete.
    pub(crate) fn deleted(&self, request: &MapRequest) {
        if let Some(doubt) = self.doubts().get_mut(&port(request)) {
            doubt.reason = Reason::Deleted;
        }
    }

    /// The lease has ended: deletes what the gateway may have left of it. `delete` asks and waits for the answer, `tell`
    /// only asks.
    ///
    /// A gateway that has ever answered in this protocol must confirm the delete. One that never has is given the usual
    /// deadline to show itself if the last request is so recent that its answer may still come, and is only told
    /// otherwise: a gateway that is mute in this protocol must not hold up the end of each lease. A grant that comes
    /// later is [deleted](Self::delete_unwanted) in the background.
    pub(crate) async fn abandon(
        &self,
        request: &MapRequest,
        delete: impl Future<Output = Result<(), PortMappingError>>,
        tell: impl Future<Output = Result<(), PortMappingError>>,
    ) -> Result<(), PortMappingError> {
        let Some(asked_at) = self.abandoned(request) else { return Ok(()) };
        let mut delete = pin!(delete);
        if self.has_spoken() {
            return delete.await;
        }
        if asked_at.elapsed() < LATE_ANSWER_WINDOW {
            // The wait for a turn is part of the deadline.
            match timeout(PCP_DEADLINE, &mut delete).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if self.has_spoken() => return Err(error),
                Err(_) if self.has_spoken() => return delete.await,
                Ok(Err(_)) | Err(_) => {}
            }
        }
        if let Err(error) = tell.await {
            tracing::debug!(error = %error.message(), "a mapping that may have been granted could not be deleted");
        }
        Ok(())
    }

    /// The lease has ended. Answers with the time of the last request if the gateway may have an entry left.
    fn abandoned(&self, request: &MapRequest) -> Option<Instant> {
        let mut doubts = self.doubts();
        let doubt = doubts.get_mut(&port(request))?;
        match doubt.reason {
            Reason::Asked | Reason::Abandoned => {
                doubt.reason = Reason::Abandoned;
                Some(doubt.asked_at)
            }
            Reason::Deleted => None,
        }
    }

    /// The gateway has answered in this protocol.
    pub(crate) fn spoke(&self) {
        self.spoken.store(true, Ordering::Relaxed);
    }

    fn has_spoken(&self) -> bool {
        self.spoken.load(Ordering::Relaxed)
    }

    /// An answer came after its exchange had ended. It is news if it was too slow for the usual deadline, but not for
    /// the longest one: then another attempt will be waited for long enough.
    pub(crate) fn answered_late(&self, round_trip: Duration) {
        if (PCP_DEADLINE..UDP_DEADLINE_MAX).contains(&round_trip) {
            self.unheeded.store(true, Ordering::Relaxed);
            self.late.notify_waiters();
        }
    }

    /// Waits for a late answer; returns at once if there was one since the last request for a mapping.
    pub(crate) async fn news(&self) {
        let late = self.late.notified();
        if !self.unheeded.load(Ordering::Relaxed) {
            late.await;
        }
    }

    /// Runs `delete` behind the client if nobody wants the grant that came late for `request`. A new request for the
    /// port ends it: a repeated delete must not overtake the new grant.
    pub(crate) fn delete_unwanted(
        self: &Arc<Self>,
        request: &MapRequest,
        delete: impl Future<Output = Result<(), PortMappingError>> + Send + 'static,
    ) {
        let (behind, request) = (Arc::clone(self), request.clone());
        self.tasks.spawn(async move {
            let mut delete = pin!(delete);
            loop {
                let asked = behind.asked.notified();
                if !behind.is_over(&request) {
                    return;
                }
                tokio::select! {
                    () = behind.end.cancelled() => return,
                    () = asked => {}
                    deleted = &mut delete => {
                        if let Err(error) = deleted {
                            tracing::warn!(error = %error.message(), "a mapping that was granted late could not be deleted");
                        }
                        return;
                    }
                }
            }
        });
    }

    /// Waits for the [deletes](Self::delete_unwanted) that run behind the client.
    pub(crate) async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Whether no lease needs a grant for `request`.
    fn is_over(&self, request: &MapRequest) -> bool {
        self.doubts()
            .get(&port(request))
            .is_some_and(|doubt| matches!(doubt.reason, Reason::Abandoned | Reason::Deleted))
    }

    fn doubts(&self) -> MutexGuard<'_, HashMap<Port, Doubt>> {
        // Nothing can panic while it holds the lock.
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn port(request: &MapRequest) -> Port {
    (request.transport, request.internal_port)
}
