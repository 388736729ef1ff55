//! What is mapped: the router's table where it shows one by UPnP, and else the leases of this process.

use std::ffi::{c_char, c_int, c_uchar, c_uint};
use std::net::IpAddr;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use portlease::{LeaseSnapshot, TableEntry, Transport};

use super::device::text;
use super::mapping::without_upnp;
use super::types::{PortListing, PortMapping};
use super::{code, failed, name, port, router, transport};
use crate::codes::upnp;
use crate::memory::{guard, put, read, write};
use crate::router::Router;

/// The bytes for a port.
const PORT_SIZE: usize = 6;
/// The bytes for an IPv4 address, and for a lease time.
const SHORT_SIZE: usize = 16;
/// The bytes for a description.
const DESCRIPTION_SIZE: usize = 80;
/// The bytes for `1` or `0`, and for a protocol.
const FLAG_SIZE: usize = 4;
/// The bytes for a remote host.
const REMOTE_SIZE: usize = 64;

/// In seconds, as UPnP writes it.
fn seconds(lifetime: Option<Duration>) -> u64 {
    lifetime.map_or(0, |left| left.as_secs().max(1))
}

const fn flag(enabled: bool) -> &'static str {
    if enabled { "1" } else { "0" }
}

/// A lease as a line of a table; nothing while it is not mapped.
fn entry_of(lease: &LeaseSnapshot, local: IpAddr) -> Option<TableEntry> {
    let entry = TableEntry::new(lease.transport, lease.external_port()?, local.to_string(), lease.internal_port);
    Some(entry.lifetime(lease.expires_in).description(portlease::config::DEFAULT_DESCRIPTION))
}

fn own_entries(router: &Router) -> Result<Vec<TableEntry>, c_int> {
    let local = router.path().map_err(failed)?.local_address;
    Ok(router.leases().iter().filter_map(|lease| entry_of(lease, local)).collect())
}

/// The table, read anew.
fn entries(router: &Router) -> Result<Vec<TableEntry>, c_int> {
    match router.table().map_err(without_upnp(upnp::INVALID_INDEX)) {
        Err(upnp::INVALID_INDEX) => own_entries(router),
        told => told,
    }
}

/// The entry at an external port; only one of this process if `own_only`.
fn entry(router: &Router, transport: Transport, external_port: u16, own_only: bool) -> Result<TableEntry, c_int> {
    let own = router.at(transport, external_port).map(|lease| lease.snapshot()).filter(|lease| lease.active);
    if let Some(lease) = own {
        let local = router.path().map_err(failed)?.local_address;
        return entry_of(&lease, local).ok_or(upnp::NO_SUCH_ENTRY);
    }
    if own_only {
        return Err(upnp::NO_SUCH_ENTRY);
    }
    let told = router.entry(transport, external_port).map_err(without_upnp(upnp::NO_SUCH_ENTRY))?;
    told.ok_or(upnp::NO_SUCH_ENTRY)
}

/// UPNP_GetSpecificPortMappingEntry of upnpcommands.h. Every place for an answer may be NULL. A program that does not want to know
/// where the port leads asks whether it has mapped it (i2pd does): then only what this process keeps mapped counts, because with
/// an entry that a killed process has left the program would be content, and nobody would renew it. After a failure client and
/// port are empty, because some programs look at nothing else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetSpecificPortMappingEntry(
    _control_url: *const c_char,
    _service_type: *const c_char,
    external_port: *const c_char,
    protocol: *const c_char,
    _remote_host: *const c_char,
    client: *mut c_char,
    internal_port: *mut c_char,
    description: *mut c_char,
    enabled: *mut c_char,
    lease: *mut c_char,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        // SAFETY: the caller's.
        let place = unsafe { port(external_port).and_then(|port| Ok((transport(protocol)?, port))) };
        let own_only = client.is_null() && internal_port.is_null();
        let found = place.and_then(|(transport, port)| entry(router()?, transport, port, own_only));
        // SAFETY: the caller's; the sizes are those of the header.
        unsafe {
            write(client, SHORT_SIZE, "");
            write(internal_port, PORT_SIZE, "");
        }
        // SAFETY: as above.
        code(found.map(|entry| unsafe {
            write(client, SHORT_SIZE, &entry.internal_client);
            write(internal_port, PORT_SIZE, &entry.internal_port.to_string());
            write(description, DESCRIPTION_SIZE, &entry.description);
            write(enabled, FLAG_SIZE, flag(entry.enabled));
            write(lease, SHORT_SIZE, &seconds(entry.lifetime).to_string());
        }))
    })
}

/// UPNP_GetGenericPortMappingEntry of upnpcommands.h. The whole table is read for index 0 and kept for the others. Every place
/// for an answer may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetGenericPortMappingEntry(
    _control_url: *const c_char,
    _service_type: *const c_char,
    index: *const c_char,
    external_port: *mut c_char,
    client: *mut c_char,
    internal_port: *mut c_char,
    protocol: *mut c_char,
    description: *mut c_char,
    enabled: *mut c_char,
    remote_host: *mut c_char,
    lease: *mut c_char,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        // SAFETY: the caller's.
        let index = unsafe { read(index) }.and_then(|text| text.trim().parse::<usize>().ok());
        let Some(index) = index else { return upnp::INVALID_ARGS };
        let found = router().and_then(|router| {
            if index == 0 {
                router.keep_table(Arc::new(entries(router)?));
            }
            let table = router.kept_table();
            table.get(index).cloned().ok_or(upnp::INVALID_INDEX)
        });
        // SAFETY: the caller's; the sizes are those of the header.
        code(found.map(|entry| unsafe {
            write(external_port, PORT_SIZE, &entry.external_port.to_string());
            write(client, SHORT_SIZE, &entry.internal_client);
            write(internal_port, PORT_SIZE, &entry.internal_port.to_string());
            write(protocol, FLAG_SIZE, name(entry.transport));
            write(description, DESCRIPTION_SIZE, &entry.description);
            write(enabled, FLAG_SIZE, flag(entry.enabled));
            write(remote_host, REMOTE_SIZE, &entry.remote_host);
            write(lease, SHORT_SIZE, &seconds(entry.lifetime).to_string());
        }))
    })
}

/// UPNP_GetPortMappingNumberOfEntries of upnpcommands.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetPortMappingNumberOfEntries(
    _control_url: *const c_char,
    _service_type: *const c_char,
    count: *mut c_uint,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        let told = router().and_then(entries);
        // SAFETY: the caller's.
        code(told.map(|table| unsafe { put(count, c_uint::try_from(table.len()).unwrap_or(c_uint::MAX)) }))
    })
}

/// UPNP_GetListOfPortMappings of upnpcommands.h: what is mapped from one port to another. The list goes to FreePortListing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetListOfPortMappings(
    _control_url: *const c_char,
    _service_type: *const c_char,
    start_port: *const c_char,
    end_port: *const c_char,
    protocol: *const c_char,
    most: *const c_char,
    list: *mut PortListing,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        if list.is_null() {
            return upnp::INVALID_ARGS;
        }
        // SAFETY: the caller's.
        unsafe { put(list, PortListing { head: ptr::null_mut(), current: 0 }) };
        // SAFETY: the caller's.
        let wanted = unsafe {
            let most = read(most).and_then(|text| text.trim().parse::<usize>().ok()).filter(|most| *most > 0);
            port(start_port).and_then(|start| Ok((start, port(end_port)?, transport(protocol)?, most)))
        };
        let found = wanted.and_then(|(start, end, transport, most)| {
            let table = entries(router()?)?;
            let is_it =
                |entry: &&TableEntry| entry.transport == transport && (start..=end).contains(&entry.external_port);
            let found: Vec<_> = table.iter().filter(is_it).take(most.unwrap_or(usize::MAX)).cloned().collect();
            if found.is_empty() { Err(upnp::PORT_MAPPING_NOT_FOUND) } else { Ok(found) }
        });
        code(found.map(|found| {
            let mut head = ptr::null_mut();
            for entry in found.iter().rev() {
                head = line(entry, head);
            }
            // SAFETY: the caller's.
            unsafe { put(list, PortListing { head, current: 0 }) };
        }))
    })
}

/// A line before `next`, in memory of malloc(3); without that, only what comes behind.
fn line(entry: &TableEntry, next: *mut PortMapping) -> *mut PortMapping {
    // SAFETY: the size is not 0; malloc aligns for every type.
    let line: *mut PortMapping = unsafe { libc::malloc(size_of::<PortMapping>()) }.cast();
    let whole = PortMapping {
        next,
        lease_time: seconds(entry.lifetime),
        external_port: entry.external_port,
        internal_port: entry.internal_port,
        remote_host: text(&entry.remote_host),
        internal_client: text(&entry.internal_client),
        description: text(&entry.description),
        protocol: text(name(entry.transport)),
        enabled: c_uchar::from(entry.enabled),
    };
    // SAFETY: NULL, or as large as that and nobody else's.
    unsafe { put(line, whole) };
    if line.is_null() { next } else { line }
}

/// ParsePortListing of portlistingparse.h: nothing is parsed; the list comes whole from UPNP_GetListOfPortMappings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ParsePortListing(_buffer: *const c_char, _size: c_int, list: *mut PortListing) {
    // SAFETY: the caller's.
    unsafe { put(list, PortListing { head: ptr::null_mut(), current: 0 }) };
}

/// FreePortListing of portlistingparse.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FreePortListing(list: *mut PortListing) {
    // SAFETY: the caller's.
    let Some(list) = (unsafe { list.as_mut() }) else { return };
    while !list.head.is_null() {
        // SAFETY: each line is memory of malloc(3) that nobody else uses.
        unsafe {
            let next = (*list.head).next;
            libc::free(list.head.cast());
            list.head = next;
        }
    }
}
