"""A mapping stays as long as a lease holds it: renewal, and routers and networks that change under it."""

from __future__ import annotations

import time

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, WAN_ADDRESS, Entry, eventually

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
# Renewals come at half of the lifetime. The daemon counts whole seconds, so an entry may end one second early.
TTL = 4
SHORT_LEASE = ("--ttl", str(TTL))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_renewal_keeps_packets_flowing_past_the_end_of_the_first_lease(
    make_lab: MakeLab, start: Start, protocol: str
) -> None:
    lab = make_lab(min_lifetime=2)
    mapping = start(lab, "4000/udp", *SHORT_LEASE, "--protocol", protocol)
    installed = mapping.wait_for("installed")
    assert installed["ttl"] == TTL
    renewed = mapping.wait_for("renewed", TTL)
    while renewed.at < installed.at + TTL + 1:
        renewed = mapping.wait_for("renewed", TTL)
        assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert mapping.names().count("renewed") >= 3
    assert set(mapping.names()) == {"installed", "renewed"}
    assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
    assert mapping.stop() == 0
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_new_address_from_the_provider_is_told_with_the_next_renewal(
    make_lab: MakeLab, start: Start, protocol: str
) -> None:
    lab = make_lab(min_lifetime=2)
    mapping = start(lab, "4000/udp", *SHORT_LEASE, "--protocol", protocol)
    assert mapping.wait_for("installed").external_address == WAN_ADDRESS
    lab.wan("192.0.1.7")
    changed = mapping.wait_for("changed", TTL)
    assert changed["external"] == "192.0.1.7:4000"
    assert lab.reach("udp", 4000, address="192.0.1.7") == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_router_that_lost_its_table_in_a_reboot_gets_the_mapping_again(
    make_lab: MakeLab, start: Start, protocol: str
) -> None:
    lab = make_lab(min_lifetime=2)
    mapping = start(lab, "4000/udp", *SHORT_LEASE, "--protocol", protocol)
    mapping.wait_for("installed")
    lab.daemon("reboot", min_lifetime=2)
    eventually(lab.table, TTL, "the mapping is there again")
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    mapping.wait_for("renewed", TTL)
    assert mapping.stop() == 0
    assert "revoked" not in mapping.names()
    assert lab.rules() == []


def test_a_router_whose_http_port_moved_is_found_again_by_the_next_renewal(make_lab: MakeLab, start: Start) -> None:
    lab = make_lab(mode="upnp")
    mapping = start(lab, "4000/udp", *SHORT_LEASE)
    mapping.wait_for("installed")
    lab.daemon("reboot", mode="upnp", extra="http_port=5001")
    eventually(lab.table, TTL, "the mapping is there again")
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    mapping.wait_for("renewed", TTL)
    assert mapping.stop() == 0
    assert "revoked" not in mapping.names()
    lab.assert_nothing_is_mapped(http_port=5001)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_mapping_whose_router_fell_silent_is_revoked_in_time_and_comes_back_with_it(
    make_lab: MakeLab, start: Start, protocol: str
) -> None:
    lab = make_lab(min_lifetime=2)
    mapping = start(lab, "4000/udp", *SHORT_LEASE, "--protocol", protocol)
    installed = mapping.wait_for("installed")
    lab.mute("on")
    revoked = mapping.wait_for("revoked", TTL + 2)
    assert revoked.at <= installed.at + TTL + 0.5, "an address was advertised after its lease had ended"
    lab.mute("off")
    # a removal and a new attempt that had begun in the silence, then the back-off
    mapping.wait_for("installed", 10)
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp"])
def test_a_mapping_is_made_and_kept_on_a_network_that_loses_30_percent(
    make_lab: MakeLab, start: Start, protocol: str
) -> None:
    # Long enough for all three renewals, each of up to 2.4 s with its second try: an attempt of NAT-PMP, which asks two
    # questions, fails one time in 17 at this loss.
    ttl = 24
    lab = make_lab(min_lifetime=2)
    lab.loss(30)
    mapping = start(lab, "4000/udp", "--ttl", str(ttl), "--protocol", protocol)
    mapping.wait_for("installed", 20)
    for _ in range(2):
        mapping.wait_for("renewed", ttl)
    assert "revoked" not in mapping.names()
    eventually(lambda: lab.reach("udp", 4000, within=0.3), ttl, "a packet got through the loss")
    # each of the delete's retransmissions may be lost, which is told; the lease ends then
    status = mapping.stop()
    assert status == (4 if "unconfirmed" in mapping.names() else 0)
    eventually(lambda: lab.rules() == [], ttl + 2, "the mapping is gone")


def test_a_mapping_is_made_by_some_protocol_on_a_network_that_loses_30_percent(make_lab: MakeLab, start: Start) -> None:
    ttl = 4
    lab = make_lab(min_lifetime=2)
    lab.loss(30)
    started = time.monotonic()
    mappings = [start(lab, f"{port}/udp", "--ttl", str(ttl)) for port in range(4000, 4006)]
    for mapping in mappings:
        mapping.wait_for("installed", 30 - (time.monotonic() - started))
    lab.loss(0)
    for mapping in mappings:
        assert mapping.stop() == 0
    eventually(lambda: lab.rules() == [], ttl + 2, "the mappings are gone")
