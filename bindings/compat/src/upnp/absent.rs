//! What is not imitated: each function says so in the way in which it says that a router has no such service. None of them
//! sends anything.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_ushort, c_void};
use std::net::{IpAddr, Ipv4Addr};
use std::ptr;

use portlease::AddressClass;

use super::types::{NameValue, NameValues, UpnpDev};
use crate::codes::upnp;
use crate::memory::{guard, put, read};

/// MINISSDPC_SOCKET_ERROR: there is no minissdpd to ask.
const MINISSDPC_SOCKET_ERROR: c_int = -101;
/// UPNPDISCOVER_SOCKET_ERROR.
const DISCOVER_SOCKET_ERROR: c_int = -101;
/// What a counter is told as that cannot be read: UPNPCOMMAND_HTTP_ERROR, without its sign.
#[expect(clippy::cast_sign_loss, reason = "as the header has it")]
const NO_COUNT: c_ulonglong = upnp::HTTP_ERROR as c_ulonglong;

/// Functions whose answer is that the router has no such action.
macro_rules! no_such_action {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*);)+) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($argument: $kind),*) -> c_int {
            $(let _ = $argument;)*
            upnp::INVALID_ACTION
        }
    )+};
}

no_such_action! {
    /// UPNP_DeletePortMappingRange of upnpcommands.h: 401.
    fn UPNP_DeletePortMappingRange(
        control_url: *const c_char, service_type: *const c_char, start: *const c_char, end: *const c_char,
        protocol: *const c_char, manage: *const c_char
    );
    /// UPNP_GetFirewallStatus of upnpcommands.h: 401.
    fn UPNP_GetFirewallStatus(
        control_url: *const c_char, service_type: *const c_char, enabled: *mut c_int, allowed: *mut c_int
    );
    /// UPNP_GetOutboundPinholeTimeout of upnpcommands.h: 401.
    fn UPNP_GetOutboundPinholeTimeout(
        control_url: *const c_char, service_type: *const c_char, remote_host: *const c_char, remote_port: *const c_char,
        client: *const c_char, internal_port: *const c_char, protocol: *const c_char, timeout: *mut c_int
    );
    /// UPNP_AddPinhole of upnpcommands.h: 401.
    fn UPNP_AddPinhole(
        control_url: *const c_char, service_type: *const c_char, remote_host: *const c_char, remote_port: *const c_char,
        client: *const c_char, internal_port: *const c_char, protocol: *const c_char, lease: *const c_char,
        unique_id: *mut c_char
    );
    /// UPNP_UpdatePinhole of upnpcommands.h: 401.
    fn UPNP_UpdatePinhole(
        control_url: *const c_char, service_type: *const c_char, unique_id: *const c_char, lease: *const c_char
    );
    /// UPNP_DeletePinhole of upnpcommands.h: 401.
    fn UPNP_DeletePinhole(control_url: *const c_char, service_type: *const c_char, unique_id: *const c_char);
    /// UPNP_CheckPinholeWorking of upnpcommands.h: 401.
    fn UPNP_CheckPinholeWorking(
        control_url: *const c_char, service_type: *const c_char, unique_id: *const c_char, works: *mut c_int
    );
    /// UPNP_GetPinholePackets of upnpcommands.h: 401.
    fn UPNP_GetPinholePackets(
        control_url: *const c_char, service_type: *const c_char, unique_id: *const c_char, packets: *mut c_int
    );
}

/// UPNP_GetLinkLayerMaxBitRates of upnpcommands.h: 401, and rates of 0, because programs print them without a look at the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetLinkLayerMaxBitRates(
    _control_url: *const c_char,
    _service_type: *const c_char,
    down: *mut c_uint,
    up: *mut c_uint,
) -> c_int {
    // SAFETY: the caller's.
    unsafe {
        put(down, 0);
        put(up, 0);
    }
    upnp::INVALID_ACTION
}

/// Functions whose answer is that a counter cannot be read.
macro_rules! no_count {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(_control_url: *const c_char, _service_type: *const c_char) -> c_ulonglong {
            NO_COUNT
        }
    )+};
}

no_count! {
    /// UPNP_GetTotalBytesSent of upnpcommands.h: UPNPCOMMAND_HTTP_ERROR.
    UPNP_GetTotalBytesSent;
    /// UPNP_GetTotalBytesReceived of upnpcommands.h: UPNPCOMMAND_HTTP_ERROR.
    UPNP_GetTotalBytesReceived;
    /// UPNP_GetTotalPacketsSent of upnpcommands.h: UPNPCOMMAND_HTTP_ERROR.
    UPNP_GetTotalPacketsSent;
    /// UPNP_GetTotalPacketsReceived of upnpcommands.h: UPNPCOMMAND_HTTP_ERROR.
    UPNP_GetTotalPacketsReceived;
}

/// simpleUPnPcommand of miniupnpc.h: NULL, and a size of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simpleUPnPcommand(
    _socket: c_int,
    _url: *const c_char,
    _service: *const c_char,
    _action: *const c_char,
    _arguments: *mut c_void,
    size: *mut c_int,
) -> *mut c_char {
    // SAFETY: the caller's.
    unsafe { put(size, 0) };
    ptr::null_mut()
}

/// parseURL of miniwget.h: 0, nothing was parsed.
#[unsafe(no_mangle)]
pub extern "C" fn parseURL(
    _url: *const c_char,
    _host: *mut c_char,
    _port: *mut c_ushort,
    _path: *mut *mut c_char,
    _scope: *mut c_uint,
) -> c_int {
    0
}

/// getHTTPResponse: NULL, a size of 0 and no HTTP status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getHTTPResponse(_socket: c_int, size: *mut c_int, status: *mut c_int) -> *mut c_void {
    // SAFETY: the caller's.
    unsafe {
        put(size, 0);
        put(status, -1);
    }
    ptr::null_mut()
}

/// soapPostSubmit: -1, nothing was sent.
#[unsafe(no_mangle)]
pub extern "C" fn soapPostSubmit(
    _socket: c_int,
    _url: *const c_char,
    _host: *const c_char,
    _port: c_ushort,
    _action: *const c_char,
    _body: *const c_char,
    _http_version: *const c_char,
) -> c_int {
    -1
}

/// connecthostport: -1, no socket.
#[unsafe(no_mangle)]
pub extern "C" fn connecthostport(_host: *const c_char, _port: c_ushort, _scope: c_uint) -> c_int {
    -1
}

/// receivedata: -1, a failure.
#[unsafe(no_mangle)]
pub extern "C" fn receivedata(
    _socket: c_int,
    _data: *mut c_char,
    _length: c_int,
    _timeout: c_int,
    _scope: *mut c_uint,
) -> c_int {
    -1
}

/// connectToMiniSSDPD: MINISSDPC_SOCKET_ERROR.
#[unsafe(no_mangle)]
pub extern "C" fn connectToMiniSSDPD(_path: *const c_char) -> c_int {
    MINISSDPC_SOCKET_ERROR
}

/// disconnectFromMiniSSDPD: does nothing and succeeds.
#[unsafe(no_mangle)]
pub extern "C" fn disconnectFromMiniSSDPD(_socket: c_int) -> c_int {
    0
}

/// requestDevicesFromMiniSSDPD: MINISSDPC_SOCKET_ERROR.
#[unsafe(no_mangle)]
pub extern "C" fn requestDevicesFromMiniSSDPD(_socket: c_int, _kind: *const c_char) -> c_int {
    MINISSDPC_SOCKET_ERROR
}

/// receiveDevicesFromMiniSSDPD: NULL, with MINISSDPC_SOCKET_ERROR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn receiveDevicesFromMiniSSDPD(_socket: c_int, error: *mut c_int) -> *mut UpnpDev {
    // SAFETY: the caller's.
    unsafe { put(error, MINISSDPC_SOCKET_ERROR) };
    ptr::null_mut()
}

/// getDevicesFromMiniSSDPD: NULL, with MINISSDPC_SOCKET_ERROR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getDevicesFromMiniSSDPD(
    _kind: *const c_char,
    _path: *const c_char,
    error: *mut c_int,
) -> *mut UpnpDev {
    // SAFETY: the caller's.
    unsafe { put(error, MINISSDPC_SOCKET_ERROR) };
    ptr::null_mut()
}

/// ssdpDiscoverDevices: NULL, with UPNPDISCOVER_SOCKET_ERROR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ssdpDiscoverDevices(
    _types: *const *const c_char,
    _delay: c_int,
    _multicast_interface: *const c_char,
    _local_port: c_int,
    _ipv6: c_int,
    _ttl: u8,
    error: *mut c_int,
    _search_all_types: c_int,
) -> *mut UpnpDev {
    // SAFETY: the caller's.
    unsafe { put(error, DISCOVER_SOCKET_ERROR) };
    ptr::null_mut()
}

/// parsexml: nothing is parsed, and none of the parser's functions is called.
#[unsafe(no_mangle)]
pub extern "C" fn parsexml(_parser: *mut c_void) {}

/// IGDstartelt of igd_desc_parse.h: nothing is parsed.
#[unsafe(no_mangle)]
pub extern "C" fn IGDstartelt(_data: *mut c_void, _name: *const c_char, _length: c_int) {}

/// IGDendelt of igd_desc_parse.h: nothing is parsed.
#[unsafe(no_mangle)]
pub extern "C" fn IGDendelt(_data: *mut c_void, _name: *const c_char, _length: c_int) {}

/// IGDdata of igd_desc_parse.h: nothing is parsed.
#[unsafe(no_mangle)]
pub extern "C" fn IGDdata(_data: *mut c_void, _text: *const c_char, _length: c_int) {}

/// ParseNameValue of upnpreplyparse.h: nothing is parsed, so the list is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ParseNameValue(_buffer: *const c_char, _size: c_int, list: *mut NameValues) {
    let nothing = NameValues {
        head: ptr::null_mut(),
        current: [0; 64],
        port_listing: ptr::null_mut(),
        port_listing_length: 0,
        top: 0,
        cdata: ptr::null(),
        cdata_length: 0,
    };
    // SAFETY: the caller's.
    unsafe { put(list, nothing) };
}

/// ClearNameValueList of upnpreplyparse.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ClearNameValueList(list: *mut NameValues) {
    // SAFETY: the caller's.
    let Some(list) = (unsafe { list.as_mut() }) else { return };
    // SAFETY: each is memory of malloc(3) that nobody else uses.
    unsafe {
        crate::memory::free(&mut list.port_listing);
        while !list.head.is_null() {
            let next = (*list.head).next;
            libc::free(list.head.cast());
            list.head = next;
        }
    }
    list.port_listing_length = 0;
}

/// GetValueFromNameValueList of upnpreplyparse.h: NULL if there is no such argument.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetValueFromNameValueList(list: *mut NameValues, name: *const c_char) -> *mut c_char {
    // SAFETY: the caller's.
    let (Some(list), false) = (unsafe { list.as_mut() }, name.is_null()) else { return ptr::null_mut() };
    let mut at: *mut NameValue = list.head;
    // SAFETY: the caller's list, whose names have their ends.
    unsafe {
        while let Some(pair) = at.as_mut() {
            if CStr::from_ptr(pair.name.as_ptr()) == CStr::from_ptr(name) {
                return pair.value.as_mut_ptr();
            }
            at = pair.next;
        }
    }
    ptr::null_mut()
}

/// addr_is_reserved: 1 for an IPv4 address that no host on the internet has, and for text that is not an address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addr_is_reserved(address: *const c_char) -> c_int {
    guard(1, || {
        // SAFETY: the caller's.
        let address = unsafe { read(address) }.and_then(|text| text.parse::<Ipv4Addr>().ok());
        let class = address.map(|address| AddressClass::of(IpAddr::V4(address)));
        c_int::from(class != Some(AddressClass::Public))
    })
}
