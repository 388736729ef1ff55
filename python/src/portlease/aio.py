"""The asyncio face: the same names as in `portlease`, with `await`, `async with` and `async for`.

No wait uses a thread of its own or the default executor: one thread serves all of them. Cancelling a task that waits
ends the wait and leaves the lease alone.
"""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from portlease import _lifetime, _portlease
from portlease._errors import StoppedError
from portlease._handles import BaseLease, BaseMapper, map_port, named
from portlease._portlease import Event, GatewayReport, LeaseSnapshot
from portlease._waits import result

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from portlease._config import Config, TransportName
    from portlease._values import Seconds

__all__ = ["Lease", "Mapper", "OpenPort", "Opening", "open"]


class Mapper(BaseMapper):
    """As `portlease.Mapper`; `async with` stops it, and `async for` gives its events until it is stopped."""

    __slots__ = ()

    def map(
        self,
        port: int,
        transport: TransportName = "udp",
        *,
        external_port: int | None = None,
        exact: bool = False,
        family: str = "ipv4",
    ) -> Lease:
        """As `portlease.Mapper.map`: returns at once, so there is nothing to await."""
        return Lease(self, map_port(self, port, transport, external_port, exact, family))

    async def next_event(self, timeout: Seconds | None = None) -> Event:
        """As `portlease.Mapper.next_event`. An event is not lost where the task is cancelled as it comes."""
        return await result(self._handle.next_event(timeout))

    async def probe(self) -> GatewayReport:
        """As `portlease.Mapper.probe`."""
        return await result(self._handle.probe())

    async def stop(self, timeout: Seconds | None = None) -> bool:
        """As `portlease.Mapper.stop`. Where the task is cancelled, the stop goes on in the background."""
        wait, over = self._handle.stop(timeout), False
        try:
            over = await result(wait)
        finally:
            _lifetime.stopped(self._handle, over)
        return over

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.next_event()
        except StoppedError:
            raise StopAsyncIteration from None


class Lease(BaseLease[Mapper]):
    """As `portlease.Lease`; `async with` stops it."""

    __slots__ = ()

    async def ready(self, timeout: Seconds | None = None) -> LeaseSnapshot:
        """As `portlease.Lease.ready`."""
        return await result(self._handle.ready(timeout))

    async def stop(self, timeout: Seconds | None = None) -> bool:
        """As `portlease.Lease.stop`. Where the task is cancelled, the stop goes on in the background."""
        return await result(self._handle.stop(timeout))

    async def detach(self) -> None:
        """As `portlease.Lease.detach`."""
        await result(self._handle.detach())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class OpenPort(Lease):
    """As `portlease.OpenPort`."""

    __slots__ = ()

    async def stop(self, timeout: Seconds | None = None) -> bool:
        """As `portlease.OpenPort.stop`."""
        return await self._mapper.stop(timeout)

    async def detach(self) -> None:
        """As `portlease.OpenPort.detach`."""
        await super().detach()
        await self._mapper.stop()


class Opening:
    """A port about to be opened: `await` it, or use it in `async with`, which stops the port at its end."""

    __slots__ = ("_config", "_port", "_request", "_timeout")

    def __init__(self, request: tuple[Any, ...], timeout: Seconds | None, config: Config) -> None:
        self._request = request
        self._timeout = timeout
        self._config = config
        self._port: OpenPort | None = None

    def __await__(self) -> Generator[Any, None, OpenPort]:
        return self._open().__await__()

    async def _open(self) -> OpenPort:
        mapper = named(Mapper(**self._config), f"aio.open({self._request[0]!r})")
        try:
            handle = map_port(mapper, *self._request)
            await result(handle.ready(self._timeout))
        except BaseException:
            _lifetime.abandon(mapper._handle)
            raise
        return OpenPort(mapper, handle)

    async def __aenter__(self) -> OpenPort:
        self._port = await self._open()
        return self._port

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._port is not None:
            await self._port.stop()


def open(
    port: int,
    transport: TransportName = "udp",
    *,
    external_port: int | None = None,
    exact: bool = False,
    family: str = "ipv4",
    timeout: Seconds | None = None,
    **config: Unpack[Config],
) -> Opening:
    """As `portlease.open`: `lease = await open(4000)`, or `async with open(4000) as lease`."""
    _portlease.check_timeout(timeout)
    return Opening((port, transport, external_port, exact, family), timeout, config)
