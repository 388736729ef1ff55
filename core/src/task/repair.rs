//! A mapping that the gateway lists and does not forward is deleted and made again.

use tokio::time::timeout;

use super::keep::{Kept, Lost};
use super::signals::{Reply, Signals};
use super::{End, PortMapperTask, not_confirmed};
use crate::client::PortMapperClient;
use crate::error::PortMappingError;
use crate::mapping::{PortMapping, ProtocolToken};
use crate::schedule::RELEASE_DEADLINE;

impl<C: PortMapperClient> PortMapperTask<C> {
    /// Repairs the mapping and answers whoever asked for it. `None` is that the lease goes on with what `kept` is now.
    pub(super) async fn repair(&self, kept: &mut Kept, reply: Reply, signals: &mut Signals) -> Option<End<Lost>> {
        let allowed = may_delete(&kept.mapping).and_then(|()| signals.may_repair(self.clock().now()));
        let outcome = match allowed {
            Ok(()) => self.delete_and_add(kept, signals).await,
            Err(error) => Ok(Err(error)),
        };
        let (outcome, end) = match outcome {
            Ok(outcome) => (outcome, None),
            Err(end) => (Err(PortMappingError::stopped("the lease ended before the repair")), Some(end)),
        };
        let outcome = match &end {
            Some(End::Outcome(lost)) => Err(lost.error.clone()),
            Some(End::Shutdown(_)) | None => outcome,
        };
        // The caller may have gone.
        let _ = reply.send(outcome);
        end
    }

    /// `Err` is the end of the lease, or of its mapping.
    async fn delete_and_add(
        &self,
        kept: &mut Kept,
        signals: &mut Signals,
    ) -> Result<Result<(), PortMappingError>, End<Lost>> {
        let asked_at = self.clock().now();
        let deleted = timeout(RELEASE_DEADLINE, self.client.clear(&kept.mapping)).await;
        if let Err(error) = deleted.unwrap_or_else(|_| Err(not_confirmed(&kept.mapping))) {
            // Nothing shows that it is gone, so it is kept, and soon renewed, which shows it.
            kept.rhythm.hasten(self.clock().now());
            self.sink.renewal_failed(&error, asked_at, kept.rhythm.next());
            return Ok(Err(error));
        }
        self.sink.deleted();
        let external_port = kept.mapping.external.port();
        let request = self.same_again(external_port);
        let attempt = tokio::select! {
            biased;
            attempt = self.establish(&request) => attempt,
            () = self.moved(signals) => {
                let error = PortMappingError::unavailable("this machine has gone to another network meanwhile");
                return Err(End::Outcome(Lost { error, external_port, proven: true, moved: true }));
            }
        };
        match attempt {
            End::Shutdown(release_error) => Err(End::Shutdown(release_error)),
            End::Outcome(Ok(mapping)) => {
                *kept = self.kept(mapping, asked_at);
                self.sink.repaired(&kept.mapping, asked_at, kept.rhythm.next());
                match self.look(kept, asked_at, signals).await {
                    Some(end) => Err(end),
                    None => Ok(Ok(())),
                }
            }
            End::Outcome(Err(error)) => {
                self.sink.failed(&error, asked_at);
                Err(End::Outcome(Lost { error, external_port, proven: kept.renewals > 0, moved: false }))
            }
        }
    }
}

/// What somebody else has made is used, but never deleted.
fn may_delete(mapping: &PortMapping) -> Result<(), PortMappingError> {
    match &mapping.token {
        ProtocolToken::Upnp { adopted: true, .. } => Err(PortMappingError::refused(
            "upnp: the entry was made by somebody else, perhaps by hand in the router's settings, and is not deleted by portlease",
        )),
        ProtocolToken::Upnp { .. }
        | ProtocolToken::Pinhole { .. }
        | ProtocolToken::Pcp { .. }
        | ProtocolToken::None => Ok(()),
    }
}
