//! Messages of the routing socket (`man 4 route`).

use std::io;

use socket2::{Domain, Protocol, Socket, Type};

pub(super) use super::socket::Watcher;
use crate::mapping::AddressFamily;

impl Watcher {
    pub(super) fn new(family: AddressFamily) -> io::Result<Self> {
        // Messages about this family alone.
        let family = Protocol::from(match family {
            AddressFamily::Ipv4 => libc::AF_INET,
            AddressFamily::Ipv6 => libc::AF_INET6,
        });
        Self::listen(Socket::new(Domain::from(libc::PF_ROUTE), Type::RAW, Some(family))?, matters)
    }
}

/// Where `rtm_flags` is.
const FLAGS: usize = if cfg!(target_os = "openbsd") { 16 } else { 8 };

/// Whether the message is about an address, or a route that may be a default route. A route to a single host is none: each
/// neighbour that is found makes one. Misses and the like come in thousands and change nothing.
fn matters(message: &[u8]) -> bool {
    let Some(kind) = message.get(3) else { return false };
    match i32::from(*kind) {
        libc::RTM_NEWADDR | libc::RTM_DELADDR => true,
        // macOS removes the addresses of an interface without a network, and has much else to say about interfaces.
        libc::RTM_IFINFO => cfg!(not(target_os = "macos")),
        libc::RTM_ADD | libc::RTM_DELETE | libc::RTM_CHANGE => message
            .get(FLAGS..FLAGS + 4)
            .and_then(|flags| flags.try_into().ok())
            .is_none_or(|flags| i32::from_ne_bytes(flags) & libc::RTF_HOST == 0),
        _ => false,
    }
}
