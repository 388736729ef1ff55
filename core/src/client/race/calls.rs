//! What leases ask of a race.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::RaceMapper;
use super::failure::{Failure, combine};
use super::moves::is_about_this_machine;
use crate::client::port_mapper::{GatewayView, PortMapperClient};
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Protocol, Transport};
use crate::snapshot::{GatewayReport, TableEntry};

#[async_trait]
impl PortMapperClient for RaceMapper {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.report().await?.require_offer()
    }

    /// So that a PCP gateway is one round trip away.
    fn install_is_probe(&self) -> bool {
        true
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        let installed = self.install_here(request, ttl).await;
        self.answered();
        installed
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let here = self.look()?;
        if mapping.protocol == Protocol::None {
            // Still our own address? Then it is still reachable.
            return match here.iter().any(|gateway| gateway.is_own_address(mapping.external.ip())) {
                true => Ok(mapping.clone()),
                false => {
                    Err(PortMappingError::unavailable(format!("this machine no longer has {}", mapping.external.ip())))
                }
            };
        }
        let (gateway, client) = self.renewer(mapping, &here)?;
        let renewed = client.client.renew(mapping).await.map_err(PortMappingError::told);
        match &renewed {
            Ok(renewed) => {
                gateway.known.heard(client.protocol);
                self.granted_address(&client, renewed, Some(mapping.external.ip()));
                self.holdings.renewed(mapping, renewed, &client);
            }
            Err(error) => {
                if error.kind() == ErrorKind::Refused {
                    gateway.known.heard(client.protocol);
                }
                if error.mapping_lost() {
                    self.holdings.let_go(mapping, &client);
                }
                if is_about_this_machine(error) {
                    self.renewer(mapping, &self.look_up()?)?;
                }
            }
        }
        renewed
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(());
        }
        let maker = self.maker(mapping)?;
        self.holdings.let_go(mapping, &maker);
        let removed = maker.client.remove(mapping).await;
        let removed = self.or_closed(mapping, &maker, removed).await;
        self.removed(mapping, &maker, removed)
    }

    async fn clear(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(());
        }
        let maker = self.maker(mapping)?;
        self.holdings.let_go(mapping, &maker);
        let cleared = maker.client.clear(mapping).await;
        let cleared = self.or_closed(mapping, &maker, cleared).await;
        self.removed(mapping, &maker, cleared)
    }

    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(None);
        }
        let maker = self.maker(mapping)?;
        let verified = maker.client.verify(mapping).await.map_err(PortMappingError::told);
        match &verified {
            Ok(Some(corrected)) => self.holdings.renewed(mapping, corrected, &maker),
            Ok(None) => {}
            Err(error) if error.mapping_lost() => self.holdings.let_go(mapping, &maker),
            Err(_) => {}
        }
        verified
    }

    /// Also deletes what a race could not, after its caller had gone, and what the lease had in a network that it has lost.
    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        self.contests_settled(request).await;
        self.holdings.end(request);
        let mut failures = self.delete_leftovers(request).await;
        let mut asked = JoinSet::new();
        let all = self.gateways().all();
        for gateway in all {
            for contestant in gateway.contestants.iter().cloned() {
                let (known, request) = (Arc::clone(&gateway.known), request.clone());
                asked.spawn(async move {
                    match contestant.client.abandon(&request).await {
                        Ok(()) => {
                            known.is_cleared(contestant.protocol, &request);
                            None
                        }
                        Err(error) => Some(contestant.failure(error)),
                    }
                });
            }
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(failure) => failures.extend(failure),
                Err(panic) => failures.push(Failure::internal(format!("a protocol's client failed: {panic}"))),
            }
        }
        failures.extend(self.delete_inherited(request).await);
        if failures.is_empty() {
            return Ok(());
        }
        failures.sort_by_key(|failure| Protocol::ALL.iter().position(|protocol| *protocol == failure.protocol));
        let context = format!("{} port {} may still be mapped", request.transport, request.internal_port);
        Err(combine(&failures, &context))
    }

    fn detach(&self, mapping: &PortMapping) {
        if let Ok(maker) = self.maker(mapping) {
            self.holdings.detach(mapping, &maker);
            maker.client.detach(mapping);
        }
    }

    async fn news(&self) {
        let mut found = self.found.subscribe();
        loop {
            found.borrow_and_update();
            let here = self.gateways().here();
            let contestants = here.iter().flat_map(|gateway| &*gateway.contestants);
            let mut news: Vec<_> = contestants.map(|contestant| contestant.client.news()).collect();
            let any = poll_fn(|context| match news.iter_mut().any(|news| news.as_mut().poll(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            tokio::select! {
                () = any => return,
                // The sender is a field of `self`, so this is no error.
                _ = found.changed() => {}
            }
        }
    }

    fn reaches(&self, mapping: &PortMapping) -> bool {
        let gateways = self.gateways();
        match mapping.protocol {
            Protocol::None => gateways.here().iter().any(|gateway| gateway.is_own_address(mapping.external.ip())),
            Protocol::Pcp | Protocol::NatPmp | Protocol::Upnp => {
                self.holdings.maker(mapping).is_none_or(|maker| gateways.is_settled() && gateways.reaches(&maker.at))
            }
        }
    }

    async fn report(&self) -> Result<GatewayReport, PortMappingError> {
        self.report_here().await
    }

    async fn external_address(&self) -> Result<IpAddr, PortMappingError> {
        self.address_here().await
    }

    async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        self.table_client()?.client.table().await.map_err(PortMappingError::told)
    }

    async fn entry(&self, transport: Transport, external_port: u16) -> Result<Option<TableEntry>, PortMappingError> {
        self.table_client()?.client.entry(transport, external_port).await.map_err(PortMappingError::told)
    }

    async fn add_entry(&self, entry: &TableEntry) -> Result<(), PortMappingError> {
        self.table_client()?.client.add_entry(entry).await.map_err(PortMappingError::told)
    }

    async fn delete_entry(
        &self,
        transport: Transport,
        external_port: u16,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        let deleted = self.table_client()?.client.delete_entry(transport, external_port, any_host).await;
        deleted.map_err(PortMappingError::told)
    }

    async fn close_pinhole(&self, transport: Transport, port: u16) -> Result<Protocol, PortMappingError> {
        self.close_here(transport, port).await.map_err(PortMappingError::told)
    }

    async fn attend(&self) {
        self.attend_to_world().await;
    }

    fn view(&self) -> GatewayView {
        let present = self.present();
        let protocols = present.as_ref().map(|gateway| gateway.known.seen()).unwrap_or_default();
        GatewayView { path: present.map(|gateway| gateway.path), protocols }
    }

    async fn settle(&self) {
        self.behind.close();
        self.behind.wait().await;
        self.behind.reopen();
        let mut settling = JoinSet::new();
        let all = self.gateways().all();
        for gateway in all {
            for contestant in gateway.contestants.iter().cloned() {
                settling.spawn(async move { contestant.client.settle().await });
            }
        }
        while settling.join_next().await.is_some() {}
    }
}
