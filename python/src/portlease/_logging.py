"""Core's diagnostics for `logging`, from a thread of Python's."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from portlease import _lifetime, _portlease

if TYPE_CHECKING:
    import logging

# How long `disable_logging` waits for what was said before it.
_DRAIN_LIMIT = 2.0
# How long a fork waits for the record that is being handed over.
_FORK_LIMIT = 1.0

_reader: _portlease.LogReader | None = None
_thread: threading.Thread | None = None
_changing = threading.Lock()
# Held while a record is with the program's handlers. A child forked in such a moment would inherit a stream that is
# locked by a thread which it does not have.
_handing_over = threading.RLock()
_forking = threading.local()
_hooked = False


def enable_logging() -> None:
    """Forwards portlease's diagnostics to the loggers below `logging.getLogger("portlease")`; off by default.

    Set levels there: `INFO` tells what is installed, changed, revoked and released, `DEBUG` shows each exchange with
    the router; the most talkative level is 5. A thread of Python's hands the records over, some of them after the call
    that they are about has returned. May be repeated. A fork waits for the record that a handler has in hand, at most
    1 s; the child begins without logging.
    """
    global _reader, _thread
    with _changing:
        if _reader is None:
            _hook()
            _reader = _portlease.LogReader()
            _thread = threading.Thread(target=_forward, args=(_reader,), name="portlease-logging", daemon=True)
            _thread.start()


def disable_logging() -> None:
    """Ends `enable_logging`; returns when all that was said until now has been handed over."""
    global _reader, _thread
    with _changing:
        reader, thread = _reader, _thread
        _reader = _thread = None
        if reader is not None and thread is not None:
            reader.close()
            if thread is not threading.current_thread():
                thread.join(_DRAIN_LIMIT)


def _forward(reader: _portlease.LogReader) -> None:
    # Programs that do not log are spared the imports.
    import logging
    import traceback

    while (batch := reader.next()) is not None:
        for level, target, message, told, lost in batch:
            with _handing_over:
                if lost:
                    logging.getLogger("portlease").warning(
                        "%d records were lost: more came than could be handled", lost
                    )
                try:
                    _hand_over(logging.getLogger(target), level, message, told)
                except Exception:
                    # A handler or a filter of the program's failed. Nobody called for this record, so it goes where
                    # logging tells of handlers that fail; the next record may fare better.
                    if logging.raiseExceptions and sys.stderr is not None:
                        traceback.print_exc()


def _hand_over(logger: logging.Logger, level: int, message: str, told: float) -> None:
    """Gives a record to the logger's handlers, with the time at which it was told."""
    if logger.isEnabledFor(level):
        record = logger.makeRecord(logger.name, level, "portlease", 0, "%s", (message,), None)
        late = record.created - told
        record.created, record.relativeCreated = told, record.relativeCreated - late * 1000
        record.msecs = told % 1 * 1000 // 1
        logger.handle(record)


def _hook() -> None:
    """Lets forks wait for the record in hand. Behind logging's own hook, for hooks before a fork run last first:
    whoever hands a record over may need the lock that logging takes then."""
    global _hooked
    if not _hooked and hasattr(os, "register_at_fork"):
        import logging  # noqa: F401

        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
        _hooked = True


def _before_fork() -> None:
    _forking.waited_for = _handing_over if _handing_over.acquire(timeout=_FORK_LIMIT) else None


def _after_fork_in_parent() -> None:
    waited_for, _forking.waited_for = getattr(_forking, "waited_for", None), None
    if waited_for is not None:
        waited_for.release()


def _in_child() -> None:
    global _reader, _thread, _changing, _handing_over
    _reader = _thread = None
    _changing = threading.Lock()
    _handing_over = threading.RLock()


_lifetime.call_in_child(_in_child)
