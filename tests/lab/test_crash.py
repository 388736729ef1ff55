"""A program that is killed: the next start takes up its mappings, and removes those that nobody wants any more."""

from __future__ import annotations

import os
import signal
import time

import pytest

from conftest import Measured, Start
from homelab import LAN_HOST, NEIGHBOUR, Entry, Lab, always, eventually, only
from portlease import Mapping

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
# How often the program is killed. LAB_CRASHES=1000 is the whole proof.
CRASHES = int(os.environ.get("LAB_CRASHES", "4"))
# The aim is 5 s after the next start; the rest is for a busy machine.
GONE_WITHIN = 8.0


def ours(lab: Lab) -> list[Entry]:
    """What leads to this host, whatever the neighbour has."""
    return [entry for entry in lab.table() if entry.host == LAN_HOST]


def begin(start: Start, lab: Lab, *arguments: str) -> Mapping:
    """A program that records in the lab's folder what it maps."""
    return start(lab, *arguments, "--state-dir", lab.state)


def kill(mapping: Mapping) -> None:
    """Ends it as a crash does."""
    assert mapping.stop(signal.SIGKILL) == -signal.SIGKILL


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_start_after_a_crash_gets_the_same_port_although_another_host_has_the_wished_one(
    lab: Lab, start: Start, protocol: str
) -> None:
    lab.take("udp", 4000)
    mapping = begin(start, lab, "4000/udp", "--protocol", protocol)
    port = mapping.wait_for("installed").external_port
    assert port != 4000
    for _ in range(CRASHES):
        kill(mapping)
        assert ours(lab) == [Entry("udp", port, LAN_HOST, 4000)]
        mapping = begin(start, lab, "4000/udp", "--protocol", protocol)
        assert mapping.wait_for("installed").external_port == port
    assert ours(lab) == [Entry("udp", port, LAN_HOST, 4000)]
    assert lab.reach("udp", port) == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert lab.table() == [Entry("udp", 4000, NEIGHBOUR, 4000)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_program_that_is_killed_while_it_maps_leaves_nothing_that_its_successor_does_not_know(
    lab: Lab, start: Start, protocol: str
) -> None:
    lab.take("udp", 4000)
    for wait in range(CRASHES):
        mapping = begin(start, lab, "4000/udp", "--protocol", protocol)
        # at other moments of the start, of the request and of the answer
        time.sleep(0.01 + 0.04 * (wait % 5))
        kill(mapping)
    mapping = begin(start, lab, "4000/udp", "--protocol", protocol)
    port = mapping.wait_for("installed").external_port
    eventually(
        lambda: ours(lab) == [Entry("udp", port, LAN_HOST, 4000)], GONE_WITHIN, "only the mapping that is asked for"
    )
    assert mapping.stop() == 0
    assert lab.table() == [Entry("udp", 4000, NEIGHBOUR, 4000)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_next_start_does_not_want_is_gone_soon_after_it(
    lab: Lab, start: Start, measured: Measured, protocol: str
) -> None:
    ports = range(4000, 4006)
    mapping = begin(start, lab, *(f"{port}/udp" for port in ports), "4000/tcp", "--protocol", protocol)
    for _ in range(len(ports) + 1):
        mapping.wait_for("installed")
    kill(mapping)
    assert len(lab.table()) == len(ports) + 1
    started = time.monotonic()
    mapping = begin(start, lab, "4003/udp", "--protocol", protocol)
    mapping.wait_for("installed")
    kept = Entry("udp", 4003, LAN_HOST, 4003)
    eventually(lambda: lab.table() == [kept], GONE_WITHIN, "only what is asked for is left")
    measured(f"leftovers of a crash are gone after the next start: {protocol}", time.monotonic() - started, "s")
    always(lambda: lab.table() == [kept], 0.5, "what is asked for stays")
    assert mapping.stop() == 0
    assert lab.table() == []


def test_eight_programs_do_not_disturb_each_other_and_clean_up_after_those_that_crash(lab: Lab, start: Start) -> None:
    mappings = [begin(start, lab, f"{port}/udp") for port in range(4000, 4008)]
    for mapping in mappings:
        mapping.wait_for("installed")
    for mapping in mappings[:4]:
        kill(mapping)
    mappings.append(begin(start, lab, "4008/udp"))
    mappings[-1].wait_for("installed")
    alive = [Entry("udp", port, LAN_HOST, port) for port in range(4004, 4009)]
    eventually(lambda: lab.table() == alive, GONE_WITHIN, "only the mappings of the living are left")
    always(lambda: lab.table() == alive, 0.5, "the mappings of the living stay")
    for mapping in mappings[4:]:
        assert mapping.stop() == 0
        assert set(mapping.names()) == {"installed", "exited"}
    assert lab.table() == []


def test_a_program_that_ended_as_it_should_leaves_nothing_to_take_up(lab: Lab, start: Start) -> None:
    mapping = begin(start, lab, "4000/udp", "--external", "4100")
    mapping.wait_for("installed")
    assert mapping.stop() == 0
    mapping = begin(start, lab, "4000/udp")
    mapping.wait_for("installed")
    assert only(lab.table()).external_port == 4000
    assert mapping.stop() == 0
