//! The structs of natpmp.h, byte for byte.

use std::ffi::{c_int, c_uchar};

/// `natpmp_t`: the caller's memory, which may be copied and need not stay where it is.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct NatPmp {
    /// What programs select on: readable when the answer can be read.
    pub s: c_int,
    /// The router's address, in network order.
    pub gateway: u32,
    /// Whether a request is under way.
    pub has_pending_request: c_int,
    /// This library's mark.
    pub pending_request: [c_uchar; 12],
    /// The size of the request.
    pub pending_request_len: c_int,
    /// How often the program was told to wait on.
    pub try_number: c_int,
    /// Until when it was told to wait.
    pub retry_time: libc::timeval,
}

/// `natpmpresp_t`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct Response {
    /// What it answers: 0 an address, 1 a UDP port, 2 a TCP port.
    pub kind: u16,
    /// The router's code.
    pub result_code: u16,
    /// In seconds.
    pub epoch: u32,
    /// What was asked for.
    pub value: Value,
}

/// `pnu` of `natpmpresp_t`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub union Value {
    /// An address in network order.
    pub public_address: u32,
    /// A mapping.
    pub mapping: MappedPort,
}

/// `newportmapping` of `natpmpresp_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct MappedPort {
    /// Inside.
    pub private_port: u16,
    /// Outside.
    pub mapped_public_port: u16,
    /// In seconds.
    pub lifetime: u32,
}
