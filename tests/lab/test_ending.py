"""The end of a mapping, however it comes: nothing is left on the router, or only until its lease ends."""

from __future__ import annotations

import signal
import time

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, WAN_ADDRESS, Entry, Lab, eventually
from portlease import portlease

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_signal_releases_the_mapping(lab: Lab, start: Start, protocol: str, number: signal.Signals) -> None:
    mapping = start(lab, "4000/udp", "--protocol", protocol)
    mapping.wait_for("installed")
    assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
    assert mapping.stop(number) == 0
    assert mapping.names()[-1] == "exited"
    lab.assert_nothing_is_mapped()
    assert lab.silent("udp", 4000)


def test_the_end_of_the_time_releases_the_mapping(lab: Lab, start: Start) -> None:
    mapping = start(lab, "4000/udp", "--for", "1s")
    installed = mapping.wait_for("installed")
    assert mapping.ended() == 0
    exited = mapping.events[-1]
    assert exited.name == "exited"
    assert 0.5 < exited.at - installed.at < 2.5
    assert lab.rules() == []


def test_a_detached_mapping_is_left_to_its_lease(make_lab: MakeLab, start: Start) -> None:
    lab = make_lab(min_lifetime=2)
    mapping = start(lab, "4000/udp", "--ttl", "3", "--detach")
    mapping.wait_for("installed")
    assert mapping.ended() == 0
    assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    eventually(lambda: lab.rules() == [], 6, "the lease ended")


def test_a_kill_leaves_leases_that_end_by_themselves(make_lab: MakeLab, start: Start) -> None:
    lab = make_lab(min_lifetime=2)
    ports = dict(zip(PROTOCOLS, (4000, 4001, 4002), strict=True))
    mappings = [start(lab, f"{port}/udp", "--ttl", "4", "--protocol", protocol) for protocol, port in ports.items()]
    for mapping in mappings:
        mapping.wait_for("installed")
    for mapping in mappings:
        assert mapping.stop(signal.SIGKILL) == -signal.SIGKILL
    assert lab.table() == [Entry("udp", port, LAN_HOST, port) for port in ports.values()]
    eventually(lambda: lab.rules() == [], 7, "the leases ended")
    assert lab.upnpc_list() == []
    assert lab.silent("udp", 4000)


def test_a_stop_is_bounded_where_the_router_has_gone(lab: Lab, start: Start) -> None:
    mapping = start(lab, "4000/udp")
    mapping.wait_for("installed")
    lab.mute("on")
    # within STOPS_WITHIN, and it says what may be left
    assert mapping.stop() == 4
    assert "unconfirmed" in mapping.names()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_router_that_is_away_for_a_moment_at_the_end_still_releases(lab: Lab, start: Start, protocol: str) -> None:
    mapping = start(lab, "4000/udp", "--protocol", protocol)
    mapping.wait_for("installed")
    lab.mute("on")
    mapping.send(signal.SIGINT)
    # a delete by PCP or NAT-PMP is given up after 1 s
    time.sleep(1.2)
    lab.mute("off")
    assert mapping.ended() == 0, str(mapping)
    lab.assert_nothing_is_mapped()


def test_a_program_runs_while_its_port_is_open(lab: Lab) -> None:
    script = "echo $PORTLEASE_4000_UDP; exit 7"
    done = portlease(lab, "map", "4000/udp", "--no-state", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (7, f"{WAN_ADDRESS}:4000\n"), done.stderr
    assert f"4000/udp mapped to {WAN_ADDRESS}:4000" in done.stderr
    lab.assert_nothing_is_mapped()


def test_a_range_and_a_list_are_open_port_by_port(lab: Lab, start: Start) -> None:
    lab.serve((LAN_HOST, 8080))
    mapping = start(lab, "4000-4003/udp,8080:9080/udp")
    for _ in range(5):
        mapping.wait_for("installed")
    assert sorted(entry.external_port for entry in lab.table()) == [4000, 4001, 4002, 4003, 9080]
    assert lab.reach("udp", 9080) == f"{LAN_HOST}:8080"
    assert mapping.stop() == 0
    lab.assert_nothing_is_mapped()
