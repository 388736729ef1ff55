//! What this machine's network looks like: default route, local address, address classes.

pub mod address;
#[cfg(test)]
#[cfg(target_os = "linux")]
pub(crate) mod namespace;
pub mod route;
pub mod scoped;
pub(crate) mod watch;
