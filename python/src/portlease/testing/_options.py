"""The options of the simulated router: its settings, and its switches for faults. A test compares them with Rust's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal, TypedDict

Mode = Literal["normal", "off", "silent"] | dict[Literal["refuse"], int]
"""How a protocol behaves as a whole: it works, is not there, hears and never answers, or refuses with this code."""
HttpBody = Literal[
    "normal",
    "chunked",
    "no_length",
    "lf_only",
    "oversized",
    "never_ending",
    "reset",
    "truncated",
    "huge_headers",
    "bad_length",
]
"""How an HTTP answer is sent."""
NameEncoding = Literal["utf8", "latin1", "broken_utf8"]
"""How the friendly name in the description is written."""
WanService = Literal["normal", "ip2_only", "ip1_only", "ppp", "dslforum", "none"]
"""What the description offers for the WAN connection."""
SecondDevice = Literal["none", "first", "last"]
"""When a second device answers searches that is not connected."""


class SwitchesBesideSettings(TypedDict, total=False):
    """The switches whose names no setting has. The default is a healthy router; each says what its other values do."""

    # Protocols as a whole
    ssdp: Mode
    """SSDP alone; `refuse` has no meaning here and works as `silent`."""
    http: Mode
    """The web server alone."""
    pcp_delay_ms: int
    """Milliseconds before each PCP answer."""
    nat_pmp_delay_ms: int
    """Milliseconds before each NAT-PMP answer."""
    ssdp_delay_ms: int
    """Milliseconds before each SSDP answer."""
    http_delay_ms: int
    """Milliseconds before each HTTP answer."""

    # Datagrams (PCP, NAT-PMP, SSDP)
    loss: float
    """The fraction of datagrams lost, 0 to 1, drawn for each request and again for each answer."""
    drop_next: int
    """This many of the next requests are lost; counts itself down to 0."""
    duplicates: int
    """Extra copies of each answer."""
    reorder: bool
    """Each answer is held until the next one has overtaken it, or for 30 ms."""
    wrong_source_port: bool
    """Answers leave from another port than the one asked."""

    # What PCP and NAT-PMP answers say
    wrong_nonce: bool
    """PCP answers carry another nonce."""
    wrong_internal_port: bool
    """Map answers name another internal port."""
    wrong_opcode: bool
    """Answers carry another opcode."""
    truncate: int | None
    """Answers are cut to this many bytes."""
    extra_bytes: int
    """This many zero bytes follow each answer."""
    right_answer_follows: bool
    """A wrong answer is followed by the right one: a client that goes on listening succeeds."""
    error_lifetime: int | None
    """The lifetime in seconds that PCP errors carry; default 30 for short ones and 1800 for long ones (RFC 6887,
    7.4)."""
    refuse_port_zero: bool
    """A MAP request that suggests external port 0 is refused (RouterOS does this)."""
    nonce_takeover: bool
    """A MAP with another nonce takes the mapping over, as miniupnpd does, in place of NOT_AUTHORIZED."""

    # What is granted
    granted_port: int | None
    """New mappings get this external port where it is free, whatever was asked."""
    granted_lifetime: int | None
    """Mappings get this lifetime in seconds, whatever was asked."""
    table_full: bool
    """No room for a new mapping: PCP and NAT-PMP out of resources, UPnP 501 (728 for AddAnyPortMapping)."""
    lease_ignored: bool
    """Mappings never expire."""
    lease_lost: bool
    """Mappings vanish right after they were granted."""
    cgnat: bool
    """The external address is 100.64.0.9: the router is behind carrier-grade NAT."""
    empty_external_address: bool
    """The router has no external address: NAT-PMP result 3, PCP NETWORK_FAILURE, an empty UPnP answer."""
    renew_to_other_external: str | IPv4Address | None
    """The next renewal, by whatever protocol, finds the router's external address moved to this one. Clears itself."""

    # UPnP actions
    soap_errors: dict[str, int]
    """The error code with which an action is answered, by its name; `*` stands for all."""
    nonzero_lease_error: int | None
    """Adding a mapping with a lease other than 0 is answered with this code (725, 402 or 501)."""
    zero_lease_error: int | None
    """Adding a mapping with lease 0 is answered with this code (402)."""
    port_errors: dict[int, int]
    """AddPortMapping for one of these external ports is answered with its code (718, 729, 501, 724, 402)."""
    same_port_only: bool
    """724 unless internal and external port are the same."""
    no_error_description: bool
    """SOAP faults have no errorDescription."""
    fault_status_200: bool
    """SOAP faults come with HTTP status 200."""
    connection_status: str | None
    """What GetStatusInfo says; default `Connected`."""

    # HTTP
    http_body: HttpBody
    """How answers are sent."""
    control_body: HttpBody | None
    """How answers to actions are sent, where it differs from `http_body`."""
    lowercase_headers: bool
    """Header names in lower case."""
    content_type: str | None
    """Content-Type of all answers; default `text/xml; charset="utf-8"`."""
    strict_headers: bool
    """Requests whose header names are not written as in the standard, or whose SOAPAction has no quotes, get 400."""
    single_read: bool
    """An action whose headers and body do not come in one segment gets 400."""
    redirect: str | None
    """GET is answered with a redirection to this URL."""
    scpd_missing: bool
    """Service descriptions (SCPD) are answered with 404."""
    control_missing: bool
    """Actions are answered with 404."""

    # SSDP
    location: str | None
    """The LOCATION in SSDP answers; default the true one."""
    ssdp_duplicates: int
    """Extra copies of each SSDP answer."""
    ssdp_other_port: bool
    """SSDP answers leave from another port."""
    ssdp_only_st: str | None
    """Only searches for this target are answered."""
    ssdp_answer_st: str | None
    """SSDP answers carry this search target, whatever was searched."""
    second_device: SecondDevice
    """A second device that is down."""

    # Description
    url_base: bool
    """The description has a URLBase."""
    relative_urls: bool
    """URLs in the description have no leading slash."""
    control_query: bool
    """The control URL has a query."""
    control_host: str | None
    """Another `http://host:port` before the control URL."""
    prefixed_namespaces: bool
    """All elements of the description have a namespace prefix."""
    name_encoding: NameEncoding
    """How the friendly name is written."""
    wan_service: WanService
    """What is offered for the WAN connection."""
    down_connection_first: bool
    """The description lists a WAN connection that is down before the working one."""
    padded_description: bool
    """The description is longer than 20 KB."""
    nesting: int
    """The description holds this many elements nested in one another."""

    # Reboot
    reboot_keeps_http_port: bool
    """A reboot keeps the HTTP port."""


class Faults(SwitchesBesideSettings, total=False):
    """Every switch: what `Gateway.set_faults` takes."""

    pcp: Mode
    """PCP as a whole."""
    nat_pmp: Mode
    """NAT-PMP as a whole."""
    upnp: Mode
    """UPnP as a whole: SSDP and the web server. `refuse` answers every action with the code."""


class GatewayOptions(SwitchesBesideSettings, total=False):
    """What `Gateway` is started with: settings of the router, and switches that are on from the start."""

    bind: str | IPv4Address | IPv6Address
    """The address of the router on its LAN side: every protocol listens here. Default 127.0.0.1."""
    external_bind: str | IPv4Address | IPv6Address
    """The address on which mapped external ports really listen. Default 127.0.0.2 on Linux, 127.0.0.1 elsewhere."""
    pcp_port: int
    """UDP port of PCP and NAT-PMP, which share it; 0 takes any free port. Real routers use 5351."""
    ssdp_port: int
    """UDP port that unicast SSDP searches go to; 0 takes any free port. Real routers use 1900."""
    http_port: int
    """TCP port of the UPnP web server; 0 takes any free port, and another one after each reboot."""
    ssdp_multicast: bool
    """Also joins 239.255.255.250:1900 on the interface of `bind`, so that multicast searches are heard."""
    external_address: str | IPv4Address | None
    """The external address that clients are told; `None` means that the router has none. Default 192.0.1.1, which
    is in no reserved range and so counts as public."""
    pcp: bool | Mode
    """Whether PCP (RFC 6887) is spoken."""
    nat_pmp: bool | Mode
    """Whether NAT-PMP (RFC 6886) is spoken. With PCP and NAT-PMP both off their port is closed."""
    upnp: bool | Mode
    """Whether UPnP is spoken: SSDP and the web server."""
    igd_version: int
    """1 or 2: the version of the InternetGatewayDevice and of its services."""
    min_lifetime: int
    """The least lifetime in seconds that PCP and NAT-PMP grant; shorter wishes are raised to it. Default 1."""
    max_lifetime: int
    """The greatest lifetime in seconds that PCP and NAT-PMP grant; longer wishes are cut to it. Default 86400."""
    min_external_port: int
    """External ports below this are never given out. Default 1."""
    forward: bool
    """Whether mapped ports are really opened and forwarded. Off for measurements with more mappings than the
    process may have open files; `reach` is then where the port would be. Default true."""
    max_mappings: int
    """Most mappings that the table holds. Default 4096."""
    epoch: int
    """The epoch in seconds at the start: how long the router claims to have been up. A reboot sets it to 0."""
    secure_mode: bool
    """Lets a UPnP client map and delete ports of its own address only, as miniupnpd's `secure_mode`. Default true."""
    upnp_overwrite: bool
    """AddPortMapping for an external port that the same host already has with another internal port: false
    (default) answers 718 as miniupnpd does, true overwrites as WANIPConnection:1 has it."""
    friendly_name: str
    """The friendly name of the UPnP device."""
    seed: int
    """Seed of everything that is left to chance (loss). The same seed and traffic give the same losses."""
