//! The functions of natpmp.h. The router is asked by PCP and UPnP as well: what a program calls NAT-PMP is whatever maps ports.

use std::ffi::{CStr, c_char, c_int};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portlease::{LeaseSnapshot, PortMappingError, Transport, fork};

use super::channel::{Answer, Channel};
use super::types::{MappedPort, NatPmp, Response, Value};
use crate::codes::{natpmp, of_natpmp};
use crate::memory::{guard, put};
use crate::process::Process;
use crate::router::{Library, Router, Wish};

/// NATPMP_RESPTYPE_PUBLICADDRESS.
const PUBLIC_ADDRESS: u16 = 0;
/// NATPMP_PROTOCOL_UDP, NATPMP_RESPTYPE_UDPPORTMAPPING.
const UDP: u16 = 1;
/// NATPMP_PROTOCOL_TCP, NATPMP_RESPTYPE_TCPPORTMAPPING.
const TCP: u16 = 2;
/// The bytes of a request for the address, which is what sendpublicaddressrequest answers with.
const ADDRESS_REQUEST: c_int = 2;
/// The bytes of a request for a port.
const MAPPING_REQUEST: c_int = 12;
/// So that what initnatpmp has filled in is known from what it has not.
const MARK: [u8; 9] = *b"portlease";

const fn kind_of(transport: Transport) -> u16 {
    match transport {
        Transport::Udp => UDP,
        Transport::Tcp => TCP,
    }
}

/// Seconds since this process began to ask: the router's own clock matters to nobody who is kept mapped.
fn epoch() -> u32 {
    u32::try_from(Process::here().began.elapsed().as_secs()).unwrap_or(u32::MAX)
}

fn response(kind: u16, value: Value) -> Response {
    Response { kind, result_code: 0, epoch: epoch(), value }
}

/// The mark of structs that this process fills in: which of a line of forks it is, is in it.
fn mark() -> [u8; 12] {
    let [a, b, c, _] = fork::generation().to_le_bytes();
    let [m0, m1, m2, m3, m4, m5, m6, m7, m8] = MARK;
    [m0, m1, m2, m3, m4, m5, m6, m7, m8, a, b, c]
}

/// The channel behind a struct. One that was initialized before a fork gets a channel of the child's own.
///
/// # Safety
/// `p` leads to a struct that initnatpmp has filled in.
unsafe fn channel(p: *mut NatPmp) -> Result<Arc<Channel>, c_int> {
    // SAFETY: the promise is this function's.
    let known = unsafe { p.as_mut() }.ok_or(natpmp::INVALID_ARGS)?;
    let channels = &Process::here().channels;
    if known.pending_request == mark() {
        // A copy of a struct that was closed has none.
        return channels.get(known.s).ok_or(natpmp::INVALID_ARGS);
    }
    if !known.pending_request.starts_with(&MARK) {
        return Err(natpmp::INVALID_ARGS);
    }
    known.s = channels.open(named(known.gateway)).map_err(|_| natpmp::SOCKET_ERROR)?;
    (known.has_pending_request, known.pending_request) = (0, mark());
    channels.get(known.s).ok_or(natpmp::SOCKET_ERROR)
}

/// The gateway that is meant by an address: `None` for the one of the default route.
fn named(gateway: u32) -> Option<Ipv4Addr> {
    let gateway = Ipv4Addr::from(u32::from_be(gateway));
    let default = Process::here().router(None).ok().and_then(|router| gateway_of(router).ok());
    (Some(gateway) != default).then_some(gateway)
}

fn gateway_of(router: &Router) -> Result<Ipv4Addr, PortMappingError> {
    match router.path()?.require_gateway()? {
        IpAddr::V4(gateway) => Ok(gateway),
        IpAddr::V6(gateway) => Err(PortMappingError::unavailable(format!("the gateway is {gateway}"))),
    }
}

/// initnatpmp of natpmp.h. Sends nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn initnatpmp(p: *mut NatPmp, force_gateway: c_int, forced_gateway: u32) -> c_int {
    guard(natpmp::UNDEFINED_ERROR, || {
        if p.is_null() {
            return natpmp::INVALID_ARGS;
        }
        let process = Process::here();
        let default = process.router(None).and_then(gateway_of);
        let gateway = match (force_gateway, default) {
            (0, Err(_)) => return natpmp::CANNOT_GET_GATEWAY,
            (0, Ok(gateway)) => gateway,
            _ => Ipv4Addr::from(u32::from_be(forced_gateway)),
        };
        let gateway = u32::from(gateway).to_be();
        match process.channels.open(named(gateway)) {
            Ok(s) => {
                let filled = NatPmp {
                    s,
                    gateway,
                    has_pending_request: 0,
                    pending_request: mark(),
                    pending_request_len: 0,
                    try_number: 0,
                    retry_time: libc::timeval { tv_sec: 0, tv_usec: 0 },
                };
                // SAFETY: the caller's.
                unsafe { put(p, filled) };
                0
            }
            Err(_) => natpmp::SOCKET_ERROR,
        }
    })
}

/// closenatpmp of natpmp.h. What is mapped stays, as the program has asked for. A descriptor is closed once, also if there are copies
/// of the struct: its number may belong to something else by then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closenatpmp(p: *mut NatPmp) -> c_int {
    guard(natpmp::UNDEFINED_ERROR, || {
        // SAFETY: the caller's.
        let Some(p) = (unsafe { p.as_mut() }) else { return natpmp::INVALID_ARGS };
        let s = std::mem::replace(&mut p.s, -1);
        p.has_pending_request = 0;
        match std::mem::take(&mut p.pending_request) {
            own if own == mark() => match Process::here().channels.close(s) {
                // SAFETY: the program's own descriptor, which this function is to close.
                true if unsafe { libc::close(s) } == 0 => 0,
                _ => natpmp::CLOSE_ERROR,
            },
            // From before a fork. What the parent has closed meanwhile may belong to something of the child's.
            inherited if inherited.starts_with(&MARK) => 0,
            _ => natpmp::CLOSE_ERROR,
        }
    })
}

/// Begins a request and answers with its size.
///
/// # Safety
/// As [`channel`].
unsafe fn send(
    p: *mut NatPmp,
    size: c_int,
    answer: impl FnOnce(&'static Router) -> Result<Begun, c_int>,
) -> Result<c_int, c_int> {
    // SAFETY: the promise is this function's.
    let channel = unsafe { channel(p) }?;
    let router = Process::here().router(channel.gateway).map_err(|error| of_natpmp(&error))?;
    // Before the next one asks: a port that it deletes could be the port that is asked for.
    channel.cancel();
    channel.begin(answer(router)?);
    // SAFETY: `channel` has looked at it.
    let p = unsafe { &mut *p };
    (p.has_pending_request, p.pending_request_len, p.try_number) = (1, size, 1);
    set_retry(p, &channel);
    Ok(size)
}

/// A request whose answer is waited for.
type Begun = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Tells the program when to look again.
fn set_retry(p: &mut NatPmp, channel: &Channel) {
    let Some((patience, tries)) = channel.patience() else { return };
    let at = SystemTime::now() + patience;
    p.retry_time = time(at.duration_since(UNIX_EPOCH).unwrap_or_default());
    p.try_number = tries;
}

fn time(time: Duration) -> libc::timeval {
    libc::timeval {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(time.subsec_micros()),
    }
}

/// sendpublicaddressrequest of natpmp.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendpublicaddressrequest(p: *mut NatPmp) -> c_int {
    guard(natpmp::UNDEFINED_ERROR, || {
        let address = |router: &'static Router| -> Result<Begun, c_int> {
            Ok(Box::pin(async move {
                match router.external_address().await.map_err(|error| of_natpmp(&error))? {
                    IpAddr::V4(address) => {
                        Ok(response(PUBLIC_ADDRESS, Value { public_address: u32::from(address).to_be() }))
                    }
                    IpAddr::V6(_) => Err(natpmp::NETWORK_FAILURE),
                }
            }))
        };
        // SAFETY: the caller's.
        unsafe { send(p, ADDRESS_REQUEST, address) }.unwrap_or_else(|code| code)
    })
}

/// sendnewportmappingrequest of natpmp.h: a lifetime of 0 deletes, and with both ports 0 everything that the program has mapped by
/// the protocol. The port is renewed as long as the process lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendnewportmappingrequest(
    p: *mut NatPmp,
    protocol: c_int,
    private_port: u16,
    public_port: u16,
    lifetime: u32,
) -> c_int {
    guard(natpmp::UNDEFINED_ERROR, || {
        let transport = match u16::try_from(protocol) {
            Ok(UDP) => Transport::Udp,
            Ok(TCP) => Transport::Tcp,
            _ => return natpmp::INVALID_ARGS,
        };
        let begin = |router: &'static Router| match (private_port, lifetime) {
            (0, 0) if public_port == 0 => Ok(delete_all(router, transport)),
            (0, _) => Err(natpmp::INVALID_ARGS),
            (_, 0) => Ok(delete(router, transport, private_port)),
            _ => map(
                router,
                &Wish {
                    transport,
                    external_port: if public_port == 0 { private_port } else { public_port },
                    internal_port: private_port,
                    lifetime: Some(Duration::from_secs(lifetime.into())),
                    description: None,
                },
            ),
        };
        // SAFETY: the caller's.
        unsafe { send(p, MAPPING_REQUEST, begin) }.unwrap_or_else(|code| code)
    })
}

fn map(router: &'static Router, wish: &Wish) -> Result<Begun, c_int> {
    // NAT-PMP has another port given to whoever wishes for one that is taken.
    let wish = Wish { external_port: router.free_port(wish), ..wish.clone() };
    let asked = router.ask(Library::Natpmp, &wish).map_err(|error| of_natpmp(&error))?;
    Ok(Box::pin(async move {
        match asked.answer().await {
            Ok(lease) if lease.external_port().is_some() => Ok(mapped(&lease)),
            // Another thread has ended it meanwhile.
            Ok(_) => Err(natpmp::UNDEFINED_ERROR),
            Err(error) => {
                if !asked.was_held() {
                    router.let_go(Library::Natpmp, &asked.lease);
                }
                Err(of_natpmp(&error))
            }
        }
    }))
}

fn mapped(lease: &LeaseSnapshot) -> Response {
    let left = lease.expires_in.or(lease.lifetime).unwrap_or(portlease::config::MAX_TTL);
    let mapping = MappedPort {
        private_port: lease.internal_port,
        mapped_public_port: lease.external_port().unwrap_or(0),
        lifetime: u32::try_from(left.as_secs().max(1)).unwrap_or(u32::MAX),
    };
    response(kind_of(lease.transport), Value { mapping })
}

fn deleted(transport: Transport, private_port: u16) -> Response {
    let mapping = MappedPort { private_port, mapped_public_port: 0, lifetime: 0 };
    response(kind_of(transport), Value { mapping })
}

fn delete(router: &'static Router, transport: Transport, private_port: u16) -> Begun {
    Box::pin(async move {
        match router.on(transport, private_port) {
            Some(lease) => {
                if let Some(unused) = router.let_go(Library::Natpmp, &lease) {
                    unused.stop(None).await;
                }
            }
            None => {
                router.forget(transport, private_port).await.map_err(|error| of_natpmp(&error))?;
            }
        }
        Ok(deleted(transport, private_port))
    })
}

fn delete_all(router: &'static Router, transport: Transport) -> Begun {
    Box::pin(async move {
        let leases = router.of(Library::Natpmp).into_iter().filter(|lease| lease.request().transport == transport);
        let unused: Vec<_> = leases.filter_map(|lease| router.let_go(Library::Natpmp, &lease)).collect();
        for lease in unused {
            lease.stop(None).await;
        }
        Ok(deleted(transport, 0))
    })
}

/// getnatpmprequesttimeout of natpmp.h: how long to select on `s` before the next call of readnatpmpresponseorretry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getnatpmprequesttimeout(p: *mut NatPmp, timeout: *mut libc::timeval) -> c_int {
    guard(natpmp::UNDEFINED_ERROR, || {
        if timeout.is_null() {
            return natpmp::INVALID_ARGS;
        }
        // SAFETY: the caller's.
        match unsafe { channel(p) }.map(|channel| channel.patience()) {
            Ok(Some((patience, _))) => {
                // SAFETY: the caller's.
                unsafe { put(timeout, time(patience)) };
                0
            }
            Ok(None) => natpmp::NO_PENDING_REQUEST,
            Err(code) => code,
        }
    })
}

/// readnatpmpresponseorretry of natpmp.h. Never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readnatpmpresponseorretry(p: *mut NatPmp, to: *mut Response) -> c_int {
    guard(natpmp::UNDEFINED_ERROR, || {
        if to.is_null() {
            return natpmp::INVALID_ARGS;
        }
        // SAFETY: the caller's.
        let channel = match unsafe { channel(p) } {
            Ok(channel) => channel,
            Err(code) => return code,
        };
        let answer = channel.answer();
        // SAFETY: `channel` has looked at it.
        let p = unsafe { &mut *p };
        match answer {
            Ok(answer) => {
                p.has_pending_request = 0;
                // SAFETY: the caller's.
                unsafe { put(to, answer) };
                0
            }
            Err(natpmp::TRY_AGAIN) => {
                set_retry(p, &channel);
                natpmp::TRY_AGAIN
            }
            Err(code) => {
                p.has_pending_request = 0;
                code
            }
        }
    })
}

/// readnatpmpresponse, which no header has: as readnatpmpresponseorretry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readnatpmpresponse(p: *mut NatPmp, to: *mut Response) -> c_int {
    // SAFETY: the caller's.
    unsafe { readnatpmpresponseorretry(p, to) }
}

/// The size of the request under way, which is sent again by itself.
///
/// # Safety
/// As [`channel`].
unsafe fn pending(p: *mut NatPmp, none: c_int) -> c_int {
    guard(natpmp::UNDEFINED_ERROR, || {
        // SAFETY: the promise is this function's.
        match unsafe { channel(p) } {
            Err(code) => code,
            Ok(channel) if channel.patience().is_none() => none,
            // SAFETY: `channel` has looked at it.
            Ok(_) => unsafe { &*p }.pending_request_len,
        }
    })
}

/// sendpendingrequest, which no header has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendpendingrequest(p: *mut NatPmp) -> c_int {
    // SAFETY: the caller's.
    unsafe { pending(p, natpmp::NO_PENDING_REQUEST) }
}

/// sendnatpmprequest, which no header has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendnatpmprequest(p: *mut NatPmp) -> c_int {
    // SAFETY: the caller's.
    unsafe { pending(p, natpmp::NO_PENDING_REQUEST) }
}

/// getdefaultgateway, which no public header has: the router's address in network order; 0, or -1 without a router.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getdefaultgateway(address: *mut u32) -> c_int {
    guard(-1, || match Process::here().router(None).and_then(gateway_of) {
        Ok(gateway) if !address.is_null() => {
            // SAFETY: the caller's.
            unsafe { put(address, u32::from(gateway).to_be()) };
            0
        }
        _ => -1,
    })
}

/// strnatpmperr of natpmp.h. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn strnatpmperr(code: c_int) -> *const c_char {
    text(code).as_ptr()
}

const fn text(code: c_int) -> &'static CStr {
    match code {
        0 => c"success",
        natpmp::INVALID_ARGS => c"invalid arguments",
        natpmp::SOCKET_ERROR => c"no socket",
        natpmp::CANNOT_GET_GATEWAY => c"no default route to a router",
        natpmp::CLOSE_ERROR => c"it is closed already",
        -5 => c"receiving failed",
        natpmp::NO_PENDING_REQUEST => c"nothing was asked for",
        natpmp::NO_GATEWAY_SUPPORT => c"the router does not answer by any protocol",
        -8 => c"connecting failed",
        -9 => c"the answer is not the router's",
        -10 => c"sending failed",
        -11 => c"the socket could not be set up",
        -12 => c"no time of day",
        natpmp::UNSUPPORTED_VERSION => c"the router does not know this version",
        -15 => c"the router does not know this request",
        natpmp::UNDEFINED_ERROR => c"the router has failed",
        natpmp::NOT_AUTHORIZED => c"the router does not allow it",
        natpmp::NETWORK_FAILURE => c"the router has no external address",
        natpmp::OUT_OF_RESOURCES => c"the router has no room left",
        natpmp::TRY_AGAIN => c"no answer yet",
        _ => c"unknown error",
    }
}
