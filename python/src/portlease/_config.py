"""The settings of a mapper, each with a default that a home user never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from portlease._names import Backoff, Protocol, Transport

# What arguments may be. The values are checked by the extension module, which names the argument in its error.
ProtocolName = Protocol | Literal["pcp", "nat-pmp", "upnp"]
TransportName = Transport | Literal["udp", "tcp"]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from ipaddress import IPv4Address, IPv6Address

    from portlease._names import Endpoint

    Seconds = float | timedelta
    Address = str | IPv4Address | IPv6Address
    SocketAddress = str | Endpoint | tuple[Address, int]


class Config(TypedDict, total=False):
    """The keyword arguments of `Mapper` and of `open`. `None` is the default."""

    gateway: Address | None
    """The gateway's address. Default: the gateway of the default route with the lowest metric."""
    local_address: Address | None
    """The local address to which the gateway shall forward. Default: the one from which the gateway is reached."""
    interface: str | None
    """The interface whose default route is used, by name. Default: that of the lowest-metric default route."""
    protocols: Sequence[ProtocolName] | None
    """The protocols to try, in order of preference, without repeats. Default: `["pcp", "nat-pmp", "upnp"]`."""
    ttl: Seconds | None
    """The lifetime to ask for, 1 s to 24 h. Default 1 h. Whole seconds; a fraction is rounded up."""
    renewal_interval: Seconds | None
    """The longest wait between renewals; the granted lifetime may make it shorter. Default 30 min."""
    failure_threshold: int | None
    """Consecutive failed renewals after which the mapping is revoked, 1 or more. Default 3."""
    retry: Literal["never"] | Backoff | tuple[Seconds, Seconds] | None
    """What happens after a failure: `"never"` ends the lease; `Backoff(min, max)`, the default, tries again."""
    description: str | None
    """The text that the gateway shows beside the mapping (UPnP only), at most 64 characters. Default `portlease`."""
    pcp_port: int | None
    """The gateway's PCP and NAT-PMP port. Default 5351."""
    ssdp_address: SocketAddress | None
    """Where UPnP searches are sent. Default: 239.255.255.250:1900 and port 1900 of the gateway."""


_defaults: dict[str, Any] = {}


def settled(config: Config) -> dict[str, Any]:
    """These settings over the defaults of this process."""
    return {**_defaults, **config}


def replace_defaults(defaults: dict[str, Any]) -> dict[str, Any]:
    """Makes these the defaults of every mapper that is started from now on; the ones before."""
    global _defaults
    before, _defaults = _defaults, defaults
    return before
