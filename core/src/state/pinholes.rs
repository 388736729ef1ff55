//! What is on record: the IPv6 pinholes, because no router shows its own, and the ports that programs hold now.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::folder::Folder;
use super::orphans::read_records;
use super::record::Record;
use crate::mapping::{Protocol, Transport};

/// An IPv6 pinhole that a program with this state directory has opened, or asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedPinhole {
    /// The address of this machine that is open.
    pub address: Ipv6Addr,
    /// UDP or TCP.
    pub transport: Transport,
    /// The port that is open.
    pub port: u16,
    /// The protocol by which the router was asked.
    pub protocol: Protocol,
    /// The router that was asked.
    pub gateway: IpAddr,
    /// Whether the program still runs, and renews it.
    pub held: bool,
    /// Whether the program has left it open on purpose.
    pub detached: bool,
    /// The time within which it ends if nobody renews it.
    pub ends_within: Option<Duration>,
}

/// The IPv6 pinholes that programs with this [`state_dir`](crate::Config::state_dir) have on record, by port. Reads files alone,
/// and changes none; without a folder there are none.
///
/// Fails if the folder cannot be read.
pub fn recorded_pinholes(state_dir: impl AsRef<Path>) -> io::Result<Vec<RecordedPinhole>> {
    let now = SystemTime::now();
    let records = records(state_dir.as_ref(), IpAddr::is_ipv6, now)?;
    let mut pinholes: Vec<_> = records.into_iter().filter_map(|(record, held)| pinhole(record, held, now)).collect();
    pinholes.sort_by_key(|pinhole| (pinhole.port, pinhole.transport, pinhole.address));
    Ok(pinholes)
}

/// The ports of this machine that running programs with this [`state_dir`](crate::Config::state_dir) hold mapped in the router's NAT,
/// sorted. Reads files alone, and changes none; without a folder there are none.
///
/// Fails if the folder cannot be read.
pub fn held_ports(state_dir: impl AsRef<Path>) -> io::Result<Vec<(u16, Transport)>> {
    let records = records(state_dir.as_ref(), IpAddr::is_ipv4, SystemTime::now())?;
    let held = records.into_iter().filter(|(_, held)| *held);
    let mut ports: Vec<_> = held.map(|(record, _)| (record.internal_port, record.transport)).collect();
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

/// The records whose local address is of one family, and that have not ended, each with whether a running program holds it.
fn records(state_dir: &Path, family: fn(&IpAddr) -> bool, now: SystemTime) -> io::Result<Vec<(Record, bool)>> {
    let folder = Folder::new(state_dir.to_owned());
    let mut found = Vec::new();
    for name in folder.content()?.files {
        // The mapper that held it may have deleted it just now.
        let Some((mut records, _)) = folder.read(&name).ok().and_then(|text| read_records(&text)) else { continue };
        records.retain(|record| family(&record.local_address));
        if records.is_empty() {
            continue;
        }
        let held = !matches!(folder.take(&name), Ok(Some(_)));
        let live = records.into_iter().filter(|record| !record.ended(now));
        // What has an end is a leftover, also in the file of a program that runs.
        found.extend(live.map(|record| {
            let held = held && record.end.is_none() && !record.kept;
            (record, held)
        }));
    }
    Ok(found)
}

fn pinhole(record: Record, held: bool, now: SystemTime) -> Option<RecordedPinhole> {
    let IpAddr::V6(address) = record.local_address else { return None };
    let (detached, end) = (record.kept, record.clone().orphaned(now).end);
    Some(RecordedPinhole {
        address,
        transport: record.transport,
        port: record.internal_port,
        protocol: record.maker.protocol(),
        gateway: record.gateway,
        held,
        detached,
        ends_within: end.and_then(|end| end.duration_since(now).ok()),
    })
}
