"""Stable names as enumerations whose members equal their text, and the two small tuples."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address


class _Name(str, Enum):
    """A `str` that prints as its text, as `enum.StrEnum` does from Python 3.11 on."""

    __str__ = str.__str__

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


class ErrorKind(_Name):
    """What went wrong. Programs match on this; messages are for people."""

    UNAVAILABLE = "unavailable"
    """No gateway, or none of the protocols answered, or the gateway says that it has no such service."""
    TIMEOUT = "timeout"
    """A call ran past its deadline."""
    TRANSPORT = "transport"
    """A socket-level error on the way to the gateway."""
    REFUSED = "refused"
    """The gateway answered no; the message carries protocol and code."""
    INVALID = "invalid"
    """The caller's argument; the message names it and says what is allowed."""
    STOPPED = "stopped"
    """The handle is closed, or belongs to another process."""
    INTERNAL = "internal"
    """A defect in portlease."""


class LeaseState(_Name):
    """Where a lease stands."""

    IDLE = "idle"
    """Not begun, or waiting for the next attempt."""
    PROBING = "probing"
    """Asking the gateway for a mapping."""
    INSTALLED = "installed"
    """Mapped."""
    RENEWING = "renewing"
    """Mapped, and asking the gateway to keep it."""
    REVOKED = "revoked"
    """The mapping was lost: renewals failed or its lifetime ran out."""
    EXITED = "exited"
    """Over: stopped, or failed with `retry="never"`."""


class EventKind(_Name):
    """What happened."""

    INSTALLED = "installed"
    """The gateway granted a mapping."""
    RENEWED = "renewed"
    """The gateway granted the same mapping again."""
    CHANGED = "changed"
    """A renewal brought another external address."""
    FAILED = "failed"
    """An attempt to map or to renew failed; the lease goes on."""
    REVOKED = "revoked"
    """The mapping was lost."""
    EXITED = "exited"
    """The lease is over."""
    NETWORK_CHANGED = "network-changed"
    """The machine's network changed."""


class Protocol(_Name):
    """What produced a mapping."""

    PCP = "pcp"
    """Port Control Protocol (RFC 6887)."""
    NAT_PMP = "nat-pmp"
    """NAT Port Mapping Protocol (RFC 6886)."""
    UPNP = "upnp"
    """UPnP Internet Gateway Device 1 or 2."""
    NONE = "none"
    """No protocol: this host has a public address of its own and needs no gateway. Cannot be asked for."""


class Transport(_Name):
    """The transport protocol of the mapped port."""

    UDP = "udp"
    TCP = "tcp"


class NatClass(_Name):
    """Whether the port can be assumed open to the other side of the NAT."""

    OPEN = "open"
    """A granted, unexpired mapping is published."""
    UNKNOWN = "unknown"
    """Nothing is known."""


class AddressClass(_Name):
    """Whether the internet can reach an external address."""

    PUBLIC = "public"
    """It can."""
    CGNAT = "cgnat"
    """100.64.0.0/10: the router is behind carrier-grade NAT, and nobody on the internet can use the mapping."""
    PRIVATE = "private"
    """A private network's: there is a second router on the way."""
    RESERVED = "reserved"
    """Of no use on the internet."""
    UNKNOWN = "unknown"
    """There is no mapping, or the router does not know its own address."""


class Endpoint(NamedTuple):
    """An address with a port; prints as `203.0.113.7:4000`."""

    address: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        if self.address.version == 6:
            return f"[{self.address}]:{self.port}"
        return f"{self.address}:{self.port}"


class Backoff(NamedTuple):
    """The waits between attempts after a failure, in seconds: `min` first, doubling up to `max`, for ever."""

    min: float = 1.0
    max: float = 300.0
