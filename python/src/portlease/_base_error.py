"""The base of the exceptions; `_errors` has one class for each kind."""

from __future__ import annotations

from typing import Any, ClassVar

from portlease._names import ErrorKind
from portlease._portlease import ErrorDetail


class PortLeaseError(Exception):
    """The base of all errors of portlease. What is raised is always of the class of its kind."""

    # Neither this class nor those of the kinds have an `__init__` or a `__new__` written in Python (see `error.rs`).

    kind: ClassVar[ErrorKind]

    details: tuple[ErrorDetail, ...] = ()
    """What each protocol that was tried has answered, in the order of preference; empty if no protocol was asked."""
    advice: str | None = None
    """One sentence for people about what to do now; `None` if there is nothing to do."""
    retry_after: float | None = None
    """For how many seconds it is useless to try again, if that is known."""

    @property
    def message(self) -> str:
        """For people: lower case, with its cause. Nothing matches on it."""
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        # An `OSError` keeps its number outside of its arguments and its `__dict__`.
        number = getattr(self, "errno", None)
        state = self.__dict__ if number is None else {**self.__dict__, "errno": number}
        return type(self), self.args, state
