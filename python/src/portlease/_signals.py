"""SIGTERM, which ends Python programs at once unless they say otherwise."""

from __future__ import annotations

import signal
import sys


def exit_on_sigterm() -> bool:
    """Lets SIGTERM end the program as `sys.exit(143)` does, so that everything that is mapped is released.

    Python's default is to end at once, as after a crash: then mappings stay until their lifetimes end. With this,
    `with` blocks end, `finally` runs, and the end of the interpreter releases the rest; a second SIGTERM ends the
    program at once. For `docker stop`, systemd and `kill`; under asyncio too.

    Returns whether it is in place: a handler that the program, or its server, has set is left alone. Call it in the
    main thread; raises `ValueError` elsewhere, as `signal.signal` does.
    """
    if signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, _exit):
        return False
    signal.signal(signal.SIGTERM, _exit)
    return True


def _exit(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)
