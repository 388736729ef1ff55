"""Real peers of go-ethereum, go-libp2p and pion against the real router: one on the internet connects, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import MakeLab
from homelab import LAN_HOST, LAN_HOST6, WAN_ADDRESS, Entry, Lab, Pinhole, eventually
from languages import TARGET, running, said
from portlease import STOPS_WITHIN

ETHEREUM = TARGET / "go/ethereum-peer"
LIBP2P = TARGET / "go/libp2p-peer"
PION = TARGET / "go/pion-peer"
# A host of go-libp2p looks for other addresses every 5 s.
TELLS_WITHIN = 12.0
# Handshakes of the peers, on a busy machine.
CONNECTS_WITHIN = 15.0
# A candidate in a line of JSON.
CANDIDATE = re.compile(r"a=candidate:\S+ \d udp \d+ (\S+ \d+) .*?\\r\\n")


@pytest.fixture(autouse=True)
def built() -> None:
    """The peers are built with modules that are not fetched for everybody: without them there is nothing to test."""
    if missing := [str(peer) for peer in (ETHEREUM, LIBP2P, PION) if not peer.exists()]:
        message = f"NOT BUILT: {', '.join(missing)}; build them with 'make -C go test-compat'"
        if os.environ.get("COMPAT_REQUIRED") == "1":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def outside(lab: Lab, *command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A program on the internet; it does not outlive the block."""
    line = lab.inside("inet", *command)
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


def says(program: subprocess.Popen[str], what: str, within: float) -> str:
    """Its next line that has this in it."""
    while what not in (line := said(program, within)):
        pass
    return line


def ends(lab: Lab, program: subprocess.Popen[str]) -> None:
    """It ends on a signal, and leaves no mapping on the router."""
    program.send_signal(signal.SIGTERM)
    assert program.wait(STOPS_WITHIN) == 0
    assert lab.table() == []


MODES = pytest.mark.parametrize("mode", ["default", "upnp", "pmp"])


@MODES
def test_a_node_of_go_ethereum_is_reached_from_the_internet_by_the_address_that_it_tells(make_lab: MakeLab, mode: str) -> None:
    lab = make_lab(mode=mode)
    with running(lab, ETHEREUM, "serve", ":30303") as node:
        url = says(node, f"@{WAN_ADDRESS}:30303", TELLS_WITHIN)
        assert lab.appears(Entry("tcp", 30303, LAN_HOST, 30303), TELLS_WITHIN)
        assert lab.appears(Entry("udp", 30303, LAN_HOST, 30303), TELLS_WITHIN)  # for discovery
        dialled = lab.run("inet", ETHEREUM, "dial", url)
        assert dialled.stdout == f"connected to {WAN_ADDRESS}:30303\n", dialled.stderr
        assert says(node, "a peer from", CONNECTS_WITHIN)
        ends(lab, node)


@MODES
def test_a_host_of_go_libp2p_is_reached_from_the_internet_over_tcp_and_quic(make_lab: MakeLab, mode: str) -> None:
    lab = make_lab(mode=mode)
    with running(lab, LIBP2P, "serve", "4001") as host:
        tcp = says(host, f"/ip4/{WAN_ADDRESS}/tcp/4001/", TELLS_WITHIN)
        quic = says(host, f"/ip4/{WAN_ADDRESS}/udp/4001/quic-v1/", TELLS_WITHIN)
        assert lab.table() == sorted(Entry(transport, 4001, LAN_HOST, 4001) for transport in ("tcp", "udp"))
        for address in (tcp, quic):
            dialled = lab.run("inet", LIBP2P, "dial", address)
            assert dialled.stdout.startswith(f"connected to /ip4/{WAN_ADDRESS}/"), dialled.stderr
            assert says(host, "a peer from", CONNECTS_WITHIN)
        ends(lab, host)


@MODES
def test_a_peer_of_pion_is_reached_from_the_internet_without_a_stun_server(make_lab: MakeLab, mode: str) -> None:
    lab = make_lab(mode=mode)
    with running(lab, PION, "serve", "5000") as serving, outside(lab, PION, "dial") as dialling:
        assert serving.stdin and dialling.stdin
        offer = says(serving, "candidate", TELLS_WITHIN)
        assert {LAN_HOST + " 5000", WAN_ADDRESS + " 5000"} == set(CANDIDATE.findall(offer))
        assert lab.table() == [Entry("udp", 5000, LAN_HOST, 5000)]
        print(offer, file=dialling.stdin, flush=True)
        answer = says(dialling, "candidate", CONNECTS_WITHIN)
        # The serving peer does not know where the other one is, so it cannot make a way through the router from inside.
        print(CANDIDATE.sub("", answer), file=serving.stdin, flush=True)
        assert says(dialling, "received", CONNECTS_WITHIN) == "received thanks"
        assert says(serving, "received", CONNECTS_WITHIN) == "received hello"
        ends(lab, serving)


def test_a_host_of_go_libp2p_follows_another_address_of_the_router(lab: Lab) -> None:
    with running(lab, LIBP2P, "serve", "4001") as host:
        says(host, f"/ip4/{WAN_ADDRESS}/tcp/4001/", TELLS_WITHIN)
        lab.wan("192.0.1.7")
        address = says(host, "/ip4/192.0.1.7/tcp/4001/", TELLS_WITHIN)
        dialled = lab.run("inet", LIBP2P, "dial", address)
        assert dialled.stdout == "connected to /ip4/192.0.1.7/tcp/4001\n", dialled.stderr
        ends(lab, host)


# Without UPnP this daemon may refuse to close a pinhole: see the lab's README.
@pytest.mark.parametrize("mode", ["default", "upnp"])
def test_a_host_of_go_libp2p_is_reached_over_ipv6_through_a_pinhole_of_each_listener(make_lab: MakeLab, mode: str) -> None:
    lab = make_lab(mode=mode)
    with running(lab, LIBP2P, "serve", "4001") as host:
        # Its own address, which it tells also without a pinhole.
        tcp = says(host, f"/ip6/{LAN_HOST6}/tcp/4001/", TELLS_WITHIN)
        quic = tcp.replace("/tcp/4001/", "/udp/4001/quic-v1/")
        holes = sorted(Pinhole(transport, LAN_HOST6, 4001) for transport in ("tcp", "udp"))
        eventually(lambda: lab.pinholes() == holes, TELLS_WITHIN, "pinholes")
        for address in (tcp, quic):
            dialled = lab.run("inet", LIBP2P, "dial", address)
            assert dialled.stdout.startswith(f"connected to /ip6/{LAN_HOST6}/"), dialled.stderr
        ends(lab, host)
        assert lab.rules() == []
