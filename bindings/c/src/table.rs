//! The router's table of mapped ports, as C sees it, and what else can be asked of the router without a lease.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use portlease::{PortMappingError, TableEntry, Transport};

use crate::config::{portlease_config, read_config};
use crate::error::{guard, portlease_error};
use crate::gateway::{PORTLEASE_NAME_SIZE, ReportOut, portlease_gateway_report, portlease_protocol_report};
use crate::mapper::portlease_mapper;
use crate::memory::place::PORTLEASE_ADDRESS_SIZE;
use crate::memory::{Caller, OutArray, To, field, fill, growing, truth};
use crate::names::{portlease_family, portlease_kind, portlease_transport, read_family, read_transport};
use crate::snapshot::seconds;
use crate::thread::{quiet, wait};
use crate::values::{address_out, timeout};

/// A line of the router's table of mapped ports.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_table_entry {
    /// sizeof(portlease_table_entry)
    pub struct_size: usize,
    /// UDP or TCP.
    pub transport: portlease_transport,
    /// The port on the router's public side.
    pub external_port: u16,
    /// The port on the host inside.
    pub internal_port: u16,
    /// The seconds that are left; negative for an entry that does not end by itself.
    pub lifetime: f64,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whether it forwards to this machine.
    pub this_machine: bool,
    /// The only host that may use it; "" for everybody.
    pub remote_host: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The host inside to which the router forwards: an address, on some routers a name.
    pub internal_client: [c_char; PORTLEASE_NAME_SIZE],
    /// What the one who made it calls it.
    pub description: [c_char; PORTLEASE_NAME_SIZE],
}

growing!(portlease_table_entry: description [c_char; PORTLEASE_NAME_SIZE]);

/// Where a table goes, and how many entries it has.
pub(crate) struct TableOut<'c> {
    entries: OutArray<'c, portlease_table_entry>,
    count: Option<To<'c, usize>>,
}

impl<'c> TableOut<'c> {
    pub(crate) fn new(
        caller: Caller<'c>,
        entries: *mut portlease_table_entry,
        capacity: usize,
        count: *mut usize,
    ) -> Result<Self, PortMappingError> {
        let entries = caller.out_array("entries", entries, capacity)?;
        Ok(Self { entries, count: caller.optional_place("count", count)? })
    }

    pub(crate) fn put(&self, table: &[TableEntry]) {
        self.entries.put(table, put_entry);
        self.count.iter().for_each(|count| count.set(table.len()));
    }
}

fn put_entry(to: To<'_, portlease_table_entry>, entry: &TableEntry) {
    fill!(to, {
        transport: entry.transport.into(),
        external_port: entry.external_port,
        internal_port: entry.internal_port,
        lifetime: seconds(entry.lifetime),
        enabled: entry.enabled,
        this_machine: entry.this_machine,
    });
    field!(to, remote_host).set_text(&entry.remote_host);
    field!(to, internal_client).set_text(&entry.internal_client);
    field!(to, description).set_text(&entry.description);
}

/// The arguments of core's `delete`.
pub(crate) fn entry_to_delete(
    transport: MaybeUninit<portlease_transport>,
    external_port: u16,
    any_host: MaybeUninit<bool>,
) -> Result<(Transport, u16, bool), PortMappingError> {
    Ok((read_transport("transport", transport)?, external_port, truth(any_host)))
}

/// The address at which the internet sees this machine, without a lease of one's own, into `address`, which has
/// PORTLEASE_ADDRESS_SIZE bytes. Blocks for about 2 s at most by default. A lease that is active has it already. If
/// only PCP answers, it takes a mapping: UDP port 9 is mapped for a moment. Fails with PORTLEASE_UNAVAILABLE if no
/// protocol tells it, with PORTLEASE_REFUSED, PORTLEASE_TRANSPORT, PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_external_address(
    mapper: *mut portlease_mapper,
    timeout_seconds: f64,
    address: *mut c_char,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let out = address_out(caller, address)?;
        out.set_address(Some(wait(engine.external_address(timeout(timeout_seconds)?))?));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Reads the router's table of mapped ports, of all programs and machines, as far as the router shows it (1024 at most).
/// Copies up to `capacity` entries into `entries` (may be NULL if `capacity` is 0), and the total into `count` (or NULL).
/// Blocks until the router has shown it. Only UPnP can read it. Fails with PORTLEASE_UNAVAILABLE without UPnP, with PORTLEASE_REFUSED if the router
/// does not show it, with PORTLEASE_TRANSPORT, PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_table(
    mapper: *mut portlease_mapper,
    entries: *mut portlease_table_entry,
    capacity: usize,
    count: *mut usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let out = TableOut::new(caller, entries, capacity, count)?;
        out.put(&wait(engine.table())?);
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Deletes an entry of that table. `entry` (or NULL) gets what it was, and `found` (or NULL) 1; 0 if there was none. One
/// that forwards to another machine is deleted only with `any_host`. Fails as portlease_mapper_table does; with
/// PORTLEASE_REFUSED for an entry of another machine; with PORTLEASE_INVALID for what a lease of this mapper holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_delete(
    mapper: *mut portlease_mapper,
    transport: MaybeUninit<portlease_transport>,
    external_port: u16,
    any_host: MaybeUninit<bool>,
    entry: *mut portlease_table_entry,
    found: *mut usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let out = TableOut::new(caller, entry, usize::from(!entry.is_null()), found)?;
        let (transport, port, any_host) = entry_to_delete(transport, external_port, any_host)?;
        out.put(wait(engine.delete(transport, port, any_host))?.as_slice());
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// portlease_mapper_probe with an engine of its own. `config` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_probe(
    config: *const portlease_config,
    report: *mut portlease_gateway_report,
    protocols: *mut portlease_protocol_report,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let out = ReportOut::new(caller, report, protocols, capacity)?;
        out.put(&wait(quiet(portlease::probe(read_config(caller, config)?)))?);
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// portlease_mapper_probe_of with an engine of its own. `config` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_probe_of(
    config: *const portlease_config,
    family: MaybeUninit<portlease_family>,
    report: *mut portlease_gateway_report,
    protocols: *mut portlease_protocol_report,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let out = ReportOut::new(caller, report, protocols, capacity)?;
        let family = read_family("family", family)?;
        out.put(&wait(quiet(portlease::probe_of(read_config(caller, config)?, family)))?);
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// portlease_mapper_external_address with an engine of its own. `config` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_external_address(
    config: *const portlease_config,
    timeout_seconds: f64,
    address: *mut c_char,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let out = address_out(caller, address)?;
        let asked = portlease::external_address(read_config(caller, config)?, timeout(timeout_seconds)?);
        out.set_address(Some(wait(quiet(asked))?));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}
