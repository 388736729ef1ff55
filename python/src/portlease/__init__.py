"""Makes a local port reachable from the internet through the user's own router, and keeps it reachable.

    import portlease

    with portlease.open(9001) as lease:
        print(lease.external)  # 203.0.113.7:9001

`portlease.aio` has the same names for asyncio, `portlease.testing` a simulated router for your own tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portlease._blocking import Lease, Mapper, OpenPort, open
from portlease._config import Config
from portlease._errors import (
    InternalError,
    InvalidError,
    InvalidTypeError,
    PortLeaseError,
    RefusedError,
    StoppedError,
    TimeoutError,
    TransportError,
    UnavailableError,
)
from portlease._logging import disable_logging, enable_logging
from portlease._names import (
    AddressClass,
    Backoff,
    Endpoint,
    ErrorKind,
    EventKind,
    LeaseState,
    NatClass,
    Protocol,
    Transport,
)
from portlease._portlease import (
    VERSION as __version__,
)
from portlease._portlease import (
    ErrorReport,
    Event,
    GatewayReport,
    LeaseSnapshot,
    MapperSnapshot,
    ProtocolReport,
)

if TYPE_CHECKING:
    from portlease import aio, testing

__all__ = [
    "AddressClass",
    "Backoff",
    "Config",
    "Endpoint",
    "ErrorKind",
    "ErrorReport",
    "Event",
    "EventKind",
    "GatewayReport",
    "InternalError",
    "InvalidError",
    "InvalidTypeError",
    "Lease",
    "LeaseSnapshot",
    "LeaseState",
    "Mapper",
    "MapperSnapshot",
    "NatClass",
    "OpenPort",
    "PortLeaseError",
    "Protocol",
    "ProtocolReport",
    "RefusedError",
    "StoppedError",
    "TimeoutError",
    "Transport",
    "TransportError",
    "UnavailableError",
    "__version__",
    "aio",
    "disable_logging",
    "enable_logging",
    "open",
    "testing",
]


def __getattr__(name: str) -> Any:
    """Loads `portlease.aio` and `portlease.testing` at their first use: asyncio takes longer than all of this."""
    if name in ("aio", "testing"):
        import importlib

        return importlib.import_module(f"portlease.{name}")
    raise AttributeError(f"module 'portlease' has no attribute {name!r}")
