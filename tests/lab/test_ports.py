"""External ports: chosen, taken, refused, and wanted by two."""

from __future__ import annotations

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, NEIGHBOUR, WAN_ADDRESS, Entry, Lab, always, only

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
# The first failure is reported within 2 s. A request below port 1024 holds the daemon up for 0.6 s for each protocol.
ANSWERED_WITHIN = 6.0
LATE_LOSERS_COME_WITHIN = 1.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_chosen_external_port_is_granted(lab: Lab, start: Start, protocol: str) -> None:
    mapping = start(lab, "4000/udp", "--external", "4100", "--protocol", protocol)
    assert mapping.wait_for("installed")["external"] == f"{WAN_ADDRESS}:4100"
    assert only(lab.table()) == Entry("udp", 4100, LAN_HOST, 4000)
    assert lab.reach("udp", 4100) == f"{LAN_HOST}:4000"
    assert lab.silent("udp", 4000)
    assert mapping.stop() == 0
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_free_port_that_is_insisted_on_is_granted(lab: Lab, start: Start, protocol: str) -> None:
    mapping = start(lab, "4000/tcp", "--external", "4100", "--exact", "--protocol", protocol)
    assert mapping.wait_for("installed")["external"] == f"{WAN_ADDRESS}:4100"
    assert lab.reach("tcp", 4100) == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "pcp,nat-pmp,upnp"])
def test_a_taken_port_gives_another_that_works(lab: Lab, start: Start, protocol: str) -> None:
    lab.take("udp", 4000)
    neighbours = Entry("udp", 4000, NEIGHBOUR, 4000)
    mapping = start(lab, "4000/udp", "--protocol", protocol)
    port = mapping.wait_for("installed").external_port
    assert port != 4000
    assert lab.reach("udp", port) == f"{LAN_HOST}:4000"
    both = sorted([neighbours, Entry("udp", port, LAN_HOST, 4000)])
    always(lambda: lab.table() == both, LATE_LOSERS_COME_WITHIN, "the neighbour's entry and ours")
    assert mapping.stop() == 0
    assert lab.table() == [neighbours]


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "pcp,nat-pmp,upnp"])
def test_a_taken_port_that_is_insisted_on_is_refused_and_nothing_is_left(lab: Lab, start: Start, protocol: str) -> None:
    # miniupnpd ignores PCP's PREFER_FAILURE and grants another port, which must be given back.
    lab.take("udp", 4000)
    mapping = start(lab, "4000/udp", "--exact", "--retry", "never", "--protocol", protocol)
    failed = mapping.wait_for("failed")
    assert failed["kind"] == "refused"
    assert mapping.ended() == 1
    assert "refused" in mapping.stderr()
    assert "installed" not in mapping.names()
    neighbours = [Entry("udp", 4000, NEIGHBOUR, 4000)]
    always(lambda: lab.table() == neighbours, LATE_LOSERS_COME_WITHIN, "the neighbour's entry and no other")


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "pcp,nat-pmp,upnp"])
def test_a_forbidden_port_gives_another(lab: Lab, start: Start, protocol: str) -> None:
    mapping = start(lab, "4000/udp", "--external", "80", "--protocol", protocol)
    port = mapping.wait_for("installed", ANSWERED_WITHIN).external_port
    assert port >= 1024
    assert lab.reach("udp", port) == f"{LAN_HOST}:4000"
    entry = [Entry("udp", port, LAN_HOST, 4000)]
    always(lambda: lab.table() == entry, LATE_LOSERS_COME_WITHIN, "one entry")
    assert mapping.stop() == 0
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "pcp,nat-pmp,upnp"])
def test_a_forbidden_port_that_is_insisted_on_is_refused(lab: Lab, start: Start, protocol: str) -> None:
    mapping = start(lab, "4000/udp", "--external", "80", "--exact", "--retry", "never", "--protocol", protocol)
    assert mapping.wait_for("failed", ANSWERED_WITHIN)["kind"] == "refused"
    assert mapping.ended() == 1
    assert "refused" in mapping.stderr()
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "pcp,nat-pmp,upnp"])
def test_two_clients_that_want_the_same_port_are_both_reached(lab: Lab, start: Start, protocol: str) -> None:
    lab.sh("neighbour")
    lab.serve((NEIGHBOUR, 4000))
    first = start(lab, "4000/udp", "--protocol", protocol)
    second = start(lab, "4000/udp", "--protocol", protocol, "--local-address", NEIGHBOUR)
    first_port = first.wait_for("installed").external_port
    second_port = second.wait_for("installed").external_port
    assert first_port != second_port
    assert 4000 in (first_port, second_port)
    assert lab.reach("udp", first_port) == f"{LAN_HOST}:4000"
    assert lab.reach("udp", second_port) == f"{NEIGHBOUR}:4000"
    theirs = sorted([Entry("udp", first_port, LAN_HOST, 4000), Entry("udp", second_port, NEIGHBOUR, 4000)])
    always(lambda: lab.table() == theirs, LATE_LOSERS_COME_WITHIN, "one entry each")
    assert first.stop() == 0
    assert lab.table() == [Entry("udp", second_port, NEIGHBOUR, 4000)]
    assert lab.reach("udp", second_port) == f"{NEIGHBOUR}:4000"
    assert second.stop() == 0
    assert lab.rules() == []


def test_a_router_that_takes_us_for_another_host_is_told_of(make_lab: MakeLab, start: Start) -> None:
    # A second NAT inside, as of a virtual machine: the daemon's secure mode compares the address that we ask for with
    # the one that the request comes from, and refuses every port with 718.
    lab = make_lab(mode="upnp")
    lab.sh("neighbour")
    chain = f"type nat hook postrouting priority 100; tcp dport 5000 snat to {NEIGHBOUR}"
    assert lab.run("lan", "nft", f"table ip inner {{ chain out {{ {chain}; }}; }}").returncode == 0
    mapping = start(lab, "4000/udp", "--retry", "never")
    failed = mapping.wait_for("failed", ANSWERED_WITHIN)
    assert failed["kind"] == "refused"
    assert "718" in failed["message"]
    assert "another host" in failed["message"]
    assert mapping.ended() == 1
    assert lab.rules() == []
