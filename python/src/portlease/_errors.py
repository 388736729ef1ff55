"""The exceptions: one class a kind, under one base."""

from __future__ import annotations

import builtins
from typing import ClassVar

from portlease._names import ErrorKind


class PortLeaseError(Exception):
    """The base of all errors of portlease; what is raised is always one of the classes below, by its kind."""

    kind: ClassVar[ErrorKind]

    @property
    def message(self) -> str:
        """For people: lower case, with its cause. Nothing matches on it."""
        return str(self.args[0]) if self.args else ""


class UnavailableError(PortLeaseError):
    """No gateway, or none of the protocols answered, or the gateway says that it has no such service."""

    kind = ErrorKind.UNAVAILABLE


class TimeoutError(PortLeaseError, builtins.TimeoutError):
    """A call ran past its deadline. Also the builtin `TimeoutError`."""

    kind = ErrorKind.TIMEOUT


class TransportError(PortLeaseError, OSError):
    """A socket-level error on the way to the gateway. Also an `OSError`, with its `errno` where the system gave one."""

    kind = ErrorKind.TRANSPORT


class RefusedError(PortLeaseError):
    """The gateway answered no; the message carries protocol and code, such as `pcp NOT_AUTHORIZED`."""

    kind = ErrorKind.REFUSED


class InvalidError(PortLeaseError, ValueError):
    """An argument that is not allowed; the message names it and says what is. Also a `ValueError`."""

    kind = ErrorKind.INVALID


class InvalidTypeError(InvalidError, TypeError):
    """An argument of a wrong type. Also a `TypeError`."""


class StoppedError(PortLeaseError):
    """The handle is closed, or belongs to the process before a fork."""

    kind = ErrorKind.STOPPED


class InternalError(PortLeaseError):
    """A defect in portlease: please report it."""

    kind = ErrorKind.INTERNAL


# For the extension module, which raises all errors: by kind, and `type` for an argument of a wrong type. None of them
# has an `__init__` or a `__new__` written in Python; `error.rs` says why.
CLASSES: dict[str, type[PortLeaseError]] = {
    "unavailable": UnavailableError,
    "timeout": TimeoutError,
    "transport": TransportError,
    "refused": RefusedError,
    "invalid": InvalidError,
    "type": InvalidTypeError,
    "stopped": StoppedError,
    "internal": InternalError,
}

# Tracebacks and pickles name them as users do.
for _class in (PortLeaseError, *CLASSES.values()):
    _class.__module__ = "portlease"
