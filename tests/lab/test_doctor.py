"""`doctor` on everything that can be wrong between a program and the internet, and the hints of the other commands."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, NEIGHBOUR, ROUTER, WAN_ADDRESS, Lab
from portlease import BINARY, portlease

INTERNET_HOST = "192.0.1.2"
# As many set it up: nothing but answers and what is local.
STRICT = (
    "table inet host { chain input { type filter hook input priority 0; policy drop; iifname lo accept; "
    "ct state established,related accept; meta l4proto { icmp, ipv6-icmp } accept; udp sport 1900 accept; "
    "udp dport 4500 accept; }; }"
)


def doctor(lab: Lab, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the one object of `doctor --json`."""
    done = portlease(lab, "doctor", "--json", *arguments)
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return done.returncode, answer


def hint(lab: Lab, *arguments: str) -> str:
    """What a command says to try."""
    done = portlease(lab, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr.split("  try: ", 1)[-1]


@contextmanager
def reflector(lab: Lab) -> Iterator[None]:
    """A reflector in the internet."""
    running = subprocess.Popen(lab.inside("inet", BINARY, "reflector"), stdout=subprocess.PIPE, text=True)
    assert running.stdout and "listens on" in running.stdout.readline()
    yield
    running.terminate()
    assert running.wait(timeout=10) == 0


# One answer for each Binding request (RFC 8489).
STUN_SERVER = (
    "import socket, struct\n"
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 3478)); print('ready', flush=True)\n"
    "while True:\n"
    "  m, (a, p) = s.recvfrom(2048)\n"
    "  x = struct.pack('!HHBBH', 0x20, 8, 0, 1, p ^ 0x2112)\n"
    "  x += bytes(i ^ j for i, j in zip(socket.inet_aton(a), m[4:8]))\n"
    "  s.sendto(struct.pack('!HH', 0x101, len(x)) + m[4:20] + x, (a, p))\n"
)


@contextmanager
def stun(lab: Lab) -> Iterator[None]:
    """A STUN server in the internet."""
    running = subprocess.Popen(lab.inside("inet", "python3", "-c", STUN_SERVER), stdout=subprocess.PIPE, text=True)
    assert running.stdout and running.stdout.readline() == "ready\n"
    yield
    running.kill()
    running.wait()


def test_without_a_default_route_the_hint_is_about_the_route(lab: Lab) -> None:
    lab.ip("lan", "route del default")
    told = hint(lab, "map", "4000/udp", "--retry", "never", "--no-state")
    assert f"this machine is connected ({LAN_HOST} on eth0), but has no default route" in told
    assert "connect this machine to a network" not in told
    _, findings = doctor(lab, "--no-map")
    assert "has no default route" in findings["verdict"]
    assert findings["network"]["default_routes"] == []
    assert hint(lab, "list") == told, "one diagnosis for all"


def test_a_cut_cable_is_named_by_map_and_doctor(lab: Lab) -> None:
    lab.ip("router", "link set lan0 down")
    told = hint(lab, "map", "4000/udp", "--retry", "never", "--no-state")
    assert "eth0 has no carrier" in told and "UPnP" not in told
    status, findings = doctor(lab)
    assert status == 1
    assert "eth0 has no carrier" in findings["verdict"] and "eth0 has no carrier" in findings["ipv6"]["verdict"]
    assert "plug in the network cable of eth0" in findings["next"][0]


def test_a_router_that_is_not_there_is_told_from_a_silent_one(lab: Lab) -> None:
    lab.mute("on")
    status, silent = doctor(lab)
    assert status == 1
    assert silent["presence"]["verdict"] == "there"
    assert "The router is there" in silent["verdict"] and "switch on UPnP" in silent["next"][0]
    lab.ip("router", "addr flush dev lan0")
    lab.ip("lan", "neigh flush all")
    status, gone = doctor(lab)
    assert (status, gone["presence"]["verdict"]) == (1, "gone")
    assert "The router is not there" in gone["verdict"] and "UPnP" not in " ".join(gone["next"])
    assert "whether the router is on" in hint(lab, "map", "4000/udp", "--retry", "never", "--no-state")


def test_behind_carrier_grade_nat_nobody_is_told_to_empty_the_routers_table(make_lab: MakeLab) -> None:
    lab = make_lab(daemon=False)
    lab.wan("100.64.0.9")
    lab.daemon("start")
    told = hint(lab, "map", "4000/udp", "--retry", "never", "--no-state")
    assert "ask the provider for a public IPv4 address" in told and "delete mappings" not in told
    _, findings = doctor(lab)
    assert "ask the provider for a public IPv4 address" in findings["next"][0]


def test_a_refused_unmap_of_another_hosts_mapping_is_not_told_to_allow_port_mapping(lab: Lab) -> None:
    lab.take("udp", 5000)
    told = hint(lab, "unmap", "5000/udp", "--any-host")
    assert "run `portlease unmap` there" in told and "allow port mapping" not in told


def test_the_port_is_followed_from_the_program_to_the_router(lab: Lab) -> None:
    lab.take("udp", 4500)
    lab.serve((LAN_HOST, 4500))
    lab.run("lan", "nft", STRICT).check_returncode()
    status, findings = doctor(lab, "4500")
    udp, tcp = findings["ports"]
    assert (udp["listening"]["verdict"], udp["firewall"]["verdict"]) == ("yes", "passes")
    assert (udp["on_router"]["this_machine"], udp["on_router"]["internal_client"]) == (False, NEIGHBOUR)
    assert f"leads to {NEIGHBOUR}" in " ".join(udp["next"])
    assert (tcp["listening"]["verdict"], tcp["firewall"]["verdict"]) == ("yes", "drops")
    assert "policy of chain input of table inet host is drop" in tcp["firewall"]["evidence"]
    assert tcp["on_router"] == {"known": True, "mapped": False}
    assert "open the port in this machine's firewall" in tcp["next"][0]
    assert status == 3, "the firewall is in the way"
    text = portlease(lab, "doctor", "4500/tcp").stdout
    assert "This firewall    drops packets for 4500/tcp (nft: the policy of chain input" in text


def test_doctor_knows_the_model_and_the_state_of_the_router_and_all_routes(lab: Lab) -> None:
    lab.tunnel("tun9")
    lab.ip("lan", "addr add 10.9.0.2/32 dev tun9", "link set tun9 up", "route add default dev tun9 metric 50")
    _, findings = doctor(lab, "--no-map")
    router = findings["router"]
    assert (router["device"]["igd_version"], router["device"]["address"]) == (2, ROUTER)
    assert router["device"]["model"] and router["other_devices"] == []
    assert router["wan"]["status"] == "Connected" and router["wan"]["uptime"] is not None
    routes = [(route["interface"], route["kind"], route["gateway"]) for route in findings["network"]["default_routes"]]
    assert routes == [("eth0", "wired", ROUTER), ("tun9", "vpn", None)]
    assert "Default route    no router by tun9, a VPN (metric 50)" in portlease(lab, "doctor", "--no-map").stdout


def test_a_packet_that_arrives_from_outside_is_the_only_proof(lab: Lab) -> None:
    with reflector(lab):
        proves_reachability(lab)


def proves_reachability(lab: Lab) -> None:
    """The verdicts with an open port, with a firewall, and with a program on the port."""
    status, findings = doctor(lab, "4700", "--reflector", INTERNET_HOST)
    assert [port["reach"]["verdict"] for port in findings["ports"]] == ["reachable", "reachable"]
    assert f"{INTERNET_HOST} sent to {WAN_ADDRESS}:4700" in findings["ports"][0]["reach"]["evidence"]
    assert status == 0
    lab.assert_nothing_is_mapped()
    lab.run("lan", "nft", STRICT).check_returncode()
    status, findings = doctor(lab, "4700", "--reflector", INTERNET_HOST)
    assert [port["reach"]["verdict"] for port in findings["ports"]] == ["unreachable", "unreachable"]
    assert status == 3
    lab.serve((LAN_HOST, 4500))
    _, findings = doctor(lab, "4500/udp", "--reflector", INTERNET_HOST)
    assert findings["ports"][0]["reach"]["verdict"] == "unknown", "a program has the port"
    lab.assert_nothing_is_mapped()


@pytest.mark.parametrize("mode", ["default", "pmp"])
def test_the_look_from_outside_leaves_the_mapping_of_a_running_map_alone(
    make_lab: MakeLab, start: Start, tmp_path: Path, mode: str
) -> None:
    lab = make_lab(mode=mode)
    lab.environment["XDG_STATE_HOME"] = str(tmp_path)
    mapping = start(lab, "4700/udp", "--state-dir", str(tmp_path / "portlease"))
    mapping.wait_for("installed")
    with reflector(lab):
        status, findings = doctor(lab, "4700/udp", "--reflector", INTERNET_HOST)
    assert (status, findings["ports"][0]["reach"]["verdict"]) == (0, "reachable"), findings["ports"]
    assert any("4700" in rule for rule in lab.rules())
    assert mapping.stop() == 0
    assert "revoked" not in mapping.names()


def test_behind_carrier_grade_nat_a_stun_server_sees_another_address(make_lab: MakeLab) -> None:
    lab = make_lab(daemon=False)
    lab.ip("inet", "addr add 100.64.0.2/24 dev eth0")
    lab.wan("100.64.0.9")
    faults = '{"cgnat": true}'
    gateway = ("gateway", "--bind", ROUTER, "--pcp-port", "5351", "--ssdp-port", "1900", "--faults", faults)
    running = subprocess.Popen(
        lab.inside("router", BINARY, *gateway), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout and "started" in running.stdout.readline()
    # The provider's NAT.
    nat = "table ip cgn { chain in { type nat hook input priority 100; ip saddr 100.64.0.0/16 snat to 192.0.1.77; }; }"
    lab.run("inet", "nft", nat).check_returncode()
    with stun(lab):
        status, findings = doctor(lab, "--stun", f"{INTERNET_HOST}:3478")
    running.kill()
    running.wait()
    assert status == 3
    assert findings["external_address"] == "100.64.0.9"
    assert (findings["outside"]["address"], findings["outside"]["verdict"]) == ("192.0.1.77", "cgnat")


def test_a_stun_server_sees_the_routers_address(lab: Lab) -> None:
    with stun(lab):
        _, findings = doctor(lab, "--stun", f"{INTERNET_HOST}:3478", "--no-map")
    assert findings["outside"]["address"] == WAN_ADDRESS
    assert findings["outside"]["verdict"] == "same"
    _, findings = doctor(lab, "--stun", f"{INTERNET_HOST}:3479", "--no-map")
    assert (findings["outside"]["verdict"], findings["outside"]["address"]) == ("unknown", None)


def test_a_report_has_no_public_address_and_says_what_was_masked(lab: Lab) -> None:
    done = portlease(lab, "doctor", "4000/udp", "--report")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert text.startswith("Report of portlease doctor. These were masked")
    assert "public IPv4 addresses: 1, as [public-ipv4-N]" in text
    assert WAN_ADDRESS not in text and "2d00:77::10" not in text and socket.gethostname() not in text
    assert text.count("[public-ipv4-1]") >= 3 and LAN_HOST in text and "[ipv6-1]" in text
