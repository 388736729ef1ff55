"""IPv6 addresses come and go: the stable one of the preferred prefix is open, and a new prefix is followed at once."""

from __future__ import annotations

import ipaddress
import json
import time

import pytest

from conftest import Measured, Start
from homelab import LAN_HOST6, ROUTER6, Lab, Pinhole, eventually
from portlease import Event, Mapping

PROTOCOLS = ["pcp", "upnp"]
IPV6 = ("--family", "ipv6")
# The aim is 1 s after the kernel has the new address, and a quarter of that is waited for the end of changes. The rest is for a
# machine that is busy with other things; what was measured is printed.
FOLLOWS_WITHIN = 3.0

NEW_HOST = "2d00:78::10"
OLD_PREFIX_IS_DEPRECATED = f"addr change {LAN_HOST6}/64 dev eth0 valid_lft 3600 preferred_lft 0"
OLD_PREFIX_IS_GONE = f"addr del {LAN_HOST6}/64 dev eth0"
NEW_PREFIX = f"addr add {NEW_HOST}/64 dev eth0 nodad"


def route_the_new_prefix(lab: Lab) -> None:
    """The provider routes a second prefix to the home."""
    lab.ip("router", "addr add 2d00:78::1/64 dev lan0 nodad")
    lab.ip("inet", "route add 2d00:78::/64 via 2d00:1::1")


def hole(host: str) -> Pinhole:
    """The pinhole that is asked for, of this address."""
    return Pinhole("udp", host, 4000)


def followed(mapping: Mapping, host: str, since: float) -> float:
    """Waits until the address is mapped; how long after `since` that was told."""
    installed: Event = mapping.wait_for("installed", FOLLOWS_WITHIN)
    assert installed["external"] == f"[{host}]:4000", str(mapping)
    return mapping.moment(installed) - since


def check_that_it_is_reached(lab: Lab, host: str) -> None:
    """A packet from the internet arrives there."""
    lab.serve((host, 4000))
    assert lab.reach("udp", 4000, address=host) == f"{host}:4000"


@pytest.mark.parametrize("old", [OLD_PREFIX_IS_DEPRECATED, OLD_PREFIX_IS_GONE], ids=["deprecated", "gone"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_new_prefix_is_followed_at_once(lab: Lab, start: Start, measured: Measured, protocol: str, old: str) -> None:
    mapping = start(lab, "4000/udp", "--protocol", protocol, *IPV6)
    mapping.wait_for("installed")
    route_the_new_prefix(lab)
    lab.ip("lan", NEW_PREFIX, old)
    after = followed(mapping, NEW_HOST, time.monotonic())
    # the events of a move, as over IPv4
    assert mapping.names() == ["installed", "network-changed", "revoked", "installed"], str(mapping)
    kind = "deprecated" if old == OLD_PREFIX_IS_DEPRECATED else "gone"
    measured(f"a new prefix is open after the old one is {kind}: {protocol}", after, "s")
    assert hole(NEW_HOST) in lab.pinholes()
    check_that_it_is_reached(lab, NEW_HOST)
    if old == OLD_PREFIX_IS_DEPRECATED:
        # it can still be closed from the address that it belongs to
        eventually(lambda: lab.pinholes() == [hole(NEW_HOST)], FOLLOWS_WITHIN, "the old prefix is closed")
    status = mapping.stop()
    # what belongs to an address that is gone can only be closed from there; if it is left, the user is told
    left = lab.pinholes()
    assert left == [] if old == OLD_PREFIX_IS_DEPRECATED else set(left) <= {hole(LAN_HOST6)}
    assert status == (4 if left else 0), str(mapping)


def test_a_prefix_that_goes_away_and_comes_back_is_open_again(lab: Lab, start: Start) -> None:
    lab.serve((LAN_HOST6, 4000))
    mapping = start(lab, "4000/udp", *IPV6)
    mapping.wait_for("installed")
    lab.ip("lan", OLD_PREFIX_IS_GONE)
    failed = mapping.wait_for("failed", FOLLOWS_WITHIN)
    assert failed["kind"] == "unavailable" and "no global IPv6 address" in failed["message"], str(mapping)
    lab.ip("lan", f"addr add {LAN_HOST6}/64 dev eth0 nodad")
    followed(mapping, LAN_HOST6, time.monotonic())
    assert lab.reach("udp", 4000, address=LAN_HOST6) == f"{LAN_HOST6}:4000"
    assert mapping.stop() == 0
    assert lab.rules() == []


def test_another_prefix_that_the_system_does_not_prefer_changes_nothing(lab: Lab, start: Start) -> None:
    mapping = start(lab, "4000/udp", *IPV6)
    mapping.wait_for("installed")
    route_the_new_prefix(lab)
    lab.ip("lan", f"{NEW_PREFIX} preferred_lft 0 valid_lft 3600")
    with pytest.raises(AssertionError, match="no event within"):
        mapping.next_event(1)
    assert lab.pinholes() == [hole(LAN_HOST6)]
    assert mapping.stop() == 0
    assert mapping.names() == ["installed", "exited"]


def addresses(lab: Lab) -> dict[str, dict[str, object]]:
    """The host's IPv6 addresses of the internet, with what the kernel says of each."""
    listing = json.loads(lab.run("lan", "ip", "-j", "-6", "addr", "show", "dev", "eth0", "scope", "global").stdout)
    return {one["local"]: one for link in listing for one in link.get("addr_info", []) if "local" in one}


def source(lab: Lab) -> str:
    """The address by which the system sends to the internet."""
    return str(json.loads(lab.run("lan", "ip", "-j", "-6", "route", "get", "2d00:1::2").stdout)[0]["prefsrc"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_of_two_prefixes_with_temporary_addresses_the_stable_address_of_the_preferred_one_is_open(
    lab: Lab, start: Start, protocol: str
) -> None:
    route_the_new_prefix(lab)
    lab.run("lan", "sysctl", "-qw", "net.ipv6.conf.eth0.use_tempaddr=2")
    # the kernel makes a temporary address of each prefix, and sends from them (RFC 8981)
    lab.ip(
        "lan",
        f"addr del {LAN_HOST6}/64 dev eth0",
        f"addr add {LAN_HOST6}/64 dev eth0 nodad mngtmpaddr valid_lft 3600 preferred_lft 0",
        f"addr add {NEW_HOST}/64 dev eth0 nodad mngtmpaddr valid_lft 3600 preferred_lft 1800",
    )
    temporary = eventually(
        lambda: [a for a, one in addresses(lab).items() if one.get("temporary")], 2, "temporary ones"
    )
    prefix = ipaddress.ip_network("2d00:78::/64")
    picked = source(lab)
    assert picked in temporary and ipaddress.ip_address(picked) in prefix, addresses(lab)
    mapping = start(lab, "4000/udp", "--protocol", protocol, *IPV6)
    assert mapping.wait_for("installed")["external"] == f"[{NEW_HOST}]:4000"
    assert lab.pinholes() == [hole(NEW_HOST)]
    check_that_it_is_reached(lab, NEW_HOST)
    assert mapping.stop() == 0
    assert lab.rules() == []


def test_a_new_temporary_address_changes_nothing(lab: Lab, start: Start) -> None:
    lab.run("lan", "sysctl", "-qw", "net.ipv6.conf.eth0.use_tempaddr=2")
    mapping = start(lab, "4000/udp", *IPV6)
    mapping.wait_for("installed")
    lab.ip("lan", f"addr change {LAN_HOST6}/64 dev eth0 mngtmpaddr valid_lft 3600 preferred_lft 1800")
    with pytest.raises(AssertionError, match="no event within"):
        mapping.next_event(1)
    assert mapping.stop() == 0
    assert lab.rules() == []


def stable(lab: Lab, prefix: str) -> str | None:
    """The address that the kernel has made of an announced prefix, and keeps."""
    network = ipaddress.ip_network(prefix)
    made = [a for a, one in addresses(lab).items() if ipaddress.ip_address(a) in network and not one.get("temporary")]
    return made[0] if made else None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_router_that_announces_another_prefix_is_followed_to_the_new_stable_address(
    lab: Lab, start: Start, measured: Measured, protocol: str
) -> None:
    route_the_new_prefix(lab)
    # all that the host has comes from the router, the route too
    lab.ip("lan", OLD_PREFIX_IS_GONE, f"route del default via {ROUTER6}")
    lab.run("lan", "sysctl", "-qw", "net.ipv6.conf.eth0.use_tempaddr=2", "net.ipv6.conf.eth0.accept_ra=1")
    lab.probe("router", "advertise", "lan0", "2d00:77::=1800")
    first = eventually(lambda: stable(lab, "2d00:77::/64"), 2, "an address of the first prefix")
    mapping = start(lab, "4000/udp", "--protocol", protocol, *IPV6)
    assert mapping.wait_for("installed")["external"] == f"[{first}]:4000"
    lab.probe("router", "advertise", "lan0", "2d00:77::=0", "2d00:78::=1800")
    announced = time.monotonic()
    second = eventually(lambda: stable(lab, "2d00:78::/64"), 2, "an address of the second prefix")
    after = followed(mapping, second, announced)
    assert mapping.names() == ["installed", "network-changed", "revoked", "installed"], str(mapping)
    measured(f"a new prefix that the router announces is open: {protocol}", after, "s")
    check_that_it_is_reached(lab, second)
    eventually(lambda: lab.pinholes() == [hole(second)], FOLLOWS_WITHIN, "the old prefix is closed")
    assert mapping.stop() == 0
    assert lab.rules() == []
