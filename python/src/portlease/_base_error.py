"""The base of the exceptions; `_errors` has one class for each kind."""

from __future__ import annotations

from typing import ClassVar

from portlease._names import ErrorKind


class PortLeaseError(Exception):
    """The base of all errors of portlease. What is raised is always of the class of its kind."""

    # Neither this class nor those of the kinds have an `__init__` or a `__new__` written in Python (see `error.rs`).

    kind: ClassVar[ErrorKind]

    @property
    def message(self) -> str:
        """For people: lower case, with its cause. Nothing matches on it."""
        return str(self.args[0]) if self.args else ""
