//! Renewals: the same external port, and never another host's entry.

use std::time::Duration;

use super::action::Entry;
use super::ladder::{Granted, Ladder};
use super::ledger::Port;
use super::look::{Look, Owner};
use super::soap::{CONFLICT, CallError};
use crate::snapshot::TableEntry;

/// The mapping that a renewal is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renewed {
    /// The external port.
    pub(super) port: u16,
    pub(super) adopted: bool,
    /// What was granted last.
    pub(super) lifetime: Option<Duration>,
    /// It was made by another device than the one that is asked now.
    pub(super) elsewhere: bool,
}

impl Ladder<'_> {
    /// Maps the same external port again, and no other: a renewal that took a new port would leak one each time.
    pub(super) async fn renew(mut self, old: Renewed) -> Result<Granted, CallError> {
        let Renewed { port, adopted, lifetime, elsewhere } = old;
        self.hasty = lifetime.is_none();
        let place = self.place(Port::Known(port));
        let reservation = self.reserve(&place).map_err(|taken| CallError::Lost(taken.to_string()))?;
        // An entry that was gone meanwhile, and that this process has put back, is ours.
        let added = self.ledger.added(&place, self.entry.internal.port()).is_some();
        let adopted = adopted && !added;
        let outcome = match self.look(&place).await? {
            Look::Unknown(why) if adopted => Err(CallError::Nonsense(why)),
            Look::Unknown(_) => self.leases(&reservation).await,
            Look::Nothing => match self.leases(&reservation).await {
                // A router that shows what is there has shown that the mapping is gone.
                Err(CallError::Fault(fault)) if self.ledger.shown(&self.identity).entries => {
                    let why = format!("the router has lost external port {port} and does not map it again");
                    self.ledger.forget(&place, self.entry.internal.port());
                    Err(CallError::LostBy(fault, why))
                }
                result => result,
            },
            Look::Entry(entry) => match self.owner(&entry, &place) {
                Owner::Another(why) => {
                    self.ledger.forget(&place, self.entry.internal.port());
                    Err(CallError::Lost(format!("external port {port} {why} by now")))
                }
                Owner::Ours | Owner::ThisHost if adopted => self.renew_adopted(&entry, lifetime).await,
                Owner::ThisHost if elsewhere || added => {
                    self.ledger.forget(&place, self.entry.internal.port());
                    Ok(Granted::adopted(&entry))
                }
                Owner::Ours | Owner::ThisHost => self.extend(&reservation, &entry).await,
            },
        };
        match outcome {
            Err(CallError::Fault(fault)) if self.deleted => {
                self.ledger.forget(&place, self.entry.internal.port());
                let why = "the mapping was deleted to be replaced, and the router does not add it again";
                Err(CallError::LostBy(fault, why.to_owned()))
            }
            Err(CallError::Fault(fault)) if fault.effective_code() == CONFLICT => {
                self.ledger.contest(&place);
                Err(CallError::Fault(fault))
            }
            result => result,
        }
    }

    /// Keeps an entry that somebody else has made, and extends it, under its own name, only if its maker does not.
    async fn renew_adopted(&mut self, entry: &TableEntry, lifetime: Option<Duration>) -> Result<Granted, CallError> {
        let as_it_is = Granted::adopted(entry);
        let extended = |(before, left): (Duration, Duration)| left > before * 3 / 4;
        if entry.lifetime.is_none() || lifetime.zip(entry.lifetime).is_some_and(extended) {
            return Ok(as_it_is);
        }
        let theirs = Entry { description: &entry.description, ..self.entry.clone() };
        self.requests += 1;
        // Not claimed: what somebody else has made is never deleted.
        match self.control.add(&theirs, entry.external_port, self.lease, None).await {
            Ok(()) => Ok(Granted { lease: self.lease, ..as_it_is }),
            Err(CallError::Fault(fault)) => {
                tracing::debug!(%fault, port = entry.external_port, "the adopted entry is not extended");
                Ok(as_it_is)
            }
            Err(error) => Err(error),
        }
    }
}
