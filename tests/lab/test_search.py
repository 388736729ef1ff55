"""The way to the router: which route, which interface, and a search that both the group and the router itself hear."""

from __future__ import annotations

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, ROUTER, Lab, only

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
# A second network on the same machine, as a VPN makes it: nobody answers there.
ELSEWHERE = "10.99.0"


def drop(lab: Lab, rule: str) -> None:
    """The router drops, in silence, what matches the rule."""
    done = lab.run("router", "nft", f"add rule inet filter mute {rule} drop")
    assert done.returncode == 0, done.stderr


def second_network(lab: Lab, *routes: str) -> None:
    """Another interface of the LAN host, 10.99.0.2/24, and routes that lead there."""
    commands = [
        "ip link add vpn0 type veth peer name vpn1",
        f"ip addr add {ELSEWHERE}.2/24 dev vpn0",
        "ip link set vpn1 up",
        "ip link set vpn0 up",
        *(f"ip route add {route}" for route in routes),
    ]
    for command in commands:
        done = lab.run("lan", *command.split())
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_a_router_that_hears_only_the_group_is_found_by_searches_that_stay_within_two_hops(
    make_lab: MakeLab, start: Start
) -> None:
    lab = make_lab(mode="upnp")
    drop(lab, f"udp dport 1900 ip daddr {ROUTER}")
    drop(lab, "udp dport 1900 ip daddr 239.255.255.250 ip ttl != 2")
    mapping = start(lab, "4000/udp")
    assert mapping.wait_for("installed")["protocol"] == "upnp"
    assert only(lab.table()).host == LAN_HOST


def test_a_router_that_hears_only_what_is_sent_to_itself_is_found(make_lab: MakeLab, start: Start) -> None:
    lab = make_lab(mode="upnp")
    drop(lab, "udp dport 1900 ip daddr 239.255.255.250")
    mapping = start(lab, "4000/udp")
    assert mapping.wait_for("installed")["protocol"] == "upnp"
    assert only(lab.table()).host == LAN_HOST


def test_the_search_leaves_by_the_routers_interface_wherever_multicast_is_routed(
    make_lab: MakeLab, start: Start
) -> None:
    lab = make_lab(mode="upnp")
    second_network(lab, "239.0.0.0/8 dev vpn0")
    drop(lab, f"udp dport 1900 ip daddr {ROUTER}")
    mapping = start(lab, "4000/udp")
    assert mapping.wait_for("installed")["protocol"] == "upnp"
    assert only(lab.table()).host == LAN_HOST


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_of_two_default_routes_the_one_with_the_lower_metric_leads_to_the_router(
    lab: Lab, start: Start, protocol: str
) -> None:
    second_network(lab, f"default via {ELSEWHERE}.1 dev vpn0 metric 50")
    mapping = start(lab, "4000/udp", "--protocol", protocol)
    mapping.wait_for("installed")
    assert only(lab.table()).host == LAN_HOST


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("how", [("--interface", "eth0"), ("--local-address", LAN_HOST)], ids=["interface", "address"])
def test_a_vpn_with_the_better_route_is_passed_over_where_the_interface_or_the_address_is_named(
    lab: Lab, start: Start, protocol: str, how: tuple[str, str]
) -> None:
    assert lab.run("lan", *"ip route del default".split()).returncode == 0
    assert lab.run("lan", *f"ip route add default via {ROUTER} metric 600".split()).returncode == 0
    second_network(lab, f"default via {ELSEWHERE}.1 dev vpn0 metric 50")
    mapping = start(lab, "4000/udp", *how, "--protocol", protocol)
    mapping.wait_for("installed")
    assert only(lab.table()).host == LAN_HOST
    assert mapping.stop() == 0
    lab.assert_nothing_is_mapped()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_half_routes_of_a_vpn_are_not_taken_for_the_home_router(lab: Lab, start: Start, protocol: str) -> None:
    # OpenVPN's redirect-gateway def1; the mapping is still the home router's.
    half = [f"0.0.0.0/1 via {ELSEWHERE}.1 dev vpn0", f"128.0.0.0/1 via {ELSEWHERE}.1 dev vpn0"]
    second_network(lab, *half)
    mapping = start(lab, "4000/udp", "--protocol", protocol)
    mapping.wait_for("installed")
    assert only(lab.table()).host == LAN_HOST
