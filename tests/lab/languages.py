"""What the tests of all languages share: their programs, run in the LAN and read line by line."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homelab import Lab
from portlease import MAPS_WITHIN

CHECKOUT = Path(__file__).resolve().parents[2]
TARGET = CHECKOUT / (os.environ.get("CARGO_TARGET_DIR") or "target")


def need(found: bool, what: str, command: str) -> None:
    """Skips what was not built, with the command that builds it; LANGUAGES_REQUIRED=1 makes that a failure."""
    if not found:
        message = f"NOT BUILT: {what}; build it with '{command}'"
        if os.environ.get("LANGUAGES_REQUIRED") == "1":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def running(lab: Lab, *command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A program in the LAN; it does not outlive the block."""
    program = subprocess.Popen(
        lab.inside("lan", *command),
        env=lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        try:
            yield program
        finally:
            program.kill()


def said(program: subprocess.Popen[str], within: float = MAPS_WITHIN) -> str:
    """What it says next; one that says nothing for so long is ended."""
    assert program.stdout and program.stderr
    watchdog = threading.Timer(within, program.kill)
    watchdog.start()
    try:
        line = program.stdout.readline()
    finally:
        watchdog.cancel()
    assert line, f"it said nothing within {within} s, and on stderr: {program.stderr.read()}"
    return line.rstrip("\n")


def enter(program: subprocess.Popen[str]) -> None:
    """Presses Enter, for which the examples wait."""
    assert program.stdin
    program.stdin.write("\n")
    program.stdin.flush()


def errors_of(program: subprocess.Popen[str], within: float) -> str:
    """What it said on stderr, once it has ended by itself."""
    return program.communicate(timeout=within)[1]
