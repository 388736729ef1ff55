//! What a gateway offers, as C sees it.

use std::ffi::c_char;

use portlease::{ErrorReport, GatewayReport, PortMappingError, ProtocolReport};

use crate::error::{portlease_error, put_report};
use crate::memory::{Out, OutArray, PORTLEASE_ADDRESS_SIZE, growing, put_address, put_text};
use crate::names::portlease_protocol;
use crate::snapshot::seconds;

/// The size of a name with its end.
pub const PORTLEASE_NAME_SIZE: usize = 128;

/// What a gateway offers, asked without mapping anything.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_gateway_report {
    /// sizeof(portlease_gateway_report)
    pub struct_size: usize,
    /// The gateway's address, or "".
    pub gateway: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The local address from which it is reached, or "".
    pub local_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The interface of the default route where it is known, or "".
    pub interface_name: [c_char; PORTLEASE_NAME_SIZE],
    /// How many protocols were asked, also where fewer fit into the caller's array.
    pub protocol_count: usize,
}

/// One protocol's part of a report, in the configured order.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_protocol_report {
    /// sizeof(portlease_protocol_report)
    pub struct_size: usize,
    /// Which protocol.
    pub protocol: portlease_protocol,
    /// The gateway's external address, or "" where the protocol cannot tell without mapping.
    pub external_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The device's name (UPnP), or "".
    pub device: [c_char; PORTLEASE_NAME_SIZE],
    /// How many seconds the answer took; negative where there was none.
    pub round_trip: f64,
    /// Why the protocol has no offer; PORTLEASE_OK where it has one.
    pub error: portlease_error,
}

growing!(portlease_gateway_report: protocol_count usize, portlease_protocol_report: error portlease_error);

/// Where a report goes: the gateway's part, which the caller may not want, and an array for the protocols'.
pub(crate) struct ReportOut {
    gateway: Option<Out<portlease_gateway_report>>,
    protocols: OutArray<portlease_protocol_report>,
}

impl ReportOut {
    /// # Safety
    /// As [`Out::new`] and [`OutArray::new`].
    pub(crate) unsafe fn new(
        report: *mut portlease_gateway_report,
        protocols: *mut portlease_protocol_report,
        capacity: usize,
    ) -> Result<Self, PortMappingError> {
        let gateway = unsafe { Out::optional("report", report)? };
        Ok(Self { gateway, protocols: unsafe { OutArray::new("protocols", protocols, capacity)? } })
    }

    pub(crate) fn put(&self, report: &GatewayReport) {
        if let Some(gateway) = &self.gateway {
            gateway.put(|to| unsafe { put_report_of_gateway(to, report) });
        }
        self.protocols.put(&report.protocols, |to, protocol| unsafe { put_protocol(to, protocol) });
    }
}

/// # Safety
/// `to` can be written.
unsafe fn put_report_of_gateway(to: *mut portlease_gateway_report, report: &GatewayReport) {
    unsafe {
        put_address(&raw mut (*to).gateway, report.gateway);
        put_address(&raw mut (*to).local_address, report.local_address);
        put_text(&raw mut (*to).interface_name, report.interface.as_deref().unwrap_or_default());
        (*to).protocol_count = report.protocols.len();
    }
}

/// # Safety
/// `to` can be written.
unsafe fn put_protocol(to: *mut portlease_protocol_report, report: &ProtocolReport) {
    let offer = report.outcome.as_ref().ok();
    let error = report.outcome.as_ref().err().map(ErrorReport::from);
    unsafe {
        (*to).protocol = report.protocol.into();
        put_address(&raw mut (*to).external_address, offer.and_then(|offer| offer.external_address));
        put_text(&raw mut (*to).device, offer.and_then(|offer| offer.device.as_deref()).unwrap_or_default());
        (*to).round_trip = seconds(offer.map(|offer| offer.round_trip));
        put_report(&raw mut (*to).error, error.as_ref());
    }
}
