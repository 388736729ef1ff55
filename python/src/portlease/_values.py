"""What names and arguments are made of, and the two small tuples."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple


class Name(str, Enum):
    """A `str` that prints as its text, as `enum.StrEnum` does from Python 3.11 on."""

    __str__ = str.__str__

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


class Endpoint(NamedTuple):
    """A host with a port, as `socket.connect` takes them; prints as `203.0.113.7:4000`."""

    host: str
    """The address as text."""
    port: int
    """The port."""

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """The host as an address of `ipaddress`."""
        return ip_address(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Backoff(NamedTuple):
    """The waits between attempts after a failure, in seconds: `min` first, doubling up to `max`, for ever."""

    min: float = 1.0
    max: float = 300.0


# What arguments may be. They are here at run time too, for those who read annotations.
Seconds = float | timedelta
Path = str | os.PathLike[str]
Address = str | IPv4Address | IPv6Address
SocketAddress = str | Endpoint | tuple[Address, int]


def restored(view: Any, fields: dict[str, Any]) -> Any:
    """Makes a snapshot, an event or a report again, for pickle and copy."""
    return view._restored(fields)


def pydantic_schema(view: Any) -> Any:
    """Lets pydantic check that something is such a view; as JSON it is what `asdict(json=True)` gives."""
    from pydantic_core import core_schema

    as_json = core_schema.plain_serializer_function_ser_schema(lambda it: it.asdict(json=True), when_used="json")
    return core_schema.is_instance_schema(view, serialization=as_json)
