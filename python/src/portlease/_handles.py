"""What the handles of both faces, blocking and asyncio, have in common."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Generic, NoReturn, SupportsIndex, TypeVar

from portlease import _lifetime, _portlease
from portlease._defaults import settled
from portlease._portlease import LeaseSnapshot, MapperSnapshot
from portlease._values import Endpoint

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from portlease._config import Config


class _Handle:
    """What cannot be copied: the end of the copy would end the original's mappings."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError(f"cannot copy or pickle a {type(self).__name__}: it is a handle on what runs in this process")


class BaseMapper(_Handle):
    """A background engine that finds the gateway once and serves many leases."""

    __slots__ = ("__weakref__", "_handle", "_made_by")
    # Kept here too: at the end of the interpreter a module's names may be gone before the last mapper is. Nothing is in
    # it then.
    _live = _lifetime.live

    def __init__(self, **config: Unpack[Config]) -> None:
        self._made_by = type(self).__qualname__
        self._handle = _portlease.Mapper(settled(config))
        _lifetime.adopt(self._handle)

    def snapshot(self) -> MapperSnapshot:
        """The present state of the mapper and of every lease that has not exited. Never waits, never fails."""
        return self._handle.snapshot()

    def __repr__(self) -> str:
        snapshot = self._handle.snapshot()
        state = "stopped" if snapshot.stopped else f"{snapshot.active} of {len(snapshot.leases)} leases active"
        return f"<{type(self).__module__}.{type(self).__qualname__}: {state}>"

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and handle in self._live:
            _lifetime.abandon(handle)
            message = f"portlease.{self._made_by} was never stopped; its mappings are released in the background"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=self)


M = TypeVar("M", bound=BaseMapper)


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

    @property
    def external(self) -> Endpoint | None:
        """The external address and port, while mapped: `snapshot().external`."""
        return self._handle.snapshot().external

    def snapshot(self) -> LeaseSnapshot:
        """The present state. Takes no lock, never waits, never fails."""
        return self._handle.snapshot()

    def __repr__(self) -> str:
        now = self._handle.snapshot()
        outside = f", outside {now.external}" if now.external else ""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{name} {now.id}: {now.transport} port {now.internal_port} {now.state}{outside}>"


def map_port(
    mapper: BaseMapper, port: int, transport: str, external_port: int | None, exact: bool, family: str
) -> _portlease.Lease:
    """The native `map`, which takes the request as a dict."""
    request: dict[str, Any] = {
        "port": port,
        "transport": transport,
        "external_port": external_port,
        "exact": exact,
        "family": family,
    }
    return mapper._handle.map(request)


def named(mapper: M, made_by: str) -> M:
    """Tells the mapper what to call itself in a warning that nobody stopped it."""
    mapper._made_by = made_by
    return mapper


def rename(module: str, *classes: Any) -> None:
    """Lets classes show the module from which users import them."""
    for each in classes:
        each.__module__ = module
