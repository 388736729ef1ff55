"""The blocking face: every wait releases the GIL and ends by Ctrl-C."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from portlease import _lifetime, _portlease
from portlease._errors import StoppedError
from portlease._handles import BaseLease, BaseMapper, map_port, named, rename
from portlease._portlease import Event, GatewayReport, LeaseSnapshot

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from portlease._config import Config, TransportName
    from portlease._values import Seconds

T = TypeVar("T")


def result(wait: _portlease.Wait[T]) -> T:
    """Blocks until it is over. A daemon thread whose mapper the end of the interpreter stops ends without a word."""
    try:
        return wait.block()
    except StoppedError:
        if _lifetime.ends_elsewhere():
            raise SystemExit from None
        raise


class Mapper(BaseMapper):
    """A background engine that finds the gateway once and serves many leases.

    Constructing it checks the settings, which are those of `Config`, and starts the engine; nothing is sent before the
    first `map` or `probe`. Leaving its `with` block stops it. Iterating over it gives events until it is stopped.

    Raises `InvalidError`, naming the setting, and `InternalError` where the system gives no thread.
    """

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
        """Begins to map a local port and returns at once; the lease tells how it goes.

        `external_port` is a wish, by default the port itself; with `exact` it is that port or `RefusedError`.
        Raises `InvalidError`, also where another lease of this mapper has the port or asks for the same external one
        (a lease that was stopped or dropped is no longer in the way), and `StoppedError`.
        """
        return Lease(self, map_port(self, port, transport, external_port, exact, family))

    def next_event(self, timeout: Seconds | None = None) -> Event:
        """Pulls the next event, waiting for it at most for `timeout`; `None` waits without a limit.

        Raises `TimeoutError`, and `StoppedError` once the mapper is stopped and its last event was pulled.
        """
        return result(self._handle.next_event(timeout))

    def probe(self) -> GatewayReport:
        """Asks by every configured protocol what the gateway offers; maps nothing. Takes 4 s at most.

        Raises `UnavailableError` or `RefusedError` where no protocol has an offer, `TransportError`, `StoppedError`.
        """
        return result(self._handle.probe())

    def stop(self, timeout: Seconds | None = None) -> bool:
        """Releases every mapping and ends the engine; waits for that, by default for 5 s at most.

        False where it was not over by then; it goes on in the background. May be called again; never fails.
        """
        wait, over = self._handle.stop(timeout), False
        try:
            over = wait.block()
        finally:
            _lifetime.stopped(self._handle, over)
        return over

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            return self._handle.next_event(None).block()
        except StoppedError:
            raise StopIteration from None


class Lease(BaseLease[Mapper]):
    """The promise to keep one port mapped, from `Mapper.map`.

    Leaving its `with` block stops it. Dropping it releases the mapping in the background.
    """

    __slots__ = ()

    def ready(self, timeout: Seconds | None = None) -> LeaseSnapshot:
        """Waits for a mapping, at most for `timeout`, and returns the state that has it; `None` sets no limit.

        Raises the kind of the latest whole attempt if that failed, within 2 s where nothing answers; the lease goes on
        trying unless `retry="never"`, and each failed attempt is raised once. Raises `TimeoutError` if no attempt has
        ended by then, and once the lease is over the error that ended it, or `StoppedError`.
        """
        return result(self._handle.ready(timeout))

    def stop(self, timeout: Seconds | None = None) -> bool:
        """Releases the mapping and ends the lease; waits for that, by default for 5 s at most.

        False where it was not over by then; it goes on in the background. May be called again; never fails for a
        gateway that is gone.
        """
        return self._handle.stop(timeout).block()

    def detach(self) -> None:
        """Ends the lease and leaves the mapping on the gateway until its lifetime ends.

        One without an end (`snapshot().permanent`) stays until somebody deletes it.
        """
        self._handle.detach().block()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class OpenPort(Lease):
    """A lease with a mapper of its own, from `open`; stopping it stops the mapper too."""

    __slots__ = ()

    def stop(self, timeout: Seconds | None = None) -> bool:
        """Releases the mapping and ends the mapper; otherwise as `Lease.stop`."""
        return self._mapper.stop(timeout)

    def detach(self) -> None:
        """As `Lease.detach`, and ends the mapper."""
        super().detach()
        self._mapper.stop()


def open(
    port: int,
    transport: TransportName = "udp",
    *,
    external_port: int | None = None,
    exact: bool = False,
    family: str = "ipv4",
    timeout: Seconds | None = None,
    **config: Unpack[Config],
) -> OpenPort:
    """Maps one port and waits for the mapping: a `Mapper`, `map` and `ready` in one call.

    Without `timeout` it waits for the first attempt, which has ended within 2 s where nothing answers. Raises as those
    three do, and then leaves nothing behind. Use it in a `with` statement, or call `stop`.
    """
    _portlease.check_timeout(timeout)
    mapper = named(Mapper(**config), f"open({port!r})")
    try:
        handle = map_port(mapper, port, transport, external_port, exact, family)
        result(handle.ready(timeout))
    except BaseException:
        _lifetime.abandon(mapper._handle)
        raise
    return OpenPort(mapper, handle)


rename("portlease", Mapper, Lease, OpenPort, open)
