//! What this machine's network looks like: default route, local address, address classes.

pub mod address;
pub mod route;
