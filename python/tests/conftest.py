"""Fixtures: a simulated router, and Python processes of the tests' own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from portlease.testing import Gateway

# No program of a test runs longer; a hang is a failure.
PROGRAM_LIMIT = 30.0

# What every program below begins with.
PRELUDE = """
import asyncio, json, os, signal, sys, threading, time, gc
import portlease
CONFIG = json.loads(sys.argv[1])
"""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A healthy home router."""
    with Gateway() as gateway:
        yield gateway


@dataclass(frozen=True)
class Ended:
    """A program that has ended."""

    status: int
    out: str
    err: str
    took: float


Program = Callable[..., Ended]


@pytest.fixture
def program(gateway: Gateway) -> Program:
    """Runs Python code in a process of its own, with `CONFIG` for mappers that shall use the router of this test."""

    def run(code: str, *options: str) -> Ended:
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, *options, "-c", PRELUDE + textwrap.dedent(code), json.dumps(gateway.config())],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROGRAM_LIMIT,
        )
        return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)

    return run
