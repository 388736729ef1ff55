//! What tests do to the table without a client: entries of the router's settings and of other hosts.

use std::net::SocketAddr;

use crate::pinhole::{Passage, PinholeAsk};
use crate::shared::Shared;
use crate::table::{Ask, Refusal};
use crate::{Gateway, GatewayError, Mapping, Protocol, Transport};

/// An entry that [`Gateway::put_mapping`] writes into the table.
#[derive(Clone, Debug)]
pub struct NewMapping {
    /// The protocol that is said to have made it. [`Static`](Protocol::Static) is a rule in the router's settings:
    /// AddPortMapping for it is answered with 718, and PCP and NAT-PMP cannot delete it.
    pub protocol: Protocol,
    /// The transport.
    pub transport: Transport,
    /// The external port.
    pub external_port: u16,
    /// The host that has it, which may be any, and its port.
    pub internal: SocketAddr,
    /// UPnP's description.
    pub description: String,
    /// Seconds; `None` is permanent.
    pub lifetime: Option<u32>,
}

impl NewMapping {
    /// A permanent entry that another host made by UPnP.
    pub fn new(transport: Transport, external_port: u16, internal: SocketAddr) -> Self {
        Self {
            protocol: Protocol::Upnp,
            transport,
            external_port,
            internal,
            description: "another host".into(),
            lifetime: None,
        }
    }
}

impl Gateway {
    /// Adds a mapping that no client asked for, as if in the router's own settings. With a firewall for IPv6 and an
    /// internal IPv6 address it is a pinhole for everybody, whose external port must be the internal one.
    /// It occupies its external port and forwards as any other. `lifetime` in seconds; `None` is permanent.
    ///
    /// # Errors
    /// [`GatewayError::Mapping`] when the port is taken, the table is full or the port cannot be opened.
    pub fn add_mapping(
        &self,
        transport: Transport,
        external_port: u16,
        internal: SocketAddr,
        lifetime: Option<u32>,
    ) -> Result<Mapping, GatewayError> {
        let mapping = NewMapping {
            protocol: Protocol::Static,
            description: "set in the router".into(),
            lifetime,
            ..NewMapping::new(transport, external_port, internal)
        };
        self.check(&mapping)?;
        self.write(mapping, |shared, ask| shared.map(ask).map(|_| ()))
    }

    /// Writes an entry into the table, in place of the one that has its external port: what another host has
    /// mapped, or a port that was taken away from the client and given to somebody else. With a firewall for IPv6 and an
    /// internal IPv6 address it is a pinhole for everybody, whose external port must be the internal one.
    ///
    /// # Errors
    /// [`GatewayError::Mapping`] when the table is full or the port cannot be opened.
    pub fn put_mapping(&self, mapping: NewMapping) -> Result<Mapping, GatewayError> {
        self.check(&mapping)?;
        // The old entry's port is closed first, so that the new one can have it.
        if self.is_pinhole(mapping.internal) {
            self.remove_pinhole(mapping.transport, mapping.internal);
        } else {
            self.remove_mapping(mapping.transport, mapping.external_port);
        }
        self.write(mapping, Shared::put)
    }

    fn check(&self, mapping: &NewMapping) -> Result<(), GatewayError> {
        if mapping.external_port == 0 || mapping.internal.port() == 0 {
            return Err(GatewayError::Mapping("ports must be at least 1".into()));
        }
        if self.is_pinhole(mapping.internal) && mapping.external_port != mapping.internal.port() {
            return Err(GatewayError::Mapping("the external port of a pinhole is the internal port".into()));
        }
        Ok(())
    }

    fn write(
        &self,
        mapping: NewMapping,
        into_table: impl FnOnce(&Shared, Ask) -> Result<(), Refusal>,
    ) -> Result<Mapping, GatewayError> {
        let NewMapping { protocol, transport, external_port, internal, description, lifetime } = mapping;
        if self.is_pinhole(internal) {
            return self.write_pinhole(protocol, transport, internal, lifetime.unwrap_or(0));
        }
        let ask = Ask {
            protocol,
            transport,
            internal,
            suggested: external_port,
            exact: true,
            lifetime: lifetime.unwrap_or(0),
            nonce: None,
            description,
        };
        into_table(self.shared(), ask).map_err(|refusal| {
            GatewayError::Mapping(match refusal {
                Refusal::Full => "the table is full".into(),
                _ => format!("external port {external_port}/{transport} is taken or not allowed"),
            })
        })?;
        self.mapping(transport, external_port)
            .ok_or_else(|| GatewayError::Mapping("it was lost at once, as the switch says".into()))
    }

    fn is_pinhole(&self, internal: SocketAddr) -> bool {
        internal.is_ipv6() && self.addresses().ipv6.is_some()
    }

    fn write_pinhole(
        &self,
        protocol: Protocol,
        transport: Transport,
        internal: SocketAddr,
        lifetime: u32,
    ) -> Result<Mapping, GatewayError> {
        if self.pinhole(transport, internal).is_some() {
            return Err(GatewayError::Mapping(format!("{internal}/{transport} has a pinhole already")));
        }
        let passage = Passage::for_all(transport, internal);
        let ask = PinholeAsk { protocol, passage, lifetime, nonce: None };
        self.shared().put_pinhole(ask).map_err(|_| GatewayError::Mapping("the table is full".into()))?;
        self.pinhole(transport, internal)
            .ok_or_else(|| GatewayError::Mapping("it was lost at once, as the switch says".into()))
    }

    /// The entry of an external port; a pinhole has none of its own.
    pub fn mapping(&self, transport: Transport, external_port: u16) -> Option<Mapping> {
        self.mappings().into_iter().find(|mapping| {
            mapping.unique_id.is_none() && mapping.transport == transport && mapping.external_port == external_port
        })
    }

    /// The pinhole for an internal port, the first one if there are several for different hosts outside.
    pub fn pinhole(&self, transport: Transport, internal: SocketAddr) -> Option<Mapping> {
        self.mappings().into_iter().find(|mapping| {
            mapping.unique_id.is_some() && mapping.transport == transport && mapping.internal == internal
        })
    }

    /// Whether an entry is still what it was: nobody has deleted, changed or renewed it.
    pub fn is_untouched(&self, before: &Mapping) -> bool {
        let now = match before.unique_id {
            Some(id) => self.mappings().into_iter().find(|now| now.unique_id == Some(id)),
            None => self.mapping(before.transport, before.external_port),
        };
        now.is_some_and(|now| {
            let as_long = match (before.expires_in, now.expires_in) {
                (Some(before), Some(now)) => now <= before,
                (before, now) => before == now,
            };
            as_long && Mapping { expires_in: before.expires_in, ..now } == *before
        })
    }

    /// Takes a mapping out of the table, whoever made it, as somebody at the router's settings would.
    /// False when there is none. When this returns, its port is closed.
    pub fn remove_mapping(&self, transport: Transport, external_port: u16) -> bool {
        let removed = self.shared().with(|state| state.unmap((transport, external_port)));
        // A gateway that has stopped has no open ports either.
        let _ = self.apply();
        removed
    }

    /// Closes all pinholes for an internal port, whoever made them, as a router does that has lost its rules.
    /// False when there is none. When this returns, nothing passes any more.
    pub fn remove_pinhole(&self, transport: Transport, internal: SocketAddr) -> bool {
        let removed = self.shared().with(|state| {
            let fits = |passage: &Passage| passage.transport == transport && passage.internal == internal;
            let ids = state.pinholes.ids(|pinhole| fits(&pinhole.passage));
            ids.iter().for_each(|id| {
                state.close_pinhole(*id);
            });
            !ids.is_empty()
        });
        // A gateway that has stopped has no open ports either.
        let _ = self.apply();
        removed
    }
}
