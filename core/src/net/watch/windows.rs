//! Callbacks of the IP helper.

#![expect(unsafe_code, reason = "system calls")]

use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::Arc;

use tokio::sync::Notify;
use windows_sys::Win32::Foundation::{HANDLE, NO_ERROR, WIN32_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    CancelMibChangeNotify2, MIB_IPFORWARD_ROW2, MIB_IPINTERFACE_ROW, MIB_NOTIFICATION_TYPE, MIB_UNICASTIPADDRESS_ROW,
    NotifyIpInterfaceChange, NotifyRouteChange2, NotifyUnicastIpAddressChange,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};

use crate::mapping::AddressFamily;

pub(super) struct Watcher {
    /// Above `news`, so that they are dropped first: no callback runs any more when `news` goes.
    registrations: Vec<Registration>,
    /// The callbacks have a pointer to it.
    news: Arc<Notify>,
}

impl Watcher {
    pub(super) fn new(family: AddressFamily) -> io::Result<Self> {
        let family = match family {
            AddressFamily::Ipv4 => AF_INET,
            AddressFamily::Ipv6 => AF_INET6,
        };
        let mut watcher = Self { registrations: Vec::new(), news: Arc::default() };
        let news: *const c_void = Arc::as_ptr(&watcher.news).cast();
        // SAFETY: `news` lives until the registrations have ended, and the call writes the handle before it returns.
        watcher
            .register(|handle| unsafe { NotifyIpInterfaceChange(family, Some(on_interface), news, false, handle) })?;
        // SAFETY: as above.
        watcher.register(|handle| unsafe { NotifyRouteChange2(family, Some(on_route), news, false, handle) })?;
        // SAFETY: as above.
        watcher.register(|handle| unsafe {
            NotifyUnicastIpAddressChange(family, Some(on_address), news, false, handle)
        })?;
        Ok(watcher)
    }

    fn register(&mut self, call: impl FnOnce(*mut HANDLE) -> WIN32_ERROR) -> io::Result<()> {
        let mut handle = ptr::null_mut();
        match call(&raw mut handle) {
            NO_ERROR => {
                self.registrations.push(Registration(handle));
                Ok(())
            }
            error => Err(io::Error::from_raw_os_error(error.cast_signed())),
        }
    }

    pub(super) async fn changed(&mut self) {
        self.news.notified().await;
    }
}

/// One subscription. Its drop waits until none of its callbacks runs any more. This cannot deadlock: a callback only takes
/// the short locks inside `Notify` and the runtime's waker, no code holds these while it drops a watcher, and no callback drops
/// a watcher.
struct Registration(HANDLE);

// SAFETY: the handle is a name for the system, which any thread may use.
unsafe impl Send for Registration {}
// SAFETY: a shared reference to it does nothing.
unsafe impl Sync for Registration {}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: the handle came from a registration, and is used here for the last time.
        let error = unsafe { CancelMibChangeNotify2(self.0) };
        if error != NO_ERROR {
            tracing::debug!(error, "a watch of the network did not end");
        }
    }
}

/// # Safety
/// `news` is the `Notify` of a watcher that exists.
unsafe fn tell(news: *const c_void) {
    // SAFETY: as required.
    let news = unsafe { &*news.cast::<Notify>() };
    news.notify_one();
}

unsafe extern "system" fn on_interface(
    news: *const c_void,
    _row: *const MIB_IPINTERFACE_ROW,
    _kind: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the watcher outlives its registrations.
    unsafe { tell(news) }
}

unsafe extern "system" fn on_address(
    news: *const c_void,
    _row: *const MIB_UNICASTIPADDRESS_ROW,
    _kind: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the watcher outlives its registrations.
    unsafe { tell(news) }
}

unsafe extern "system" fn on_route(news: *const c_void, row: *const MIB_IPFORWARD_ROW2, _kind: MIB_NOTIFICATION_TYPE) {
    // SAFETY: the row is null or good until the callback returns.
    let row = unsafe { row.as_ref() };
    if row.is_none_or(|row| row.DestinationPrefix.PrefixLength == 0) {
        // SAFETY: the watcher outlives its registrations.
        unsafe { tell(news) }
    }
}
