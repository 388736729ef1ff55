"""What the handles of both faces, blocking and asyncio, have in common."""

from __future__ import annotations

import threading
import warnings
from typing import Any, Generic, NoReturn, SupportsIndex, TypeVar
from weakref import ref

from portlease import _lifetime, _portlease
from portlease._config import Config, FamilyName, TransportName
from portlease._errors import InvalidError
from portlease._names import AddressClass, LeaseState, Protocol, Release
from portlease._portlease import LeaseSnapshot, MapperSnapshot
from portlease._typing import Self, Unpack
from portlease._values import Endpoint, Seconds

L = TypeVar("L", bound="BaseLease[Any]")

# How many leases a mapper holds before it looks for those that ended by themselves.
_FORGET_FROM = 32


class _Handle:
    """Cannot be copied: the end of the copy would end the original's mappings."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError(f"cannot copy or pickle a {type(self).__name__}: it is a handle on what runs in this process")


class BaseMapper(_Handle, Generic[L]):
    """A background engine that finds the gateway once and serves many leases."""

    # `_leases` holds what `map` made, so that a lease which the program does not keep stays mapped. They are handles of
    # the extension module: an object that the program sees refers to its mapper, and a circle would put the mapper's
    # end off to some later garbage collection. `_shown` has those objects, as long as the program does. Nothing is
    # called when one goes: Ctrl-C in such a function would be lost. `_showing` lets one thread at a time look there, so
    # that two get one object; it may be taken again, for the garbage collector runs what the program likes.
    __slots__ = ("__weakref__", "_forget_at", "_handle", "_leases", "_made_by", "_showing", "_shown")
    # Kept here too: at the end of the interpreter a module's names may be gone before the last mapper is. Nothing is in
    # it then.
    _live = _lifetime.live

    def __init__(self, **config: Unpack[Config]) -> None:
        self._adopt(_portlease.Mapper({**config}), type(self).__qualname__)

    @classmethod
    def _of(cls, handle: _portlease.Mapper, made_by: str) -> Self:
        """Makes the mapper for an engine that runs already."""
        self = cls.__new__(cls)
        self._adopt(handle, made_by)
        return self

    def _adopt(self, handle: _portlease.Mapper, made_by: str) -> None:
        self._handle = handle
        self._made_by = made_by
        self._leases: dict[int, _portlease.Lease] = {}
        self._shown: dict[int, ref[L]] = {}
        self._forget_at = _FORGET_FROM
        self._showing = threading.RLock()
        _lifetime.adopt(handle)

    def map(
        self,
        port: int,
        transport: TransportName = "udp",
        *,
        external_port: int | None = None,
        exact: bool = False,
        family: FamilyName = "ipv4",
        ttl: Seconds | None = None,
        description: str | None = None,
    ) -> L:
        """Begins to map a local port and returns at once; the lease tells how it goes.

        `external_port` is a wish, by default the port itself; with `exact`, any other port is a `RefusedError`. With
        `family="ipv6"` the lease is a pinhole in the router's IPv6 firewall, for this machine's own global address; the
        port outside is the port inside then. `ttl`
        and `description` are for this lease what the settings of these names are for all.
        Raises `StoppedError`, and `InvalidError`, also if another lease of this mapper has the port or asks for the
        same external port. A lease that was stopped does not count.

        The mapper holds the lease until either is stopped, also if the program does not keep it.
        """
        wanted = request(port, transport, external_port, exact, family, ttl, description)
        return self._show(self._handle.map(wanted))

    def ensure(
        self,
        port: int,
        transport: TransportName = "udp",
        *,
        external_port: int | None = None,
        exact: bool = False,
        family: FamilyName = "ipv4",
        ttl: Seconds | None = None,
        description: str | None = None,
    ) -> L:
        """Returns the lease that lives for an equal request, or makes one as `map` does.

        So a program may ask again for what it has: a notebook's cell that runs again, settings that are read anew.
        Raises as `map` does; a lease on the same port with other wishes is `InvalidError`.
        """
        wanted = request(port, transport, external_port, exact, family, ttl, description)
        return self._show(self._handle.ensure(wanted))

    def map_both(
        self,
        port: int,
        *,
        external_port: int | None = None,
        exact: bool = False,
        family: FamilyName = "ipv4",
        ttl: Seconds | None = None,
        description: str | None = None,
    ) -> tuple[L, L]:
        """Begins to map a local port over UDP and over TCP: two leases, in this order.

        Either may fail without the other, and their external ports may differ unless the request is `exact`. Raises as
        `map` does; then there is neither.
        """
        udp, tcp = self._handle.map_both(request(port, "udp", external_port, exact, family, ttl, description))
        return self._show(udp), self._show(tcp)

    def leases(self) -> list[L]:
        """Returns every lease that lives, by number: the objects that `map` returned, if the program has them."""
        return [self._show(handle) for handle in self._handle.leases()]

    def _wrap(self, handle: _portlease.Lease) -> L:
        """Makes the object that the program sees."""
        raise NotImplementedError

    def _show(self, handle: _portlease.Lease) -> L:
        """Holds a lease, and returns the object that the program has for it, or a new one."""
        with self._showing:
            self._hold(handle)
            shown = self._shown.get(handle.id)
            lease = shown() if shown is not None else None
            if lease is None:
                lease = self._wrap(handle)
                self._shown[handle.id] = ref(lease)
        return lease

    def _hold(self, handle: _portlease.Lease) -> None:
        """Holds a lease until it or this mapper is stopped; at times, forgets those that ended by themselves."""
        self._leases.setdefault(handle.id, handle)
        if len(self._leases) >= self._forget_at:
            for known in list(self._leases.values()):
                if known.state == LeaseState.EXITED:
                    self._let_go(known)
            self._forget_at = max(_FORGET_FROM, 2 * len(self._leases))

    def _let_go(self, handle: _portlease.Lease) -> None:
        self._leases.pop(handle.id, None)
        self._shown.pop(handle.id, None)

    def _ended(self) -> None:
        """Lets the mapper end in the background, if it has not ended yet."""
        _lifetime.release(self._handle)
        self._leases.clear()
        self._shown.clear()

    def snapshot(self) -> MapperSnapshot:
        """Returns the present state of the mapper and of every lease that has not exited. Never waits, never fails."""
        return self._handle.snapshot()

    def network_changed(self) -> None:
        """Tells that the machine's network may have changed, for programs that know before portlease does.

        Phones tell their apps, and sandboxes hide the network from them. Every lease looks again at once, and none
        waits for its next attempt. Returns at once; does nothing once the mapper is stopped. It is needed nowhere else:
        portlease watches the network itself.
        """
        self._handle.network_changed()

    def _name(self) -> str:
        return f"portlease.{self._made_by}"

    def __repr__(self) -> str:
        snapshot = self._handle.snapshot()
        state = "stopped" if snapshot.stopped else f"{snapshot.active} of {len(snapshot.leases)} leases active"
        return f"<{type(self).__module__}.{type(self).__qualname__}: {state}>"

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and handle in self._live:
            _lifetime.release(handle)
            message = f"{self._name()} was never stopped; its mappings are released in the background"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=self)


M = TypeVar("M", bound=BaseMapper[Any])


class BaseLease(_Handle, Generic[M]):
    """The promise to keep one port mapped."""

    __slots__ = ("__weakref__", "_handle", "_mapper")

    def __init__(self, mapper: M, handle: _portlease.Lease) -> None:
        self._mapper = mapper
        self._handle = handle

    @property
    def id(self) -> int:
        """The lease's number within its mapper, from 1, as events name it."""
        return self._handle.id

    @property
    def mapper(self) -> M:
        """The mapper that serves this lease."""
        return self._mapper

    # The present state, attribute by attribute; `snapshot` has all of it at one moment.

    @property
    def state(self) -> LeaseState:
        """Where the lease stands."""
        return self._handle.state

    @property
    def active(self) -> bool:
        """Whether a granted, unexpired mapping is there."""
        return self._handle.active

    @property
    def external(self) -> Endpoint | None:
        """The external address and port, while active and if the gateway knows its address."""
        return self._handle.external

    @property
    def external_port(self) -> int | None:
        """The external port, while active; also if the gateway does not know its address."""
        return self._handle.external_port

    @property
    def protocol(self) -> Protocol | None:
        """The protocol that made the mapping, while active."""
        return self._handle.protocol

    @property
    def address_class(self) -> AddressClass:
        """The class of the external address; `unknown` while not active."""
        return self._handle.address_class

    def snapshot(self) -> LeaseSnapshot:
        """Returns the present state. Takes no lock, never waits, never fails."""
        return self._handle.snapshot()

    def _name(self) -> str:
        now = self._handle.snapshot()
        return f"{now.transport} port {now.internal_port}"

    def __repr__(self) -> str:
        now = self._handle.snapshot()
        external = now.external or (now.external_port and f"port {now.external_port}")
        outside = f", outside {external}" if external else ""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{name} {now.id}: {now.transport} port {now.internal_port} {now.state}{outside}>"


class BaseEvents(_Handle):
    """A reader of a mapper's events."""

    __slots__ = ("__weakref__", "_handle")

    def __init__(self, handle: _portlease.Events) -> None:
        self._handle = handle


def request(
    port: int,
    transport: str,
    external_port: int | None,
    exact: bool,
    family: str,
    ttl: Seconds | None = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Describes a port to be mapped, as the extension module reads it."""
    if transport == "both":
        raise InvalidError("transport: must be udp or tcp; for both, call Mapper.map_both, which makes two leases")
    return {
        "port": port,
        "transport": transport,
        "external_port": external_port,
        "exact": exact,
        "family": family,
        "ttl": ttl,
        "description": description,
    }


def begin_open(
    face: type[M], name: str, request: dict[str, Any], timeout: Any, config: Config
) -> tuple[_portlease.OpenPort, M, _portlease.Wait[LeaseSnapshot]]:
    """Begins to open a port: the port, its mapper as a face shows it, and the wait for the first mapping."""
    port, ready = _portlease.begin_open({**config}, request, timeout)
    mapper = face._of(port.mapper, f"{name}({request['port']!r})")
    mapper._hold(port.lease)
    return port, mapper, ready


def tell_of_rest(handle: BaseMapper[Any] | BaseLease[Any], release: Release) -> None:
    """Says in the log if the end of a `with` block has left something on the router: a `with` raises nothing for it."""
    if release != Release.RELEASED:
        import logging

        logging.getLogger("portlease").warning("%s: %s", handle._name(), _REST[release])


_REST = {
    Release.UNCONFIRMED: "the router did not confirm the delete, so the mapping may stay until its lifetime ends",
    Release.PENDING: "the release goes on in the background",
}


def rename(module: str, *classes: Any) -> None:
    """Lets classes show the module from which users import them."""
    for each in classes:
        each.__module__ = module
