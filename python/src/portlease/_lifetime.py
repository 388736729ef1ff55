"""What must not be forgotten: mappers at the end of the interpreter, and the child of a fork."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

from portlease import _portlease

# The end of the interpreter waits this long for releases, all mappers together. After that the lifetimes end them.
EXIT_LIMIT = 2.0

# The mappers that nobody has told to stop yet.
live: set[_portlease.Mapper] = set()
# Those that were told to stop and had not ended when somebody looked last.
_releasing: set[_portlease.Mapper] = set()
_in_child: list[Callable[[], None]] = []
# The thread in which the interpreter ends, once it does.
_ending_in: int | None = None


def adopt(mapper: _portlease.Mapper) -> None:
    """Registers a mapper that was started."""
    for ending in list(_releasing):
        release(ending)
    live.add(mapper)


def release(mapper: _portlease.Mapper) -> None:
    """Lets a mapper stop in the background. If it has not ended by the end of the interpreter, that waits for it."""
    live.discard(mapper)
    if mapper.begin_stop():
        _releasing.discard(mapper)
    else:
        _releasing.add(mapper)


def ends_elsewhere() -> bool:
    """Tells whether the interpreter is about to end, and this thread, a daemon, with it."""
    return _ending_in is not None and _ending_in != threading.get_ident()


def call_in_child(function: Callable[[], None]) -> None:
    """Calls a function in the child of every fork, before anything else of portlease."""
    _in_child.append(function)


def _at_exit() -> None:
    global _ending_in
    _ending_in = threading.get_ident()
    mappers = [*live, *_releasing]
    live.clear()
    if mappers:
        _portlease.stop_all(mappers, EXIT_LIMIT)


def _after_fork_in_child() -> None:
    _portlease.in_child()
    live.clear()
    _releasing.clear()
    for function in _in_child:
        function()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
    _portlease.rely_on_fork_hook()
