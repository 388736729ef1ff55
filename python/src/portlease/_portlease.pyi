"""The compiled part of portlease. Users import what they need from `portlease`."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Generic, TypeVar, final

from portlease._names import (
    AddressClass,
    AddressFamily,
    ErrorKind,
    EventKind,
    LeaseState,
    NatClass,
    Protocol,
    Release,
    Transport,
)
from portlease._values import Endpoint, Seconds

_T_co = TypeVar("_T_co", covariant=True)

__all__ = [
    "Driver",
    "ErrorDetail",
    "ErrorReport",
    "Event",
    "Events",
    "Gateway",
    "GatewayReport",
    "Lease",
    "LeaseSnapshot",
    "LogReader",
    "Mapper",
    "MapperSnapshot",
    "OpenPort",
    "ProtocolReport",
    "SETTINGS",
    "TableEntry",
    "VERSION",
    "Wait",
    "begin_external_address",
    "begin_open",
    "begin_probe",
    "gateway_defaults",
    "in_child",
    "rely_on_fork_hook",
    "run_command",
    "stop_all",
]

SETTINGS: Final[list[str]]
VERSION: Final[str]

# <!-- generated: views -->
@final
class ErrorDetail:
    """What one protocol has answered, as a part of an error."""

    @property
    def protocol(self) -> Protocol:
        """The protocol that was tried."""
    @property
    def kind(self) -> ErrorKind:
        """Why it failed; `timeout` if the router did not answer by this protocol."""
    @property
    def code(self) -> int | None:
        """The router's number for that, where it answered with one: a PCP result code (RFC 6887 7.4), a NAT-PMP result
        code (RFC 6886 3.5) or a UPnP error code."""
    @property
    def name(self) -> str | None:
        """The standard's name of the code, such as `NOT_AUTHORIZED` or `ConflictInMappingEntry`, where the code has
        one. A port that is taken, for which NAT-PMP has no code, is `CANNOT_PROVIDE_EXTERNAL` without a code; a router
        that answers and has no address is `NETWORK_FAILURE`, with a code or without."""
    @property
    def retry_after(self) -> float | None:
        """For how long the router says that the refusal holds, where it gave a time (RFC 6887 7.4). In seconds."""
    @property
    def message(self) -> str:
        """For people; nothing matches on it."""
    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

@final
class ErrorReport:
    """A failure as snapshots and events show it.

    The advice goes by what each protocol has answered, and tells apart: no network or no router; a router that answers
    by none of the protocols; one that does not allow this machine to map ports (`NOT_AUTHORIZED`, 606); a port that is
    taken (`CANNOT_PROVIDE_EXTERNAL`, 718, 729); a full table (`NO_RESOURCES`, `USER_EX_QUOTA`, `OUT_OF_RESOURCES`,
    728); a router without an external address (`NETWORK_FAILURE`), or one that tried and failed (501); another NAT
    before the router (`ADDRESS_MISMATCH`); a version or an action that the router does not know (`UNSUPP_VERSION`,
    401); an error of this machine's sockets; a time-out; a defect in portlease. If the protocols have answered
    differently, the answer counts about which people can do most."""

    @property
    def kind(self) -> ErrorKind:
        """The stable kind."""
    @property
    def message(self) -> str:
        """For people; nothing matches on it."""
    @property
    def details(self) -> tuple[ErrorDetail, ...]:
        """What each protocol that was tried has answered, in the order of preference; empty if no protocol was
        asked."""
    @property
    def advice(self) -> str | None:
        """One sentence for people about what to do now; nothing if there is nothing to do."""
    @property
    def retry_after(self) -> float | None:
        """How long it is useless to try again, if that is known. In seconds."""
    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

@final
class LeaseSnapshot:
    """One lease at one moment."""

    @property
    def id(self) -> int:
        """The lease's number within its mapper, from 1."""
    @property
    def revision(self) -> int:
        """The number of this state: it grows with each change, and tells `Lease.changed` what the caller has seen."""
    @property
    def state(self) -> LeaseState:
        """Where the lease stands."""
    @property
    def active(self) -> bool:
        """Whether a granted, unexpired mapping is published."""
    @property
    def external(self) -> Endpoint | None:
        """The external address and port, while active and if the gateway knows its address."""
    @property
    def external_port(self) -> int | None:
        """The external port, while active; also if the gateway does not know its address."""
    @property
    def protocol(self) -> Protocol | None:
        """The protocol that made the mapping, while active."""
    @property
    def internal_port(self) -> int:
        """The local port."""
    @property
    def transport(self) -> Transport:
        """UDP or TCP."""
    @property
    def family(self) -> AddressFamily:
        """IPv4 for a port mapping, IPv6 for a pinhole."""
    @property
    def lifetime(self) -> float | None:
        """The granted lifetime; `None` while not active or if the mapping is permanent. In seconds."""
    @property
    def expires_in(self) -> float | None:
        """The time until the gateway ends the mapping if it is not renewed; `None` as for `lifetime`. In seconds."""
    @property
    def renews_in(self) -> float | None:
        """The time until the next renewal is due; `None` while not active. In seconds."""
    @property
    def permanent(self) -> bool:
        """Whether the mapping stays on the gateway until it is deleted."""
    @property
    def renewals(self) -> int:
        """Successful renewals of the present mapping and of those before it."""
    @property
    def failures(self) -> int:
        """Consecutive failures: of renewals while active, of attempts to map otherwise."""
    @property
    def last_error(self) -> ErrorReport | None:
        """The latest failure; cleared by the next success."""
    @property
    def nat_class(self) -> NatClass:
        """`open` while active with a public external address."""
    @property
    def address_class(self) -> AddressClass:
        """The class of the external address; `unknown` while not active."""
    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

@final
class MapperSnapshot:
    """A mapper at one moment."""

    @property
    def gateway(self) -> IPv4Address | IPv6Address | None:
        """The gateway, once it was looked for and found; IPv4's if there is one. A link-local address has its scope,
        `fe80::1%eth0`."""
    @property
    def local_address(self) -> IPv4Address | IPv6Address | None:
        """The local address to which the gateway forwards, once known."""
    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols by which the gateway has answered so far."""
    @property
    def active(self) -> int:
        """Leases with a granted, unexpired mapping."""
    @property
    def renewals(self) -> int:
        """Successful renewals, all leases together."""
    @property
    def events_dropped(self) -> int:
        """Events that nobody pulled in time and that were dropped for newer ones."""
    @property
    def leases(self) -> tuple[LeaseSnapshot, ...]:
        """Every lease that has not exited, by number."""
    @property
    def last_error(self) -> ErrorReport | None:
        """The last thing that did not work and that no lease depends on, such as writing to the state directory."""
    @property
    def stopped(self) -> bool:
        """Whether the mapper was stopped."""
    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

@final
class GatewayReport:
    """What a gateway offers, asked without mapping anything."""

    @property
    def gateway(self) -> IPv4Address | IPv6Address | None:
        """The gateway's address; a link-local one has its scope, `fe80::1%eth0`."""
    @property
    def local_address(self) -> IPv4Address | IPv6Address | None:
        """The local address from which it is reached."""
    @property
    def interface(self) -> str | None:
        """The interface of the default route, where it is known."""
    @property
    def protocols(self) -> tuple[ProtocolReport, ...]:
        """One entry for each configured protocol that has the family (NAT-PMP has no IPv6), in the configured order."""
    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

@final
class ProtocolReport:
    """One protocol's part of a `GatewayReport`."""

    @property
    def protocol(self) -> Protocol:
        """The protocol."""
    @property
    def external_address(self) -> IPv4Address | IPv6Address | None:
        """The gateway's external address, where the protocol can tell without mapping and the gateway has one."""
    @property
    def device(self) -> str | None:
        """The device's name (UPnP)."""
    @property
    def round_trip(self) -> float | None:
        """How long the answer took; for UPnP from the search to the last answer. In seconds."""
    @property
    def error(self) -> ErrorReport | None:
        """Why there was no answer."""
    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

@final
class TableEntry:
    """A line of the router's table of mapped ports."""

    @property
    def external_port(self) -> int:
        """The port on the router's public side."""
    @property
    def transport(self) -> Transport:
        """UDP or TCP."""
    @property
    def internal_client(self) -> str:
        """The host inside to which the router forwards: an address, on some routers a name."""
    @property
    def internal_port(self) -> int:
        """The port on that host."""
    @property
    def description(self) -> str:
        """What the one who made it calls it."""
    @property
    def enabled(self) -> bool:
        """Whether it is in force."""
    @property
    def lifetime(self) -> float | None:
        """The time that is left; `None` for an entry that does not end by itself. In seconds."""
    @property
    def remote_host(self) -> str:
        """The only host that may use it; empty for everybody."""
    @property
    def this_machine(self) -> bool:
        """Whether it forwards to this machine."""
    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

@final
class Event:
    """Something that happened to a lease, or to all of them at once."""

    @property
    def kind(self) -> EventKind:
        """What happened."""
    @property
    def lease(self) -> int | None:
        """The number of the lease; `None` if the event is about the whole mapper (`network-changed`, and `failed` where
        something does not work that no lease depends on, such as the state directory)."""
    @property
    def transport(self) -> Transport | None:
        """UDP or TCP, if the event is about a lease."""
    @property
    def family(self) -> AddressFamily | None:
        """IPv4 for a port mapping, IPv6 for a pinhole, if the event is about a lease."""
    @property
    def internal_port(self) -> int | None:
        """The local port, if the event is about a lease."""
    @property
    def external(self) -> Endpoint | None:
        """The external address and port, if there is a mapping and the gateway knows its address."""
    @property
    def external_port(self) -> int | None:
        """The external port, if there is a mapping."""
    @property
    def protocol(self) -> Protocol | None:
        """The protocol of the mapping."""
    @property
    def lifetime(self) -> float | None:
        """The granted lifetime; `None` if there is no mapping or it is permanent. In seconds."""
    @property
    def address_class(self) -> AddressClass:
        """The class of the external address."""
    @property
    def error(self) -> ErrorReport | None:
        """Why, for `failed`, `revoked` and, if the lease ended by a failure or its mapping could not be deleted,
        `exited`."""
    @property
    def elapsed(self) -> float:
        """How long the attempt took that ended with this event; zero if the event ends no attempt. In seconds."""
    @property
    def dropped(self) -> int:
        """How many events this reader lost just before this one because it did not pull them in time."""
    def asdict(self, *, json: bool = False) -> dict[str, Any]:
        """The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Lets pydantic check that something is of this class, and write it as JSON."""

# <!-- /generated -->

@final
class Wait(Generic[_T_co]):
    """One wait, which begins with `block()` or `step()`. Dropping it ends the wait, and nothing that is waited for is
    lost."""

    def block(self) -> _T_co:
        """Waits on the calling thread, with the GIL released, and returns the result. Ctrl-C ends the wait."""
    def step(self) -> bool:
        """Polls once: whether the wait has ended, so that `take()` has its result."""
    def take(self) -> _T_co:
        """Returns the result of a wait that has ended."""
    def discard(self) -> None:
        """Gives up the result; an event goes back to its reader."""

@final
class Driver:
    """Many waits at once, each with a number of the caller's as its key."""

    def __new__(cls) -> Driver: ...
    def begin(self, key: int, wait: Wait[Any]) -> None:
        """Begins a wait without blocking; `next()` gives its end."""
    def cancel(self, key: int) -> None:
        """Cancels the wait with this key, if it has not ended; what it waits for goes on."""
    def next(self) -> list[tuple[int, Wait[Any]]]:
        """Blocks, with the GIL released, until waits end; returns their keys, each with the wait to `take()` from."""

@final
class LogReader:
    """Reads core's diagnostics from its making on."""

    def __new__(cls) -> LogReader: ...
    def next(self) -> list[tuple[int, str, str, float, int]] | None:
        """Blocks, with the GIL released, until there are records: level by Python's numbers, target, message, time in
        seconds since 1970, and how many were lost before. `None` once closed, and in a forked child."""
    def close(self) -> None:
        """Ends the reading; `next()` gives what was told before."""

@final
class Lease:
    """A lease of core. Dropping it releases the mapping in the background."""

    @property
    def id(self) -> int:
        """The lease's number within its mapper, from 1."""
    @property
    def state(self) -> LeaseState:
        """Where the lease stands."""
    @property
    def active(self) -> bool:
        """Whether a granted, unexpired mapping is there."""
    @property
    def external(self) -> Endpoint | None:
        """The external address and port, while active and if the gateway knows its address."""
    @property
    def external_port(self) -> int | None:
        """The external port, while active; also if the gateway does not know its address."""
    @property
    def protocol(self) -> Protocol | None:
        """The protocol that made the mapping, while active."""
    @property
    def address_class(self) -> AddressClass:
        """The class of the external address; `unknown` while not active."""
    def ready(self, timeout: Seconds | None) -> Wait[LeaseSnapshot]:
        """Waits for a mapping, at most for `timeout` seconds: a `LeaseSnapshot`."""
    def changed(self, since: LeaseSnapshot | int | None, timeout: Seconds | None) -> Wait[LeaseSnapshot]:
        """Waits for a state other than `since`, which is a snapshot, its revision, or `None` for the state at this
        call: a `LeaseSnapshot`."""
    def repair(self, timeout: Seconds | None) -> Wait[LeaseSnapshot]:
        """Deletes the mapping and makes it again, and waits for that, at most for `timeout` seconds: a
        `LeaseSnapshot`."""
    def snapshot(self) -> LeaseSnapshot:
        """The present state; takes no lock and never waits."""
    def stop(self, timeout: Seconds | None) -> Wait[Release]:
        """Releases the mapping and waits for that: a `Release`."""
    def detach(self) -> Wait[Release]:
        """Ends the lease and leaves the mapping on the gateway: a `Release`."""

@final
class Mapper:
    """A mapper of core. Dropping it releases all mappings in the background."""

    def __new__(cls, settings: dict[str, Any]) -> Mapper: ...
    def map(self, request: dict[str, Any]) -> Lease:
        """Begins to map a port, which a dict describes, and returns at once."""
    def ensure(self, request: dict[str, Any]) -> Lease:
        """The lease that lives for an equal request, or a new one."""
    def map_both(self, request: dict[str, Any]) -> tuple[Lease, Lease]:
        """Begins to map a port over UDP and over TCP."""
    def leases(self) -> list[Lease]:
        """Handles of every lease that lives, by number."""
    def snapshot(self) -> MapperSnapshot:
        """The present state of the mapper and of every lease that has not exited."""
    def next_event(self, timeout: Seconds | None) -> Wait[Event]:
        """Waits for the next event of the queue that all calls share, at most for `timeout` seconds: an `Event`."""
    def events(self) -> Events:
        """Begins to read events: those that nobody has read yet, then every one from now on."""
    def probe(self, family: str) -> Wait[GatewayReport]:
        """Asks what the gateway of a family offers: a `GatewayReport`."""
    def external_address(self, timeout: Seconds | None) -> Wait[IPv4Address | IPv6Address]:
        """Asks for the external address, at most for `timeout` seconds."""
    def table(self) -> Wait[list[TableEntry]]:
        """Reads the router's table: a list of `TableEntry`."""
    def delete(self, external_port: int, transport: str, any_host: bool) -> Wait[TableEntry | None]:
        """Deletes an entry of the router's table: a `TableEntry`, or `None` if there is none."""
    def network_changed(self) -> None:
        """Tells that the network may have changed: every lease looks again at once."""
    def stop(self, timeout: Seconds | None) -> Wait[Release]:
        """Releases every mapping, ends the engine and waits for that: a `Release`."""
    def begin_stop(self) -> bool:
        """Asks the engine to release every mapping and to end, and does not wait: whether it has ended already."""

@final
class Events:
    """A reader of a mapper's events. It does not keep the mapper running."""

    def next(self, timeout: Seconds | None) -> Wait[Event]:
        """Waits for the next event, at most for `timeout` seconds: an `Event`."""

@final
class OpenPort:
    """An open port of core: a lease and the mapper that serves it alone."""

    @property
    def lease(self) -> Lease:
        """The lease."""
    @property
    def mapper(self) -> Mapper:
        """The mapper."""
    def detach(self) -> Wait[Release]:
        """Leaves the mapping on the gateway, ends the lease and the engine, and waits for that: a `Release`."""

@final
class Gateway:
    """A home router on loopback."""

    def __new__(cls, options: str) -> Gateway: ...
    def started(self) -> str:
        """Where the gateway listens, as the JSON line that its program writes at the start."""
    def execute(self, line: str) -> str:
        """Carries out one JSON line and returns the reply."""
    def wait_change(self, limit: float) -> bool:
        """Waits until something has changed, at most for so many seconds; whether it did."""
    def stop(self) -> None:
        """Stops the gateway; returns when its sockets are closed."""

def begin_open(
    given: dict[str, Any], request: dict[str, Any], timeout: Seconds | None
) -> tuple[OpenPort, Wait[LeaseSnapshot]]:
    """Checks all arguments, starts an engine and begins to map: the open port, and the wait for its first mapping."""

def begin_probe(given: dict[str, Any], family: str) -> Wait[GatewayReport]:
    """Asks what the gateway of a family offers, with an engine that ends with the wait: a `GatewayReport`."""

def begin_external_address(given: dict[str, Any], timeout: Seconds | None) -> Wait[IPv4Address | IPv6Address]:
    """Asks for the external address, with an engine that ends with the wait."""

def run_command(arguments: Sequence[str]) -> int:
    """Runs the command line with these arguments, the program's own name first; its exit status."""

def rely_on_fork_hook() -> None:
    """Says that `in_child` will be called in the child of every fork."""

def in_child() -> None:
    """Says that this process is the child of a fork."""

def stop_all(mappers: Sequence[Mapper], limit: float) -> None:
    """Stops all mappers at once and waits for `limit` seconds at most."""

def gateway_defaults() -> tuple[str, str]:
    """All settings and all faults with their defaults, as two JSON objects."""
