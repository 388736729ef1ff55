"""Where things are, and how commands are run."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
LAB = CHECKOUT / "tests" / "lab" / "lab.sh"
RESULTS = CHECKOUT / "target" / "bench"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target" / "bench-build"))
PROGRAM = TARGET / "release" / "portlease-bench"

ROUTER, HOST = "192.168.77.1", "192.168.77.10"
# Longer than any part of a run: the longest waits 5 times 20 s for some of its clients.
PATIENCE = 1800


def fail(message):
    sys.exit(f"bench.py: {message}")


def run(command, **options):
    """Runs a command to its end and answers with what it printed; its status must be 0."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, **options)
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        fail(f"status {done.returncode} of {' '.join(command)}")
    return done.stdout
