//! The structs of miniupnpc's headers, byte for byte.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulonglong, c_ushort};

/// MINIUPNPC_URL_MAXSIZE.
pub const URL_SIZE: usize = 128;

/// `struct UPNPDev` of upnpdev.h: a device that was found. Its strings stand behind it in the same memory.
#[repr(C)]
#[derive(Debug)]
pub struct UpnpDev {
    /// The next one, or NULL.
    pub next: *mut UpnpDev,
    /// Where its description is.
    pub desc_url: *mut c_char,
    /// What was searched for.
    pub st: *mut c_char,
    /// Its unique name.
    pub usn: *mut c_char,
    /// The interface of an IPv6 address.
    pub scope_id: c_uint,
    /// The strings.
    pub buffer: [c_char; 0],
}

/// `struct UPNPUrls` of miniupnpc.h; each is memory of malloc(3) of its own.
#[repr(C)]
#[derive(Debug)]
pub struct UpnpUrls {
    /// Of WANIPConnection.
    pub control_url: *mut c_char,
    /// The description of WANIPConnection.
    pub ipcondesc_url: *mut c_char,
    /// Of WANCommonInterfaceConfig.
    pub control_url_cif: *mut c_char,
    /// Of WANIPv6FirewallControl.
    pub control_url_6fc: *mut c_char,
    /// Of the device.
    pub rootdesc_url: *mut c_char,
}

/// `struct IGDdatas_service` of igd_desc_parse.h.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IgdService {
    /// Where its actions are called.
    pub control_url: [c_char; URL_SIZE],
    /// Where its events are.
    pub eventsub_url: [c_char; URL_SIZE],
    /// Where its description is.
    pub scpd_url: [c_char; URL_SIZE],
    /// Its type.
    pub service_type: [c_char; URL_SIZE],
}

/// `struct IGDdatas` of igd_desc_parse.h: what a description says.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IgdDatas {
    /// The parser's own.
    pub current: [c_char; URL_SIZE],
    /// What relative URLs are relative to.
    pub url_base: [c_char; URL_SIZE],
    /// The router's page for people.
    pub presentation_url: [c_char; URL_SIZE],
    /// The parser's own.
    pub level: c_int,
    /// WANCommonInterfaceConfig.
    pub cif: IgdService,
    /// WANIPConnection or WANPPPConnection.
    pub first: IgdService,
    /// The other one.
    pub second: IgdService,
    /// WANIPv6FirewallControl.
    pub ipv6fc: IgdService,
    /// The parser's own.
    pub tmp: IgdService,
}

/// `struct PortMapping` of portlistingparse.h: a line of the router's table.
#[repr(C)]
#[derive(Debug)]
pub struct PortMapping {
    /// The next one, or NULL.
    pub next: *mut PortMapping,
    /// In seconds; 0 without end.
    pub lease_time: c_ulonglong,
    /// Outside.
    pub external_port: c_ushort,
    /// Inside.
    pub internal_port: c_ushort,
    /// Who may use it.
    pub remote_host: [c_char; 64],
    /// To whom it leads.
    pub internal_client: [c_char; 64],
    /// What it is called.
    pub description: [c_char; 64],
    /// `TCP` or `UDP`.
    pub protocol: [c_char; 4],
    /// Whether it is in force.
    pub enabled: c_uchar,
}

/// `struct PortMappingParserData` of portlistingparse.h.
#[repr(C)]
#[derive(Debug)]
pub struct PortListing {
    /// The first line, or NULL.
    pub head: *mut PortMapping,
    /// The parser's own.
    pub current: c_int,
}

/// `struct NameValue` of upnpreplyparse.h.
#[repr(C)]
#[derive(Debug)]
pub struct NameValue {
    /// The next one, or NULL.
    pub next: *mut NameValue,
    /// Of the argument.
    pub name: [c_char; 64],
    /// What it says.
    pub value: [c_char; 128],
}

/// `struct NameValueParserData` of upnpreplyparse.h.
#[repr(C)]
#[derive(Debug)]
pub struct NameValues {
    /// The first one, or NULL.
    pub head: *mut NameValue,
    /// The parser's own.
    pub current: [c_char; 64],
    /// The argument NewPortListing, or NULL.
    pub port_listing: *mut c_char,
    /// How long that is.
    pub port_listing_length: c_int,
    /// The parser's own.
    pub top: c_int,
    /// The parser's own.
    pub cdata: *const c_char,
    /// The parser's own.
    pub cdata_length: c_int,
}
