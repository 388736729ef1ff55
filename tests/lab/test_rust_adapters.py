"""The examples for Rust's network libraries on a real router: a peer on the internet connects, and nothing is left behind.

PORTLEASE_ADAPTERS is where the examples are; by default where `make -C core/adapters build` puts them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from homelab import LAN_HOST, LAN_HOST6, WAN_ADDRESS, Entry, Lab, Pinhole, only
from languages import TARGET, enter, errors_of, running, said
from portlease import STOPS_WITHIN

EXAMPLES = Path(os.environ.get("PORTLEASE_ADAPTERS", TARGET / "adapters/debug/examples"))
INTERNET_HOST = "192.0.1.2"
# An endpoint starts, maps and tells its peers.
SERVES_WITHIN = 15.0


def example(name: str) -> Path:
    """The program, if it was built: it takes minutes, so `make test` does without."""
    path = EXAMPLES / name
    if not path.exists():
        pytest.skip(f"NOT BUILT: {path}; build it with 'make -C core/adapters build'")
    return path


def ask(lab: Lab, program: Path, *arguments: str | Path) -> str:
    """What a client on the internet is answered."""
    done = lab.run("inet", program, "ask", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def port_of(address: str) -> int:
    """The external port, which the lab's router grants as asked for: the local one."""
    return int(address.rpartition(":")[2])


def test_a_client_on_the_internet_talks_to_a_quinn_endpoint_at_home(lab: Lab, tmp_path: Path) -> None:
    program, certificate = example("quinn_echo"), tmp_path / "certificate"
    with running(lab, program, "serve", certificate) as server:
        address = said(server, SERVES_WITHIN)
        port = port_of(address)
        assert address == f"{WAN_ADDRESS}:{port}"
        assert lab.table() == [Entry("udp", port, LAN_HOST, port)]
        assert ask(lab, program, address, certificate) == f"{INTERNET_HOST}: hello"
        enter(server)
        assert errors_of(server, STOPS_WITHIN) == ""
        assert server.returncode == 0
    lab.assert_nothing_is_mapped()


def test_a_peer_on_the_internet_talks_to_an_iroh_endpoint_at_home_without_a_relay(lab: Lab) -> None:
    program = example("iroh_echo")
    with running(lab, program, "serve") as server:
        identity, address = said(server, SERVES_WITHIN).split()
        port = port_of(address)
        assert address == f"{WAN_ADDRESS}:{port}"
        assert lab.table() == [Entry("udp", port, LAN_HOST, port)]
        assert ask(lab, program, identity, address) == "hello"
        enter(server)
        assert errors_of(server, STOPS_WITHIN) == ""
        assert server.returncode == 0
    lab.assert_nothing_is_mapped()
    assert lab.pinholes() == []


def test_a_peer_on_the_internet_pings_a_libp2p_swarm_at_home_over_ipv4_and_ipv6(lab: Lab) -> None:
    program = example("libp2p_ping")
    with running(lab, program, "serve") as server:
        addresses = sorted(said(server, SERVES_WITHIN) for _ in range(2))
        ports = []
        for address, host in zip(addresses, [f"/ip4/{WAN_ADDRESS}", f"/ip6/{LAN_HOST6}"]):
            assert (match := re.fullmatch(rf"{host}/tcp/(\d+)/p2p/(\w+)", address)), address
            ports.append(int(match[1]))
            assert ask(lab, program, address) == f"pong from {match[2]}"
        assert only(lab.table()) == Entry("tcp", ports[0], LAN_HOST, ports[0])
        assert only(lab.pinholes()) == Pinhole("tcp", LAN_HOST6, ports[1])
        enter(server)
        assert errors_of(server, STOPS_WITHIN) == ""
        assert server.returncode == 0
    lab.assert_nothing_is_mapped()
    assert lab.pinholes() == []
