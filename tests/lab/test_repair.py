"""A router that lists a mapping and does not forward it: the mapping is deleted and added again."""

from __future__ import annotations

import re

import pytest

from conftest import Start, StartLibrary
from homelab import LAN_HOST, Entry, Lab
from library import CallFailed
from portlease import portlease

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
ENTRY = Entry("udp", 4000, LAN_HOST, 4000)


@pytest.fixture
def strict(lab: Lab) -> Lab:
    """A router whose firewall lets nothing in that the daemon has not opened: redirected packets are not enough."""
    chain = ("chain", "inet", "filter", "forward")
    listing = lab.run("router", "nft", "--handle", "list", *chain).stdout
    found = re.search(r"ct status dnat accept # handle (\d+)", listing)
    assert found, listing
    assert lab.run("router", "nft", "delete", "rule", *chain[1:], "handle", found[1]).returncode == 0
    return lab


def lose_the_filter_rules(lab: Lab) -> None:
    """Behind the daemon's back, as a reload of the firewall does: it goes on listing its mappings."""
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert lab.run("router", "nft", "flush", "chain", "inet", "filter", "miniupnpd").returncode == 0
    assert lab.run("router", "conntrack", "-F").returncode == 0
    assert lab.silent("udp", 4000)
    assert lab.table() == lab.upnpc_list() == [ENTRY]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_mapping_that_is_listed_and_dead_forwards_again_after_a_repair(
    strict: Lab, library: StartLibrary, protocol: str
) -> None:
    mapper = library(strict, protocols=[protocol])
    mapper.map(4000)
    lose_the_filter_rules(strict)
    repaired = mapper.call("repair", timeout=5)
    assert repaired["active"] and repaired["external_port"] == 4000
    mapper.wait_for_event("repaired")
    assert strict.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert strict.table() == [ENTRY]
    with pytest.raises(CallFailed, match="refused"):
        mapper.call("repair", timeout=5)
    assert mapper.stop() == "released"
    assert strict.table() == []


def test_the_command_line_repairs_a_mapping_that_another_program_holds(strict: Lab, start: Start) -> None:
    mapping = start(strict, "4000/udp", "--protocol", "upnp")
    mapping.wait_for("installed")
    lose_the_filter_rules(strict)
    repaired = portlease(strict, "doctor", "--repair", "4000")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert strict.reach("udp", 4000) == f"{LAN_HOST}:4000"
    # the program that holds it has noticed nothing, and releases it as ever
    assert mapping.stop() == 0
    assert set(mapping.names()) == {"installed", "exited"}
    assert strict.table() == []
