//! Mapping ports and giving them back.

use std::ffi::{c_char, c_int};
use std::net::IpAddr;
use std::time::Duration;

use portlease::{ErrorKind, Lease, TableEntry, Transport};
use portlease_host::thread::wait;

use super::{code, failed, for_everybody, port, router, transport};
use crate::codes::upnp;
use crate::memory::{guard, read, write};
use crate::router::{Asked, Library, Router, Wish, shown};

/// How often a lease may be ended by other threads while it is waited for.
const MOST_ENDS: u32 = 5;
/// The bytes for a port: five digits and the end.
const PORT_SIZE: usize = 6;

/// The arguments of UPNP_AddPortMapping.
struct Added {
    wish: Wish,
    client: IpAddr,
}

impl Added {
    /// # Safety
    /// Each is NULL or a string.
    unsafe fn read(
        external_port: *const c_char,
        internal_port: *const c_char,
        client: *const c_char,
        description: *const c_char,
        protocol: *const c_char,
        remote_host: *const c_char,
        lease: *const c_char,
    ) -> Result<Self, c_int> {
        // SAFETY: the promise is this function's.
        unsafe {
            let client = read(client).and_then(|text| text.trim().parse().ok()).ok_or(upnp::INVALID_ARGS)?;
            for_everybody(remote_host)?;
            let seconds = match read(lease) {
                Some(text) => text.trim().parse::<u32>().map_err(|_| upnp::INVALID_ARGS)?,
                None => 0,
            };
            let wish = Wish {
                transport: transport(protocol)?,
                external_port: port(external_port)?,
                internal_port: port(internal_port)?,
                lifetime: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
                description: read(description),
            };
            Ok(Self { wish, client })
        }
    }

    /// Maps the port, or another one if `any` will do, and answers with the one that is mapped.
    fn map(&self, router: &Router, any: bool) -> Result<u16, c_int> {
        let Wish { transport, external_port, internal_port, .. } = self.wish;
        let local = router.path().map_err(failed)?.local_address;
        if self.client != local {
            return self.by_hand(router);
        }
        let wish = match any {
            true => Wish { external_port: router.free_port(&self.wish), ..self.wish.clone() },
            false => self.wish.clone(),
        };
        // A router lets a host set its own entry anew with another port.
        if !any
            && let Some(other) =
                router.at(transport, external_port).filter(|lease| lease.request().internal_port != internal_port)
        {
            stop(router, &other);
        }
        let (asked, granted) = ask(router, &wish)?;
        match granted {
            Ok(port) if any || port == external_port => return Ok(port),
            // What was mapped before stays, or is mapped again by itself.
            _ if !asked.was_held() => give_up(router, &asked.lease),
            _ => {}
        }
        // One port of this machine has one lease; further ports of the router lead there by entries that nobody renews.
        granted.and_then(|_| if asked.was_there() { self.by_hand(router).map(drop) } else { Err(upnp::CONFLICT) })?;
        Ok(external_port)
    }

    /// An entry of the router's table that no lease holds.
    fn by_hand(&self, router: &Router) -> Result<u16, c_int> {
        let Wish { transport, external_port, internal_port, .. } = self.wish;
        if self.client.is_ipv6() {
            return Err(upnp::INVALID_ARGS);
        }
        let description = shown(self.wish.description.as_deref().unwrap_or(portlease::config::DEFAULT_DESCRIPTION));
        let entry = TableEntry::new(transport, external_port, self.client.to_string(), internal_port)
            .description(description)
            .lifetime(self.wish.lifetime);
        match router.add(entry) {
            Ok(()) => Ok(external_port),
            // The arguments are right: it is the port of a lease.
            Err(error) if error.kind() == ErrorKind::Invalid => Err(upnp::CONFLICT),
            Err(error) => Err(without_upnp(upnp::NOT_AUTHORIZED)(error)),
        }
    }
}

/// Asks for a port and waits for the answer: the external port. A lease that another thread ends meanwhile is asked for anew.
fn ask(router: &Router, wish: &Wish) -> Result<(Asked, Result<u16, c_int>), c_int> {
    for _ in 0..MOST_ENDS {
        // The arguments are right, so what is invalid is a wish that another lease has already.
        let asked = router.ask(Library::Miniupnpc, wish).map_err(|error| match error.kind() {
            ErrorKind::Invalid => upnp::CONFLICT,
            _ => failed(error),
        })?;
        match wait(asked.answer()) {
            Ok(lease) => {
                if let Some(port) = lease.external_port() {
                    return Ok((asked, Ok(port)));
                }
            }
            Err(error) if error.kind() == ErrorKind::Stopped => {}
            Err(error) => return Ok((asked, Err(failed(error)))),
        }
    }
    Err(upnp::HTTP_ERROR)
}

/// The code of a failure; `code` where there is no UPnP to ask.
pub(super) fn without_upnp(code: c_int) -> impl Fn(portlease::PortMappingError) -> c_int {
    move |error| match failed(error) {
        upnp::HTTP_ERROR => code,
        other => other,
    }
}

/// Miniupnpc's caller has no use for the lease.
fn give_up(router: &Router, lease: &Lease) {
    if let Some(unused) = router.let_go(Library::Miniupnpc, lease) {
        wait(unused.stop(None));
    }
}

/// Ends a lease, whoever holds it.
fn stop(router: &Router, lease: &Lease) {
    for library in [Library::Miniupnpc, Library::Natpmp] {
        router.let_go(library, lease);
    }
    wait(lease.stop(None));
}

/// UPNP_AddPortMapping of upnpcommands.h. The port is renewed as long as the process lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_AddPortMapping(
    _control_url: *const c_char,
    _service_type: *const c_char,
    external_port: *const c_char,
    internal_port: *const c_char,
    client: *const c_char,
    description: *const c_char,
    protocol: *const c_char,
    remote_host: *const c_char,
    lease: *const c_char,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        // SAFETY: the caller's.
        let added =
            unsafe { Added::read(external_port, internal_port, client, description, protocol, remote_host, lease) };
        code(added.and_then(|added| added.map(router()?, false).map(drop)))
    })
}

/// UPNP_AddAnyPortMapping of upnpcommands.h: `reserved_port` has 6 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_AddAnyPortMapping(
    _control_url: *const c_char,
    _service_type: *const c_char,
    external_port: *const c_char,
    internal_port: *const c_char,
    client: *const c_char,
    description: *const c_char,
    protocol: *const c_char,
    remote_host: *const c_char,
    lease: *const c_char,
    reserved_port: *mut c_char,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        // SAFETY: the caller's.
        let added =
            unsafe { Added::read(external_port, internal_port, client, description, protocol, remote_host, lease) };
        let mapped = added.and_then(|added| added.map(router()?, true));
        // SAFETY: the caller's.
        code(mapped.map(|port| unsafe { write(reserved_port, PORT_SIZE, &port.to_string()) }))
    })
}

/// UPNP_DeletePortMapping of upnpcommands.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_DeletePortMapping(
    _control_url: *const c_char,
    _service_type: *const c_char,
    external_port: *const c_char,
    protocol: *const c_char,
    remote_host: *const c_char,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        // SAFETY: the caller's.
        let place = unsafe {
            port(external_port).and_then(|port| Ok((transport(protocol)?, port, for_everybody(remote_host)?)))
        };
        code(place.and_then(|(transport, port, ())| delete(router()?, transport, port)))
    })
}

/// Deletes what this process keeps mapped at a port of the router. `false` if that is nothing.
fn delete_own(router: &Router, transport: Transport, external_port: u16) -> bool {
    let Some(lease) = router.at(transport, external_port) else { return false };
    match router.of(Library::Miniupnpc).iter().any(|held| held.id() == lease.id()) {
        true => give_up(router, &lease),
        // A program that names a port of the router means the port.
        false => stop(router, &lease),
    }
    true
}

fn delete(router: &Router, transport: Transport, external_port: u16) -> Result<(), c_int> {
    if delete_own(router, transport, external_port) {
        return Ok(());
    }
    match router.delete(transport, external_port) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(upnp::NO_SUCH_ENTRY),
        // Another thread has mapped the port just now.
        Err(error) if error.kind() == ErrorKind::Invalid => {
            if delete_own(router, transport, external_port) {
                Ok(())
            } else {
                Err(upnp::NO_SUCH_ENTRY)
            }
        }
        Err(error) => match failed(error) {
            // Without UPnP a router tells what it has to nobody; what an earlier program has left is on record.
            upnp::HTTP_ERROR => {
                let forgotten = wait(router.forget(transport, external_port)).ok().flatten();
                forgotten.filter(|port| *port == external_port).map(drop).ok_or(upnp::NO_SUCH_ENTRY)
            }
            code => Err(code),
        },
    }
}
