//! How the table changes: by the rules of each protocol, under the switches of the moment.

use std::net::SocketAddr;
use std::time::Instant;

use crate::forward::{Forwarder, Gate};
use crate::shared::{Shared, State};
use crate::table::{self, Ask, Decision, Entry, Grant, Key, Refusal, Rules};
use crate::{Event, GatewayConfig, Protocol};

impl Shared {
    /// Makes or renews a mapping, by the rules of the protocol that asks.
    pub(crate) fn map(&self, ask: Ask) -> Result<Grant, Refusal> {
        self.with(|state| {
            let rules = state.rules(&self.config);
            let decision = match ask.protocol {
                Protocol::Pcp | Protocol::NatPmp => state.table.decide_by_internal(&ask, rules, Instant::now())?,
                Protocol::Upnp | Protocol::Static => state.table.decide_by_external(&ask, rules)?,
            };
            state.grant(ask, decision, self)
        })
    }

    /// Writes what a test asks for into the table, whoever has the port and whatever the switches grant to clients.
    pub(crate) fn put(&self, ask: Ask) -> Result<(), Refusal> {
        self.with(|state| {
            let key = (ask.transport, ask.suggested);
            state.unmap(key);
            state.table.decide_by_external(&ask, state.rules(&self.config))?;
            let expires_at = table::expiry(Instant::now(), ask.lifetime);
            state.create(key, ask, expires_at, self)
        })
    }

    /// AddAnyPortMapping: the port asked for, or another.
    pub(crate) fn map_any(&self, ask: Ask) -> Result<Grant, Refusal> {
        self.with(|state| {
            let rules = state.rules(&self.config);
            let decision = match state.table.decide_by_external(&ask, rules) {
                Ok(Decision::Renew(port)) => Decision::Renew(port),
                _ => Decision::Create(state.table.choose(&ask, rules)?),
            };
            state.grant(ask, decision, self)
        })
    }
}

impl State {
    /// Whether there is room for neither a mapping nor a pinhole.
    pub(crate) fn is_full(&self, config: &GatewayConfig) -> bool {
        self.faults.table_full || self.table.len() + self.pinholes.len() >= config.max_mappings
    }

    fn rules(&self, config: &GatewayConfig) -> Rules {
        Rules {
            min_external_port: config.min_external_port,
            nonce_takeover: self.faults.nonce_takeover,
            full: self.is_full(config),
            granted_port: self.faults.granted_port,
            overwrite: config.upnp_overwrite,
        }
    }

    fn grant(&mut self, ask: Ask, decision: Decision, shared: &Shared) -> Result<Grant, Refusal> {
        let now = Instant::now();
        let lifetime = match self.faults.granted_lifetime {
            Some(seconds) if ask.protocol != Protocol::Static => seconds,
            _ => ask.lifetime,
        };
        let expires_at = if self.faults.lease_ignored { None } else { table::expiry(now, lifetime) };
        let port = match decision {
            Decision::Renew(port) => {
                self.renew((ask.transport, port), ask, expires_at);
                port
            }
            Decision::Create(port) => {
                self.create((ask.transport, port), ask, expires_at, shared)?;
                port
            }
        };
        Ok(Grant { external_port: port, lifetime })
    }

    fn renew(&mut self, key: Key, ask: Ask, expires_at: Option<Instant>) {
        if let Some(entry) = self.table.get_mut(key) {
            entry.protocol = ask.protocol;
            entry.expires_at = expires_at;
            // The other protocols know no nonce; PCP's stays, so that its owner can still delete.
            entry.nonce = ask.nonce.or(entry.nonce);
            if ask.protocol == Protocol::Upnp {
                entry.description = ask.description;
                entry.internal = ask.internal;
                entry.forwarder.retarget(ask.internal);
            }
            let view = entry.view(key, Instant::now());
            self.emit(Event::Renewed(view));
            if let Some(address) = self.faults.renew_to_other_external.take() {
                self.set_external(Some(address));
            }
        }
        self.lose_at_once(key);
    }

    fn create(&mut self, key: Key, ask: Ask, expires_at: Option<Instant>, shared: &Shared) -> Result<(), Refusal> {
        let config = &shared.config;
        let forwarder = if config.forward {
            let outside = config.external_bind;
            let choices = [(outside, key.1), (outside, 0), (config.bind, 0)].map(SocketAddr::from);
            let gate = Gate::default();
            Forwarder::open(&shared.runtime, ask.transport, &choices, ask.internal, gate).map_err(|error| {
                let message = format!("cannot open external port {}: {error}", key.1);
                self.emit(Event::Error { message });
                Refusal::Full
            })?
        } else {
            Forwarder::closed(SocketAddr::new(config.external_bind, key.1), ask.internal)
        };
        let entry = Entry {
            protocol: ask.protocol,
            internal: ask.internal,
            description: ask.description,
            expires_at,
            nonce: ask.nonce,
            forwarder,
        };
        let view = entry.view(key, Instant::now());
        self.table.insert(key, entry);
        self.emit(Event::Mapped(view));
        self.lose_at_once(key);
        Ok(())
    }

    fn lose_at_once(&mut self, key: Key) {
        if self.faults.lease_lost {
            self.unmap(key);
        }
    }

    /// Takes a mapping out; false when there is none.
    pub(crate) fn unmap(&mut self, key: Key) -> bool {
        let Some(mapping) = self.table.remove(key) else { return false };
        self.emit(Event::Unmapped(mapping));
        true
    }
}
