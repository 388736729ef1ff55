"""`python -m portlease`, and the script `portlease`: the same command line as the Rust program's."""

from __future__ import annotations

import signal
import sys

from portlease import _portlease


def main() -> int:
    """Runs the command line with the arguments of this process; its exit status."""
    # Ctrl-C is heard by the command while it holds something on a router, and else ends the process at once.
    # Python's own handler would raise KeyboardInterrupt after the command has done what was asked.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.flush()
    return _portlease.run_command(["portlease", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
