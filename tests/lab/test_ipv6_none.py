"""Without IPv6, or without a router that opens pinholes, the reason is told; and who does not ask for IPv6 sends nothing by it."""

from __future__ import annotations

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST6, ROUTER6, Lab, eventually
from portlease import Mapping

IPV6 = ("--family", "ipv6", "--retry", "never")
# How long the search for a router goes on that does not answer; the rest is for a busy machine.
TOLD_WITHIN = 6.0


def check_that_it_is_unavailable(mapping: Mapping, because: str) -> None:
    """It fails at once with the reason, and ends."""
    failed = mapping.wait_for("failed", TOLD_WITHIN)
    assert failed["kind"] == "unavailable", str(mapping)
    assert because in failed["message"], failed["message"]
    assert mapping.ended() == 1
    assert because in mapping.stderr()


def test_a_host_that_has_no_ipv6_is_told_so(lab: Lab, start: Start) -> None:
    lab.run("lan", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    check_that_it_is_unavailable(start(lab, "4000/udp", *IPV6), "no IPv6 default route")


def test_a_host_without_a_router_for_ipv6_is_told_so(lab: Lab, start: Start) -> None:
    lab.ip("lan", f"route del default via {ROUTER6}")
    check_that_it_is_unavailable(start(lab, "4000/udp", *IPV6), "no IPv6 default route")


def test_a_host_without_a_global_address_is_told_so(lab: Lab, start: Start) -> None:
    lab.ip("lan", f"addr del {LAN_HOST6}/64 dev eth0")
    check_that_it_is_unavailable(start(lab, "4000/udp", *IPV6), "interface eth0 has no global IPv6 address")


def test_a_router_whose_upnp_has_no_firewall_control_is_told(make_lab: MakeLab, start: Start) -> None:
    lab = make_lab(mode="igd1")
    lab.mute("5351")
    check_that_it_is_unavailable(start(lab, "4000/udp", *IPV6), "no service that opens ipv6 ports")
    assert lab.rules() == []


@pytest.mark.parametrize(("mute", "because"), [("on", "did not answer"), ("off", "nothing listens on")])
def test_a_router_that_opens_nothing_is_told(make_lab: MakeLab, start: Start, mute: str, because: str) -> None:
    lab = make_lab(daemon=False)
    lab.mute(mute)
    check_that_it_is_unavailable(start(lab, "4000/udp", *IPV6), because)


def open_over_ipv6(lab: Lab) -> tuple[str, list[str]]:
    """The sockets of the host, and the multicast groups in which it is."""
    groups = lab.run("lan", "cat", "/proc/net/igmp6").stdout.splitlines()
    return lab.run("lan", "ss", "-H", "-6", "-a", "-n").stdout, sorted(" ".join(line.split()[1:3]) for line in groups)


def test_who_asks_for_ipv4_alone_sends_nothing_over_ipv6(make_lab: MakeLab, start: Start) -> None:
    lab = make_lab(min_lifetime=3)
    before = open_over_ipv6(lab)
    lab.count()
    mapping = start(lab, "4000/udp", "4001/tcp", "--ttl", "3", "--check-interval", "1s")
    for name in ("installed", "installed", "renewed", "renewed", "renewed"):
        mapping.wait_for(name)
    assert open_over_ipv6(lab) == before
    assert mapping.stop() == 0
    assert lab.sent() > 0 and lab.sent6() == 0
    # all of that would be seen
    mapping = start(lab, "4000/udp", *IPV6)
    mapping.wait_for("installed")
    eventually(lambda: open_over_ipv6(lab)[0] != before[0], 2, "a socket for IPv6")
    assert mapping.stop() == 0
    assert lab.sent6() > 0
