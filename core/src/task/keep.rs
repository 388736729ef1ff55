//! One mapping from its grant to its loss: it is looked at once, renewed, and revoked when it is lost.

use std::pin::pin;

use tokio::time::{sleep, timeout};

use super::rhythm::Rhythm;
use super::signals::{Signal, Signals};
use super::{End, PortMapperTask};
use crate::client::PortMapperClient;
use crate::clock::Moment;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::PortMapping;
use crate::schedule::{LATE_CALL_DEADLINE, QUICK_RETRY_DELAY, VERIFY_DEADLINE, grant_time};
use crate::world::Change;

/// Why a mapping is no more.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) error: PortMappingError,
    pub(super) external_port: u16,
    /// Whether it had been renewed at least once: then it was a good one.
    pub(super) proven: bool,
    /// Whether it is the machine that has gone elsewhere.
    pub(super) moved: bool,
}

/// A mapping that is being kept.
pub(super) struct Kept {
    pub(super) mapping: PortMapping,
    pub(super) rhythm: Rhythm,
    pub(super) renewals: u64,
    /// How often the gateway was asked again because it did not tell its address.
    questions: u32,
    /// Why it was not renewed when it was last asked.
    failed: Option<PortMappingError>,
}

/// What came of one renewal.
enum Renewal {
    Shutdown(Option<PortMappingError>),
    Renewed(PortMapping),
    Failed(PortMappingError),
    /// The lifetime ran out during the call, which is told already; what the call brought after that.
    Expired(PortMappingError, Option<PortMapping>),
}

/// What ends the wait for the next renewal.
enum Turn {
    Shutdown,
    Due,
    Signal(Signal),
}

impl<C: PortMapperClient> PortMapperTask<C> {
    /// Publishes and renews the mapping until shutdown (and releases it then) or until it is lost.
    pub(super) async fn keep(&self, mapping: PortMapping, asked_at: Moment, signals: &mut Signals) -> End<Lost> {
        let mut kept = self.kept(mapping, asked_at);
        signals.ended_attempt();
        self.sink.installed(&kept.mapping, asked_at, kept.rhythm.next());
        signals.attempted(&Ok(()));
        if let Some(end) = self.look(&mut kept, asked_at, signals).await {
            return end;
        }
        loop {
            match self.turn(&kept, signals).await {
                Turn::Shutdown => return End::Shutdown(self.release(&kept.mapping).await),
                Turn::Due => {}
                Turn::Signal(Signal::Changed(Change::Moved)) => match self.client.reaches(&kept.mapping) {
                    true => continue,
                    false => return self.lose_with_the_network(&kept),
                },
                Turn::Signal(Signal::Changed(Change::Unsure)) => kept.rhythm.hasten(self.clock().now()),
                Turn::Signal(Signal::Repair(reply)) => match self.repair(&mut kept, reply, signals).await {
                    Some(end) => return end,
                    None => continue,
                },
            }
            let now = self.clock().now();
            if kept.rhythm.expires_at().is_some_and(|expiry| expiry <= now) {
                return self.lose(&kept, ran_out(&kept)).await;
            }
            if kept.rhythm.next() <= now
                && let Some(end) = self.renew_once(&mut kept, signals).await
            {
                return end;
            }
        }
    }

    async fn turn(&self, kept: &Kept, signals: &mut Signals) -> Turn {
        let next = kept.rhythm.next();
        let due = kept.rhythm.expires_at().map_or(next, |expiry| expiry.min(next));
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => Turn::Shutdown,
            signal = signals.next() => Turn::Signal(signal),
            () = self.clock().sleep_until(due) => Turn::Due,
        }
    }

    async fn renew_once(&self, kept: &mut Kept, signals: &mut Signals) -> Option<End<Lost>> {
        self.sink.renewing();
        let asked_at = self.clock().now();
        let renewal = tokio::select! {
            biased;
            renewal = self.renew(kept) => renewal,
            () = self.gone(kept, signals) => return Some(self.lose_with_the_network(kept)),
        };
        match renewal {
            Renewal::Shutdown(release_error) => return Some(End::Shutdown(release_error)),
            Renewal::Renewed(renewed) => self.renewed(kept, renewed, asked_at),
            Renewal::Failed(error) => {
                kept.rhythm.failed(&error, asked_at, self.clock().now());
                self.sink.renewal_failed(&error, asked_at, kept.rhythm.next());
                kept.failed = Some(error.clone());
                if error.mapping_lost() || kept.rhythm.strikes() >= self.timing.failure_threshold {
                    return Some(self.lose(kept, error).await);
                }
            }
            Renewal::Expired(error, None) => return Some(self.lose(kept, error).await),
            Renewal::Expired(_, Some(late)) => {
                *kept = self.kept(late, asked_at);
                self.sink.installed(&kept.mapping, asked_at, kept.rhythm.next());
            }
        }
        None
    }

    /// Waits until the machine is in a network from which the mapping's gateway is not reached.
    async fn gone(&self, kept: &Kept, signals: &mut Signals) {
        loop {
            self.moved(signals).await;
            if !self.client.reaches(&kept.mapping) {
                return;
            }
        }
    }

    /// The mapping leads to where this machine is no more. The client deletes it on its gateway if that can still be reached.
    fn lose_with_the_network(&self, kept: &Kept) -> End<Lost> {
        let error = PortMappingError::unavailable("this machine is in another network than the gateway of the mapping");
        self.sink.revoked(&error);
        End::Outcome(Lost {
            error,
            external_port: kept.mapping.external.port(),
            proven: kept.renewals > 0,
            moved: true,
        })
    }

    pub(super) fn kept(&self, mapping: PortMapping, asked_at: Moment) -> Kept {
        let rhythm = self.rhythm(&mapping, asked_at);
        let mut kept = Kept { mapping, rhythm, renewals: 0, questions: 0, failed: None };
        if kept.mapping.external.ip().is_unspecified() {
            kept.ask_again(self.clock().now());
        }
        kept
    }

    fn rhythm(&self, mapping: &PortMapping, asked_at: Moment) -> Rhythm {
        let now = self.clock().now();
        Rhythm::new(mapping, self.timing.renewal_interval, self.spread, grant_time(asked_at, now), now)
    }

    /// Looks once whether the new mapping is really there, behind the caller, who has it by now.
    pub(super) async fn look(&self, kept: &mut Kept, asked_at: Moment, signals: &mut Signals) -> Option<End<Lost>> {
        // Also when the task is told to end: the look may be making the mapping anew, and the delete must not overtake that.
        let verified = tokio::select! {
            biased;
            verified = timeout(VERIFY_DEADLINE, self.client.verify(&kept.mapping)) => verified,
            () = self.gone(kept, signals) => return Some(self.lose_with_the_network(kept)),
        };
        match verified {
            Ok(Ok(Some(true_one))) => {
                kept.rhythm = self.rhythm(&true_one, asked_at);
                kept.mapping = true_one;
                self.sink.corrected(&kept.mapping, asked_at, kept.rhythm.next());
                None
            }
            Ok(Err(error)) if error.mapping_lost() => Some(self.lose(kept, error).await),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => {
                tracing::debug!(error = %error.message(), "the mapping could not be looked at");
                None
            }
            Err(_) => {
                tracing::debug!("the look at the mapping took too long");
                None
            }
        }
    }

    fn renewed(&self, kept: &mut Kept, mut renewed: PortMapping, asked_at: Moment) {
        let (old, at_point) = (kept.mapping.external.ip(), kept.rhythm.at_point(asked_at));
        kept.rhythm = self.rhythm(&renewed, asked_at);
        kept.renewals += 1;
        kept.failed = None;
        if renewed.external.ip().is_unspecified() {
            // The gateway's connection may have gone for a moment: the address is kept until the next point, where it is
            // believed that there is none.
            if kept.questions == 0 || !at_point {
                renewed.external.set_ip(old);
            }
            kept.ask_again(self.clock().now());
        } else {
            kept.questions = 0;
        }
        kept.mapping = renewed;
        self.sink.renewed(&kept.mapping, asked_at, kept.rhythm.next());
    }

    /// One renewal attempt: a call, and one quick retry before it counts as failed. The lifetime may run out meanwhile: an
    /// address whose lease has run out is never advertised, but the call is let end, so that nothing overtakes it.
    async fn renew(&self, kept: &Kept) -> Renewal {
        let mut call = pin!(self.renewal_call(&kept.mapping));
        let expired = async {
            match kept.rhythm.expires_at() {
                Some(expiry) => self.clock().sleep_until(expiry).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = &mut call => match outcome {
                Ok(renewed) => Renewal::Renewed(renewed),
                Err(error) => Renewal::Failed(error),
            },
            () = self.shutdown.token.cancelled() => Renewal::Shutdown(self.end_call(call, Some(&kept.mapping)).await),
            () = expired => {
                let error = ran_out(kept);
                self.sink.revoked(&error);
                tokio::select! {
                    biased;
                    outcome = timeout(LATE_CALL_DEADLINE, &mut call) => {
                        Renewal::Expired(error, outcome.ok().and_then(Result::ok))
                    }
                    () = self.shutdown.token.cancelled() => {
                        Renewal::Shutdown(self.end_call(call, Some(&kept.mapping)).await)
                    }
                }
            }
        }
    }

    async fn renewal_call(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let error = match self.client.renew(mapping).await {
            Ok(renewed) => return Ok(renewed),
            Err(error) => error,
        };
        // What the gateway says for certain, or for a time, is not asked again at once.
        if error.mapping_lost() || error.retry_after().is_some() {
            return Err(error);
        }
        tracing::debug!(error = %error.message(), "renewal failed once; quick retry");
        tokio::select! {
            biased;
            () = self.shutdown.token.cancelled() => Err(error),
            () = sleep(QUICK_RETRY_DELAY) => self.client.renew(mapping).await,
        }
    }

    /// Revokes, and takes off the gateway what may still be there. What is gone for certain needs no delete: its port may
    /// be another's by now.
    pub(super) async fn lose(&self, kept: &Kept, error: PortMappingError) -> End<Lost> {
        self.sink.revoked(&error);
        if !error.mapping_lost() {
            self.release(&kept.mapping).await;
        }
        End::Outcome(Lost {
            error,
            external_port: kept.mapping.external.port(),
            proven: kept.renewals > 0,
            moved: false,
        })
    }
}

/// The error of a mapping that was not renewed in time, with what the protocol has answered.
fn ran_out(kept: &Kept) -> PortMappingError {
    let message = "the lifetime ran out before the gateway renewed the mapping";
    let error = match kept.failed.as_ref().map(PortMappingError::kind) {
        Some(ErrorKind::Refused) => PortMappingError::refused(message),
        Some(_) | None => PortMappingError::unavailable(message),
    };
    error.with_details(kept.failed.as_ref().map_or(&[][..], PortMappingError::details))
}

impl Kept {
    fn ask_again(&mut self, now: Moment) {
        self.rhythm.ask_again(self.questions, now);
        self.questions = self.questions.saturating_add(1);
    }
}
