//! Random operations of ours and of other hosts on a router that checks nothing: no entry of others ever changes, and in
//! the end none of ours is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::UpnpMapper;
use super::peer_table::{Line, Table, line, router};
use crate::client::port_mapper::PortMapperClient;
use crate::mapping::{MapRequest, PortMapping, Transport};

const HOUR: Duration = Duration::from_secs(3600);
/// Few, so that everybody gets in everybody's way.
const PORTS: std::ops::Range<u16> = 4000..4008;
const STEPS: usize = 1500;

/// Our leases by internal port, and the entries of others by external port.
struct World {
    random: StdRng,
    mapper: UpnpMapper,
    table: Table,
    leases: BTreeMap<u16, PortMapping>,
    others: BTreeMap<u16, Line>,
}

impl World {
    fn port(&mut self) -> u16 {
        self.random.random_range(PORTS)
    }

    fn request(&mut self, internal: u16) -> MapRequest {
        let request = MapRequest::new(internal, Transport::Udp).external_port(self.port());
        if self.random.random() { request.exact() } else { request }
    }

    async fn step(&mut self) {
        let port = self.port();
        let lease = self.leases.get(&port).cloned();
        match (self.random.random_range(0..9), lease) {
            (0..=2, None) => {
                let request = self.request(port);
                if let Ok(mapping) = self.mapper.install(&request, HOUR).await {
                    // As a task does, which is also how the router shows that it keeps descriptions.
                    while self.mapper.verify(&mapping).await.is_err() {}
                    self.leases.insert(port, mapping);
                }
            }
            (0, Some(mapping)) => match self.mapper.verify(&mapping).await {
                Ok(verified) => drop(self.leases.insert(port, verified.unwrap_or(mapping))),
                Err(error) => self.lost(port, error.mapping_lost()).await,
            },
            (1 | 2, Some(mapping)) => match self.mapper.renew(&mapping).await {
                Ok(renewed) => drop(self.leases.insert(port, renewed)),
                Err(error) => self.lost(port, error.mapping_lost()).await,
            },
            (3, Some(mapping)) => {
                let removed = self.mapper.remove(&mapping).await;
                self.leases.retain(|internal, _| *internal != port || removed.is_err());
            }
            (4, None) => drop(self.mapper.abandon(&MapRequest::new(port, Transport::Udp)).await),
            // Another host, or somebody at the router's settings, takes a port.
            (5, _) => {
                let made = match self.random.random_range(0..3) {
                    0 => line("192.168.1.99", port, 0, "of another host"),
                    1 => line("127.0.0.1", port + 1, 0, "by hand"),
                    _ => line("127.0.0.1", port, 0, "by hand"),
                };
                self.others.insert(port, made.clone());
                self.table.put(port, made);
            }
            (6, _) if self.others.remove(&port).is_some() => self.table.remove(port),
            // The router has restarted, and what was in its settings is there again.
            (7, _) if self.random.random_ratio(1, 8) => {
                self.table.clear();
                for (port, line) in &self.others {
                    self.table.put(*port, line.clone());
                }
            }
            _ => {}
        }
    }

    /// What a task does with a mapping that is lost for certain.
    async fn lost(&mut self, port: u16, for_certain: bool) {
        if for_certain && let Some(mapping) = self.leases.remove(&port) {
            drop(self.mapper.remove(&mapping).await);
        }
    }

    fn check(&self, step: usize) {
        for (port, line) in &self.others {
            assert_eq!(self.table.get(*port).as_ref(), Some(line), "port {port} after step {step}");
        }
    }
}

#[tokio::test]
async fn whatever_happens_no_entry_of_others_changes_and_none_of_ours_is_left() {
    for seed in 0..4 {
        let calls = AtomicU32::new(0);
        let losing = Arc::new(AtomicU32::new(13));
        let every = Arc::clone(&losing);
        let (table, _web, _ssdp, mapper) = router(move |call, table| {
            let every = every.load(Ordering::Relaxed);
            let lost = every > 0 && calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(every);
            (lost && !call.action.is_empty()).then(|| {
                table.act(call);
                "the answer is lost".to_owned()
            })
        })
        .await;
        let (leases, others) = (BTreeMap::new(), BTreeMap::new());
        let mut world = World { random: StdRng::seed_from_u64(seed), mapper, table, leases, others };
        for step in 0..STEPS {
            world.step().await;
            world.check(step);
        }
        losing.store(0, Ordering::Relaxed);
        for mapping in std::mem::take(&mut world.leases).into_values() {
            world.mapper.remove(&mapping).await.unwrap();
        }
        for port in PORTS {
            world.mapper.abandon(&MapRequest::new(port, Transport::Udp)).await.unwrap();
        }
        world.check(STEPS);
        let left: Vec<_> = world.others.keys().copied().collect();
        assert_eq!(world.table.ports(), left, "seed {seed}");
    }
}
