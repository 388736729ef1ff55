//! Finding the router.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};
use std::{ptr, slice};

use super::device::{Device, NO_DATA, Standing};
use super::router;
use super::types::{IgdDatas, UpnpDev, UpnpUrls};
use crate::memory::{allocate, free, guard, put, read, read_field, size, write};

/// UPNPDISCOVER_SUCCESS, also if there is no device.
const SUCCESS: c_int = 0;
/// UPNPDISCOVER_UNKNOWN_ERROR.
const UNKNOWN_ERROR: c_int = -1;
/// UPNPDISCOVER_MEMORY_ERROR.
const MEMORY_ERROR: c_int = -102;
/// The HTTP status of what was found.
const HTTP_OK: c_int = 200;
/// No HTTP status at all.
const NO_HTTP: c_int = -1;
/// Nothing to free.
const NO_URLS: UpnpUrls = UpnpUrls {
    control_url: ptr::null_mut(),
    ipcondesc_url: ptr::null_mut(),
    control_url_cif: ptr::null_mut(),
    control_url_6fc: ptr::null_mut(),
    rootdesc_url: ptr::null_mut(),
};

/// upnpDiscover of miniupnpc.h. The list has the router or nothing; it ends as soon as the router has answered by any protocol,
/// so the delay, the sockets and the TTL do not matter. Over IPv6 no device is found.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upnpDiscover(
    _delay: c_int,
    _multicast_interface: *const c_char,
    _minissdpd_socket: *const c_char,
    _local_port: c_int,
    ipv6: c_int,
    _ttl: c_uchar,
    error: *mut c_int,
) -> *mut UpnpDev {
    // SAFETY: the caller's.
    unsafe { discover(ipv6 == 0, error) }
}

/// upnpDiscoverAll of miniupnpc.h: as upnpDiscover. Other devices than the router are not found.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upnpDiscoverAll(
    _delay: c_int,
    _multicast_interface: *const c_char,
    _minissdpd_socket: *const c_char,
    _local_port: c_int,
    ipv6: c_int,
    _ttl: c_uchar,
    error: *mut c_int,
) -> *mut UpnpDev {
    // SAFETY: the caller's.
    unsafe { discover(ipv6 == 0, error) }
}

/// upnpDiscoverDevice of miniupnpc.h: as upnpDiscover, if the type is one that a router has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upnpDiscoverDevice(
    device: *const c_char,
    _delay: c_int,
    _multicast_interface: *const c_char,
    _minissdpd_socket: *const c_char,
    _local_port: c_int,
    ipv6: c_int,
    _ttl: c_uchar,
    error: *mut c_int,
) -> *mut UpnpDev {
    // SAFETY: the caller's.
    unsafe {
        let wanted = ipv6 == 0 && is_of_a_router(device);
        discover(wanted, error)
    }
}

/// upnpDiscoverDevices of miniupnpc.h: the types end with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn upnpDiscoverDevices(
    types: *const *const c_char,
    _delay: c_int,
    _multicast_interface: *const c_char,
    _minissdpd_socket: *const c_char,
    _local_port: c_int,
    ipv6: c_int,
    _ttl: c_uchar,
    error: *mut c_int,
    _search_all_types: c_int,
) -> *mut UpnpDev {
    // SAFETY: the caller's.
    unsafe {
        let wanted = ipv6 == 0 && any_of_a_router(types);
        discover(wanted, error)
    }
}

/// # Safety
/// `error` is NULL or leads to an int.
unsafe fn discover(wanted: bool, error: *mut c_int) -> *mut UpnpDev {
    let found = guard(Err(UNKNOWN_ERROR), || {
        let router = router().map_err(|_| UNKNOWN_ERROR)?;
        match wanted.then(|| Device::find(router)).flatten().map(|(device, _)| device.list()) {
            Some(list) if list.is_null() => Err(MEMORY_ERROR),
            found => Ok(found.unwrap_or(ptr::null_mut())),
        }
    });
    // SAFETY: the promise is this function's.
    unsafe { put(error, found.err().unwrap_or(SUCCESS)) };
    found.unwrap_or(ptr::null_mut())
}

/// # Safety
/// `kind` is NULL or a string.
unsafe fn is_of_a_router(kind: *const c_char) -> bool {
    // SAFETY: the promise is this function's.
    let kind = unsafe { read(kind) }.unwrap_or_default();
    let names = ["InternetGatewayDevice", "WANIPConnection", "WANPPPConnection", "rootdevice", "ssdp:all"];
    names.iter().any(|name| kind.contains(name))
}

/// # Safety
/// `types` is NULL or a list of strings that ends with NULL.
unsafe fn any_of_a_router(types: *const *const c_char) -> bool {
    if types.is_null() {
        return false;
    }
    // SAFETY: the end was not reached, so there is a next one.
    let all = (0..).map(|at| unsafe { *types.add(at) }).take_while(|kind| !kind.is_null());
    // SAFETY: each is a string.
    all.into_iter().any(|kind| unsafe { is_of_a_router(kind) })
}

/// freeUPNPDevlist of upnpdev.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freeUPNPDevlist(mut devices: *mut UpnpDev) {
    while !devices.is_null() {
        // SAFETY: the caller's list, each device of which is one piece of memory of malloc(3).
        unsafe {
            let next = (*devices).next;
            libc::free(devices.cast());
            devices = next;
        }
    }
}

/// UPNP_GetValidIGD of miniupnpc.h, under a name of its own, because the API 17 and 18 differ: 18 has the external address and
/// tells an address that the internet does not know from a connection that is down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_compat_valid_igd(
    api: c_uint,
    devices: *mut UpnpDev,
    urls: *mut UpnpUrls,
    data: *mut IgdDatas,
    lan_address: *mut c_char,
    lan_length: c_int,
    wan_address: *mut c_char,
    wan_length: c_int,
) -> c_int {
    if devices.is_null() {
        return 0;
    }
    guard(0, || {
        let Some((device, standing)) = router().ok().and_then(Device::find) else {
            // Programs free the URLs whatever the answer is.
            // SAFETY: the caller's.
            unsafe { put(urls, NO_URLS) };
            return 0;
        };
        // SAFETY: the caller's.
        unsafe { device.describe(urls, data, lan_address, lan_length) };
        let (result, address) = match (standing, api) {
            (Standing::Connected(address), _) => (1, address),
            (Standing::Reserved(address), _) => (2, Some(address)),
            (Standing::Disconnected, ..18) => (2, None),
            (Standing::Disconnected, _) => (3, None),
        };
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        // SAFETY: the caller's.
        unsafe { write(wan_address, size(wan_length), &address) };
        result
    })
}

/// UPNP_GetIGDFromUrl of miniupnpc.h: 1 for a URL of the router, whatever description it leads to, as long as the router answers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn UPNP_GetIGDFromUrl(
    url: *const c_char,
    urls: *mut UpnpUrls,
    data: *mut IgdDatas,
    lan_address: *mut c_char,
    lan_length: c_int,
) -> c_int {
    guard(0, || {
        // SAFETY: the caller's.
        let Some(url) = (unsafe { read(url) }) else { return 0 };
        match router().ok().and_then(Device::find).filter(|(device, _)| device.is_at(&url)) {
            Some((device, _)) => {
                // SAFETY: the caller's.
                unsafe { device.describe(urls, data, lan_address, lan_length) };
                1
            }
            None => {
                // SAFETY: the caller's.
                unsafe { put(urls, NO_URLS) };
                0
            }
        }
    })
}

/// GetUPNPUrls of miniupnpc.h. The URLs come whole from UPNP_GetValidIGD, so here they are what the description says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetUPNPUrls(
    urls: *mut UpnpUrls,
    data: *const IgdDatas,
    description_url: *const c_char,
    _scope: c_uint,
) {
    guard((), || {
        if urls.is_null() || data.is_null() {
            return;
        }
        // SAFETY: the caller's.
        let (data, description) = unsafe { (&*data, read(description_url).unwrap_or_default()) };
        let filled = UpnpUrls {
            control_url: allocate(&read_field(&data.first.control_url)),
            ipcondesc_url: allocate(&read_field(&data.first.scpd_url)),
            control_url_cif: allocate(&read_field(&data.cif.control_url)),
            control_url_6fc: allocate(&read_field(&data.ipv6fc.control_url)),
            rootdesc_url: allocate(&description),
        };
        // SAFETY: the caller's.
        unsafe { put(urls, filled) };
    });
}

/// FreeUPNPUrls of miniupnpc.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FreeUPNPUrls(urls: *mut UpnpUrls) {
    // SAFETY: the caller's: each is NULL or memory of malloc(3).
    let Some(urls) = (unsafe { urls.as_mut() }) else { return };
    for url in [
        &mut urls.control_url,
        &mut urls.ipcondesc_url,
        &mut urls.control_url_cif,
        &mut urls.control_url_6fc,
        &mut urls.rootdesc_url,
    ] {
        // SAFETY: as above.
        unsafe { free(url) };
    }
}

/// miniwget of miniwget.h: the description of the router's device, in memory of malloc(3); NULL for every other URL. Nothing is
/// fetched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn miniwget(
    url: *const c_char,
    length: *mut c_int,
    scope: c_uint,
    status: *mut c_int,
) -> *mut c_void {
    // SAFETY: the caller's.
    unsafe { miniwget_getaddr(url, length, ptr::null_mut(), 0, scope, status) }
}

/// miniwget_getaddr of miniwget.h: as miniwget, and the address of this machine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn miniwget_getaddr(
    url: *const c_char,
    length: *mut c_int,
    address: *mut c_char,
    address_length: c_int,
    _scope: c_uint,
    status: *mut c_int,
) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: the caller's.
        let url = unsafe { read(url) }.unwrap_or_default();
        let device = router().ok().and_then(Device::named).filter(|device| device.is_described_at(&url));
        let document = device.as_ref().map(Device::document);
        let local = device.map(|device| device.local().to_string()).unwrap_or_default();
        let (copy, count) = match &document {
            Some(document) => (allocate(document), c_int::try_from(document.len()).unwrap_or(0)),
            None => (ptr::null_mut(), 0),
        };
        // SAFETY: the caller's.
        unsafe {
            write(address, size(address_length), &local);
            put(length, count);
            put(status, if document.is_some() { HTTP_OK } else { NO_HTTP });
        }
        copy.cast()
    })
}

/// parserootdesc of miniupnpc.h: understands the description that miniwget gives, and no other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn parserootdesc(buffer: *const c_char, length: c_int, data: *mut IgdDatas) {
    guard((), || {
        // SAFETY: the caller's.
        let given: &[u8] = match buffer.is_null() {
            true => &[],
            // SAFETY: the caller's.
            false => unsafe { slice::from_raw_parts(buffer.cast(), size(length)) },
        };
        let device = router().ok().and_then(Device::named);
        let known = device.filter(|device| device.document().as_bytes() == given);
        // SAFETY: the caller's.
        unsafe { put(data, known.map_or(NO_DATA, |device| device.data())) };
    });
}
