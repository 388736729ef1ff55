"""What portlease is for: a packet from the internet arrives while the port is mapped, and neither before nor after."""

from __future__ import annotations

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, WAN_ADDRESS, Entry, Lab, always, only
from portlease import Mapping

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
TRANSPORTS = ["udp", "tcp"]
# A protocol that lost the race may still be granted a mapping; a UPnP answer comes 50 ms after the search.
LATE_LOSERS_COME_WITHIN = 1.0


def check_the_life_of_a_mapping(lab: Lab, mapping: Mapping, transport: str, protocol: str) -> None:
    """From the first event to the last: the packet arrives, and after the end nothing does."""
    installed = mapping.wait_for("installed")
    assert installed["protocol"] == protocol
    assert installed["transport"] == transport
    assert installed["internal_port"] == 4000
    assert installed["external"] == f"{WAN_ADDRESS}:4000"
    assert installed["address_class"] == "public"
    assert lab.table() == [Entry(transport, 4000, LAN_HOST, 4000)]
    assert lab.reach(transport, 4000) == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert mapping.names() == ["installed", "exited"], str(mapping)
    assert lab.silent(transport, 4000)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_packet_arrives_while_mapped_by_the_one_protocol_that_is_configured(
    lab: Lab, start: Start, protocol: str, transport: str
) -> None:
    assert lab.silent(transport, 4000)
    mapping = start(lab, f"4000/{transport}", "--protocol", protocol)
    check_the_life_of_a_mapping(lab, mapping, transport, protocol)
    lab.assert_nothing_is_mapped()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("protocol", "mode", "mute"),
    [("pcp", "pmp", "off"), ("nat-pmp", "pmp", "pcp"), ("upnp", "upnp", "off"), ("upnp", "default", "5351")],
)
def test_a_packet_arrives_while_mapped_by_the_one_protocol_that_the_router_has(
    make_lab: MakeLab, start: Start, protocol: str, mode: str, mute: str, transport: str
) -> None:
    lab = make_lab(mode=mode)
    lab.mute(mute)
    mapping = start(lab, f"4000/{transport}")
    check_the_life_of_a_mapping(lab, mapping, transport, protocol)
    lab.assert_nothing_is_mapped(upnp=mode != "pmp")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_router_that_calls_itself_igd_1_maps_by_upnp(make_lab: MakeLab, start: Start, transport: str) -> None:
    lab = make_lab(mode="igd1")
    mapping = start(lab, f"4000/{transport}", "--protocol", "upnp")
    check_the_life_of_a_mapping(lab, mapping, transport, "upnp")
    lab.assert_nothing_is_mapped()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("mute", "winner"), [("off", "pcp"), ("pcp", "nat-pmp"), ("5351", "upnp")])
def test_the_best_protocol_that_answers_wins_and_the_losers_leave_no_second_entry(
    lab: Lab, start: Start, mute: str, winner: str, transport: str
) -> None:
    lab.mute(mute)
    mapping = start(lab, f"4000/{transport}")
    assert mapping.wait_for("installed")["protocol"] == winner
    entry = Entry(transport, 4000, LAN_HOST, 4000)
    always(lambda: lab.table() == [entry], LATE_LOSERS_COME_WITHIN, "one entry, the winner's")
    assert lab.upnpc_list() == [entry]
    assert lab.reach(transport, 4000) == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    lab.assert_nothing_is_mapped()


# Before the first request, between request and answer, about when UPnP's answers come, after all.
@pytest.mark.parametrize("moment", ["1ms", "5ms", "20ms", "55ms", "60ms", "70ms", "200ms"])
def test_a_stop_at_any_moment_of_the_race_leaves_nothing_on_the_router(lab: Lab, start: Start, moment: str) -> None:
    mapping = start(lab, "4000/udp", "--for", moment)
    by_upnp = start(lab, "4001/udp", "--for", moment, "--protocol", "upnp")
    for ending in (mapping, by_upnp):
        ending.ended()
        # Behind the end comes the reason, if nothing was mapped by then.
        assert ending.names()[-1] == "exited" or ending.names()[-2:] == ["exited", "failed"]
    lab.assert_nothing_is_mapped()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_ports_are_mapped_at_once(lab: Lab, start: Start, protocol: str) -> None:
    lab.serve((LAN_HOST, 4001))
    mapping = start(lab, "4000/udp", "4001/tcp", "--protocol", protocol)
    mapping.wait_for("installed")
    mapping.wait_for("installed")
    assert {(e["transport"], e["internal_port"], e["external"]) for e in mapping.events} == {
        ("udp", 4000, f"{WAN_ADDRESS}:4000"),
        ("tcp", 4001, f"{WAN_ADDRESS}:4001"),
    }
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert lab.reach("tcp", 4001) == f"{LAN_HOST}:4001"
    assert mapping.stop() == 0
    lab.assert_nothing_is_mapped()


def test_both_transports_of_one_port_are_mapped(lab: Lab, start: Start) -> None:
    mapping = start(lab, "4000/both")
    mapping.wait_for("installed")
    mapping.wait_for("installed")
    assert lab.table() == [Entry("tcp", 4000, LAN_HOST, 4000), Entry("udp", 4000, LAN_HOST, 4000)]
    for transport in TRANSPORTS:
        assert lab.reach(transport, 4000) == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    lab.assert_nothing_is_mapped()


def test_the_entry_on_the_router_names_its_owner(lab: Lab, start: Start) -> None:
    mapping = start(lab, "4000/udp", "--protocol", "upnp", "--description", "a game & more")
    mapping.wait_for("installed")
    only(lab.table())
    listing = lab.run("lan", "upnpc", "-u", "http://192.168.77.1:5000/rootDesc.xml", "-l").stdout
    assert "'a game & more'" in listing or "'a game &amp; more'" in listing, listing
