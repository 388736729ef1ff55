"""A simulated home router for your own tests: PCP, NAT-PMP and UPnP on loopback, with faults by switch.

    from portlease.testing import Gateway

    with Gateway(upnp=False, cgnat=True) as gateway:
        with portlease.Mapper(**gateway.config()) as mapper:
            ...

It runs in this process, on a thread of its own in Rust, and forwards for real: a datagram or connection to the `reach`
of a mapping comes out at the local port. With pytest the fixture `portlease_gateway` is one, fresh for each test.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from types import TracebackType
from typing import Any, Literal, cast

from portlease import _portlease
from portlease._config import TransportName
from portlease._errors import InvalidError, InvalidTypeError, TimeoutError
from portlease._names import Transport
from portlease._typing import Self, TypedDict, Unpack
from portlease._values import Endpoint, Seconds, SocketAddress
from portlease.testing._options import Faults, GatewayOptions

__all__ = ["Announcement", "Faults", "Gateway", "GatewayMapping", "GatewayOptions", "GatewaySettings"]

Announcement = Literal["pcp", "nat_pmp", "ssdp_alive", "ssdp_byebye"]
"""What the router can say unasked. `pcp`: PCP's ANNOUNCE with the present epoch. `nat_pmp`: The external address, as
NAT-PMP tells it. `ssdp_alive`, `ssdp_byebye`: The UPnP devices and services are there, or go."""

# Names the gateway if a mapper's settings name none.
_VARIABLE = "PORTLEASE_GATEWAY"
# How long a look at the gateway's state may be behind a change that wakes nobody.
_LOOK = 0.05


class GatewaySettings(TypedDict):
    """The settings with which a mapper finds a simulated router."""

    gateway: str
    """The router's address."""
    pcp_port: int
    """Its PCP and NAT-PMP port."""
    ssdp_address: str
    """The `address:port` to which SSDP searches are sent."""


@dataclass(frozen=True)
class GatewayMapping:
    """One line of the router's table."""

    protocol: str
    """What made it, or last renewed it: `pcp`, `nat-pmp`, `upnp`, or `static` for `Gateway.add_mapping`."""
    transport: Transport
    """UDP or TCP."""
    external_port: int
    """The port on the router's external address, as clients are told."""
    internal: Endpoint
    """Where traffic goes."""
    description: str
    """UPnP's description; empty for the others."""
    expires_in: int | None
    """Seconds left, rounded up; `None` for a permanent mapping."""
    reach: Endpoint
    """The loopback address and port where traffic for this mapping really enters."""
    nonce: str | None
    """The PCP nonce in hex, 24 digits."""
    unique_id: int | None = None
    """UPnP's UniqueID of a pinhole in the IPv6 firewall; `None` for a mapping of IPv4."""


def _settings(at: dict[str, Any]) -> GatewaySettings:
    return {"gateway": at["gateway"], "pcp_port": at["pcp_port"], "ssdp_address": at["ssdp_address"]}


def _endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    return Endpoint(host.strip("[]"), int(port))


def _place(name: str, place: SocketAddress) -> str:
    if isinstance(place, str):
        return place
    try:
        return str(Endpoint(str(ip_address(place[0])), place[1]))
    except ValueError as error:
        raise InvalidError(f"{name}: {error}") from None


def _mapping(fields: dict[str, Any]) -> GatewayMapping:
    places = {name: _endpoint(fields[name]) for name in ("internal", "reach")}
    return GatewayMapping(**{**fields, **places, "transport": Transport(fields["transport"])})


class Gateway:
    """A home router on loopback. It runs from its construction until `stop`, or until its `with` block is left.

    Options are settings of the router and faults that are on from the start; `GatewayOptions` has them all, and a
    router without options is a healthy one. Raises `InvalidError`, naming the option, and `TransportError` if a port
    that was asked for is taken.
    """

    def __init__(self, **options: Unpack[GatewayOptions]) -> None:
        self._native = _portlease.Gateway(_json(options))

    def config(self) -> GatewaySettings:
        """The settings with which a mapper finds this router: `portlease.Mapper(**gateway.config())`.

        They lead to its IPv6 firewall too, unless `bind` or `ipv6_bind` is not a loopback address; see `ipv6`.
        """
        return _settings(self._started())

    @property
    def ipv6(self) -> GatewaySettings | None:
        """The settings with which a mapper finds the IPv6 firewall of this router alone; `None` if there is none."""
        at = self._started().get("ipv6")
        return None if at is None else _settings(at)

    @property
    def no_ipv6(self) -> str | None:
        """Why there is no IPv6 firewall although the option `ipv6` is on; else `None`."""
        return cast("str | None", self._started().get("no_ipv6"))

    def _started(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self._native.started()))

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Inside this `with` block every mapper that names no other gateway uses this one.

        Also one of a process that is started in it: this sets the environment variable `PORTLEASE_GATEWAY`. For
        programs that call `portlease.open(9001)` and have no place to hand settings in.
        """
        at = self.config()
        ssdp_port = at["ssdp_address"].rpartition(":")[2]
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = f"{at['gateway']},pcp={at['pcp_port']},ssdp={ssdp_port}"
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(_VARIABLE, None)
            else:
                os.environ[_VARIABLE] = before

    @property
    def mappings(self) -> list[GatewayMapping]:
        """The router's table, by transport and external port; then the pinholes of its IPv6 firewall."""
        return [_mapping(each) for each in self.command({"command": "mappings"})["mappings"]]

    @property
    def counters(self) -> Counter[str]:
        """How many messages of each type have arrived; 0 for one that never came.

        `pcp_map pcp_delete pcp_announce pcp_other unsupported_version natpmp_address natpmp_map_udp natpmp_map_tcp
        natpmp_delete natpmp_other ssdp_search http_description http_scpd http_other soap_<action> malformed
        dropped_by_fault`.
        """
        return Counter(self.command({"command": "counters"})["counters"])

    @property
    def external_address(self) -> IPv4Address | None:
        """The external address that clients are told, or `None`. Setting it leaves the mappings alone."""
        address = self.command({"command": "state"})["state"]["external_address"]
        return IPv4Address(address) if address else None

    @external_address.setter
    def external_address(self, address: str | IPv4Address | None) -> None:
        self.command({"command": "external_address", "address": None if address is None else str(address)})

    @property
    def faults(self) -> Faults:
        """All switches as they are now."""
        return cast(Faults, self.command({"command": "faults"})["faults"])

    def set_faults(self, **faults: Unpack[Faults]) -> None:
        """Sets these switches and leaves the others. Raises `InvalidError`, naming the switch."""
        self.command({"set": faults})

    def reboot(self) -> None:
        """Restarts the router: the table is empty, the epoch begins at 0, the web server has another port."""
        self.command({"command": "reboot"})

    def add_mapping(
        self,
        transport: TransportName,
        external_port: int,
        internal: SocketAddress,
        lifetime: int | None = None,
    ) -> GatewayMapping:
        """Adds a mapping that no client asked for, such as another host's; without `lifetime` (s) it is permanent.

        Raises `InvalidError` if the port is taken or not allowed, or the table is full.
        """
        command = {
            "command": "add_mapping",
            "transport": transport,
            "external_port": external_port,
            "internal": _place("internal", internal),
            "lifetime": lifetime,
        }
        return _mapping(self.command(command)["mapping"])

    def remove_mapping(self, transport: TransportName, external_port: int) -> bool:
        """Takes a mapping out of the table, whoever made it; false if there is none."""
        command = {"command": "remove_mapping", "transport": transport, "external_port": external_port}
        return bool(self.command(command)["removed"])

    def remove_pinhole(self, transport: TransportName, internal: SocketAddress) -> bool:
        """Closes a pinhole in the IPv6 firewall, as a router that has lost it; false if there is none."""
        command = {"command": "remove_pinhole", "transport": transport, "internal": _place("internal", internal)}
        return bool(self.command(command)["removed"])

    def renumber(self, prefix: str | IPv6Network) -> None:
        """Gives the inside another IPv6 prefix, such as `2001:db8:1::/64`.

        Pinholes for other addresses are closed, and requests from such addresses get no answer. On a machine whose
        loopback has `::1` alone, such a prefix shuts the machine out, and `::1/128` lets it in again.
        """
        self.command({"command": "renumber", "prefix": str(prefix)})

    def announce(self, what: Announcement, to: SocketAddress) -> None:
        """Sends an announcement to `to`, over IPv6 if that is an IPv6 address.

        Routers send those of PCP and NAT-PMP to 224.0.0.1:5350 and `[ff02::1]:5350`, those of SSDP to
        239.255.255.250:1900 and `[ff02::c]:1900`.
        """
        self.command({"command": "announce", "what": what, "to": _place("to", to)})

    def wait_for(self, condition: Callable[[Self], object], timeout: Seconds = 5.0) -> None:
        """Waits until the condition is true, looking after each message and each change of the table.

        Raises `TimeoutError`. Blocks the calling thread; in a coroutine use `await asyncio.to_thread(...)`.
        """
        limit = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        end = time.monotonic() + limit
        while not condition(self):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the condition did not come true within {limit} s")
            self._native.wait_change(min(left, _LOOK))

    def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carries out one command of the simulated gateway's line protocol, and returns its reply.

        Raises `InvalidError` with the gateway's message, and `StoppedError`.
        """
        reply: dict[str, Any] = json.loads(self._native.execute(_json(command)))
        if "error" in reply:
            raise InvalidError(str(reply["error"]))
        return reply

    def stop(self) -> None:
        """Stops the router; returns when its sockets are closed. May be called again."""
        self._native.stop()

    def close(self) -> None:
        """Calls `stop`, for `contextlib.closing`."""
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _json(value: object) -> str:
    def address(value: object) -> str:
        if isinstance(value, (IPv4Address, IPv6Address)):
            return str(value)
        raise InvalidTypeError(f"options: a {type(value).__name__} is no value that the simulated gateway knows")

    try:
        return json.dumps(value, default=address, allow_nan=False)
    except InvalidTypeError:
        raise
    except ValueError as error:  # what JSON has no number for
        raise InvalidError(f"options: {error}") from None
