"""asyncio's waits: one daemon thread for all of them, however many event loops and awaiting tasks there are.

The thread is Python's, begins with the first wait and sleeps in Rust with the GIL released. It runs no code of the
user: it hands each wait that has ended to its event loop by `call_soon_threadsafe`. It ends with the process, so that
functions that run at the interpreter's end can wait as well.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any, TypeVar

from portlease import _lifetime, _portlease

T = TypeVar("T")


class _Waits:
    """The waits of this process, and the thread that takes them out when they end."""

    def __init__(self) -> None:
        self.driver = _portlease.Driver()
        self.keys = itertools.count()
        self.pending: dict[int, asyncio.Future[_portlease.Wait[Any]]] = {}
        self._thread = threading.Thread(target=self._run, name="portlease-asyncio", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._hand_over(self.driver.next())

    def _hand_over(self, ended: list[tuple[int, _portlease.Wait[Any]]]) -> None:
        # Not part of `_run`, whose variables would keep an event that nobody takes until the next wait ends.
        for key, wait in ended:
            future = self.pending.pop(key, None)
            if future is not None:
                try:
                    future.get_loop().call_soon_threadsafe(_finish, future, wait)
                except RuntimeError:
                    pass  # the loop is closed: nobody awaits this any more


def _finish(future: asyncio.Future[_portlease.Wait[Any]], wait: _portlease.Wait[Any]) -> None:
    if future.done():
        wait.discard()
    # A loop in a daemon thread sleeps through the end of the interpreter: it could only hear that everything is over.
    elif not _lifetime.ends_elsewhere():
        future.set_result(wait)


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


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        message = (
            "portlease.aio needs a running asyncio loop; under trio, and in anyio on trio, call the functions of "
            "`portlease` in threads: await trio.to_thread.run_sync(lease.ready)"
        )
        raise RuntimeError(message) from None


async def result(wait: _portlease.Wait[T]) -> T:
    """Awaits a wait. Cancelling the task ends the wait at once; what it waits for goes on."""
    loop = _running_loop()
    # The first step is taken here: from then on `ready` hears of every failure, even if the thread is slow.
    if wait.step():
        return wait.take()
    waits = _get_waits()
    key = next(waits.keys)
    future: asyncio.Future[_portlease.Wait[T]] = loop.create_future()
    waits.pending[key] = future
    try:
        waits.driver.begin(key, wait)
        return (await future).take()
    finally:
        if waits.pending.pop(key, None) is not None:
            waits.driver.cancel(key)
        elif future.done() and not future.cancelled():
            future.result().discard()  # nobody took it if the task was cancelled just now


def _in_child() -> None:
    global _waits, _starting
    _forsaken.append(_waits)
    _waits, _starting = None, threading.Lock()


_lifetime.call_in_child(_in_child)
