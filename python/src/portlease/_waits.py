"""asyncio's waits: one daemon thread for all of them, however many event loops and awaiting tasks there are.

The thread is Python's, begins with the first wait and sleeps in Rust with the GIL released. It never runs user code: it
tells the event loop of each wait that is over by `call_soon_threadsafe`. It ends with the process, so that functions
that run at the interpreter's end can wait as well.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TypeVar

from portlease import _lifetime, _portlease

T = TypeVar("T")


class _Waits:
    """The waits of this process, and the thread that hears of their ends."""

    def __init__(self) -> None:
        self.driver = _portlease.Driver()
        self.keys = itertools.count()
        self.pending: dict[int, asyncio.Future[None]] = {}
        self._thread = threading.Thread(target=self._run, name="portlease-asyncio", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            for key in self.driver.next():
                future = self.pending.pop(key, None)
                if future is not None:
                    try:
                        future.get_loop().call_soon_threadsafe(_wake, future)
                    except RuntimeError:
                        pass  # the loop is closed: nobody awaits this any more


def _wake(future: asyncio.Future[None]) -> None:
    # A loop in a daemon thread sleeps through the end of the interpreter: all that it could hear is that all is over.
    if not future.done() and not _lifetime.ends_elsewhere():
        future.set_result(None)


_waits: _Waits | None = None
_starting = threading.Lock()
# Of the processes before a fork: their locks may be held for ever here, so they are kept and never touched.
_forsaken: list[_Waits | None] = []


def _get_waits() -> _Waits:
    global _waits
    with _starting:
        if _waits is None:
            _waits = _Waits()
        return _waits


async def result(wait: _portlease.Wait[T]) -> T:
    """Awaits a wait. Cancelling the task ends the wait at once, and what it waited for goes on."""
    waits = _get_waits()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    key = next(waits.keys)
    waits.pending[key] = future
    try:
        if not wait.start(waits.driver, key):
            await future
        return wait.take()
    finally:
        waits.pending.pop(key, None)
        wait.cancel()


def _in_child() -> None:
    global _waits, _starting
    _forsaken.append(_waits)
    _waits, _starting = None, threading.Lock()


_lifetime.call_in_child(_in_child)
