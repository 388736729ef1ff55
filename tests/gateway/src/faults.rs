//! The switches: everything that can be made to go wrong, settable while the gateway runs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::side::Side;

/// How one protocol behaves as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It works.
    #[default]
    Normal,
    /// It is not there. A port that nobody else uses is closed (UDP answers with ICMP, TCP with a reset).
    /// PCP and NAT-PMP share a port: while the other is there, the answer is UNSUPP_VERSION instead.
    Off,
    /// It hears and never answers.
    Silent,
    /// It answers every request with this result code (PCP and NAT-PMP) or this UPnP error code.
    Refuse(u16),
}

impl Mode {
    /// This mode, or `other` if this one is normal.
    fn or(self, other: Self) -> Self {
        if self == Self::Normal { other } else { self }
    }
}

/// How an HTTP answer is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpBody {
    /// With Content-Length.
    #[default]
    Normal,
    /// With `Transfer-Encoding: chunked`, in small chunks.
    Chunked,
    /// With neither: the body ends where the connection does.
    NoLength,
    /// Header lines end with LF alone.
    LfOnly,
    /// The right body behind more than 1 MiB of comment.
    Oversized,
    /// A body that never ends; sent until the client hangs up.
    NeverEnding,
    /// Half of the answer, then a connection reset.
    Reset,
    /// Half of what Content-Length promises, then an orderly close.
    Truncated,
    /// More than 16 KiB of headers before the body.
    HugeHeaders,
    /// Content-Length that is not a number.
    BadLength,
}

/// How the friendly name in the description is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameEncoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// A latin-1 letter, declared as ISO-8859-1.
    Latin1,
    /// A latin-1 letter in a document that is declared as UTF-8: broken UTF-8.
    BrokenUtf8,
}

/// What the description offers for the WAN connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WanService {
    /// WANIPConnection of the gateway's IGD version.
    #[default]
    Normal,
    /// WANIPConnection:2 only, whatever the device's version.
    Ip2Only,
    /// WANIPConnection:1 only, whatever the device's version.
    Ip1Only,
    /// WANPPPConnection:1 instead of WANIPConnection.
    Ppp,
    /// `urn:dslforum-org` device and service types.
    Dslforum,
    /// No WAN connection at all.
    None,
}

/// A second root device of the same router, at the same address, that answers searches and is not connected.
/// A device with an address of its own is a second gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondDevice {
    /// There is none.
    #[default]
    None,
    /// It answers before the working device.
    First,
    /// It answers after the working device.
    Last,
}

/// Every switch. The default value is a healthy router; each field says what its other values do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    // --- Protocols as a whole ---
    /// PCP as a whole.
    pub pcp: Mode,
    /// NAT-PMP as a whole.
    pub nat_pmp: Mode,
    /// UPnP as a whole: SSDP and the web server. `refuse` answers every action with the code.
    pub upnp: Mode,
    /// SSDP alone; `refuse` has no meaning here and works as `silent`.
    pub ssdp: Mode,
    /// The web server alone.
    pub http: Mode,
    /// Milliseconds between the processing of a PCP request and its answer. The table has already changed.
    pub pcp_delay_ms: u64,
    /// The same for NAT-PMP.
    pub nat_pmp_delay_ms: u64,
    /// Milliseconds before each SSDP answer.
    pub ssdp_delay_ms: u64,
    /// The same as `pcp_delay_ms` for HTTP.
    pub http_delay_ms: u64,
    /// Milliseconds between the arrival of a PCP request and its processing. Until then the table does not change.
    /// Requests wait side by side.
    pub pcp_processing_ms: u64,
    /// The same for NAT-PMP.
    pub nat_pmp_processing_ms: u64,
    /// The same for HTTP, from the moment the request has been read.
    pub http_processing_ms: u64,
    /// The next answers to PCP requests to map or delete are lost after the table has changed; counts itself down to 0.
    pub pcp_lose_answers: u32,
    /// The same for NAT-PMP.
    pub nat_pmp_lose_answers: u32,
    /// The same for AddPortMapping, AddAnyPortMapping, DeletePortMapping, AddPinhole, UpdatePinhole and DeletePinhole: the
    /// connection stays open without a word.
    pub http_lose_answers: u32,
    /// Milliseconds that the router's only processor spends on each request, of whatever protocol, one after another.
    /// Up to 256 datagrams wait for it, as in a socket's buffer; the ones beyond are lost.
    pub service_ms: u64,
    /// The web server serves a connection only after the one before has ended.
    pub http_serial: bool,

    // --- Datagrams (PCP, NAT-PMP, SSDP) ---
    /// The fraction of datagrams lost, 0 to 1, drawn for each request and again for each answer.
    pub loss: f64,
    /// This many of the next requests are lost; counts itself down to 0.
    pub drop_next: u32,
    /// Extra copies of each answer.
    pub duplicates: u32,
    /// Each answer is held until the next one has overtaken it, or for 30 ms.
    pub reorder: bool,
    /// Answers leave from another port than the one asked.
    pub wrong_source_port: bool,

    // --- What PCP and NAT-PMP answers say ---
    /// PCP answers carry another nonce.
    pub wrong_nonce: bool,
    /// PCP answers are errors with this result code in the header alone: 24 bytes without a nonce. The request is
    /// carried out all the same.
    pub pcp_header_error: Option<u8>,
    /// Map answers name another internal port.
    pub wrong_internal_port: bool,
    /// Answers carry another opcode.
    pub wrong_opcode: bool,
    /// Answers are cut to this many bytes.
    pub truncate: Option<usize>,
    /// This many zero bytes follow each answer.
    pub extra_bytes: usize,
    /// A wrong answer is followed by the right one: a client that goes on listening succeeds.
    pub right_answer_follows: bool,
    /// The lifetime in seconds that PCP errors carry; default 30 for short ones and 1800 for long ones (RFC 6887, 7.4).
    pub error_lifetime: Option<u32>,
    /// A MAP request that suggests external port 0 is refused (RouterOS does this).
    pub refuse_port_zero: bool,
    /// A MAP with another nonce takes the mapping over, as miniupnpd does, in place of NOT_AUTHORIZED.
    pub nonce_takeover: bool,

    // --- What is granted ---
    /// New mappings get this external port if it is free, whatever was asked.
    pub granted_port: Option<u16>,
    /// Mappings get this lifetime in seconds, whatever was asked.
    pub granted_lifetime: Option<u32>,
    /// No room for a new mapping: PCP and NAT-PMP out of resources, UPnP 501 (728 for AddAnyPortMapping).
    pub table_full: bool,
    /// Mappings never expire.
    pub lease_ignored: bool,
    /// Mappings vanish right after they were granted.
    pub lease_lost: bool,
    /// The external address is 100.64.0.9: the router is behind carrier-grade NAT.
    pub cgnat: bool,
    /// The router has no external address: NAT-PMP result 3, PCP NETWORK_FAILURE, an empty UPnP answer.
    pub empty_external_address: bool,
    /// The next renewal, by whatever protocol, finds the router's external address moved to this one. Clears itself.
    pub renew_to_other_external: Option<Ipv4Addr>,

    // --- UPnP actions ---
    /// The error code with which an action is answered, by its name; `*` stands for all.
    pub soap_errors: BTreeMap<String, u16>,
    /// Adding a mapping with a lease other than 0 is answered with this code (725, 402 or 501).
    pub nonzero_lease_error: Option<u16>,
    /// Adding a mapping with lease 0 is answered with this code (402).
    pub zero_lease_error: Option<u16>,
    /// AddPortMapping for one of these external ports is answered with its code (718, 729, 501, 724, 402).
    pub port_errors: BTreeMap<u16, u16>,
    /// How many calls the code in `soap_errors` of the same name is for; counts itself down to 0, and from then on
    /// calls succeed. Names that are not here get their code always.
    pub soap_error_counts: BTreeMap<String, u32>,
    /// Adding a mapping with a lease other than 0 is answered by success and changes nothing (DD-WRT does this).
    pub upnp_finite_lost: bool,
    /// Adding any mapping is answered by success and changes nothing.
    pub upnp_lost: bool,
    /// Leases longer than this many seconds, permanent ones included, are cut to it; the answer does not say so.
    pub upnp_max_lease: Option<u32>,
    /// What GetExternalIPAddress answers, in place of an address.
    pub external_address_text: Option<String>,
    /// GetExternalIPAddress is never answered: the connection stays open without a word.
    pub external_address_hangs: bool,
    /// 724 unless internal and external port are the same.
    pub same_port_only: bool,
    /// SOAP faults have no errorDescription.
    pub no_error_description: bool,
    /// SOAP faults come with HTTP status 200.
    pub fault_status_200: bool,
    /// What GetStatusInfo says; default `Connected`.
    pub connection_status: Option<String>,

    // --- HTTP ---
    /// How answers are sent.
    pub http_body: HttpBody,
    /// How answers to actions are sent, if it differs from `http_body`.
    pub control_body: Option<HttpBody>,
    /// Header names in lower case.
    pub lowercase_headers: bool,
    /// Content-Type of all answers; default `text/xml; charset="utf-8"`.
    pub content_type: Option<String>,
    /// Requests whose header names are not written as in the standard, or whose SOAPAction has no quotes, get 400.
    pub strict_headers: bool,
    /// An action whose headers and body do not come in one segment gets 400.
    pub single_read: bool,
    /// GET is answered with a redirection to this URL.
    pub redirect: Option<String>,
    /// Service descriptions (SCPD) are answered with 404.
    pub scpd_missing: bool,
    /// Actions are answered with 404.
    pub control_missing: bool,

    // --- SSDP ---
    /// The LOCATION in SSDP answers over IPv4; default the true one.
    pub location: Option<String>,
    /// This many answers with a LOCATION on the router that leads nowhere come before each true one, from the same
    /// address.
    pub ssdp_bogus_locations: u32,
    /// The bogus answers carry the UDN of the true device, as if it had moved; else each has one of its own.
    pub ssdp_bogus_udn_is_true: bool,
    /// Extra copies of each SSDP answer.
    pub ssdp_duplicates: u32,
    /// SSDP answers leave from another port.
    pub ssdp_other_port: bool,
    /// Only searches for this target are answered.
    pub ssdp_only_st: Option<String>,
    /// SSDP answers carry this search target, whatever was searched.
    pub ssdp_answer_st: Option<String>,
    /// A second root device of the same router that is down.
    pub second_device: SecondDevice,

    // --- Description ---
    /// The description has a URLBase.
    pub url_base: bool,
    /// URLs in the description have no leading slash.
    pub relative_urls: bool,
    /// The control URL has a query.
    pub control_query: bool,
    /// Another `http://host:port` before the control URL.
    pub control_host: Option<String>,
    /// All elements of the description have a namespace prefix.
    pub prefixed_namespaces: bool,
    /// How the friendly name is written.
    pub name_encoding: NameEncoding,
    /// What is offered for the WAN connection.
    pub wan_service: WanService,
    /// The description lists a WAN connection that is down before the working one.
    pub down_connection_first: bool,
    /// The description is longer than 20 KB.
    pub padded_description: bool,
    /// The description holds this many elements nested in one another.
    pub nesting: usize,

    // --- IPv6 firewall ---
    /// PCP over IPv6 alone.
    pub pcp_ipv6: Mode,
    /// UPnP over IPv6 alone: SSDP and the web server.
    pub upnp_ipv6: Mode,
    /// The LOCATION in SSDP answers over IPv6; default the true one.
    pub location_ipv6: Option<String>,
    /// The description has no WANIPv6FirewallControl.
    pub no_firewall_service: bool,
    /// The firewall is off: GetFirewallStatus says so, and every other action on it is answered with 702.
    pub firewall_disabled: bool,
    /// Clients are not allowed to open pinholes: GetFirewallStatus says so, actions on pinholes are answered with 703, and
    /// PCP's requests to map with NOT_AUTHORIZED.
    pub inbound_pinholes_refused: bool,
    /// A pinhole cannot be renewed: PCP NO_RESOURCES, UPnP 501 (miniupnpd with pf does this).
    pub pinhole_renewal_refused: bool,
    /// A renewal, by whatever protocol, makes the router forget the pinhole's nonce: from then on PCP renews it for every
    /// nonce and answers every delete with NOT_AUTHORIZED (miniupnpd 2.3.1 with nftables does this).
    pub pinhole_renewal_forgets_nonce: bool,
    /// PCP's answer to a renewal repeats the suggested external port, 0 included (miniupnpd does this).
    pub pinhole_renewal_echoes_port: bool,
    /// AddPinhole for a pinhole that exists gives it another UniqueID each time; the old one is 704 from then on.
    pub new_unique_ids: bool,
    /// AddPinhole answers with a UniqueID that no pinhole has.
    pub wrong_unique_ids: bool,

    // --- Reboot ---
    /// A reboot keeps the HTTP port.
    pub reboot_keeps_http_port: bool,
}

impl Faults {
    /// Checks what types cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.loss) {
            return Err(format!("loss is {}, allowed is 0 to 1", self.loss));
        }
        for (name, mode) in [("pcp", self.pcp), ("pcp_ipv6", self.pcp_ipv6), ("nat_pmp", self.nat_pmp)] {
            if let Mode::Refuse(code) = mode
                && (code == 0 || (name != "nat_pmp" && code > 255))
            {
                return Err(format!("{name} cannot refuse with result code {code}"));
            }
        }
        Ok(())
    }

    /// These faults with the fields of `patch`, a JSON object, put in their place.
    /// Fails with a message that names the field when it is unknown or has a value that does not fit; then nothing changes.
    pub fn merged(&self, patch: &serde_json::Value) -> Result<Faults, String> {
        let patch = patch.as_object().ok_or("faults must be a JSON object")?;
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let fields = merged.as_object_mut().ok_or("faults are no object")?;
        for (name, value) in patch {
            if !fields.contains_key(name) {
                return Err(format!("unknown fault {name:?}"));
            }
            let before = fields.insert(name.clone(), value.clone());
            // Field by field, so that the message can say which one does not fit.
            serde_json::from_value::<Faults>(serde_json::Value::Object(fields.clone()))
                .map_err(|error| format!("fault {name:?} (was {}): {error}", before.unwrap_or_default()))?;
        }
        let merged: Faults = serde_json::from_value(merged).map_err(|error| error.to_string())?;
        merged.check()?;
        Ok(merged)
    }

    /// The code with which the next call of an action is answered, counted.
    pub(crate) fn next_soap_error(&mut self, action: &str) -> Option<u16> {
        let name = if self.soap_errors.contains_key(action) { action } else { "*" };
        let code = *self.soap_errors.get(name)?;
        match self.soap_error_counts.get_mut(name) {
            Some(left) => count_down(left).then_some(code),
            None => Some(code),
        }
    }

    /// The mode of PCP on one side of the router.
    pub(crate) fn pcp_mode(&self, side: Side) -> Mode {
        self.pcp.or(if side == Side::Firewall { self.pcp_ipv6 } else { Mode::Normal })
    }

    /// The mode of SSDP on one side, with `upnp` taken into account.
    pub(crate) fn ssdp_mode(&self, side: Side) -> Mode {
        match self.upnp_mode(side) {
            off @ (Mode::Off | Mode::Silent) => off,
            Mode::Normal | Mode::Refuse(_) => self.ssdp,
        }
    }

    /// The mode of the web server on one side, with `upnp` taken into account.
    pub(crate) fn http_mode(&self, side: Side) -> Mode {
        self.upnp_mode(side).or(self.http)
    }

    fn upnp_mode(&self, side: Side) -> Mode {
        self.upnp.or(if side == Side::Firewall { self.upnp_ipv6 } else { Mode::Normal })
    }
}

/// Takes one off a switch that counts itself down; false once it is at 0.
pub(crate) fn count_down(left: &mut u32) -> bool {
    let counts = *left > 0;
    *left -= u32::from(counts);
    counts
}
