"""Makes a local port reachable from the internet through the user's own router, and keeps it reachable.

    import portlease

    with portlease.open(9001) as lease:
        print(lease.external)  # 203.0.113.7:9001, or None if the router does not know its address

`portlease.aio` has the same names for asyncio, `portlease.asgi` maps the port of an ASGI application, and
`portlease.testing` has a simulated router for your own tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from portlease import _portlease  # noqa: F401
except ImportError as error:
    if "interpreter" not in str(error):
        raise
    message = "portlease runs in one interpreter of a process, and in no isolated one: import it in the main one first"
    raise ImportError(message, name="portlease") from error

from portlease import _errors, _names
from portlease._base_error import PortLeaseError
from portlease._blocking import Events, Lease, Mapper, OpenPort, external_address, open, probe
from portlease._config import Config, FamilyName, TransportName
from portlease._errors import *
from portlease._logging import disable_logging, enable_logging
from portlease._names import *
from portlease._portlease import (
    VERSION as __version__,
)
from portlease._portlease import (
    ErrorDetail,
    ErrorReport,
    Event,
    GatewayReport,
    LeaseSnapshot,
    MapperSnapshot,
    ProtocolReport,
    TableEntry,
)
from portlease._signals import exit_on_sigterm
from portlease._values import Backoff, Endpoint, Seconds

if TYPE_CHECKING:
    from portlease import aio, asgi, testing

__all__ = [
    "Backoff",
    "Config",
    "Endpoint",
    "ErrorDetail",
    "ErrorReport",
    "Event",
    "Events",
    "FamilyName",
    "GatewayReport",
    "Lease",
    "LeaseSnapshot",
    "Mapper",
    "MapperSnapshot",
    "OpenPort",
    "PortLeaseError",
    "ProtocolReport",
    "Seconds",
    "TableEntry",
    "TransportName",
    "__version__",
    "aio",
    "asgi",
    "disable_logging",
    "enable_logging",
    "exit_on_sigterm",
    "external_address",
    "open",
    "probe",
    "testing",
]
__all__ += _errors.__all__
__all__ += _names.__all__


def __getattr__(name: str) -> Any:
    """Loads `portlease.aio` and the like at their first use: asyncio takes longer than all of this."""
    if name in ("aio", "asgi", "testing"):
        import importlib

        return importlib.import_module(f"portlease.{name}")
    raise AttributeError(f"module 'portlease' has no attribute {name!r}")
