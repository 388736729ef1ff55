"""The simulated router for users' own tests."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import portlease
from portlease.testing import Announcement, Gateway, GatewayMapping


def test_a_router_behind_carrier_grade_nat_without_upnp() -> None:
    with Gateway(upnp=False, cgnat=True) as gateway, portlease.Mapper(**gateway.config()) as mapper:
        snapshot = mapper.map(9001).ready(5)
        assert snapshot.address_class is portlease.AddressClass.CGNAT
        assert gateway.counters["ssdp_search"] == 0


def test_the_table_shows_what_was_mapped_and_traffic_arrives(gateway: Gateway) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as app:
        app.bind(("127.0.0.1", 0))
        app.settimeout(5)
        port = app.getsockname()[1]
        with portlease.open(port, **gateway.config(), protocols=["pcp"]):
            [mapping] = gateway.mappings
            assert isinstance(mapping, GatewayMapping)
            assert (mapping.protocol, mapping.transport, mapping.external_port) == ("pcp", "udp", port)
            assert str(mapping.internal) == f"127.0.0.1:{port}"
            assert mapping.expires_in is not None
            assert 3590 <= mapping.expires_in <= 3600
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
                outside.sendto(b"hello", (str(mapping.reach.address), mapping.reach.port))
                assert app.recv(100) == b"hello"


def test_counters_count_and_know_nothing_of_what_never_came(gateway: Gateway) -> None:
    portlease.open(9001, **gateway.config(), protocols=["nat-pmp"]).stop()
    assert gateway.counters["natpmp_map_udp"] >= 1
    assert gateway.counters["soap_AddPortMapping"] == 0


def test_a_reboot_forgets_the_mappings_and_a_lease_comes_back(gateway: Gateway) -> None:
    with portlease.open(9001, **gateway.config(), ttl=2) as lease:
        others = gateway.add_mapping("tcp", 9001, "127.0.0.9:80")
        gateway.reboot()
        assert others not in gateway.mappings
        gateway.wait_for(lambda gateway: len(gateway.mappings) == 1)
        assert lease.snapshot().renewals >= 0


def test_switches_by_name_and_bad_ones_named(gateway: Gateway) -> None:
    gateway.set_faults(pcp="silent", drop_next=2)
    assert gateway.faults["pcp"] == "silent"
    assert gateway.faults["drop_next"] == 2
    assert gateway.faults["upnp"] == "normal"
    with pytest.raises(portlease.InvalidError, match="loose"):
        gateway.set_faults(loose=True)  # type: ignore[call-arg]
    with pytest.raises(portlease.InvalidError, match="drop_next"):
        gateway.set_faults(drop_next="two")  # type: ignore[arg-type]


def test_a_protocol_is_off_by_its_setting_or_silent_by_its_switch() -> None:
    with Gateway(pcp="silent", nat_pmp=False) as gateway:
        assert gateway.faults["pcp"] == "silent"
        with portlease.Mapper(**gateway.config()) as mapper:
            outcomes = {str(each.protocol): each.error is None for each in mapper.probe().protocols}
    assert outcomes == {"pcp": False, "nat-pmp": False, "upnp": True}


@pytest.mark.parametrize(
    ("option", "value"),
    [("no_such_option", 1), ("igd_version", "two"), ("bind", "nowhere"), ("cgnat", 5), ("loss", 2.0)],
)
def test_a_bad_option_is_invalid_and_named(option: str, value: object) -> None:
    with pytest.raises(portlease.InvalidError, match=option):
        Gateway(**{option: value})  # type: ignore[arg-type]
    with pytest.raises(portlease.InvalidTypeError):
        Gateway(friendly_name=object())  # type: ignore[arg-type]
    with pytest.raises(portlease.InvalidError, match="float"):
        Gateway(loss=float("nan"))


def test_a_port_that_is_taken_is_a_transport_error(gateway: Gateway) -> None:
    taken = gateway.config()["pcp_port"]
    assert isinstance(taken, int)
    with pytest.raises(portlease.TransportError, match=str(taken)):
        Gateway(pcp_port=taken)


def test_the_external_address_can_be_changed_and_taken_away(gateway: Gateway) -> None:
    gateway.external_address = "203.0.113.7"
    assert gateway.external_address == ipaddress.ip_address("203.0.113.7")
    with portlease.open(9001, **gateway.config()) as lease:
        assert str(lease.external) == "203.0.113.7:9001"
    gateway.external_address = None
    assert gateway.external_address is None


def test_mappings_of_others_can_be_added_and_removed(gateway: Gateway) -> None:
    added = gateway.add_mapping("tcp", 9001, ("127.0.0.9", 80), lifetime=60)
    assert gateway.mappings == [added]
    assert (added.protocol, str(added.internal), added.expires_in) == ("static", "127.0.0.9:80", 60)
    with pytest.raises(portlease.InvalidError, match="taken"):
        gateway.add_mapping("tcp", 9001, "127.0.0.9:81")
    with pytest.raises(portlease.InvalidError, match="internal: 'nowhere'"):
        gateway.add_mapping("tcp", 9002, ("nowhere", 80))
    assert gateway.remove_mapping("tcp", 9001) is True
    assert gateway.remove_mapping("tcp", 9001) is False


@pytest.fixture
def firewall() -> Iterator[Gateway]:
    """A router with an IPv6 firewall, on machines that have IPv6."""
    with Gateway(ipv6=True) as gateway:
        if gateway.no_ipv6 is not None:
            pytest.skip(f"no IPv6 here: {gateway.no_ipv6}")
        yield gateway


def test_an_ipv6_lease_opens_a_pinhole_and_traffic_arrives(firewall: Gateway) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as app:
        app.bind(("::1", 0))
        app.settimeout(5)
        port = app.getsockname()[1]
        with portlease.open(port, **firewall.config(), family="ipv6"):
            [pinhole] = firewall.mappings
            assert (str(pinhole.internal), pinhole.external_port, pinhole.unique_id) == (f"[::1]:{port}", port, 1)
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as outside:
                outside.sendto(b"hello", pinhole.reach)
                assert app.recv(100) == b"hello"
    assert firewall.mappings == []


def test_a_lost_pinhole_is_opened_again(firewall: Gateway) -> None:
    # Without a look of its own the mapper opens it again only when it is told to look.
    with portlease.Mapper(**firewall.config(), check_interval=0) as mapper:
        mapper.map(9001, family="ipv6").ready(5)
        assert firewall.remove_pinhole("udp", ("::1", 9001)) is True
        assert firewall.remove_pinhole("udp", "[::1]:9001") is False
        mapper.network_changed()
        firewall.wait_for(lambda gateway: len(gateway.mappings) == 1)


def test_a_new_prefix_closes_the_pinholes_of_the_old_one(firewall: Gateway) -> None:
    with portlease.Mapper(**firewall.config(), protocols=["pcp"]) as mapper:
        mapper.map(9001, family="ipv6").ready(5)
        firewall.renumber("2001:db8:1::/64")
        assert firewall.mappings == []
        firewall.renumber(ipaddress.IPv6Network("::1/128"))
        mapper.network_changed()
        firewall.wait_for(lambda gateway: len(gateway.mappings) == 1)
    with pytest.raises(portlease.InvalidError, match="prefix"):
        firewall.renumber("2001:db8:1::")


@pytest.mark.parametrize(
    ("what", "host", "begins"),
    [
        ("pcp", "127.0.0.1", b"\2\x80"),
        ("pcp", "::1", b"\2\x80"),
        ("nat_pmp", "127.0.0.1", b"\0\x80"),
        ("ssdp_alive", "127.0.0.1", b"NOTIFY"),
        ("ssdp_alive", "::1", b"NOTIFY"),
        ("ssdp_byebye", "::1", b"NOTIFY"),
    ],
)
def test_an_announcement_arrives(firewall: Gateway, what: Announcement, host: str, begins: bytes) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((host, 0))
        listener.settimeout(5)
        firewall.announce(what, (host, listener.getsockname()[1]))
        assert listener.recv(2000).startswith(begins)


def test_an_announcement_that_there_is_not_and_a_place_that_is_none_are_invalid(firewall: Gateway) -> None:
    with pytest.raises(portlease.InvalidError, match="hello"):
        firewall.announce("hello", ("127.0.0.1", 1))  # type: ignore[arg-type]
    with pytest.raises(portlease.InvalidError, match=r"^to: "):
        firewall.announce("pcp", ("localhost", 1))


def test_a_mapper_finds_the_firewall_with_the_settings_for_both_families_and_with_its_own(firewall: Gateway) -> None:
    own = firewall.ipv6
    assert own is not None
    assert own["gateway"] == "::1"
    assert own["pcp_port"] == firewall.config()["pcp_port"]
    for settings in (own, firewall.config()):
        with portlease.Mapper(**settings) as mapper:
            assert str(mapper.map(9001, family="ipv6").ready(5).external) == "[::1]:9001"


def test_a_router_without_the_option_has_no_firewall(gateway: Gateway) -> None:
    assert gateway.ipv6 is None
    assert gateway.no_ipv6 is None


def test_on_a_machine_without_ipv6_there_is_no_firewall_and_the_reason_is_told() -> None:
    program = """
        from portlease.testing import Gateway
        with Gateway(ipv6=True) as gateway:
            assert gateway.ipv6 is None
            print(gateway.no_ipv6, gateway.config()["gateway"])
        """
    without = 'ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6 || exit 77; exec "$@"'
    command = ["unshare", "--net", "sh", "-c", without, "sh", sys.executable, "-c", textwrap.dedent(program)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    except FileNotFoundError as error:
        pytest.skip(f"no network without IPv6: {error}")
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"no network without IPv6: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "::1 cannot be bound" in done.stdout
    assert "127.0.0.1" in done.stdout


def test_waiting_for_the_router_ends_by_its_condition_or_by_time(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(9001)
        gateway.wait_for(lambda gateway: gateway.mappings)
        for timeout in (0.05, timedelta(milliseconds=50)):
            with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
                gateway.wait_for(lambda gateway: not gateway.mappings, timeout)
        lease.stop()


def test_programs_without_a_place_for_settings_find_the_default_router(gateway: Gateway) -> None:
    async def opened() -> portlease.Endpoint | None:
        async with portlease.aio.open(9002) as lease:
            return lease.external

    with Gateway() as other, gateway.as_default():
        with portlease.open(9001):
            assert [mapping.external_port for mapping in gateway.mappings] == [9001]
            with portlease.open(9001, **other.config()):
                assert len(other.mappings) == 1, "settings that are given win"
        assert str(asyncio.run(opened())) == "192.0.1.1:9002"
    assert gateway.counters["pcp_map"] >= 2


def test_the_end_of_being_the_default_leaves_the_environment_as_the_program_wants_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORTLEASE_GATEWAY", raising=False)
    with gateway.as_default():
        del os.environ["PORTLEASE_GATEWAY"]
    assert "PORTLEASE_GATEWAY" not in os.environ


def test_a_stopped_router_says_so(gateway: Gateway) -> None:
    gateway.stop()
    gateway.stop()
    with pytest.raises(portlease.StoppedError):
        _ = gateway.mappings


def test_the_fixture_of_pytest(portlease_gateway: Gateway) -> None:
    with portlease.open(9001, **portlease_gateway.config()) as lease:
        assert lease.snapshot().address_class == "public"


@pytest.mark.portlease_gateway(upnp=False, nat_pmp=False, cgnat=True)
def test_the_fixture_takes_options_by_a_marker(portlease_gateway: Gateway) -> None:
    with portlease.open(9001, **portlease_gateway.config()) as lease:
        assert lease.snapshot().address_class == "cgnat"


def test_a_test_that_forgets_the_settings_gets_the_router_of_its_fixture(portlease_gateway: Gateway) -> None:
    with portlease.open(9001):
        assert [mapping.external_port for mapping in portlease_gateway.mappings] == [9001]


def run_pytest(folder: Path, code: str, *options: str) -> str:
    """Runs a user's tests in a process of their own."""
    (folder / "test_it.py").write_text(textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options, str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_option_isolates_every_test_and_what_it_starts(tmp_path: Path) -> None:
    code = """
        import os, subprocess, sys
        import portlease
        def test_one():
            with portlease.open(9001) as lease:
                assert str(lease.external) == "192.0.1.1:9001"
        def test_two(portlease_session_gateway):
            assert portlease_session_gateway.counters["pcp_map"] >= 1
            child = "import portlease; print(portlease.open(9002).external)"
            assert subprocess.check_output([sys.executable, "-c", child], text=True) == "192.0.1.1:9002\\n"
        def test_three(portlease_gateway, portlease_session_gateway):
            with portlease.open(9003):
                assert len(portlease_gateway.mappings) == 1
            assert "PORTLEASE_GATEWAY" in os.environ
        """
    assert "3 passed" in run_pytest(tmp_path, code, "-o", "portlease_isolate=true")


def test_a_marker_whose_options_have_no_names_is_an_error(tmp_path: Path) -> None:
    code = """
        import pytest
        @pytest.mark.xfail(raises=TypeError, strict=True)
        @pytest.mark.portlease_gateway("cgnat")
        def test_it(portlease_gateway): pass
        """
    assert "1 xfailed" in run_pytest(tmp_path, code)


def test_the_plugin_loads_neither_the_extension_nor_anything_slow_before_its_use(tmp_path: Path) -> None:
    code = """
        import os, sys
        def test_before(): assert 'pytest_portlease' in sys.modules and 'portlease' not in sys.modules
        def test_used(portlease_gateway): assert portlease_gateway.mappings == []
        def test_after(): assert 'PORTLEASE_GATEWAY' not in os.environ
        """
    assert "3 passed" in run_pytest(tmp_path, code)
