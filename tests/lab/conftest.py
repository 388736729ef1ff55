"""Fixtures: a fresh lab for each test, and programs that do not outlive it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from homelab import LAN_HOST, Lab
from languages import need
from library import TESTEE, Library
from portlease import Mapping

MakeLab = Callable[..., Lab]
Start = Callable[..., Mapping]
StartLibrary = Callable[..., Library]
Measured = Callable[[str, float, str], None]

# A shell's jobs in the background ignore Ctrl-C, and so would the programs that they start:
# what is handled here is not ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How much of the daemon's log a failed test shows.
LOG_LINES = 40


@pytest.fixture
def make_lab() -> Iterator[MakeLab]:
    """Makes the test's lab, with an echo server on 192.168.77.10:4000 and the daemon running unless `daemon=False`."""
    labs: list[Lab] = []
    # pytest-xdist's workers, where it is used, each have a lab of their own.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "lab")

    def make(*, wan: str = "192.0.1", daemon: bool = True, **options: Any) -> Lab:
        lab = Lab(f"{worker}{len(labs)}", wan=wan)
        labs.append(lab)
        if daemon:
            lab.daemon("start", **options)
        lab.serve((LAN_HOST, 4000))
        return lab

    yield make
    for lab in labs:
        # pytest shows this for a test that failed, and for no other
        log = lab.daemon_log().splitlines()[-LOG_LINES:]
        print("\n".join([f"--- the rules on {lab.name}'s router", *lab.rules(), "--- its daemon's last words", *log]))
        lab.close()


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """A home with an ordinary router."""
    return make_lab()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `portlease map ... --json` in a lab."""
    mappings: list[Mapping] = []

    def start_one(lab: Lab, *arguments: str) -> Mapping:
        mapping = Mapping(lab, *arguments)
        mappings.append(mapping)
        return mapping

    yield start_one
    for mapping in mappings:
        mapping.close()
        print(f"--- {mapping}")


@pytest.fixture
def library() -> Iterator[StartLibrary]:
    """Starts a mapper with these settings, driven call by call."""
    started: list[Library] = []

    need(TESTEE.exists(), f"the testee of the scenarios, {TESTEE}", "cargo build -p portlease-scenarios --bins")

    def start_one(lab: Lab, **config: Any) -> Library:
        started.append(Library(lab, **config))
        return started[-1]

    yield start_one
    for one in started:
        one.close()


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Notes a figure (what, how much, unit), which is printed after the tests: bounds are for busy machines and say little."""

    def note(what: str, value: float, unit: str) -> None:
        record_property("figure", (what, value, unit))

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures of all tests, whichever worker ran them."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    figures = [value for report in reports for name, value in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("measured")
        for what, value, unit in sorted(map(tuple, figures)):
            terminalreporter.line(f"{value:10.3f} {unit:12} {what}")
