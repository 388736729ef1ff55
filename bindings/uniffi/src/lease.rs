//! The handle on one mapped port.

use crate::names::PortLeaseError;
use crate::relay::Relay;
use crate::snapshot::LeaseSnapshot;
use crate::value::{Seconds, count};

/// The promise to keep one port mapped.
///
/// Letting it go releases the mapping in the background; `stop` waits for that.
#[derive(Debug, uniffi::Object)]
pub struct Lease {
    core: portlease::Lease,
    /// The mapper that serves this lease alone, where `open` made it.
    owned: Option<portlease::Mapper>,
    relay: Relay,
}

impl Lease {
    pub(crate) fn new(core: portlease::Lease, owned: Option<portlease::Mapper>, relay: Relay) -> Self {
        Self { core, owned, relay }
    }

    async fn stop_all(&self, timeout: Option<Seconds>) -> bool {
        let limit = timeout.map(Seconds::limit);
        let Some(mapper) = &self.owned else { return self.core.stop(limit).await };
        let ended = mapper.stop(limit).await;
        if ended {
            self.relay.end();
        }
        ended
    }
}

#[uniffi::export]
impl Lease {
    /// The lease's number within its mapper, from 1, as events name it.
    pub fn id(&self) -> i64 {
        count(self.core.id())
    }

    /// Waits for a mapping, at most for `timeout`, and answers with the state that has it; without a timeout, for ever.
    ///
    /// Fails with the kind of the latest whole attempt if that failed (the lease goes on trying unless retry is
    /// `never`); each failed attempt is raised once. Fails with `timeout` if no attempt has ended by then. Once the lease
    /// is over, fails with the kind that ended it, or with `stopped`. Cancelling ends the wait, not the lease.
    #[uniffi::method(default(timeout = None))]
    pub async fn ready(&self, timeout: Option<Seconds>) -> Result<LeaseSnapshot, PortLeaseError> {
        Ok(self.relay.wait(self.core.ready(timeout.map(Seconds::limit))).await?.into())
    }

    /// The present state. Never waits, never fails.
    pub fn snapshot(&self) -> LeaseSnapshot {
        self.core.snapshot().into()
    }

    /// Releases the mapping on the gateway and ends the lease; waits for that, at most for `timeout` (default 5 s), after
    /// which the release goes on in the background: then the answer is `false`. May be called again; never fails.
    #[uniffi::method(default(timeout = None))]
    pub async fn stop(&self, timeout: Option<Seconds>) -> bool {
        self.relay.wait(self.stop_all(timeout)).await
    }

    /// As `stop`, waiting on the calling thread, for hosts whose blocks end with a call that does not suspend.
    #[uniffi::method(default(timeout = None))]
    pub fn stop_blocking(&self, timeout: Option<Seconds>) -> bool {
        portlease::wait(self.stop_all(timeout))
    }

    /// Ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one stays until somebody
    /// deletes it.
    pub async fn detach(&self) {
        self.relay
            .wait(async {
                self.core.detach().await;
                if self.owned.is_some() {
                    self.stop_all(None).await;
                }
            })
            .await;
    }
}
