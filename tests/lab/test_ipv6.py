"""IPv6: a packet from the internet arrives while the pinhole is open, and neither before nor after."""

from __future__ import annotations

import time

import pytest

from conftest import MakeLab, Measured, Start
from homelab import LAN_HOST, LAN_HOST6, WAN_ADDRESS, Entry, Lab, Pinhole, eventually
from portlease import Mapping

PROTOCOLS = ["pcp", "upnp"]
TRANSPORTS = ["udp", "tcp"]
IPV6 = ("--family", "ipv6")
# A renewal by UPnP is several connections, which must be over in half of this on a busy machine.
TTL = 6
# The shortest time after which a pinhole with a long lifetime is renewed, and when that has come on a busy machine.
RENEWED_SOON, RENEWED_WITHIN = ("--renewal-interval", "4s"), 10.0


@pytest.fixture
def home(make_lab: MakeLab) -> Lab:
    """A home with an ordinary router, and a server at the host's IPv6 address."""
    return with_server(make_lab())


def with_server(lab: Lab) -> Lab:
    """The lab, in which port 4000 of the host's IPv6 address answers."""
    lab.serve((LAN_HOST6, 4000))
    return lab


def echoed(lab: Lab, transport: str = "udp", port: int = 4000) -> bool:
    """Whether a packet from the internet arrives."""
    return lab.reach(transport, port, address=LAN_HOST6) == f"{LAN_HOST6}:{port}"


def silent(lab: Lab, transport: str = "udp") -> bool:
    """Whether none does."""
    return lab.silent(transport, 4000, address=LAN_HOST6)


def check_the_life_of_a_pinhole(lab: Lab, mapping: Mapping, transport: str, protocol: str) -> None:
    """From the first event to the last: the packet arrives, and after Ctrl-C nothing does."""
    installed = mapping.wait_for("installed")
    assert installed["protocol"] == protocol
    assert installed["external"] == f"[{LAN_HOST6}]:4000"
    assert installed["address_class"] == "public"
    assert lab.pinholes() == [Pinhole(transport, LAN_HOST6, 4000)]
    assert echoed(lab, transport)
    assert mapping.stop() == 0
    assert mapping.names() == ["installed", "exited"], str(mapping)
    assert silent(lab, transport)
    assert lab.rules() == []


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_packet_arrives_while_the_pinhole_is_open_by_the_one_protocol_that_is_configured(
    home: Lab, start: Start, protocol: str, transport: str
) -> None:
    assert silent(home, transport)
    mapping = start(home, f"4000/{transport}", "--protocol", protocol, *IPV6)
    check_the_life_of_a_pinhole(home, mapping, transport, protocol)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("protocol", "mode", "mute"), [("pcp", "pmp", "off"), ("upnp", "default", "5351")])
def test_a_packet_arrives_while_the_pinhole_is_open_by_the_one_protocol_that_the_router_has(
    make_lab: MakeLab, start: Start, protocol: str, mode: str, mute: str, transport: str
) -> None:
    lab = with_server(make_lab(mode=mode))
    lab.mute(mute)
    mapping = start(lab, f"4000/{transport}", *IPV6)
    check_the_life_of_a_pinhole(lab, mapping, transport, protocol)


def test_a_router_whose_default_route_names_its_global_address_opens_pinholes_too(home: Lab, start: Start) -> None:
    home.ip("lan", "route replace default via 2d00:77::1 dev eth0")
    for protocol in PROTOCOLS:
        mapping = start(home, "4000/udp", "--protocol", protocol, *IPV6)
        check_the_life_of_a_pinhole(home, mapping, "udp", protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pinhole_stays_open_for_longer_than_its_lifetime_and_is_closed_after_that(
    make_lab: MakeLab, start: Start, protocol: str
) -> None:
    lab = with_server(make_lab(min_lifetime=TTL))
    # whichever of them has opened it
    lab.mute("5351" if protocol == "upnp" else "off")
    mapping = start(lab, "4000/udp", "--ttl", str(TTL), *IPV6)
    installed = mapping.wait_for("installed")
    assert installed["protocol"] == protocol
    while mapping.wait_for("renewed", TTL).at < installed.at + TTL + 1:
        assert lab.pinholes() == [Pinhole("udp", LAN_HOST6, 4000)]
        assert echoed(lab)
    assert mapping.stop() == 0, str(mapping)
    assert "revoked" not in mapping.names()
    assert silent(lab)
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pinhole_of_a_program_that_is_killed_ends_with_its_lifetime(
    make_lab: MakeLab, start: Start, protocol: str
) -> None:
    lab = with_server(make_lab(min_lifetime=TTL))
    mapping = start(lab, "4000/udp", "--protocol", protocol, "--ttl", str(TTL), *IPV6)
    mapping.wait_for("installed")
    mapping.wait_for("renewed", TTL)
    assert echoed(lab)
    mapping.close()
    eventually(lambda: lab.rules() == [], TTL + 2, "the pinhole has ended")
    assert silent(lab)


def test_a_renewed_pinhole_whose_delete_the_router_refuses_is_closed_by_upnp(home: Lab, start: Start) -> None:
    # miniupnpd 2.3.1 forgets at a renewal by PCP whose pinhole it is
    mapping = start(home, "4000/udp", *RENEWED_SOON, *IPV6)
    assert mapping.wait_for("installed")["protocol"] == "pcp"
    mapping.wait_for("renewed", RENEWED_WITHIN)
    assert mapping.stop() == 0, str(mapping)
    assert home.rules() == []
    assert silent(home)


def test_a_renewed_pinhole_that_nothing_closes_is_told_with_its_end(make_lab: MakeLab, start: Start) -> None:
    lab = with_server(make_lab(mode="pmp"))
    mapping = start(lab, "4000/udp", *RENEWED_SOON, *IPV6)
    mapping.wait_for("installed")
    mapping.wait_for("renewed", RENEWED_WITHIN)
    assert mapping.stop() == 4
    assert lab.pinholes() == [Pinhole("udp", LAN_HOST6, 4000)]
    assert "unconfirmed" in mapping.names()
    # it had an hour to live, and was shortened to the least that this router grants
    assert "120 s" in mapping.stderr(), mapping.stderr()


def test_ipv4_and_ipv6_of_one_port_are_open_side_by_side(home: Lab, start: Start) -> None:
    ipv4, ipv6 = start(home, "4000/udp"), start(home, "4000/udp", *IPV6)
    assert ipv4.wait_for("installed")["external"] == f"{WAN_ADDRESS}:4000"
    assert ipv6.wait_for("installed")["external"] == f"[{LAN_HOST6}]:4000"
    assert home.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert echoed(home)
    assert ipv6.stop() == 0
    assert silent(home)
    assert home.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert home.pinholes() == [] and home.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
    assert ipv4.stop() == 0
    home.assert_nothing_is_mapped()


# Before the first request, between request and answer, about when UPnP's answers come, after all.
@pytest.mark.parametrize("moment", ["1ms", "5ms", "20ms", "55ms", "60ms", "70ms", "200ms"])
def test_a_stop_at_any_moment_of_the_race_leaves_no_pinhole(home: Lab, start: Start, moment: str) -> None:
    both = start(home, "4000/udp", "--for", moment, *IPV6)
    by_upnp = start(home, "4001/udp", "--for", moment, "--protocol", "upnp", *IPV6)
    for ending in (both, by_upnp):
        ending.ended()
        # Behind the end comes the reason, if nothing was mapped by then.
        assert ending.names()[-1] == "exited" or ending.names()[-2:] == ["exited", "failed"]
    assert home.rules() == []


# So many pinholes are opened and closed, some at a time: with UPnP's TCP connections that takes seconds too.
CYCLES, BATCH = 1000, 100
# A batch takes a second; the rest is for a busy machine.
BATCH_WITHIN = 60.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_thousand_pinholes_that_were_opened_and_closed_leave_none(
    home: Lab, start: Start, measured: Measured, protocol: str
) -> None:
    began = time.monotonic()
    for first in range(4000, 4000 + CYCLES, BATCH):
        ports = [f"{port}/udp" for port in range(first, first + BATCH)]
        mapping = start(home, *ports, "--protocol", protocol, *IPV6)
        for _ in ports:
            mapping.wait_for("installed", BATCH_WITHIN)
        # This router closes a pinhole for an instant when it is told its lifetime again.
        eventually(lambda: len(home.pinholes()) == BATCH, BATCH_WITHIN, "all are open")
        assert mapping.stop(within=BATCH_WITHIN) == 0, str(mapping)
        assert home.rules() == []
    measured(f"1,000 pinholes opened and closed, {BATCH} at a time: {protocol}", time.monotonic() - began, "s")
