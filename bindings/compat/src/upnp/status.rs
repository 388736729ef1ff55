//! What the router says of itself.

use std::ffi::{c_char, c_int, c_uint};

use portlease_host::thread::wait;

use super::device::{Device, Standing};
use super::types::{IgdDatas, UpnpUrls};
use super::{code, failed, router};
use crate::codes::upnp;
use crate::memory::{guard, put, write};

/// The bytes for an IPv4 address.
const ADDRESS_SIZE: usize = 16;
/// The bytes for each text of UPNP_GetStatusInfo and UPNP_GetConnectionTypeInfo.
const TEXT_SIZE: usize = 64;

/// UPNP_GetExternalIPAddress of upnpcommands.h: `address` has 16 bytes. It is empty after a failure, because some programs look at
/// nothing else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetExternalIPAddress(
    _control_url: *const c_char,
    _service_type: *const c_char,
    address: *mut c_char,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        if address.is_null() {
            return upnp::INVALID_ARGS;
        }
        let told = router().and_then(|router| wait(router.external_address()).map_err(failed));
        // SAFETY: the caller's.
        unsafe { write(address, ADDRESS_SIZE, &told.map(|told| told.to_string()).unwrap_or_default()) };
        code(told.map(drop))
    })
}

/// UPNPIGD_IsConnected of miniupnpc.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNPIGD_IsConnected(_urls: *mut UpnpUrls, _data: *mut IgdDatas) -> c_int {
    guard(0, || {
        let found = router().ok().and_then(Device::find);
        c_int::from(found.is_some_and(|(_, standing)| standing != Standing::Disconnected))
    })
}

/// UPNP_GetStatusInfo of upnpcommands.h: whether there is an external address. How long that has been so is not known, so the
/// uptime is 0. The texts have 64 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetStatusInfo(
    _control_url: *const c_char,
    _service_type: *const c_char,
    status: *mut c_char,
    uptime: *mut c_uint,
    last_error: *mut c_char,
) -> c_int {
    guard(upnp::UNKNOWN_ERROR, || {
        if status.is_null() && uptime.is_null() {
            return upnp::INVALID_ARGS;
        }
        let Some((_, standing)) = router().ok().and_then(Device::find) else { return upnp::HTTP_ERROR };
        let text = if standing == Standing::Disconnected { "Disconnected" } else { "Connected" };
        // SAFETY: the caller's.
        unsafe {
            write(status, TEXT_SIZE, text);
            put(uptime, 0);
            write(last_error, TEXT_SIZE, "ERROR_NONE");
        }
        upnp::SUCCESS
    })
}

/// UPNP_GetConnectionTypeInfo of upnpcommands.h: a router that maps ports is a NAT. The text has 64 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetConnectionTypeInfo(
    _control_url: *const c_char,
    _service_type: *const c_char,
    connection_type: *mut c_char,
) -> c_int {
    if connection_type.is_null() {
        return upnp::INVALID_ARGS;
    }
    // SAFETY: the caller's.
    unsafe { write(connection_type, TEXT_SIZE, "IP_Routed") };
    upnp::SUCCESS
}
