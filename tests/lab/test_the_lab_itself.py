"""The lab is right before portlease is judged by it: independent clients map, and packets behave."""

import json
import time

import pytest

from conftest import MakeLab
from homelab import (
    LAN_HOST,
    LAN_HOST6,
    NEIGHBOUR,
    ROUTER,
    SECOND_LAN_HOST,
    SECOND_ROUTER,
    SECOND_WAN_ADDRESS,
    WAN_ADDRESS,
    Entry,
    Lab,
    eventually,
)

DESCRIPTION = f"http://{ROUTER}:5000/rootDesc.xml"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_upnpc_opens_and_closes_a_port(lab: Lab, transport: str) -> None:
    assert lab.silent(transport, 4000)
    lab.run("lan", "upnpc", "-u", DESCRIPTION, "-a", LAN_HOST, "4000", "4000", transport, "600")
    assert lab.reach(transport, 4000) == f"{LAN_HOST}:4000"
    assert lab.table() == lab.upnpc_list() == [Entry(transport, 4000, LAN_HOST, 4000)]
    lab.run("lan", "upnpc", "-u", DESCRIPTION, "-d", "4000", transport)
    assert lab.silent(transport, 4000)
    lab.assert_nothing_is_mapped()


def test_natpmpc_opens_and_closes_a_port(make_lab: MakeLab) -> None:
    lab = make_lab(mode="pmp")
    lab.run("lan", "natpmpc", "-a", "4100", "4000", "udp", "600")
    assert lab.table() == [Entry("udp", 4100, LAN_HOST, 4000)]
    assert lab.reach("udp", 4100) == f"{LAN_HOST}:4000"
    lab.run("lan", "natpmpc", "-a", "0", "4000", "udp", "0")
    assert lab.silent("udp", 4100)
    assert lab.rules() == []


def test_the_router_announces_its_restart_to_those_who_can_hear_it(lab: Lab) -> None:
    with lab.announcements() as heard:
        lab.daemon("reboot")
        eventually(lambda: heard >= {"pcp", "ssdp"}, 5, "PCP and SSDP announced the restart")
    lab.multicast(False)
    with lab.announcements() as heard:
        lab.daemon("reboot")
        # unicast passes
        assert lab.probe("lan", "address").returncode == 0
        assert heard == set()


@pytest.mark.parametrize(("system_uptime", "uptime", "epoch"), [("no", None, 0), ("yes", 5000, 5000)])
def test_the_epoch_is_the_daemons_time_or_the_routers(
    make_lab: MakeLab, system_uptime: str, uptime: int | None, epoch: int
) -> None:
    lab = make_lab(extra=f"system_uptime={system_uptime}", uptime=uptime)
    for answer in (lab.probe("lan", "address"), lab.probe("lan", "map", "udp", "4000")):
        assert epoch <= json.loads(answer.stdout)["epoch"] < epoch + 60


def test_the_second_router_maps_into_the_same_host_once_that_uses_it(lab: Lab) -> None:
    second = lab.second()
    lab.serve((SECOND_LAN_HOST, 4000))
    lab.ip("lan", f"route replace default via {SECOND_ROUTER}")
    lab.run("lan", "natpmpc", "-g", SECOND_ROUTER, "-a", "4000", "4000", "udp", "600")
    assert second.table() == [Entry("udp", 4000, SECOND_LAN_HOST, 4000)]
    assert lab.table() == []
    assert lab.reach("udp", 4000, address=SECOND_WAN_ADDRESS) == f"{SECOND_LAN_HOST}:4000"


def test_what_the_host_sends_is_counted(lab: Lab) -> None:
    lab.count()
    assert lab.sent() == 0
    lab.probe("lan", "address")
    assert lab.sent() == 1


def test_a_short_pcp_lease_ends_by_itself(make_lab: MakeLab) -> None:
    lab = make_lab(min_lifetime=2)
    assert json.loads(lab.probe("lan", "map", "udp", "4000", "-l", "2").stdout)["lifetime"] == 2
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    eventually(lambda: lab.rules() == [], 4.0, "the lease ended")
    assert lab.silent("udp", 4000)


def test_the_neighbour_is_another_host_to_the_router(lab: Lab) -> None:
    lab.take("udp", 4000)
    assert lab.table() == [Entry("udp", 4000, NEIGHBOUR, 4000)]
    answer = json.loads(lab.probe("lan", "map", "udp", "4000", "-e", "4000").stdout)
    assert (answer["result"], answer["port"]) == (0, 4001)


def test_a_router_without_a_daemon_refuses_and_a_mute_one_is_silent(make_lab: MakeLab) -> None:
    lab = make_lab(daemon=False)
    asked = time.monotonic()
    assert lab.probe("lan", "address").returncode == 1
    assert time.monotonic() - asked < 1, "no ICMP port unreachable came"
    lab.daemon("start")
    lab.mute("on")
    asked = time.monotonic()
    assert lab.probe("lan", "address").returncode == 1
    assert time.monotonic() - asked > 1.5, "the mute router answered"
    lab.mute("pcp")
    assert json.loads(lab.probe("lan", "address").stdout)["external"] == WAN_ADDRESS
    assert lab.probe("lan", "map", "udp", "4000").returncode == 1
    lab.mute("off")
    assert lab.probe("lan", "map", "udp", "4000").returncode == 0


def test_a_lossy_network_loses_about_as_much_as_it_says(lab: Lab) -> None:
    lab.loss(30)
    pings = lab.run("lan", "ping", "-q", "-c200", "-i0.005", "-W0.2", ROUTER).stdout
    received = int(pings.split(" received")[0].split()[-1])
    # both ways 0.7 * 0.7 of 200; ten standard deviations to each side
    assert 30 < received < 170, pings
    lab.loss(0)
    assert " 20 received" in lab.run("lan", "ping", "-q", "-c20", "-i0.01", ROUTER).stdout


def test_a_reserved_wan_address_makes_the_daemon_refuse(make_lab: MakeLab) -> None:
    lab = make_lab(wan="100.64.9")
    assert json.loads(lab.probe("lan", "address").stdout)["result"] == 3
    assert json.loads(lab.probe("lan", "map", "udp", "4000").stdout)["result"] == 8
    assert lab.table() == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_over_ipv6_the_router_lets_only_through_what_its_firewall_was_told(lab: Lab, transport: str) -> None:
    lab.serve((LAN_HOST6, 4000))
    assert lab.silent(transport, 4000, address=LAN_HOST6)
    pinhole = f"add rule inet filter miniupnpd ip6 daddr {LAN_HOST6} {transport} dport 4000 accept"
    assert lab.run("router", "nft", pinhole).returncode == 0
    assert lab.reach(transport, 4000, address=LAN_HOST6) == f"{LAN_HOST6}:4000"
    assert lab.run("router", "nft", "flush chain inet filter miniupnpd").returncode == 0
    assert lab.silent(transport, 4000, address=LAN_HOST6)
