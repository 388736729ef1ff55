//! How pinholes are opened, renewed and closed, under the switches of the moment.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::forward::{Forwarder, Gate};
use crate::pinhole::{Passage, Pinhole, PinholeAsk, PinholeGrant, Prefix};
use crate::shared::{Shared, State};
use crate::table::{self, Nonce, Refusal};
use crate::{Event, GatewayConfig, Protocol, Transport};

impl Shared {
    /// Opens or renews a pinhole.
    pub(crate) fn open_pinhole(&self, ask: PinholeAsk) -> Result<PinholeGrant, Refusal> {
        self.with(|state| match state.pinholes.find(&ask.passage) {
            Some(id) => {
                let gets_new_id = state.faults.new_unique_ids && ask.protocol == Protocol::Upnp;
                state.renew_pinhole(id, ask, gets_new_id)
            }
            None if state.is_full(&self.config) => Err(Refusal::Full),
            None => {
                let (lifetime, expires_at) = state.pinhole_lifetime(&ask);
                let id = state.create_pinhole(ask, expires_at, self)?;
                Ok(PinholeGrant { id, lifetime, renewed: false })
            }
        })
    }

    /// Writes what a test asks for into the table, in place of the pinhole for the same packets, whatever the switches
    /// grant to clients.
    pub(crate) fn put_pinhole(&self, ask: PinholeAsk) -> Result<(), Refusal> {
        self.with(|state| {
            if let Some(id) = state.pinholes.find(&ask.passage) {
                state.close_pinhole(id);
            }
            if state.is_full(&self.config) {
                return Err(Refusal::Full);
            }
            let expires_at = table::expiry(Instant::now(), ask.lifetime);
            state.create_pinhole(ask, expires_at, self).map(|_| ())
        })
    }
}

impl State {
    fn pinhole_lifetime(&self, ask: &PinholeAsk) -> (u32, Option<Instant>) {
        let lifetime = match self.faults.granted_lifetime {
            Some(seconds) if ask.protocol != Protocol::Static => seconds,
            _ => ask.lifetime,
        };
        let expires_at = if self.faults.lease_ignored { None } else { table::expiry(Instant::now(), lifetime) };
        (lifetime, expires_at)
    }

    /// Opens a new pinhole; its UniqueID.
    fn create_pinhole(
        &mut self,
        ask: PinholeAsk,
        expires_at: Option<Instant>,
        shared: &Shared,
    ) -> Result<u16, Refusal> {
        let forwarder = open(&ask.passage, shared).map_err(|error| {
            let message = format!("cannot open a pinhole for {}: {error}", ask.passage.internal);
            self.emit(Event::Error { message });
            Refusal::Full
        })?;
        let PinholeAsk { protocol, passage, nonce, .. } = ask;
        let pinhole = Pinhole { passage, protocol, expires_at, nonce, nonce_forgotten: false, forwarder };
        let id = self.pinholes.insert(pinhole);
        if let Some(view) = self.pinholes.get(id).map(|pinhole| pinhole.view(id, Instant::now())) {
            self.emit(Event::Mapped(view));
        }
        if self.faults.lease_lost {
            self.close_pinhole(id);
        }
        Ok(id)
    }

    /// Renews the pinhole `id`; another nonce than its own is refused (RFC 6887, 11.3).
    pub(crate) fn renew_pinhole(
        &mut self,
        mut id: u16,
        ask: PinholeAsk,
        gets_new_id: bool,
    ) -> Result<PinholeGrant, Refusal> {
        let (lifetime, expires_at) = self.pinhole_lifetime(&ask);
        let now = Instant::now();
        let Some(pinhole) = self.pinholes.get_mut(id) else { return Err(Refusal::CannotRenew) };
        let other_nonce = ask.nonce.is_some() && pinhole.nonce.is_some() && pinhole.nonce != ask.nonce;
        let refused = other_nonce && !pinhole.nonce_forgotten && !self.faults.nonce_takeover;
        if refused || pinhole.protocol == Protocol::Static {
            return Err(Refusal::NotAuthorized { remaining: table::remaining(pinhole.expires_at, now) });
        }
        if self.faults.pinhole_renewal_refused {
            return Err(Refusal::CannotRenew);
        }
        pinhole.protocol = ask.protocol;
        pinhole.expires_at = expires_at;
        // UPnP knows no nonce; PCP's stays, so that its owner can still delete.
        pinhole.nonce = ask.nonce.or(pinhole.nonce);
        pinhole.nonce_forgotten |= self.faults.pinhole_renewal_forgets_nonce;
        if gets_new_id {
            id = self.pinholes.change_id(id);
        }
        if let Some(view) = self.pinholes.get(id).map(|pinhole| pinhole.view(id, now)) {
            self.emit(Event::Renewed(view));
        }
        if self.faults.lease_lost {
            self.close_pinhole(id);
        }
        Ok(PinholeGrant { id, lifetime, renewed: true })
    }

    /// Takes a pinhole out; false when there is none.
    pub(crate) fn close_pinhole(&mut self, id: u16) -> bool {
        let Some((view, forwarder)) = self.pinholes.remove(id) else { return false };
        self.table.closing.push(forwarder);
        self.emit(Event::Unmapped(view));
        true
    }

    /// PCP's delete (RFC 6887, 15.1): the nonce must be the pinhole's; what does not exist counts as deleted. Port 0 means
    /// all ports, no transport means both: then the pinholes that are not the caller's stay without a word.
    pub(crate) fn delete_pinholes(
        &mut self,
        transport: Option<Transport>,
        internal: SocketAddr,
        nonce: Nonce,
    ) -> Result<(), Refusal> {
        let (Some(transport), true) = (transport, internal.port() != 0) else {
            let fits = |pinhole: &Pinhole| {
                let at = pinhole.passage;
                transport.is_none_or(|wanted| wanted == at.transport)
                    && at.internal.ip() == internal.ip()
                    && (internal.port() == 0 || internal.port() == at.internal.port())
                    && pinhole.is_owned_by(nonce)
            };
            for id in self.pinholes.ids(fits) {
                self.close_pinhole(id);
            }
            return Ok(());
        };
        let Some(id) = self.pinholes.find(&Passage::for_all(transport, internal)) else { return Ok(()) };
        if let Some(others) = self.pinholes.get(id).filter(|pinhole| !pinhole.is_owned_by(nonce)) {
            let remaining = table::remaining(others.expires_at, Instant::now());
            return Err(Refusal::NotAuthorized { remaining });
        }
        self.close_pinhole(id);
        Ok(())
    }

    /// The inside has another prefix from now on: pinholes for other addresses are closed.
    pub(crate) fn renumber(&mut self, inside: Prefix) {
        self.inside = Some(inside);
        for id in self.pinholes.ids(|pinhole| !inside.contains(pinhole.passage.internal.ip())) {
            self.close_pinhole(id);
        }
    }
}

/// Opens the way in. Packets that a pinhole lets through come from another loopback address to the port of the host, or,
/// where the host itself has the outside's address, to any other port.
fn open(passage: &Passage, shared: &Shared) -> std::io::Result<Forwarder> {
    let GatewayConfig { ipv6_bind, ipv6_external_bind: outside, forward, .. } = shared.config;
    let Passage { transport, internal, remote_host, remote_port } = *passage;
    if !forward {
        return Ok(Forwarder::closed(SocketAddr::new(outside, internal.port()), internal));
    }
    let elsewhere = [(outside, internal.port()), (outside, 0), (ipv6_bind, 0)].map(SocketAddr::from);
    let choices = if outside == internal.ip() { &elsewhere[1..] } else { &elsewhere[..] };
    let gate = Gate { remote_host: remote_host.map(IpAddr::V6), remote_port };
    Forwarder::open(&shared.runtime, transport, choices, internal, gate)
}
