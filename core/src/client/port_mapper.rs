//! The trait between the task and the protocols.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::builders::builders;
use crate::error::PortMappingError;
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, Transport};
use crate::net::route::NetworkPath;
use crate::snapshot::{GatewayReport, TableEntry};

/// What a client knows about the gateway at this moment, without asking it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GatewayView {
    /// The way to the gateway, once it was looked for and found.
    pub path: Option<NetworkPath>,
    /// The protocols by which the gateway has answered so far.
    pub protocols: Vec<Protocol>,
}

impl GatewayView {
    builders! {
        path(impl Into<Option<NetworkPath>>),
        protocols(impl Into<Vec<Protocol>>),
    }
}

/// A way to ask a gateway for mappings. Every call is bounded by the implementation's own deadline and may be cancelled
/// by dropping its future.
///
/// A client of your own turns into a mapper by [`Mapper::start_with`](crate::Mapper::start_with). A router that forwards
/// one port by hand, for instance, can be asked for nothing, and has nothing to be deleted:
///
/// ```
/// use async_trait::async_trait;
/// use portlease::client::PortMapperClient;
/// use portlease::{MapRequest, PortMapping, PortMappingError, Protocol, Transport};
/// use std::time::Duration;
///
/// struct ByHand;
///
/// #[async_trait]
/// impl PortMapperClient for ByHand {
///     async fn probe(&self) -> Result<(), PortMappingError> {
///         Ok(())
///     }
///
///     async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
///         match request.internal_port {
///             4000 => Ok(PortMapping::new(request.clone(), ([203, 0, 113, 7], 4000), ttl, Protocol::None)),
///             port => Err(PortMappingError::refused(format!("port {port} is not forwarded by hand"))),
///         }
///     }
///
///     async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
///         Ok(mapping.clone())
///     }
///
///     async fn remove(&self, _: &PortMapping) -> Result<(), PortMappingError> {
///         Ok(())
///     }
/// }
///
/// let client: Box<dyn PortMapperClient> = Box::new(ByHand);
/// let request = MapRequest::new(4000, Transport::Udp);
/// let mapping = portlease::wait(client.install(&request, Duration::from_secs(600)))?;
/// assert_eq!(mapping.external.to_string(), "203.0.113.7:4000");
/// # Ok::<(), PortMappingError>(())
/// ```
#[async_trait]
pub trait PortMapperClient: Send + Sync {
    /// Asks whether the gateway answers at all; maps nothing.
    async fn probe(&self) -> Result<(), PortMappingError>;

    /// Whether [`install`](Self::install) shows just as well if the gateway answers. A task then saves the round trip
    /// of [`probe`](Self::probe).
    fn install_is_probe(&self) -> bool {
        false
    }

    /// Asks for a new mapping that lives for `ttl`. The gateway may grant another port and another lifetime.
    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError>;

    /// Asks for `mapping.requested_ttl` again. The answer replaces `mapping`.
    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError>;

    /// Deletes the mapping, best effort. A mapping that is already gone, or that is no longer ours, is a success. Success
    /// means that the gateway has confirmed it.
    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError>;

    /// Deletes the mapping because it is about to be made again. As [`remove`](Self::remove), and also if others have the same
    /// mapping, who then look whether theirs is still there.
    async fn clear(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.remove(mapping).await
    }

    /// Looks, once behind an [`install`](Self::install), whether the mapping is really there: some gateways answer with
    /// success and make none, or cut its lifetime. `None` means that there is nothing to say against the grant, and
    /// otherwise the answer replaces `mapping`.
    ///
    /// An error with [`mapping_lost`](PortMappingError::mapping_lost) means that there is no mapping; any other one, that
    /// it could not be looked at.
    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        let _ = mapping;
        Ok(None)
    }

    /// Deletes what requests for this port may have left on the gateway that were sent and never answered, or whose mapping
    /// the client failed to delete. Called when the lease ends. Success means that nothing is left as far as can be known.
    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        let _ = request;
        Ok(())
    }

    /// The lease has ended and leaves `mapping` to its lifetime. A client that keeps records of its mappings must not take this
    /// one for a leftover. By default nothing is done.
    fn detach(&self, mapping: &PortMapping) {
        let _ = mapping;
    }

    /// Waits until something was learned behind the answers that makes another attempt worthwhile at once, such as a
    /// gateway that answers late. By default it never ends.
    async fn news(&self) {
        std::future::pending().await
    }

    /// Whether the gateway that made `mapping` is still the one that is asked; asks nobody. A client that goes from one network to
    /// another answers `false` for the mappings that it has left behind; by default it never does.
    fn reaches(&self, mapping: &PortMapping) -> bool {
        let _ = mapping;
        true
    }

    /// Notices what happens around the mappings while nobody asks for anything: another network, a gateway that restarts. A
    /// mapper runs it on its engine, next to every other call, for as long as it lives, and drops it at its end; so sockets and
    /// timers of it belong into this future. It need not end, and by default it does nothing and never ends.
    async fn attend(&self) {
        std::future::pending().await
    }

    /// Asks what the gateway offers by every protocol; maps nothing. Fails only if there is no gateway to ask.
    async fn report(&self) -> Result<GatewayReport, PortMappingError> {
        self.probe().await?;
        Ok(GatewayReport::new(self.view().path))
    }

    /// The same for one family. By default there is no IPv6.
    async fn report_of(&self, family: AddressFamily) -> Result<GatewayReport, PortMappingError> {
        match family {
            AddressFamily::Ipv4 => self.report().await,
            AddressFamily::Ipv6 => Err(PortMappingError::unavailable("this client opens no IPv6 pinholes")),
        }
    }

    /// The gateway's external address. By default it is what the [`report`](Self::report) says.
    async fn external_address(&self) -> Result<IpAddr, PortMappingError> {
        let report = self.report().await?;
        let told = report.external_address();
        told.ok_or_else(|| PortMappingError::unavailable("the gateway does not tell its external address"))
    }

    /// The gateway's table of mappings. By default there is none to be read.
    async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        Err(PortMappingError::unavailable("this client cannot read the gateway's table"))
    }

    /// The entry of that table for one external port; nothing if there is none. By default it is looked for in the whole table.
    async fn entry(&self, transport: Transport, external_port: u16) -> Result<Option<TableEntry>, PortMappingError> {
        let entries = self.table().await?;
        Ok(entries.into_iter().find(|entry| (entry.transport, entry.external_port) == (transport, external_port)))
    }

    /// Adds an entry to that table, for whatever host it names, which nobody renews. By default that cannot be done.
    async fn add_entry(&self, entry: &TableEntry) -> Result<(), PortMappingError> {
        let _ = entry;
        Err(PortMappingError::unavailable("this client cannot change the gateway's table"))
    }

    /// Deletes an entry of that table, and answers with what it was; with nothing if there is no such entry. One that forwards to
    /// another machine is `refused` unless `any_host` is set.
    async fn delete_entry(
        &self,
        transport: Transport,
        external_port: u16,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        let _ = (transport, external_port, any_host);
        Err(PortMappingError::unavailable("this client cannot read the gateway's table"))
    }

    /// Closes the IPv6 pinhole of this machine's `port`, whoever has opened it, and answers with the protocol that has closed it. By
    /// default there is no IPv6.
    async fn close_pinhole(&self, transport: Transport, port: u16) -> Result<Protocol, PortMappingError> {
        let _ = (transport, port);
        Err(PortMappingError::unavailable("this client opens no IPv6 pinholes"))
    }

    /// What is known about the gateway; never waits.
    fn view(&self) -> GatewayView {
        GatewayView::default()
    }

    /// Waits until what the client still does behind its answers (releasing what came too late) is done.
    /// Bounded by the protocols' deadlines.
    async fn settle(&self) {}
}

/// Every method, passed on to the client in the pointer: a default here would be another answer than the client's own.
macro_rules! forward {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        impl<C: PortMapperClient + ?Sized> PortMapperClient for $pointer<C> {
            async fn probe(&self) -> Result<(), PortMappingError> {
                (**self).probe().await
            }

            fn install_is_probe(&self) -> bool {
                (**self).install_is_probe()
            }

            async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
                (**self).install(request, ttl).await
            }

            async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
                (**self).renew(mapping).await
            }

            async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
                (**self).remove(mapping).await
            }

            async fn clear(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
                (**self).clear(mapping).await
            }

            async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
                (**self).verify(mapping).await
            }

            async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
                (**self).abandon(request).await
            }

            fn detach(&self, mapping: &PortMapping) {
                (**self).detach(mapping);
            }

            async fn news(&self) {
                (**self).news().await;
            }

            fn reaches(&self, mapping: &PortMapping) -> bool {
                (**self).reaches(mapping)
            }

            async fn attend(&self) {
                (**self).attend().await;
            }

            async fn report(&self) -> Result<GatewayReport, PortMappingError> {
                (**self).report().await
            }

            async fn report_of(&self, family: AddressFamily) -> Result<GatewayReport, PortMappingError> {
                (**self).report_of(family).await
            }

            async fn external_address(&self) -> Result<IpAddr, PortMappingError> {
                (**self).external_address().await
            }

            async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
                (**self).table().await
            }

            async fn entry(
                &self,
                transport: Transport,
                external_port: u16,
            ) -> Result<Option<TableEntry>, PortMappingError> {
                (**self).entry(transport, external_port).await
            }

            async fn add_entry(&self, entry: &TableEntry) -> Result<(), PortMappingError> {
                (**self).add_entry(entry).await
            }

            async fn delete_entry(
                &self,
                transport: Transport,
                external_port: u16,
                any_host: bool,
            ) -> Result<Option<TableEntry>, PortMappingError> {
                (**self).delete_entry(transport, external_port, any_host).await
            }

            async fn close_pinhole(&self, transport: Transport, port: u16) -> Result<Protocol, PortMappingError> {
                (**self).close_pinhole(transport, port).await
            }

            fn view(&self) -> GatewayView {
                (**self).view()
            }

            async fn settle(&self) {
                (**self).settle().await;
            }
        }
    )+};
}

forward!(Arc, Box);
