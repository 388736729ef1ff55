"""Routers that cannot map: a reason in time, never a hang, and a mapping as soon as one can be had."""

from __future__ import annotations

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, Lab, only

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
# The first failure is reported within 2 s when nothing answers; half a second is for the start of the program.
REPORTED_WITHIN = 2.5


def without_daemon(make_lab: MakeLab, *, silent: bool) -> Lab:
    """A router that has no daemon: its kernel answers by ICMP, or it drops everything."""
    lab = make_lab(daemon=False)
    if silent:
        lab.mute("on")
    return lab


@pytest.mark.parametrize("silent", [False, True], ids=["icmp", "silence"])
def test_a_router_without_port_mapping_is_unavailable_within_two_seconds(
    make_lab: MakeLab, start: Start, silent: bool
) -> None:
    lab = without_daemon(make_lab, silent=silent)
    mapping = start(lab, "4000/udp", "--retry", "never")
    failed = mapping.wait_for("failed", REPORTED_WITHIN)
    assert failed["kind"] == "unavailable"
    for protocol in PROTOCOLS:
        assert protocol in failed["message"], "each protocol's reason is told"
    assert mapping.ended() == 1
    assert "unavailable" in mapping.stderr()


@pytest.mark.parametrize("silent", [False, True], ids=["icmp", "silence"])
def test_trying_goes_on_until_the_router_can_map(make_lab: MakeLab, start: Start, silent: bool) -> None:
    lab = without_daemon(make_lab, silent=silent)
    mapping = start(lab, "4000/udp")
    mapping.wait_for("failed", REPORTED_WITHIN)
    lab.mute("off")
    lab.daemon("start")
    # the back-off of about a second, and perhaps of two more when the attempt under way fails
    mapping.wait_for("installed", 10)
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert lab.rules() == []


def test_a_router_behind_carrier_grade_nat_that_refuses_is_told_with_its_reasons(
    make_lab: MakeLab, start: Start
) -> None:
    lab = make_lab(wan="100.64.9")
    mapping = start(lab, "4000/udp", "--retry", "never")
    failed = mapping.wait_for("failed", REPORTED_WITHIN)
    assert failed["kind"] == "refused"
    assert "NO_RESOURCES" in failed["message"]
    assert "nat-pmp" in failed["message"]
    assert mapping.ended() == 1
    assert lab.rules() == []


def test_behind_two_routers_the_outer_address_is_told(make_lab: MakeLab, start: Start) -> None:
    # The daemon maps at 203.0.113.1 and tells the address of the outer router, as one does that asks a STUN server.
    lab = make_lab(wan="203.0.113", extra="ext_ip=192.0.1.1")
    mapping = start(lab, "4000/udp")
    assert mapping.wait_for("installed")["external"] == "192.0.1.1:4000"
    assert only(lab.table()).external_port == 4000
    assert lab.reach("udp", 4000, address="203.0.113.1") == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert lab.rules() == []


def test_bad_usage_has_a_status_of_its_own(lab: Lab, start: Start) -> None:
    mapping = start(lab, "0/udp")
    assert mapping.ended() == 2
    assert "must be between 1 and 65535" in mapping.stderr()
    assert lab.rules() == []
