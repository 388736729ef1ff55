"""The Go example against the real router: a packet from the internet arrives, and the stop leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

import pytest

from homelab import COMMAND_TIMEOUT, LAN_HOST, WAN_ADDRESS, Entry, Lab
from portlease import MAPS_WITHIN, STOPS_WITHIN

CHECKOUT = Path(__file__).resolve().parents[2]
BUILT = CHECKOUT / (os.environ.get("CARGO_TARGET_DIR") or "target") / "go/minimal"
MINIMAL = Path(os.environ.get("PORTLEASE_GO_MINIMAL", BUILT))


@pytest.fixture(autouse=True)
def built() -> None:
    """Skips where the example was not built, unless the lab is required."""
    if not MINIMAL.exists():
        message = f"no Go example at {MINIMAL}; build it with 'make -C go build'"
        if os.environ.get("LAB_REQUIRED") == "1":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def running(lab: Lab, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The example in the LAN; it does not outlive the block."""
    program = subprocess.Popen(
        lab.inside("lan", MINIMAL, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        try:
            yield program
        finally:
            program.kill()


def line(program: subprocess.Popen[str]) -> str:
    """What it says next, without hanging where it says nothing."""
    assert program.stdout
    ready, _, _ = select([program.stdout], [], [], MAPS_WITHIN)
    assert ready, f"it says nothing within {MAPS_WITHIN} s"
    return program.stdout.readline().rstrip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_packet_arrives_while_the_go_example_runs_and_nothing_is_left_behind_it(
    lab: Lab, transport: str, number: signal.Signals
) -> None:
    assert lab.silent(transport, 4000)
    with running(lab, "4000", transport) as program:
        assert line(program) == f"4000/{transport} is reachable at {WAN_ADDRESS}:4000 (pcp, public)"
        assert lab.table() == [Entry(transport, 4000, LAN_HOST, 4000)]
        assert lab.reach(transport, 4000) == f"{LAN_HOST}:4000"
        program.send_signal(number)
        assert program.wait(STOPS_WITHIN) == 0
    lab.assert_nothing_is_mapped()
    assert lab.silent(transport, 4000)


def test_the_go_example_says_why_a_router_without_port_mapping_is_of_no_use(lab: Lab) -> None:
    lab.daemon("stop")
    with running(lab, "4000", "udp") as program:
        assert program.wait(COMMAND_TIMEOUT) == 1
        assert program.stderr
        assert program.stderr.read().startswith("portlease: unavailable: ")
