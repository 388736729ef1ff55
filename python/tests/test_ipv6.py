"""IPv6: a pinhole is a lease like any other, in both faces."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest

import portlease
from portlease import aio
from portlease.testing import Gateway

# The longest name that an interface may have.
INTERFACE = "lan-with-15-let"
# Runs what follows in a network of its own, with a router behind that interface that never answers.
NETWORK = f"""
ip link add {INTERFACE} type veth peer name far && ip link set {INTERFACE} up && ip link set far up &&
ip addr add 2600:1::5/64 dev {INTERFACE} nodad && ip -6 route add default via fe80::1 dev {INTERFACE} && exec "$@"
"""


@pytest.fixture
def router() -> Iterator[Gateway]:
    """A home router that also has a firewall for IPv6."""
    with Gateway(ipv6=True) as gateway:
        if "no_ipv6" in json.loads(gateway._native.started()):
            pytest.skip("this machine has no IPv6 on loopback")
        yield gateway


def test_open_with_ipv6_opens_a_pinhole_for_an_address_of_this_machine(router: Gateway) -> None:
    with portlease.open(9001, "tcp", family="ipv6", timeout=10, **router.config()) as lease:
        now = lease.snapshot()
        assert (now.family, now.transport, now.external_port) == (portlease.AddressFamily.IPV6, "tcp", 9001)
        assert (now.external, str(now.external)) == (("::1", 9001), "[::1]:9001")
        assert now.external is not None
        assert now.external.address == IPv6Address("::1")
        assert (lease.external, lease.external_port, lease.address_class) == (now.external, 9001, "reserved")
        assert now.asdict(json=True)["external"] == "[::1]:9001"
        assert repr(lease).endswith("outside [::1]:9001>")
        [pinhole] = router.mappings
        assert (pinhole.internal, pinhole.external_port) == (("::1", 9001), 9001)
    assert router.mappings == []


def test_a_mapper_has_leases_of_both_families_for_one_port_and_events_tell_which(router: Gateway) -> None:
    with portlease.Mapper(protocols=["pcp"], **router.config()) as mapper:
        leases = [mapper.map(9001, family=family) for family in portlease.AddressFamily]
        assert mapper.ensure(9001, family="ipv6") is leases[1]
        leases += mapper.map_both(9002, family="ipv6")
        families = [lease.ready(10).family for lease in leases]
        assert families == ["ipv4", "ipv6", "ipv6", "ipv6"]
        assert len(router.mappings) == 4
        told = {event.lease: event.family for event in (mapper.next_event(10) for _ in leases)}
        assert told == {lease.id: family for lease, family in zip(leases, families, strict=True)}
        assert str(mapper.snapshot().gateway) == "127.0.0.1"
        assert leases[1].stop() == "released"
        assert leases[0].active


def test_asyncio_has_the_same(router: Gateway) -> None:
    async def main() -> None:
        async with aio.open(9001, family="ipv6", timeout=10, **router.config()) as lease:
            assert str(lease.external) == "[::1]:9001"
            assert (await lease.mapper.probe("ipv6")).gateway == ip_address("::1")
        assert (await aio.probe("ipv6", **router.config())).gateway == ip_address("::1")
        async with aio.Mapper(**router.config()) as mapper:
            pair = mapper.map_both(9002, family="ipv6")
            assert [(await lease.ready(10)).family for lease in pair] == ["ipv6", "ipv6"]
            assert mapper.ensure(9002, family="ipv6") is pair[0]

    asyncio.run(main())


def test_a_probe_is_of_one_family(router: Gateway) -> None:
    ipv6 = portlease.probe("ipv6", **router.config())
    assert (ipv6.gateway, ipv6.local_address) == (ip_address("::1"), ip_address("::1"))
    assert [each.protocol for each in ipv6.protocols if each.error is None] == ["pcp", "upnp"]
    with portlease.Mapper(**router.config()) as mapper:
        assert mapper.probe().gateway == mapper.probe("ipv4").gateway == ip_address("127.0.0.1")
        assert mapper.probe(portlease.AddressFamily.IPV6).gateway == ip_address("::1")
        assert router.mappings == []


@pytest.mark.parametrize("face", [portlease, aio])
def test_another_family_is_invalid_and_the_message_says_what_is_allowed(router: Gateway, face: Any) -> None:
    says = "^family: `ipx` is not one of ipv4, ipv6$"
    mapper = face.Mapper(**router.config())
    calls = [mapper.map, mapper.ensure, mapper.map_both, lambda port, family: face.open(port, family=family)]
    calls += [lambda _, family: mapper.probe(family), lambda _, family: face.probe(family)]
    for call in calls:
        with pytest.raises(portlease.InvalidError, match=says):
            result = call(9001, family="ipx")
            asyncio.run(result)  # what asyncio's face checks when it is awaited
    with pytest.raises(portlease.InvalidError, match=r"^external_port: must be the internal port 9001 with IPv6"):
        mapper.map(9001, external_port=80, family="ipv6")
    stopped = mapper.stop()
    if face is aio:
        asyncio.run(stopped)


def test_a_gateway_may_have_a_scope_which_names_its_interface() -> None:
    for gateway in ("fe80::1%no-such", IPv6Address("fe80::1%no-such")):
        with (
            portlease.Mapper(gateway=gateway, retry="never") as mapper,
            pytest.raises(portlease.InvalidError, match=r"^gateway: there is no interface `no-such`; there are "),
        ):
            mapper.map(9001, family="ipv6").ready(10)
    with pytest.raises(portlease.InvalidError, match=r"^gateway: the scope of fe80::1%eth0 is not the interface"):
        portlease.Mapper(gateway="fe80::1%eth0", interface="eth1")
    with pytest.raises(portlease.InvalidError, match=r"^gateway: the scope of .* 1 to 15 bytes$"):
        portlease.Mapper(gateway="fe80::1%a-name-of-16-let")


@pytest.mark.skipif(shutil.which("unshare") is None or shutil.which("ip") is None, reason="needs unshare and ip")
@pytest.mark.parametrize("gateway", ["None", f"'fe80::1%{INTERFACE}'"])
def test_a_link_local_router_keeps_its_scope(gateway: str) -> None:
    code = f"""
import json, pickle, portlease, sys
with portlease.Mapper(gateway={gateway}, protocols=["pcp"]) as mapper:
    lease = mapper.map(9001, family="ipv6")
    try:
        mapper.probe("ipv6")
    except portlease.UnavailableError as error:
        now = mapper.snapshot()
        same = pickle.loads(pickle.dumps(now)).gateway == now.gateway
        print(json.dumps([str(error), str(now.gateway), same, now.asdict(json=True)["gateway"]]))
"""
    command = ["unshare", "-rn", "sh", "-c", NETWORK, "sh", sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode != 0 and ("unshare" in done.stderr or "RTNETLINK" in done.stderr):
        pytest.skip(f"no network of one's own here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    scoped = f"fe80::1%{INTERFACE}"
    message, shown, same, text = json.loads(done.stdout)
    assert message.startswith(f"gateway {scoped} opens no pinholes: ")
    assert (shown, text) == (scoped, scoped)
    # Python 3.10 loses the scope of any address that it pickles.
    assert same or sys.version_info < (3, 11)
