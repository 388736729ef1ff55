//! What a gateway offers, as C sees it.

use std::ffi::c_char;

use portlease::{ErrorReport, GatewayReport, PortMappingError, ProtocolReport};

use crate::error::{portlease_error, put_report};
use crate::memory::place::PORTLEASE_ADDRESS_SIZE;
use crate::memory::{Caller, Out, OutArray, To, field, fill, growing};
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
    /// The gateway's address, or "". A link-local one has its scope, "fe80::1%eth0".
    pub gateway: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The local address from which it is reached, or "".
    pub local_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The interface of the default route, or "" if it is not known.
    pub interface_name: [c_char; PORTLEASE_NAME_SIZE],
    /// How many protocols were asked, also if fewer fit into the caller's array.
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
    /// The gateway's external address, or "" if the protocol cannot tell without mapping.
    pub external_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The device's name (UPnP), or "".
    pub device: [c_char; PORTLEASE_NAME_SIZE],
    /// How many seconds the answer took; negative if there was none.
    pub round_trip: f64,
    /// Why the protocol did not answer with an offer; PORTLEASE_OK if it did.
    pub error: portlease_error,
}

growing!(portlease_gateway_report: protocol_count usize, portlease_protocol_report: error portlease_error);

/// Where a report goes: the gateway's part, if the caller wants it, and an array for the protocols' parts.
pub(crate) struct ReportOut<'c> {
    gateway: Option<Out<'c, portlease_gateway_report>>,
    protocols: OutArray<'c, portlease_protocol_report>,
}

impl<'c> ReportOut<'c> {
    pub(crate) fn new(
        caller: Caller<'c>,
        report: *mut portlease_gateway_report,
        protocols: *mut portlease_protocol_report,
        capacity: usize,
    ) -> Result<Self, PortMappingError> {
        let gateway = caller.optional_out("report", report)?;
        Ok(Self { gateway, protocols: caller.out_array("protocols", protocols, capacity)? })
    }

    pub(crate) fn put(&self, report: &GatewayReport) {
        if let Some(gateway) = &self.gateway {
            gateway.put(|to| put_gateway(to, report));
        }
        self.protocols.put(&report.protocols, put_protocol);
    }
}

fn put_gateway(to: To<'_, portlease_gateway_report>, report: &GatewayReport) {
    field!(to, gateway).set_scoped_address(report.gateway);
    field!(to, local_address).set_address(report.local_address);
    field!(to, interface_name).set_text(report.interface.as_deref().unwrap_or_default());
    field!(to, protocol_count).set(report.protocols.len());
}

fn put_protocol(to: To<'_, portlease_protocol_report>, report: &ProtocolReport) {
    let offer = report.outcome.as_ref().ok();
    let error = report.outcome.as_ref().err().map(ErrorReport::from);
    fill!(to, { protocol: report.protocol.into(), round_trip: seconds(offer.map(|offer| offer.round_trip)) });
    field!(to, external_address).set_address(offer.and_then(|offer| offer.external_address));
    field!(to, device).set_text(offer.and_then(|offer| offer.device.as_deref()).unwrap_or_default());
    put_report(field!(to, error), error.as_ref());
}
