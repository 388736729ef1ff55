"""Core's diagnostics for `logging`, from a thread of Python's."""

from __future__ import annotations

import threading

from portlease import _lifetime, _portlease

# How long `disable_logging` waits for what was said before it.
_DRAIN_LIMIT = 2.0

_queue: _portlease.LogQueue | None = None
_thread: threading.Thread | None = None
_changing = threading.Lock()


def enable_logging() -> None:
    """Forwards portlease's diagnostics to the loggers below `logging.getLogger("portlease")`; off by default.

    Set levels there: `DEBUG` tells of every exchange with a router; the most talkative level is 5. Records are handed
    over by a thread of Python's, some of them after the call that they are about has returned. May be repeated. The
    child of a fork begins without.
    """
    global _queue, _thread
    with _changing:
        if _queue is None:
            _queue = _portlease.LogQueue()
            _thread = threading.Thread(target=_forward, args=(_queue,), name="portlease-logging", daemon=True)
            _thread.start()
            _portlease.log_to(_queue)


def disable_logging() -> None:
    """Ends `enable_logging`; returns when all that was said until now has been handed over."""
    global _queue, _thread
    with _changing:
        queue, thread = _queue, _thread
        _queue = _thread = None
        if queue is not None and thread is not None:
            _portlease.log_to(None)
            queue.close()
            if thread is not threading.current_thread():
                thread.join(_DRAIN_LIMIT)


def _forward(queue: _portlease.LogQueue) -> None:
    # Programs that do not log are spared the import.
    import logging

    while (batch := queue.next()) is not None:
        records, lost = batch
        for level, target, message in records:
            logger = logging.getLogger(target)
            if logger.isEnabledFor(level):
                logger.log(level, "%s", message)
        if lost:
            logging.getLogger("portlease").warning("%d records were lost: more came than could be handled", lost)


def _in_child() -> None:
    global _queue, _thread, _changing, _forsaken
    _forsaken = _queue  # its lock may be held for ever here
    _queue = _thread = None
    _changing = threading.Lock()


_forsaken: _portlease.LogQueue | None = None
_lifetime.call_in_child(_in_child)
