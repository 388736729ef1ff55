"""The host's network changes: the mapping follows it to the router that leads to the internet now."""

from __future__ import annotations

import time

import pytest

from conftest import MakeLab, Measured, Start, StartLibrary
from homelab import (
    LAN_HOST,
    ROUTER,
    SECOND_LAN_HOST,
    SECOND_ROUTER,
    SECOND_WAN_ADDRESS,
    Entry,
    Lab,
    always,
    eventually,
    quiet,
)
from library import CallFailed

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
# The aim is 0.5 s after the new route, UPnP's search included; the rest is for a busy machine.
FOLLOWS_WITHIN = 5.0
NOTICED_WITHIN = 3.0
HERE = Entry("udp", 4000, LAN_HOST, 4000)
THERE = Entry("udp", 4000, SECOND_LAN_HOST, 4000)

LEAVE = f"route del default via {ROUTER}"
RETURN = f"route add default via {ROUTER}"
GO_THERE = f"route add default via {SECOND_ROUTER}"


def two_routers(make_lab: MakeLab) -> tuple[Lab, Lab]:
    """The router that the host uses, and another that it is connected with."""
    lab = make_lab()
    second = lab.second()
    lab.serve((SECOND_LAN_HOST, 4000))
    return lab, second


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_new_route_by_another_router_moves_the_mapping_there_and_frees_the_old_router(
    make_lab: MakeLab, start: Start, measured: Measured, protocol: str
) -> None:
    lab, second = two_routers(make_lab)
    mapping = start(lab, "4000/udp", "--protocol", protocol)
    mapping.wait_for("installed")
    assert lab.table() == [HERE]
    lab.ip("lan", LEAVE)
    lab.ip("lan", GO_THERE)
    moved = time.monotonic()
    measured(
        f"mapped on the new router after the new route: {protocol}", second.appears(THERE, FOLLOWS_WITHIN) - moved, "s"
    )
    mapping.wait_for("network-changed", NOTICED_WITHIN)
    assert mapping.wait_for("installed")["external"] == f"{SECOND_WAN_ADDRESS}:4000"
    assert lab.reach("udp", 4000, address=SECOND_WAN_ADDRESS) == f"{SECOND_LAN_HOST}:4000"
    # the old router can still be reached from here, so nothing is left there
    eventually(lambda: lab.table() == [], FOLLOWS_WITHIN, "the old mapping is released")
    assert mapping.stop() == 0
    assert second.table() == []


def test_a_mapping_on_a_router_that_cannot_be_reached_any_more_is_left_to_its_lifetime(
    make_lab: MakeLab, start: Start, measured: Measured
) -> None:
    lab, second = two_routers(make_lab)
    mapping = start(lab, "4000/udp")
    mapping.wait_for("installed")
    lab.ip("lan", "link set eth0 down", GO_THERE)
    moved = time.monotonic()
    measured("mapped on the new router after the old network's end", second.appears(THERE, FOLLOWS_WITHIN) - moved, "s")
    mapping.wait_for("network-changed", NOTICED_WITHIN)
    assert mapping.wait_for("installed")["external"] == f"{SECOND_WAN_ADDRESS}:4000"
    assert lab.table() == [HERE]
    mapping.stop()
    assert second.table() == []


def test_a_network_that_goes_away_takes_the_mapping_with_it_and_brings_it_back(
    make_lab: MakeLab, start: Start, measured: Measured
) -> None:
    lab = make_lab()
    mapping = start(lab, "4000/udp", "--external", "4100")
    entry = Entry("udp", 4100, LAN_HOST, 4000)
    mapping.wait_for("installed")
    lab.ip("lan", LEAVE)
    mapping.wait_for("network-changed", NOTICED_WITHIN)
    # long enough for back-offs to grow, which the new network must not be made to wait for
    time.sleep(3)
    lab.daemon("off")
    lab.daemon("start")
    lab.ip("lan", RETURN)
    returned = time.monotonic()
    measured("mapped again after the route returned", lab.appears(entry, FOLLOWS_WITHIN) - returned, "s")
    assert lab.reach("udp", 4100) == f"{LAN_HOST}:4000"
    mapping.wait_for("installed", FOLLOWS_WITHIN)
    assert mapping.stop() == 0
    assert lab.table() == []


def test_a_mapping_of_a_network_that_is_gone_is_not_shown(make_lab: MakeLab, library: StartLibrary) -> None:
    lab = make_lab()
    mapper = library(lab)
    assert mapper.map(4000)["active"]
    lab.ip("lan", LEAVE)
    mapper.wait_for_event("network-changed", NOTICED_WITHIN)
    eventually(lambda: not mapper.call("snapshot")["active"], NOTICED_WITHIN, "no longer shown as active")
    assert mapper.call("snapshot")["external"] is None
    lab.ip("lan", RETURN)
    eventually(lambda: mapper.call("snapshot")["active"], FOLLOWS_WITHIN, "mapped again")
    assert mapper.stop() == "released"
    assert lab.table() == []


# What DHCP does when the host gets another address.
OTHER_LAN_HOST = "192.168.77.20"
ANOTHER_ADDRESS = (f"address del {LAN_HOST}/24 dev eth0", f"address add {OTHER_LAN_HOST}/24 dev eth0", RETURN)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_address_of_the_host_moves_the_mapping_to_it(
    make_lab: MakeLab, start: Start, measured: Measured, protocol: str
) -> None:
    lab = make_lab()
    mapping = start(lab, "4000/udp", "--protocol", protocol)
    mapping.wait_for("installed")
    lab.ip("lan", *ANOTHER_ADDRESS)
    changed = time.monotonic()
    lab.serve((OTHER_LAN_HOST, 4000))
    mapping.wait_for("network-changed", NOTICED_WITHIN)
    external = mapping.wait_for("installed", FOLLOWS_WITHIN).external_port
    measured(f"mapped to the host's new address: {protocol}", time.monotonic() - changed, "s")
    # the old entry is the old address's, so the port may be another one
    assert lab.reach("udp", external) == f"{OTHER_LAN_HOST}:4000"
    status = mapping.stop()
    # that old entry can only be deleted from the address that is gone; if it is left, the user is told
    assert {entry.host for entry in lab.table()} <= {LAN_HOST}
    assert status == (4 if lab.table() else 0)


def test_a_new_mapping_works_at_once_after_the_host_got_another_address(
    make_lab: MakeLab, library: StartLibrary
) -> None:
    lab = make_lab()
    mapper = library(lab, ttl=8)
    mapper.map(4000)
    lab.ip("lan", *ANOTHER_ADDRESS)
    lab.serve((OTHER_LAN_HOST, 4001))
    # before the change can have been noticed by itself: it is looked up for each new mapping
    port = mapper.map(4001, "second")["external_port"]
    assert lab.reach("udp", port) == f"{OTHER_LAN_HOST}:4001"
    assert mapper.call("snapshot", "second")["active"]
    assert mapper.stop() == ("unconfirmed" if lab.table() else "released")


def test_a_host_that_knows_of_a_change_can_say_so(make_lab: MakeLab, library: StartLibrary) -> None:
    lab = make_lab()
    mapper = library(lab)
    mapper.map(4000)
    lab.daemon("off")
    # silence: this restart is not announced to the host
    lab.multicast(False)
    lab.daemon("start", extra="system_uptime=yes")
    mapper.call("network_changed")
    lab.appears(HERE, FOLLOWS_WITHIN)
    assert mapper.stop() == "released"
    assert lab.table() == []


VETHS = 250


def test_a_thousand_changes_of_interfaces_that_are_none_of_ours_cost_no_packet(lab: Lab, library: StartLibrary) -> None:
    mapper = library(lab, check_interval=0)  # else the mapping is looked at 5 s after it was made
    mapper.map(4000)
    # what the first mapping causes: a look whether it is there, losers of the race
    quiet(lab)
    lab.count()
    # each appears and disappears with its other end
    names = range(VETHS)
    lab.ip("lan", *(f"link add veth{name} type veth peer name peer{name}\nlink del veth{name}" for name in names))
    always(lambda: lab.sent() == 0, 2, "nothing is sent")
    with pytest.raises(CallFailed, match="timeout"):
        mapper.wait_for_event("network-changed", 0)
    assert mapper.call("snapshot")["active"]
    assert mapper.stop() == "released"
