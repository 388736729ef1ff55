//! Wakes when the system says that this machine's addresses or routes may have changed.
//!
//! What the system says is not read any further: messages come in storms, get lost, and are about much that does not matter
//! here. The task that is woken waits for quiet, looks at the routes, and compares.

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "watch/linux.rs")]
#[cfg_attr(
    any(
        target_os = "macos",
        target_os = "freebsd",
        target_os = "dragonfly",
        target_os = "netbsd",
        target_os = "openbsd"
    ),
    path = "watch/bsd.rs"
)]
#[cfg_attr(windows, path = "watch/windows.rs")]
#[cfg_attr(
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "freebsd",
        target_os = "dragonfly",
        target_os = "netbsd",
        target_os = "openbsd",
        windows
    )),
    path = "watch/none.rs"
)]
mod platform;
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
))]
mod socket;

use std::io;

use tokio::time::{Instant, sleep, timeout_at};

use crate::mapping::AddressFamily;
use crate::schedule::{NETWORK_QUIET, NETWORK_STORM, NETWORK_STORM_PACE};

/// Listens to the system. Costs nothing while nothing changes.
pub(crate) struct Watcher(platform::Watcher);

impl Watcher {
    /// Begins to listen for what happens to `family`, on the current tokio runtime. Fails if the system does not allow that, as
    /// Android and sandboxes may.
    pub(crate) fn new(family: AddressFamily) -> io::Result<Self> {
        platform::Watcher::new(family).map(Self)
    }

    /// Waits until an address or a default route may have changed since the last call. Dropping the future misses nothing.
    pub(crate) async fn changed(&mut self) {
        self.0.changed().await;
    }

    /// Waits until nothing has changed for [`NETWORK_QUIET`], at most [`NETWORK_STORM`].
    pub(crate) async fn quiet(&mut self) {
        let end = Instant::now() + NETWORK_STORM;
        // The end is asked for apart, because a change that is there already outweighs a deadline that has passed.
        while Instant::now() < end
            && timeout_at((Instant::now() + NETWORK_QUIET).min(end), self.changed()).await.is_ok()
        {
            sleep(NETWORK_STORM_PACE).await;
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "watch/tests.rs"]
mod tests;
