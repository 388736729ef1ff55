"""The end of a mapping, however it comes: nothing is left on the router, or only until its lease ends."""

from __future__ import annotations

import signal

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, Entry, Lab, eventually

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
