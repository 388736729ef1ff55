//! Waits for what is asked of the router without a lease.

use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::config::{portlease_config, read_config};
use crate::error::{guard, portlease_error};
use crate::mapper::portlease_mapper;
use crate::memory::Caller;
use crate::names::{portlease_family, portlease_kind, portlease_transport, read_family};
use crate::table::entry_to_delete;
use crate::thread::quiet;
use crate::values::timeout;
use crate::waits::{Answer, portlease_waits};

/// Begins portlease_mapper_probe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_mapper_probe(
    waits: *mut portlease_waits,
    mapper: *mut portlease_mapper,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let mapper = Arc::clone(&caller.handle("mapper", mapper)?.mapper);
        waits.begin(token, async move { mapper.probe().await.map(Answer::Report) })
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_mapper_probe_of.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_mapper_probe_of(
    waits: *mut portlease_waits,
    mapper: *mut portlease_mapper,
    family: MaybeUninit<portlease_family>,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let mapper = Arc::clone(&caller.handle("mapper", mapper)?.mapper);
        let family = read_family("family", family)?;
        waits.begin(token, async move { mapper.probe_of(family).await.map(Answer::Report) })
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_mapper_external_address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_mapper_external_address(
    waits: *mut portlease_waits,
    mapper: *mut portlease_mapper,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let mapper = Arc::clone(&caller.handle("mapper", mapper)?.mapper);
        let limit = timeout(timeout_seconds)?;
        waits.begin(token, async move { mapper.external_address(limit).await.map(Answer::Address) })
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_mapper_table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_mapper_table(
    waits: *mut portlease_waits,
    mapper: *mut portlease_mapper,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let mapper = Arc::clone(&caller.handle("mapper", mapper)?.mapper);
        waits.begin(token, async move { mapper.table().await.map(Answer::Table) })
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_mapper_delete. Cancelling it may leave the entry or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_mapper_delete(
    waits: *mut portlease_waits,
    mapper: *mut portlease_mapper,
    transport: MaybeUninit<portlease_transport>,
    external_port: u16,
    any_host: MaybeUninit<bool>,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let mapper = Arc::clone(&caller.handle("mapper", mapper)?.mapper);
        let (transport, port, any_host) = entry_to_delete(transport, external_port, any_host)?;
        waits.begin(token, async move {
            let deleted = mapper.delete(transport, port, any_host).await?;
            Ok(Answer::Table(deleted.into_iter().collect()))
        })
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_probe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_probe(
    waits: *mut portlease_waits,
    config: *const portlease_config,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let config = read_config(caller, config)?;
        waits.begin(token, quiet(async move { portlease::probe(config).await.map(Answer::Report) }))
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_probe_of.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_probe_of(
    waits: *mut portlease_waits,
    config: *const portlease_config,
    family: MaybeUninit<portlease_family>,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let (config, family) = (read_config(caller, config)?, read_family("family", family)?);
        waits.begin(token, quiet(async move { portlease::probe_of(config, family).await.map(Answer::Report) }))
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_external_address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_external_address(
    waits: *mut portlease_waits,
    config: *const portlease_config,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let (config, limit) = (read_config(caller, config)?, timeout(timeout_seconds)?);
        waits.begin(token, quiet(async move { portlease::external_address(config, limit).await.map(Answer::Address) }))
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}
