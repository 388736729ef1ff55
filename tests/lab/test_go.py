"""The Go example against the real router: a packet from the internet arrives, and the stop leaves nothing behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from homelab import COMMAND_TIMEOUT, LAN_HOST, WAN_ADDRESS, Entry, Lab
from languages import TARGET, errors_of, need, running, said
from portlease import STOPS_WITHIN

MINIMAL = Path(os.environ.get("PORTLEASE_GO_MINIMAL", TARGET / "go/minimal"))


@pytest.fixture(autouse=True)
def built() -> None:
    """The example must be there."""
    need(MINIMAL.exists(), f"Go example {MINIMAL}", "make -C go build")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_packet_arrives_while_the_go_example_runs_and_nothing_is_left_behind_it(
    lab: Lab, transport: str, number: signal.Signals
) -> None:
    assert lab.silent(transport, 4000)
    with running(lab, MINIMAL, "4000", transport) as program:
        assert said(program) == f"4000/{transport} is mapped to {WAN_ADDRESS}:4000 (pcp, public)"
        assert lab.table() == [Entry(transport, 4000, LAN_HOST, 4000)]
        assert lab.reach(transport, 4000) == f"{LAN_HOST}:4000"
        program.send_signal(number)
        assert program.wait(STOPS_WITHIN) == 0
    lab.assert_nothing_is_mapped()
    assert lab.silent(transport, 4000)


def test_the_go_example_says_why_a_router_without_port_mapping_is_of_no_use(lab: Lab) -> None:
    lab.daemon("stop")
    with running(lab, MINIMAL, "4000", "udp") as program:
        assert errors_of(program, COMMAND_TIMEOUT).startswith("portlease: unavailable: ")
        assert program.returncode == 1
