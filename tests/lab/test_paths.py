"""Hosts with more than one way out, or with none that needs a router: the home router is found, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from conftest import MakeLab, Measured, Start
from homelab import LAN_HOST, Entry, Lab, only

# The VPN's silence is not waited for to the end; the aim is a second or two.
BEHIND_A_VPN_WITHIN = 4.0
# An address as a provider gives it to a host without a router.
PUBLIC_HOST = "192.0.1.20"


def vpn_by_ethernet(lab: Lab) -> None:
    """A default route with a better metric, whose gateway is there and says nothing: it looks like a network card."""
    lab.ip(
        "inet",
        f"link add vpn0 type veth peer name vpn0 netns {lab.name}-lan",
        "address add 10.8.0.1/24 dev vpn0",
        "link set vpn0 up",
    )
    silence = "table inet vpn { chain in { type filter hook input priority 0; iifname vpn0 drop; }; }"
    assert lab.run("inet", "nft", silence).returncode == 0
    prefer_the_vpn(lab, "vpn0")


def vpn_by_tunnel(lab: Lab) -> None:
    """The same by a tunnel, as OpenVPN makes one."""
    lab.tunnel("tun0")
    prefer_the_vpn(lab, "tun0")


def vpn_in_two_halves(lab: Lab) -> None:
    """Two routes that together cover everything, as OpenVPN's redirect-gateway def1 and WireGuard set them."""
    lab.tunnel("tun0")
    lab.ip("lan", "address add 10.8.0.2/24 dev tun0", "link set tun0 up")
    lab.ip("lan", "route add 0.0.0.0/1 via 10.8.0.1", "route add 128.0.0.0/1 via 10.8.0.1")


def prefer_the_vpn(lab: Lab, name: str) -> None:
    """Its default route comes before the home router's."""
    lab.ip("lan", f"address add 10.8.0.2/24 dev {name}", f"link set {name} up")
    lab.ip("lan", "route del default", "route add default via 192.168.77.1 metric 100")
    lab.ip("lan", f"route add default via 10.8.0.1 dev {name} metric 50")


@pytest.mark.parametrize("vpn", [vpn_by_ethernet, vpn_by_tunnel, vpn_in_two_halves])
@pytest.mark.parametrize("mode", ["default", "upnp"])
def test_a_vpn_whose_gateway_says_nothing_does_not_hide_the_home_router(
    make_lab: MakeLab, start: Start, measured: Measured, vpn: Callable[[Lab], None], mode: str
) -> None:
    lab = make_lab(mode=mode)
    vpn(lab)
    mapping = start(lab, "4000/udp")
    installed = mapping.wait_for("installed", BEHIND_A_VPN_WITHIN)
    measured(f"mapped by the home router behind a VPN ({vpn.__name__}, router with {mode})", installed.at, "s")
    assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
    assert mapping.stop() == 0
    assert lab.table() == []


def test_a_vpn_that_comes_up_later_leaves_the_mapping_on_the_home_router(lab: Lab, start: Start) -> None:
    mapping = start(lab, "4000/udp")
    mapping.wait_for("installed")
    vpn_by_tunnel(lab)
    # it may look again, and then finds the home router again
    time.sleep(BEHIND_A_VPN_WITHIN)
    assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
    assert mapping.stop() == 0
    assert lab.table() == []


def bridge(lab: Lab, name: str, network: str) -> None:
    """A bridge of containers or virtual machines, with one of them on it."""
    lab.ip("lan", f"link add {name} type bridge", f"address add {network}.0.1/16 dev {name}", f"link set {name} up")
    lab.ip("lan", "link add port0 type veth peer name guest0", f"link set port0 master {name}", "link set port0 up")
    lab.ip("lan", "link set guest0 up")


@pytest.mark.parametrize(("name", "network"), [("docker0", "172.17"), ("virbr0", "172.18")])
def test_a_bridge_of_containers_is_not_taken_for_the_home_network(
    lab: Lab, start: Start, name: str, network: str
) -> None:
    bridge(lab, name, network)
    mapping = start(lab, "4000/udp")
    assert mapping.wait_for("installed")["protocol"] == "pcp"
    assert only(lab.table()).host == LAN_HOST
    lab.ip("lan", "route del default")
    mapping.wait_for("network-changed")
    # with the home network gone there is none, and the bridge is not asked either
    counter = f"chain out {{ type filter hook output priority 0; oifname {name} ip protocol {{ tcp, udp }} counter name sent; }}"
    assert lab.run("lan", "nft", f"table inet guests {{ counter sent {{ }}; {counter}; }}").returncode == 0
    mapping.wait_for("failed")
    counted = lab.run("lan", "nft", "list", "counter", "inet", "guests", "sent").stdout
    assert "packets 0 " in counted, counted
    assert mapping.stop() in (0, 1, 4)


def public_host(lab: Lab, address: str) -> None:
    """A line like PPPoE's: the host has the address itself, and a default route by an interface and no gateway."""
    lab.ip("lan", "link set eth0 down")
    lab.ip("inet", f"link add ppp0 type veth peer name ppp0 netns {lab.name}-lan")
    lab.ip("inet", "link set ppp0 up", f"route add {address}/32 dev ppp0")
    lab.ip("lan", f"address add {address}/32 dev ppp0", "link set ppp0 up", "route add default dev ppp0")
    for side in ("lan", "inet"):
        lab.run(side, "sysctl", "-qw", "net.ipv4.conf.ppp0.proxy_arp=1")


def test_a_host_with_a_public_address_of_its_own_and_no_gateway_needs_no_mapping(lab: Lab, start: Start) -> None:
    public_host(lab, PUBLIC_HOST)
    lab.serve((PUBLIC_HOST, 4000))
    mapping = start(lab, "4000/udp")
    installed = mapping.wait_for("installed")
    assert installed["protocol"] == "none"
    assert installed["external"] == f"{PUBLIC_HOST}:4000"
    assert lab.reach("udp", 4000, address=PUBLIC_HOST) == f"{PUBLIC_HOST}:4000"
    assert mapping.stop() == 0


def test_a_host_with_a_private_address_and_no_gateway_is_not_said_to_be_reachable(lab: Lab, start: Start) -> None:
    public_host(lab, "10.9.0.20")
    mapping = start(lab, "4000/udp", "--retry", "never")
    assert mapping.wait_for("failed")["kind"] == "unavailable"
    assert mapping.ended() == 1
