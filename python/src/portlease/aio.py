"""The asyncio face: the same names as in `portlease`, with `await`, `async with` and `async for`.

No wait uses a thread of its own or the default executor: one thread serves all of them. Cancelling a task that waits
ends the wait and leaves the lease alone.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Any
from weakref import ref

from portlease import _portlease
from portlease._config import Config, FamilyName, TransportName
from portlease._errors import StoppedError
from portlease._handles import BaseEvents, BaseLease, BaseMapper, begin_open, request, tell_of_rest
from portlease._names import Release
from portlease._portlease import Event, GatewayReport, LeaseSnapshot, TableEntry
from portlease._typing import Self, Unpack
from portlease._values import Seconds
from portlease._waits import result

__all__ = ["Events", "Lease", "Mapper", "OpenPort", "Opening", "external_address", "open", "probe"]


class Mapper(BaseMapper["Lease"]):
    """As `portlease.Mapper`; `async with` stops it, and `async for` gives events, as `events` does.

    `map`, `ensure`, `map_both` and `leases` return at once, so there is nothing to await.
    """

    __slots__ = ()

    def _wrap(self, handle: _portlease.Lease) -> Lease:
        return Lease(self, handle)

    def events(self) -> Events:
        """As `portlease.Mapper.events`: a new reader, for `async for`. There is nothing to await."""
        return Events(self._handle.events())

    async def next_event(self, timeout: Seconds | None = None) -> Event:
        """As `portlease.Mapper.next_event`. If the task is cancelled as an event comes, the next call returns it."""
        return await result(self._handle.next_event(timeout))

    async def probe(self, family: FamilyName = "ipv4") -> GatewayReport:
        """As `portlease.Mapper.probe`."""
        return await result(self._handle.probe(family))

    async def external_address(self, timeout: Seconds | None = None) -> IPv4Address | IPv6Address:
        """As `portlease.Mapper.external_address`."""
        return await result(self._handle.external_address(timeout))

    async def table(self) -> list[TableEntry]:
        """As `portlease.Mapper.table`."""
        return await result(self._handle.table())

    async def delete(
        self, external_port: int, transport: TransportName = "udp", *, any_host: bool = False
    ) -> TableEntry | None:
        """As `portlease.Mapper.delete`. If the task is cancelled, the router may delete the entry all the same."""
        return await result(self._handle.delete(external_port, transport, any_host))

    async def stop(self, timeout: Seconds | None = None) -> Release:
        """As `portlease.Mapper.stop`. If the task is cancelled, the stop goes on in the background."""
        wait = self._handle.stop(timeout)
        try:
            return await result(wait)
        finally:
            self._ended()

    async def aclose(self) -> None:
        """Calls `stop`, for `contextlib.aclosing`."""
        await self.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tell_of_rest(self, await self.stop())

    def __aiter__(self) -> Events:
        return self.events()


class Events(BaseEvents):
    """As `portlease.Events`: an asynchronous iterator."""

    __slots__ = ()

    async def next(self, timeout: Seconds | None = None) -> Event:
        """As `portlease.Events.next`. If the task is cancelled as an event comes, the next call returns it."""
        return await result(self._handle.next(timeout))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.next()
        except StoppedError:
            raise StopAsyncIteration from None


class Lease(BaseLease[Mapper]):
    """As `portlease.Lease`; `async with` stops it."""

    __slots__ = ()

    async def ready(self, timeout: Seconds | None = None) -> LeaseSnapshot:
        """As `portlease.Lease.ready`."""
        return await result(self._handle.ready(timeout))

    def changed(
        self, since: LeaseSnapshot | int | None = None, timeout: Seconds | None = None
    ) -> Coroutine[Any, Any, LeaseSnapshot]:
        """As `portlease.Lease.changed`. The default of `since` is the state at the call, not at the `await`."""
        return _changed(self._handle.changed(since, timeout))

    async def repair(self, timeout: Seconds | None = None) -> LeaseSnapshot:
        """As `portlease.Lease.repair`. If the task is cancelled, the repair goes on in the background."""
        return await result(self._handle.repair(timeout))

    async def stop(self, timeout: Seconds | None = None) -> Release:
        """As `portlease.Lease.stop`. If the task is cancelled, the stop goes on in the background."""
        wait = self._handle.stop(timeout)
        try:
            return await result(wait)
        finally:
            self._mapper._let_go(self._handle)

    async def detach(self) -> Release:
        """As `portlease.Lease.detach`."""
        wait = self._handle.detach()
        try:
            return await result(wait)
        finally:
            self._mapper._let_go(self._handle)

    async def aclose(self) -> None:
        """Calls `stop`, for `contextlib.aclosing`."""
        await self.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tell_of_rest(self, await self.stop())


class OpenPort(Lease):
    """As `portlease.OpenPort`."""

    __slots__ = ("_port",)

    def __init__(self, port: _portlease.OpenPort, mapper: Mapper) -> None:
        super().__init__(mapper, port.lease)
        self._port = port
        mapper._shown[self.id] = ref(self)

    async def stop(self, timeout: Seconds | None = None) -> Release:
        """As `portlease.OpenPort.stop`."""
        return await self._mapper.stop(timeout)

    async def detach(self) -> Release:
        """As `portlease.OpenPort.detach`."""
        try:
            return await result(self._port.detach())
        finally:
            self._mapper._ended()


class Opening(Coroutine[Any, Any, OpenPort]):
    """What `open` returns: a coroutine for an open port, also for `async with`, which stops the port at its end.

    So it can be awaited, or given to `asyncio.create_task`, a `TaskGroup` or `asyncio.run`. Python warns if it is never
    awaited.
    """

    __slots__ = ("_coroutine", "_port")

    def __init__(self, coroutine: Coroutine[Any, Any, OpenPort]) -> None:
        self._coroutine = coroutine
        self._port: OpenPort | None = None

    @property
    def __name__(self) -> str:
        """What asyncio calls it in logs and warnings."""
        return "portlease.aio.open"

    def send(self, value: Any, /) -> Any:
        """As every coroutine has it."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """As every coroutine has it."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """As every coroutine has it; nothing is opened then."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, None, OpenPort]:
        return self._coroutine.__await__()

    async def __aenter__(self) -> OpenPort:
        self._port = await self._coroutine
        return self._port

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._port is not None:
            await self._port.__aexit__(kind, error, trace)


async def _changed(wait: _portlease.Wait[LeaseSnapshot]) -> LeaseSnapshot:
    return await result(wait)


async def _open(request: dict[str, Any], timeout: Seconds | None, config: Config) -> OpenPort:
    port, mapper, ready = begin_open(Mapper, "aio.open", request, timeout, config)
    try:
        await result(ready)
    except BaseException:
        mapper._ended()
        raise
    return OpenPort(port, mapper)


# The names by which Python warns of one that was never awaited.
_changed.__qualname__ = "Lease.changed"
_open.__qualname__ = "portlease.aio.open"


def open(
    port: int,
    transport: TransportName = "udp",
    *,
    external_port: int | None = None,
    exact: bool = False,
    family: FamilyName = "ipv4",
    timeout: Seconds | None = None,
    **config: Unpack[Config],
) -> Opening:
    """As `portlease.open`: `lease = await open(4000)`, or `async with open(4000) as lease`, or in a task of its own."""
    return Opening(_open(request(port, transport, external_port, exact, family), timeout, config))


async def probe(family: FamilyName = "ipv4", **config: Unpack[Config]) -> GatewayReport:
    """As `portlease.probe`."""
    return await result(_portlease.begin_probe({**config}, family))


async def external_address(timeout: Seconds | None = None, **config: Unpack[Config]) -> IPv4Address | IPv6Address:
    """As `portlease.external_address`."""
    return await result(_portlease.begin_external_address({**config}, timeout))
