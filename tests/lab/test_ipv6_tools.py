"""Both families by one command, and the commands that look at IPv6 or close what was left open."""

from __future__ import annotations

import json

import pytest

from conftest import Start
from homelab import LAN_HOST, LAN_HOST6, ROUTER6, WAN_ADDRESS, Entry, Lab, Pinhole
from portlease import portlease

BOTH = ("--family", "both")
IPV6 = ("--family", "ipv6")
HOLE = Pinhole("udp", LAN_HOST6, 4000)


def test_one_command_opens_both_families_and_closes_both(lab: Lab, start: Start) -> None:
    lab.serve((LAN_HOST6, 4000))
    mapping = start(lab, "4000/udp", *BOTH)
    opened = {mapping.wait_for("installed")["external"] for _ in range(2)}
    assert opened == {f"{WAN_ADDRESS}:4000", f"[{LAN_HOST6}]:4000"}
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert lab.reach("udp", 4000, address=LAN_HOST6) == f"{LAN_HOST6}:4000"
    assert mapping.stop() == 0
    lab.assert_nothing_is_mapped()


def test_for_both_families_it_is_enough_that_one_works(lab: Lab, start: Start) -> None:
    lab.ip("lan", f"route del default via {ROUTER6}")
    mapping = start(lab, "4000/udp", *BOTH)
    mapping.wait_for("installed", family="ipv4")
    # Either may come first.
    if "failed" not in mapping.names():
        mapping.wait_for("failed", family="ipv6")
    assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
    assert mapping.stop() == 0
    assert {event["family"] for event in mapping.events if event.name == "failed"} == {"ipv6"}
    lab.assert_nothing_is_mapped()


# With a record PCP closes what it has opened; without one UPnP finds it by the router.
@pytest.mark.parametrize(("recorded", "protocol"), [(True, "pcp"), (False, "upnp")])
def test_unmap_closes_what_a_crash_has_left(lab: Lab, start: Start, recorded: bool, protocol: str) -> None:
    folder = ("--state-dir", lab.state)
    mapping = start(lab, "4000/udp", *IPV6, *(folder if recorded else ()))
    mapping.wait_for("installed")
    mapping.close()
    assert lab.pinholes() == [HOLE]
    listed = [json.loads(line) for line in portlease(lab, "list", "--json", *IPV6, *folder).stdout.splitlines()]
    assert [entry["external_port"] for entry in listed] == ([4000] if recorded else [])
    done = portlease(lab, "unmap", "4000/udp", "--json", *IPV6, *folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["protocol"] == protocol
    assert lab.rules() == []


def test_doctor_opens_and_closes_a_port_of_each_family(lab: Lab) -> None:
    done = portlease(lab, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["families"] == ["ipv4", "ipv6"]
    assert (told["ipv6"]["gateway"], told["ipv6"]["external_address"]) == (f"{ROUTER6}%eth0", LAN_HOST6)
    lab.assert_nothing_is_mapped()
