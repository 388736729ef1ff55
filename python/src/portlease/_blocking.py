"""The blocking face: every wait releases the GIL and ends by Ctrl-C."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import TypeVar
from weakref import ref

from portlease import _lifetime, _portlease
from portlease._config import Config, FamilyName, TransportName
from portlease._errors import StoppedError
from portlease._handles import BaseEvents, BaseLease, BaseMapper, begin_open, rename, request, tell_of_rest
from portlease._names import Release
from portlease._portlease import Event, GatewayReport, LeaseSnapshot, TableEntry
from portlease._typing import Self, Unpack
from portlease._values import Seconds

T = TypeVar("T")


def result(wait: _portlease.Wait[T]) -> T:
    """Blocks until a wait ends. If the end of the interpreter stops the mapper, a daemon thread here ends silently."""
    try:
        return wait.block()
    except StoppedError:
        if _lifetime.ends_elsewhere():
            raise SystemExit from None
        raise


class Mapper(BaseMapper["Lease"]):
    """A background engine that finds the gateway once and serves many leases.

    Constructing it checks the settings, which are those of `Config`, and starts the engine; nothing is sent before the
    first call that asks the router. Leaving its `with` block stops it. Iterating over it gives events, as `events`
    does.

    Raises `InvalidError`, naming the setting, and `InternalError` if the system gives no thread.
    """

    __slots__ = ()

    def _wrap(self, handle: _portlease.Lease) -> Lease:
        return Lease(self, handle)

    def events(self) -> Events:
        """Begins to read events: a new iterator, which ends when the mapper is stopped.

        It gives the events that nobody has read yet, and then every event from now on, whoever else reads them.
        Iterating over the mapper itself does the same.
        """
        return Events(self._handle.events())

    def next_event(self, timeout: Seconds | None = None) -> Event:
        """Waits for the next event, at most for `timeout`; `None` sets no limit.

        All calls take from one queue, so each event is returned once. For several readers, call `events`.
        Raises `TimeoutError`, and `StoppedError` once the mapper is stopped and its last event was returned.
        """
        return result(self._handle.next_event(timeout))

    def probe(self, family: FamilyName = "ipv4") -> GatewayReport:
        """Asks by every configured protocol what the gateway offers; maps nothing. Takes 4 s at most.

        With `"ipv6"` it tells by which protocols the router could be asked for pinholes. Nobody can tell whether its
        firewall lets packets through without them.
        Raises `UnavailableError` or `RefusedError` if no protocol has an offer, `TransportError`, `StoppedError`, and
        `UnavailableError` for IPv6 also if this machine has no global address.
        """
        return result(self._handle.probe(family))

    def external_address(self, timeout: Seconds | None = None) -> IPv4Address | IPv6Address:
        """Asks for the address at which the internet sees this machine, without a lease; waits at most for `timeout`.

        A lease that is active has it already. Otherwise NAT-PMP and UPnP are asked; if PCP alone answers, UDP port 9 is
        mapped for a moment (RFC 6887 11.6). By default it takes about 2 s at most. Without a router it is the machine's
        own address, if that is public. Raises `UnavailableError` if no protocol tells an address, `RefusedError`,
        `TimeoutError`, `TransportError`, `StoppedError`.
        """
        return result(self._handle.external_address(timeout))

    def table(self) -> list[TableEntry]:
        """Reads the router's table of mapped ports, of all programs and machines; by UPnP only.

        Raises `UnavailableError` if there is no UPnP, `RefusedError` if the router does not show its table,
        `TransportError`, `TimeoutError`, `StoppedError`.
        """
        return result(self._handle.table())

    def delete(
        self, external_port: int, transport: TransportName = "udp", *, any_host: bool = False
    ) -> TableEntry | None:
        """Deletes an entry of the router's table, for what no program holds any more; by UPnP alone.

        Returns what it was, or `None` if there is no such entry. Raises `InvalidError` for a lease of this mapper,
        which is to be stopped instead; `RefusedError` for an entry that leads to another machine, unless `any_host`,
        and if the router says no; otherwise as `table` does.
        """
        return result(self._handle.delete(external_port, transport, any_host))

    def stop(self, timeout: Seconds | None = None) -> Release:
        """Releases every mapping and ends the engine; waits for that, by default for 5 s and 0.1 s for each lease.

        Returns how that went, as `Lease.stop` does, for all leases together, also for those that ended before. May be
        called again; never fails for a gateway that is gone.
        """
        wait = self._handle.stop(timeout)
        try:
            return wait.block()
        finally:
            self._ended()

    def close(self) -> None:
        """Calls `stop`, for `contextlib.closing`."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tell_of_rest(self, self.stop())

    def __iter__(self) -> Events:
        return self.events()


class Events(BaseEvents):
    """A reader of a mapper's events, from `Mapper.events`: an iterator.

    A reader that falls more than 1024 events behind loses the oldest; the next event's `dropped` says how many. It does
    not keep the mapper running.
    """

    __slots__ = ()

    def next(self, timeout: Seconds | None = None) -> Event:
        """Waits for the next event, at most for `timeout`; `None` sets no limit.

        Raises `TimeoutError`, and `StoppedError` once the mapper is stopped and the last event was read.
        """
        return result(self._handle.next(timeout))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            return self._handle.next(None).block()
        except StoppedError:
            raise StopIteration from None


class Lease(BaseLease[Mapper]):
    """The promise to keep one port mapped, from `Mapper.map`; its mapper holds it until either is stopped.

    Leaving its `with` block stops it.
    """

    __slots__ = ()

    def ready(self, timeout: Seconds | None = None) -> LeaseSnapshot:
        """Waits for a mapping, at most for `timeout`, and returns the state that has it; `None` sets no limit.

        Raises the kind of the latest whole attempt if that failed, within 2 s if nothing answers; the lease keeps
        trying unless `retry="never"`. Every call that waits at that moment raises it; a later call waits for the next
        attempt. Raises `TimeoutError` if no attempt has ended by then. Once the lease is over, raises the error that
        ended it, or `StoppedError`.
        """
        return result(self._handle.ready(timeout))

    def changed(self, since: LeaseSnapshot | int | None = None, timeout: Seconds | None = None) -> LeaseSnapshot:
        """Waits for another state than `since`, at most for `timeout`, and returns it; `None` sets no limit.

        `since` is a snapshot or its `revision`; the default is the state at this call. Returns at once if the state is
        another already; several changes between two calls count as one. Raises `TimeoutError`, and `StoppedError` if
        the lease is over and `since` is its last state.
        """
        return result(self._handle.changed(since, timeout))

    def repair(self, timeout: Seconds | None = None) -> LeaseSnapshot:
        """Deletes the mapping on the router and makes it again, for one that is listed and does not forward.

        Asks for the same external port and returns the state that has the new mapping. Waits at most for `timeout`;
        `None` sets no limit. The event `repaired` tells that it has worked, `failed` that it has not; then the lease
        tries again as after any loss. A lease that is not mapped makes its next attempt at once.

        Raises `RefusedError` if it was repaired less than 10 s ago: the message says how long to wait. Raises the kind
        of the attempt, `TimeoutError`, after which the repair goes on, and `StoppedError` once the lease is over.
        """
        return result(self._handle.repair(timeout))

    def stop(self, timeout: Seconds | None = None) -> Release:
        """Releases the mapping and ends the lease; waits for that, by default for 5 s at most.

        Returns how that went: `"released"`; `"unconfirmed"` if the gateway did not confirm the delete, so that the
        mapping may stay until its lifetime ends; `"pending"` if the release goes on in the background. None of them is
        an error, and each is true as a `bool`. May be called again.
        """
        wait = self._handle.stop(timeout)
        try:
            return wait.block()
        finally:
            self._mapper._let_go(self._handle)

    def detach(self) -> Release:
        """Ends the lease and leaves the mapping on the gateway until its lifetime ends. Returns as `stop` does.

        A mapping without an end (`snapshot().permanent`) stays until it is deleted.
        """
        wait = self._handle.detach()
        try:
            return wait.block()
        finally:
            self._mapper._let_go(self._handle)

    def close(self) -> None:
        """Calls `stop`, for `contextlib.closing`."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tell_of_rest(self, self.stop())


class OpenPort(Lease):
    """A lease with a mapper of its own, from `open`; both end together."""

    __slots__ = ("_port",)

    def __init__(self, port: _portlease.OpenPort, mapper: Mapper) -> None:
        super().__init__(mapper, port.lease)
        self._port = port
        mapper._shown[self.id] = ref(self)

    def stop(self, timeout: Seconds | None = None) -> Release:
        """Releases the mapping and ends the mapper; otherwise as `Lease.stop`."""
        return self._mapper.stop(timeout)

    def detach(self) -> Release:
        """Leaves the mapping on the gateway, as `Lease.detach` does, and ends the mapper."""
        try:
            return self._port.detach().block()
        finally:
            self._mapper._ended()


def open(
    port: int,
    transport: TransportName = "udp",
    *,
    external_port: int | None = None,
    exact: bool = False,
    family: FamilyName = "ipv4",
    timeout: Seconds | None = None,
    **config: Unpack[Config],
) -> OpenPort:
    """Maps one port and waits for the mapping: a `Mapper`, `map` and `ready` in one call.

    The arguments are those of `Mapper.map`, of `Lease.ready` and of `Mapper`. Without `timeout` it waits for the first
    attempt, which ends within 2 s if nothing answers. Raises as those three do; then it stops the mapper in the
    background. Use it in a `with` statement, or call `stop`.
    """
    wanted = request(port, transport, external_port, exact, family)
    opened, mapper, ready = begin_open(Mapper, "open", wanted, timeout, config)
    try:
        result(ready)
    except BaseException:
        mapper._ended()
        raise
    return OpenPort(opened, mapper)


def probe(family: FamilyName = "ipv4", **config: Unpack[Config]) -> GatewayReport:
    """Asks by every configured protocol what the gateway offers, and maps nothing: `Mapper.probe` in one call.

    The other arguments are those of `Mapper`. Raises as `Mapper` and `Mapper.probe` do.
    """
    return result(_portlease.begin_probe({**config}, family))


def external_address(timeout: Seconds | None = None, **config: Unpack[Config]) -> IPv4Address | IPv6Address:
    """Asks for the address at which the internet sees this machine: `Mapper.external_address` in one call.

    The other arguments are those of `Mapper`. Raises as `Mapper` and `Mapper.external_address` do.
    """
    return result(_portlease.begin_external_address({**config}, timeout))


rename("portlease", Mapper, Events, Lease, OpenPort)
