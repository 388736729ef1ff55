"""What names and arguments are made of, and the two small tuples."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os
    from datetime import timedelta
    from ipaddress import IPv4Address, IPv6Address


class Name(str, Enum):
    """A `str` that prints as its text, as `enum.StrEnum` does from Python 3.11 on."""

    __str__ = str.__str__

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


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


if TYPE_CHECKING:
    Seconds = float | timedelta
    Path = str | os.PathLike[str]
    Address = str | IPv4Address | IPv6Address
    SocketAddress = str | Endpoint | tuple[Address, int]
