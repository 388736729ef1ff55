//! The enums with their numbers, which are never used again for anything else, and their stable strings.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;

use portlease::{
    AddressClass, AddressFamily, ErrorKind, EventKind, LeaseState, NatClass, PortMappingError, Protocol, Transport,
};

use crate::error::portlease_kind;
use crate::error::portlease_kind::{PORTLEASE_CANCELLED, PORTLEASE_OK};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
const VERSION_TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// Where a lease stands.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum portlease_state {
    /// Not begun, or waiting for the next attempt.
    PORTLEASE_STATE_IDLE = 0,
    /// Asking the gateway for a mapping.
    PORTLEASE_STATE_PROBING = 1,
    /// Mapped.
    PORTLEASE_STATE_INSTALLED = 2,
    /// Mapped, and asking the gateway to keep it.
    PORTLEASE_STATE_RENEWING = 3,
    /// The mapping was lost: renewals failed or its lifetime ran out.
    PORTLEASE_STATE_REVOKED = 4,
    /// Over: stopped, or failed without retry.
    PORTLEASE_STATE_EXITED = 5,
}
use portlease_state::*;

/// What happened.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum portlease_event_kind {
    /// None: what a struct holds before it was filled in.
    PORTLEASE_EVENT_ABSENT = 0,
    /// The gateway granted a mapping.
    PORTLEASE_EVENT_INSTALLED = 1,
    /// The gateway granted the same mapping again.
    PORTLEASE_EVENT_RENEWED = 2,
    /// A renewal brought another external address.
    PORTLEASE_EVENT_CHANGED = 3,
    /// An attempt to map or to renew failed; the lease goes on.
    PORTLEASE_EVENT_FAILED = 4,
    /// The mapping was lost.
    PORTLEASE_EVENT_REVOKED = 5,
    /// The lease is over.
    PORTLEASE_EVENT_EXITED = 6,
    /// The machine's network changed; about no lease.
    PORTLEASE_EVENT_NETWORK_CHANGED = 7,
}
use portlease_event_kind::*;

/// What made a mapping.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum portlease_protocol {
    /// There is no mapping; the end of a list of protocols.
    PORTLEASE_PROTOCOL_ABSENT = 0,
    /// Port Control Protocol (RFC 6887).
    PORTLEASE_PROTOCOL_PCP = 1,
    /// NAT Port Mapping Protocol (RFC 6886).
    PORTLEASE_PROTOCOL_NAT_PMP = 2,
    /// UPnP Internet Gateway Device 1 or 2.
    PORTLEASE_PROTOCOL_UPNP = 3,
    /// None was needed: this host has a public address of its own. Cannot be asked for.
    PORTLEASE_PROTOCOL_NONE = 4,
}
use portlease_protocol::*;

/// The transport protocol of a port.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum portlease_transport {
    /// In an event that is about no lease; invalid in a request.
    PORTLEASE_TRANSPORT_ABSENT = 0,
    /// UDP.
    PORTLEASE_TRANSPORT_UDP = 1,
    /// TCP.
    PORTLEASE_TRANSPORT_TCP = 2,
}
use portlease_transport::*;

/// The address family of a mapping.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum portlease_family {
    /// An IPv4 port mapping through NAT.
    PORTLEASE_FAMILY_IPV4 = 0,
}
use portlease_family::*;

/// Whether the port can be assumed open to the other side of the NAT.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum portlease_nat_class {
    /// Nothing is known.
    PORTLEASE_NAT_UNKNOWN = 0,
    /// A granted, unexpired mapping is published.
    PORTLEASE_NAT_OPEN = 1,
}
use portlease_nat_class::*;

/// Whether the internet can reach the external address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum portlease_address_class {
    /// There is no mapping, or the gateway does not know its own address.
    PORTLEASE_ADDRESS_UNKNOWN = 0,
    /// It can.
    PORTLEASE_ADDRESS_PUBLIC = 1,
    /// It cannot: the provider's carrier-grade NAT is in front (100.64.0.0/10).
    PORTLEASE_ADDRESS_CGNAT = 2,
    /// It cannot: a private address (RFC 1918), so there is a second router.
    PORTLEASE_ADDRESS_PRIVATE = 3,
    /// It cannot: an address that is set apart for something else.
    PORTLEASE_ADDRESS_RESERVED = 4,
}
use portlease_address_class::*;

/// A number that C passed where an enum is expected; any number can stand there.
pub(crate) fn number<T>(value: MaybeUninit<T>) -> i32 {
    const { assert!(size_of::<T>() == size_of::<i32>()) };
    // Enums are ints in C, and what C passed by value or in zeroed memory is initialised.
    unsafe { std::mem::transmute_copy(&value) }
}

/// Numbers, values of core and stable strings of an enum side by side.
struct Table<C: 'static, R: 'static>(&'static [(C, R, &'static CStr)]);

impl<C: Copy, R: Copy + PartialEq> Table<C, R> {
    fn name(&self, value: MaybeUninit<C>) -> *const c_char {
        let wanted = number(value);
        let row = self.0.iter().find(|(c, ..)| number(MaybeUninit::new(*c)) == wanted);
        row.map_or(c"", |(_, _, name)| *name).as_ptr()
    }

    /// `absent` is for nothing, and for what core has and this file does not know yet; a test finds that first.
    fn of(&self, value: impl Into<Option<R>>, absent: C) -> C {
        let Some(value) = value.into() else { return absent };
        self.0.iter().find(|(_, core, _)| *core == value).map_or(absent, |(c, ..)| *c)
    }

    fn read(&self, value: MaybeUninit<C>) -> Option<R> {
        let wanted = number(value);
        self.0.iter().find(|(c, ..)| number(MaybeUninit::new(*c)) == wanted).map(|(_, core, _)| *core)
    }
}

static STATES: Table<portlease_state, LeaseState> = Table(&[
    (PORTLEASE_STATE_IDLE, LeaseState::Idle, c"idle"),
    (PORTLEASE_STATE_PROBING, LeaseState::Probing, c"probing"),
    (PORTLEASE_STATE_INSTALLED, LeaseState::Installed, c"installed"),
    (PORTLEASE_STATE_RENEWING, LeaseState::Renewing, c"renewing"),
    (PORTLEASE_STATE_REVOKED, LeaseState::Revoked, c"revoked"),
    (PORTLEASE_STATE_EXITED, LeaseState::Exited, c"exited"),
]);
static EVENTS: Table<portlease_event_kind, EventKind> = Table(&[
    (PORTLEASE_EVENT_INSTALLED, EventKind::Installed, c"installed"),
    (PORTLEASE_EVENT_RENEWED, EventKind::Renewed, c"renewed"),
    (PORTLEASE_EVENT_CHANGED, EventKind::Changed, c"changed"),
    (PORTLEASE_EVENT_FAILED, EventKind::Failed, c"failed"),
    (PORTLEASE_EVENT_REVOKED, EventKind::Revoked, c"revoked"),
    (PORTLEASE_EVENT_EXITED, EventKind::Exited, c"exited"),
    (PORTLEASE_EVENT_NETWORK_CHANGED, EventKind::NetworkChanged, c"network-changed"),
]);
static PROTOCOLS: Table<portlease_protocol, Protocol> = Table(&[
    (PORTLEASE_PROTOCOL_PCP, Protocol::Pcp, c"pcp"),
    (PORTLEASE_PROTOCOL_NAT_PMP, Protocol::NatPmp, c"nat-pmp"),
    (PORTLEASE_PROTOCOL_UPNP, Protocol::Upnp, c"upnp"),
    (PORTLEASE_PROTOCOL_NONE, Protocol::None, c"none"),
]);
static TRANSPORTS: Table<portlease_transport, Transport> =
    Table(&[(PORTLEASE_TRANSPORT_UDP, Transport::Udp, c"udp"), (PORTLEASE_TRANSPORT_TCP, Transport::Tcp, c"tcp")]);
static NAT_CLASSES: Table<portlease_nat_class, NatClass> =
    Table(&[(PORTLEASE_NAT_OPEN, NatClass::Open, c"open"), (PORTLEASE_NAT_UNKNOWN, NatClass::Unknown, c"unknown")]);
static ADDRESS_CLASSES: Table<portlease_address_class, AddressClass> = Table(&[
    (PORTLEASE_ADDRESS_PUBLIC, AddressClass::Public, c"public"),
    (PORTLEASE_ADDRESS_CGNAT, AddressClass::Cgnat, c"cgnat"),
    (PORTLEASE_ADDRESS_PRIVATE, AddressClass::Private, c"private"),
    (PORTLEASE_ADDRESS_RESERVED, AddressClass::Reserved, c"reserved"),
    (PORTLEASE_ADDRESS_UNKNOWN, AddressClass::Unknown, c"unknown"),
]);

pub(crate) fn state(value: LeaseState) -> portlease_state {
    STATES.of(value, PORTLEASE_STATE_IDLE)
}

pub(crate) fn event_kind(value: EventKind) -> portlease_event_kind {
    EVENTS.of(value, PORTLEASE_EVENT_ABSENT)
}

pub(crate) fn protocol(value: Option<Protocol>) -> portlease_protocol {
    PROTOCOLS.of(value, PORTLEASE_PROTOCOL_ABSENT)
}

pub(crate) fn transport(value: Option<Transport>) -> portlease_transport {
    TRANSPORTS.of(value, PORTLEASE_TRANSPORT_ABSENT)
}

pub(crate) fn nat_class(value: NatClass) -> portlease_nat_class {
    NAT_CLASSES.of(value, PORTLEASE_NAT_UNKNOWN)
}

pub(crate) fn address_class(value: AddressClass) -> portlease_address_class {
    ADDRESS_CLASSES.of(value, PORTLEASE_ADDRESS_UNKNOWN)
}

/// The protocol that C asks for; `None` at the end of the list.
pub(crate) fn read_protocol(value: MaybeUninit<portlease_protocol>) -> Result<Option<Protocol>, PortMappingError> {
    match (number(value), PROTOCOLS.read(value)) {
        (0, _) => Ok(None),
        (_, Some(protocol)) => Ok(Some(protocol)),
        (number, None) => Err(PortMappingError::invalid("protocols", format!("{number} is no portlease_protocol"))),
    }
}

/// The transport that C asks for.
pub(crate) fn read_transport(value: MaybeUninit<portlease_transport>) -> Result<Transport, PortMappingError> {
    TRANSPORTS.read(value).ok_or_else(|| {
        let message = format!(
            "{} is no transport; allowed are PORTLEASE_TRANSPORT_UDP and PORTLEASE_TRANSPORT_TCP",
            number(value)
        );
        PortMappingError::invalid("transport", message)
    })
}

/// The address family that C asks for.
pub(crate) fn read_family(value: MaybeUninit<portlease_family>) -> Result<AddressFamily, PortMappingError> {
    match number(value) {
        number if number == PORTLEASE_FAMILY_IPV4 as i32 => Ok(AddressFamily::Ipv4),
        number => {
            let message = format!("{number} is no address family; allowed is PORTLEASE_FAMILY_IPV4");
            Err(PortMappingError::invalid("family", message))
        }
    }
}

/// The version of the library, which may be newer than that of the header (PORTLEASE_VERSION_STRING).
#[unsafe(no_mangle)]
pub extern "C" fn portlease_version() -> *const c_char {
    VERSION_TEXT.as_ptr().cast()
}

/// The stable names of all enums, the same in every language: "refused", "nat-pmp". They live for ever; "" for a
/// number that has no name, never NULL. PORTLEASE_OK is "ok", PORTLEASE_CANCELLED is "cancelled".
#[unsafe(no_mangle)]
pub extern "C" fn portlease_kind_name(kind: MaybeUninit<portlease_kind>) -> *const c_char {
    let wanted = number(kind);
    let others = [(PORTLEASE_OK, c"ok"), (PORTLEASE_CANCELLED, c"cancelled")];
    let of_core = KIND_NAMES.iter().map(|(kind, name)| (portlease_kind::from(*kind), *name));
    let name = of_core.chain(others).find(|(kind, _)| *kind as i32 == wanted);
    name.map_or(c"", |(_, name)| name).as_ptr()
}

static KIND_NAMES: [(ErrorKind, &CStr); 7] = [
    (ErrorKind::Unavailable, c"unavailable"),
    (ErrorKind::Timeout, c"timeout"),
    (ErrorKind::Transport, c"transport"),
    (ErrorKind::Refused, c"refused"),
    (ErrorKind::Invalid, c"invalid"),
    (ErrorKind::Stopped, c"stopped"),
    (ErrorKind::Internal, c"internal"),
];

/// As above.
#[unsafe(no_mangle)]
pub extern "C" fn portlease_state_name(state: MaybeUninit<portlease_state>) -> *const c_char {
    STATES.name(state)
}

/// As above.
#[unsafe(no_mangle)]
pub extern "C" fn portlease_event_kind_name(kind: MaybeUninit<portlease_event_kind>) -> *const c_char {
    EVENTS.name(kind)
}

/// As above.
#[unsafe(no_mangle)]
pub extern "C" fn portlease_protocol_name(protocol: MaybeUninit<portlease_protocol>) -> *const c_char {
    PROTOCOLS.name(protocol)
}

/// As above.
#[unsafe(no_mangle)]
pub extern "C" fn portlease_transport_name(transport: MaybeUninit<portlease_transport>) -> *const c_char {
    TRANSPORTS.name(transport)
}

/// As above.
#[unsafe(no_mangle)]
pub extern "C" fn portlease_nat_class_name(value: MaybeUninit<portlease_nat_class>) -> *const c_char {
    NAT_CLASSES.name(value)
}

/// As above.
#[unsafe(no_mangle)]
pub extern "C" fn portlease_address_class_name(value: MaybeUninit<portlease_address_class>) -> *const c_char {
    ADDRESS_CLASSES.name(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a table against core's own list: nothing is missing, and the names are core's.
    fn assert_whole<C: Copy, R: Copy + PartialEq + std::fmt::Debug>(
        table: &Table<C, R>,
        all: &[R],
        name: fn(R) -> &'static str,
    ) {
        for value in all {
            let row = table.0.iter().find(|(_, core, _)| core == value).unwrap_or_else(|| panic!("no {value:?}"));
            let named = unsafe { CStr::from_ptr(table.name(MaybeUninit::new(row.0))) };
            assert_eq!(named.to_str().unwrap(), name(*value));
        }
        assert_eq!(table.0.len(), all.len());
    }

    #[test]
    fn every_value_of_core_has_a_number_and_the_same_name() {
        assert_whole(&STATES, &LeaseState::ALL, LeaseState::as_str);
        assert_whole(&EVENTS, &EventKind::ALL, EventKind::as_str);
        let protocols: Vec<_> = Protocol::ALL.into_iter().chain([Protocol::None]).collect();
        assert_whole(&PROTOCOLS, &protocols, Protocol::as_str);
        assert_whole(&TRANSPORTS, &Transport::ALL, Transport::as_str);
        assert_whole(&NAT_CLASSES, &NatClass::ALL, NatClass::as_str);
        assert_whole(&ADDRESS_CLASSES, &AddressClass::ALL, AddressClass::as_str);
        assert_eq!(KIND_NAMES.map(|(kind, _)| kind), ErrorKind::ALL);
        for (kind, name) in KIND_NAMES {
            assert_eq!(name.to_str().unwrap(), kind.as_str());
        }
    }
}
