"""`doctor`, `list` and `unmap` against a real daemon."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, NEIGHBOUR, ROUTER, WAN_ADDRESS, Entry, Lab
from portlease import portlease

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one object that `doctor --json` writes."""
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def answers(findings: dict[str, Any]) -> dict[str, bool]:
    """Which protocols answered."""
    return {protocol["protocol"]: protocol["ok"] for protocol in findings["protocols"]}


def test_doctor_finds_an_ordinary_router_healthy_and_leaves_nothing_on_it(lab: Lab) -> None:
    done = portlease(lab, "doctor", "--json")
    findings = report(done)
    assert done.returncode == 0
    assert findings["gateway"] == ROUTER
    assert findings["local_address"] == LAN_HOST
    assert findings["external_address"] == WAN_ADDRESS
    assert findings["address_class"] == "public"
    assert findings["device"] == "Debian router"
    assert answers(findings) == dict.fromkeys(PROTOCOLS, True)
    assert all(0 < protocol["round_trip_ms"] < 2000 for protocol in findings["protocols"])
    assert findings["mappable"] is True
    lab.assert_nothing_is_mapped()


def test_doctor_draws_the_path_and_gives_a_verdict_in_plain_words(lab: Lab) -> None:
    done = portlease(lab, "doctor")
    assert done.returncode == 0
    for part in ("[ app ]", "[ router ]", "[ internet ]", LAN_HOST, ROUTER, WAN_ADDRESS, "can be made reachable"):
        assert part in done.stdout, done.stdout
    assert "\x1b" not in done.stdout, "colour where there is no terminal"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("upnp", {"pcp": False, "nat-pmp": False, "upnp": True}),
        ("pmp", {"pcp": True, "nat-pmp": True, "upnp": False}),
        ("igd1", {"pcp": True, "nat-pmp": True, "upnp": True}),
    ],
)
def test_doctor_tells_which_protocols_the_router_has(make_lab: MakeLab, mode: str, expected: dict[str, bool]) -> None:
    done = portlease(make_lab(mode=mode), "doctor", "--json")
    assert answers(report(done)) == expected
    assert done.returncode == 0


@pytest.mark.parametrize("silent", [False, True], ids=["icmp", "silence"])
def test_doctor_gives_a_reason_for_each_protocol_of_a_router_without_any(make_lab: MakeLab, silent: bool) -> None:
    lab = make_lab(daemon=False)
    if silent:
        lab.mute("on")
    done = portlease(lab, "doctor", "--json")
    findings = report(done)
    assert done.returncode == 1
    assert findings["mappable"] is False
    assert answers(findings) == dict.fromkeys(PROTOCOLS, False)
    assert {protocol["kind"] for protocol in findings["protocols"]} <= {"unavailable", "timeout"}
    assert all(protocol["message"] for protocol in findings["protocols"])
    assert findings["next"], "what to do is told"


def test_doctor_says_that_the_router_has_no_public_address(make_lab: MakeLab) -> None:
    # Carrier-grade NAT as miniupnpd sees it: NAT-PMP has no address to tell (result 3), UPnP's is empty, and no port is
    # mapped. To allow port mapping in the router's settings would not help. IPv6 works all the same.
    lab = make_lab(wan="100.64.9")
    done = portlease(lab, "doctor", "--json")
    findings = report(done)
    assert done.returncode == 0
    assert findings["mappable"] is False and findings["families"] == ["ipv6"]
    assert "no public address" in findings["verdict"] or "no external address" in findings["verdict"]
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_list_shows_mappings_of_every_protocol_and_of_other_hosts(lab: Lab, start: Start, protocol: str) -> None:
    lab.take("tcp", 4100)
    start(lab, "4000/udp", "--ttl", "600", "--protocol", protocol).wait_for("installed")
    done = portlease(lab, "list", "--json")
    assert done.returncode == 0
    entries = {entry["external_port"]: entry for entry in map(json.loads, done.stdout.splitlines())}
    assert set(entries) == {4000, 4100}
    ours, theirs = entries[4000], entries[4100]
    assert (ours["transport"], ours["internal_client"], ours["internal_port"]) == ("udp", LAN_HOST, 4000)
    assert 590 <= ours["ttl"] <= 600
    assert (theirs["transport"], theirs["internal_client"], theirs["internal_port"]) == ("tcp", NEIGHBOUR, 4100)
    assert (ours["this_machine"], theirs["this_machine"]) == (True, False)


def test_list_of_an_empty_table_is_no_failure(lab: Lab) -> None:
    done = portlease(lab, "list", "--json")
    assert (done.returncode, done.stdout) == (0, "")


def test_list_says_that_only_upnp_can_tell(make_lab: MakeLab) -> None:
    done = portlease(make_lab(mode="pmp"), "list")
    assert done.returncode == 1
    assert "unavailable" in done.stderr
    assert "upnp" in done.stderr


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unmap_removes_what_was_left_behind_and_nothing_else(lab: Lab, start: Start, protocol: str) -> None:
    for ports in ("4000/udp", "4001/tcp"):
        assert start(lab, ports, "--detach", "--protocol", protocol).ended() == 0
    assert len(lab.table()) == 2
    done = portlease(lab, "unmap", "4000/udp")
    assert done.returncode == 0, done.stderr
    assert lab.table() == [Entry("tcp", 4001, LAN_HOST, 4001)]


def test_unmap_works_without_upnp_for_what_nat_pmp_made(make_lab: MakeLab, start: Start) -> None:
    lab = make_lab(mode="pmp")
    assert start(lab, "4000/udp", "--detach", "--protocol", "nat-pmp").ended() == 0
    assert len(lab.table()) == 1
    done = portlease(lab, "unmap", "4000/udp")
    assert done.returncode == 0, done.stderr
    assert lab.rules() == []


def test_unmap_of_a_port_that_is_not_mapped_is_no_failure_and_says_so(lab: Lab) -> None:
    done = portlease(lab, "unmap", "4000/udp")
    assert done.returncode == 0
    assert "nothing to remove" in done.stdout


def test_unmap_does_not_take_the_neighbours_mapping(lab: Lab) -> None:
    lab.take("udp", 4000)
    done = portlease(lab, "unmap", "4000/udp")
    assert done.returncode == 1
    assert "refused" in done.stderr
    assert lab.table() == [Entry("udp", 4000, NEIGHBOUR, 4000)]


def test_unmap_without_a_router_that_answers_is_unavailable(make_lab: MakeLab) -> None:
    done = portlease(make_lab(daemon=False), "unmap", "4000/udp")
    assert done.returncode == 1
    assert "unavailable" in done.stderr
