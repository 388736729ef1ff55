"""Mapping ports by libminiupnpc: UPNP_AddPortMapping, UPNP_DeletePortMapping and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conftest import Calls, Gateway, until

Gateways = Callable[..., Gateway]
PCP_ONLY = {"nat_pmp": False, "upnp": False}
UPNP_ONLY = {"pcp": False, "nat_pmp": False}
EVERY = pytest.mark.parametrize("speaks", [PCP_ONLY, {"pcp": False, "upnp": False}, UPNP_ONLY], ids=["pcp", "nat-pmp", "upnp"])


@EVERY
def test_a_port_is_mapped_and_given_back(gateways: Gateways, calls: Calls, speaks: dict[str, bool]) -> None:
    gateway = gateways(**speaks)
    testee = calls(gateway)
    assert testee.add("4000", "4001") == 0
    assert testee.add("4000", "4001", "UDP") == 0
    assert gateway.ports() == ["tcp 4000 4001", "udp 4000 4001"]
    client, port, _, enabled, lease = testee("specific", "4000", "TCP")[1:]
    assert (client, port, enabled) == ("127.0.0.1", 4001, 1)
    assert 0 <= lease <= 86400
    assert testee("delete", "4000", "TCP", None) == 0
    assert testee("delete", "4000", "UDP", None) == 0
    assert gateway.ports() == []
    assert testee("specific", "4000", "TCP")[0] == 714


def test_what_is_there_is_mapped_again_without_another_entry(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert [testee.add("4000", "4000") for _ in range(3)] == [0, 0, 0]
    assert gateway.ports() == ["tcp 4000 4000"]


def test_a_mapping_is_renewed_for_as_long_as_the_process_lives(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee.add("4000", "4000", lease="2") == 0
    asked = gateway.count("pcp_map")
    until(lambda: gateway.count("pcp_map") >= asked + 2, 20)
    assert gateway.ports() == ["tcp 4000 4000"]


def test_a_port_that_another_has_is_718_and_nothing_is_left(gateway: Gateway, calls: Calls) -> None:
    gateway.tell(
        command="put_mapping", protocol="upnp", transport="tcp", external_port=4000, internal="127.0.0.9:1", description="x"
    )
    testee = calls(gateway)
    assert testee.add("4000", "4001") == 718
    assert gateway.ports() == ["tcp 4000 1"]
    # Nothing goes on trying.
    assert testee.add("4002", "4001") == 0
    assert gateway.ports() == ["tcp 4000 1", "tcp 4002 4001"]


def test_another_port_than_the_one_that_was_asked_for_is_718_unless_any_will_do(gateway: Gateway, calls: Calls) -> None:
    gateway.set(granted_port=5000)
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 718
    assert gateway.ports() == []
    assert testee("add_any", "4000", "4000", "127.0.0.1", "x", "TCP", None, "0", "place") == [0, 5000]
    assert gateway.ports() == ["tcp 5000 4000"]
    assert testee("delete", "5000", "TCP", None) == 0
    assert gateway.ports() == []


def test_any_port_does_not_take_the_port_of_another_mapping_of_this_program(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 0
    code, port = testee("add_any", "4000", "4001", "127.0.0.1", "x", "TCP", None, "0", "place")
    assert code == 0 and port != 4000
    assert gateway.ports() == ["tcp 4000 4000", f"tcp {port} 4001"]


GOOD: dict[str, Any] = {
    "external": "4000", "internal": "4000", "client": "127.0.0.1", "text": "x", "protocol": "TCP", "remote": None, "lease": "0"
}  # fmt: skip
BAD_PORTS = [None, "", " ", "0", "65536", "-1", "abc", "40 00", "4000x", "99999999999999999999", b"\xff\xfe"]
BAD = (
    [{"external": port} for port in BAD_PORTS]
    + [{"internal": port} for port in BAD_PORTS]
    + [{"client": client} for client in [None, "", "here", "127.0.0.1:80", "256.1.1.1", b"\xff"]]
    + [{"protocol": protocol} for protocol in [None, "", "SCTP", "TCPUDP", "6"]]
    + [{"lease": lease} for lease in ["-1", "abc", "4294967296", "1.5"]]
)


def test_arguments_that_say_nothing_are_minus_2_and_nothing_is_sent(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    for bad in BAD:
        assert testee.add(**{**GOOD, **bad}) == -2, bad
        words = {**GOOD, **bad}
        assert testee("add_any", *words.values(), "place") == [-2, "KEPT"], bad
    for port in BAD_PORTS:
        assert testee("delete", port, "TCP", None) == -2, port
        assert testee("specific", port, "TCP")[0] == -2, port
    for protocol in [None, "", "SCTP"]:
        assert testee("delete", "4000", protocol, None) == -2, protocol
        assert testee("specific", "4000", protocol)[0] == -2, protocol
    for index in [None, "", "-1", "x"]:
        assert testee("generic", index)[0] == -2, index
    assert testee("list", None, "1", "TCP", None) == -2
    assert gateway.ports() == []
    assert not gateway.tell(command="counters")["counters"]


@pytest.mark.parametrize("host", ["8.8.8.8", "example.org"])
def test_a_remote_host_is_726(gateway: Gateway, calls: Calls, host: str) -> None:
    testee = calls(gateway)
    assert testee.add("4000", "4000", remote=host) == 726
    assert testee("delete", "4000", "TCP", host) == 726
    assert gateway.ports() == []


@pytest.mark.parametrize("host", ["", "*", "0.0.0.0"])
def test_every_way_to_write_everybody_is_understood(gateway: Gateway, calls: Calls, host: str) -> None:
    assert calls(gateway).add("4000", "4000", remote=host) == 0


@pytest.mark.parametrize("protocol", ["tcp", "Tcp", "TCP"])
def test_protocols_are_understood_in_any_case(gateway: Gateway, calls: Calls, protocol: str) -> None:
    assert calls(gateway).add("4000", "4000", protocol) == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, "portlease"),
        ("My program at 4000", "My program at 4000"),
        ("", ""),
        (b"one\ntwo\x01", "onetwo"),
        (b"caf\xe9", "caf\ufffd"),
        ("x" * 500, "x" * 64),
        ("<&>'\"", "<&>'\""),
    ],
)
def test_any_description_is_taken(gateways: Gateways, calls: Calls, text: Any, shown: str) -> None:
    gateway = gateways(**UPNP_ONLY)
    assert calls(gateway).add("4000", "4000", text=text) == 0
    (entry,) = gateway.mappings()
    assert entry["description"] in (shown, shown or "portlease")


@pytest.mark.parametrize(("lease", "least", "most"), [(None, 80000, 86400), ("0", 80000, 86400), ("600", 500, 600)])
def test_no_mapping_is_made_without_an_end(
    gateways: Gateways, calls: Calls, lease: str | None, least: int, most: int
) -> None:
    gateway = gateways(**UPNP_ONLY)
    assert calls(gateway).add("4000", "4000", lease=lease) == 0
    (entry,) = gateway.mappings()
    assert least <= entry["expires_in"] <= most


def test_the_later_of_two_internal_ports_has_the_external_port(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee.add("4000", "4001") == 0
    assert testee.add("4000", "4002") == 0
    assert gateway.ports() == ["tcp 4000 4002"]
    assert testee.add("4000", "4001") == 0
    assert gateway.ports() == ["tcp 4000 4001"]


def test_one_internal_port_may_have_two_external_ports(gateways: Gateways, calls: Calls) -> None:
    gateway = gateways(**UPNP_ONLY)
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 0
    assert testee.add("4001", "4000") == 0
    assert gateway.ports() == ["tcp 4000 4000", "tcp 4001 4000"]
    assert testee("delete", "4001", "TCP", None) == 0
    assert gateway.ports() == ["tcp 4000 4000"]
    assert testee("delete", "4000", "TCP", None) == 0
    assert gateway.ports() == []


def test_a_second_external_port_never_costs_the_first(gateways: Gateways, calls: Calls) -> None:
    """Without UPnP there is no second one."""
    gateway = gateways(**PCP_ONLY)
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 0
    assert testee.add("4001", "4000") != 0
    assert gateway.ports() == ["tcp 4000 4000"]
    assert testee("specific", "4000", "TCP")[0] == 0


@EVERY
def test_a_port_that_nobody_has_mapped_is_714(gateways: Gateways, calls: Calls, speaks: dict[str, bool]) -> None:
    gateway = gateways(**speaks)
    testee = calls(gateway)
    assert testee("specific", "4000", "TCP")[:3] == [714, "", ""]
    assert testee("delete", "4000", "TCP", None) == (714 if speaks == UPNP_ONLY else 0)
    assert gateway.ports() == []


def test_a_port_of_another_host_is_deleted_if_the_router_lets_it_be(gateways: Gateways, calls: Calls) -> None:
    other = {"protocol": "upnp", "transport": "tcp", "external_port": 4000, "internal": "127.0.0.9:1", "description": "x"}
    gateway = gateways(secure_mode=False)
    gateway.tell(command="put_mapping", **other)
    assert calls(gateway)("delete", "4000", "TCP", None) == 0
    assert gateway.ports() == []
    strict = gateways(secure_mode=True)
    strict.tell(command="put_mapping", **other)
    assert calls(strict)("delete", "4000", "TCP", None) == 606
    assert strict.ports() == ["tcp 4000 1"]


@EVERY
def test_what_an_earlier_process_has_left_is_deleted_by_its_port(
    gateways: Gateways, calls: Calls, speaks: dict[str, bool]
) -> None:
    gateway = gateways(**speaks)
    first = calls(gateway)
    assert first.add("4000", "4000") == 0
    first.end()
    assert gateway.ports() == ["tcp 4000 4000"]
    assert calls(gateway)("delete", "4000", "TCP", None) == 0
    assert gateway.ports() == []


def test_places_for_an_entry_may_be_left_out(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 0
    assert testee("specific", "4000", "TCP", None, None, None, None, None) == 0
    assert testee("specific", "4001", "TCP", None, None, None, None, None) == 714
    assert testee("generic", "0", 1) == 0


def test_whether_a_port_is_mapped_is_answered_for_this_process_where_the_answer_has_no_place(
    gateway: Gateway, calls: Calls
) -> None:
    """What a killed process has left is there, and nobody renews it: the program is to map it itself."""
    killed = calls(gateway)
    assert killed.add("4000", "4000") == 0
    killed.kill()
    testee = calls(gateway)
    assert testee("specific", "4000", "TCP", None, None, None, None, None) == 714


def test_the_whole_table_is_shown_line_by_line(gateways: Gateways, calls: Calls) -> None:
    gateway = gateways()
    for port in (4005, 4006):
        gateway.tell(
            command="put_mapping", protocol="upnp", transport="udp", external_port=port, internal="127.0.0.9:7",
            description="console", lifetime=60,
        )  # fmt: skip
    testee = calls(gateway)
    assert testee.add("4000", "4001") == 0
    lines = [testee("generic", str(index)) for index in range(3)]
    assert [line[0] for line in lines] == [0, 0, 0]
    shown = sorted((line[1], line[2], line[3], line[4]) for line in lines)
    assert shown == [(4000, "127.0.0.1", 4001, "TCP"), (4005, "127.0.0.9", 7, "UDP"), (4006, "127.0.0.9", 7, "UDP")]
    assert testee("generic", "3") == [713, *["KEPT"] * 8]
    assert testee("count") == [0, 3]
    code, *listed = testee("list", "4005", "65535", "UDP", "1000")
    assert code == 0 and sorted(line.split(":")[0] for line in listed) == ["4005", "4006"]
    assert all(line.split(":")[1:6] == ["127.0.0.9", "7", "UDP", "console", "1"] for line in listed)
    assert len(testee("list", "4005", "4006", "UDP", "1")) == 2
    assert testee("list", "1", "3999", "TCP", "1000") == 730
    assert testee("list", "4006", "4005", "UDP", "1000") == 730


def test_without_upnp_the_table_is_what_this_process_has_mapped(gateways: Gateways, calls: Calls) -> None:
    testee = calls(gateways(**PCP_ONLY))
    assert testee.add("4000", "4001") == 0
    assert testee("generic", "0")[:5] == [0, 4000, "127.0.0.1", 4001, "TCP"]
    assert testee("generic", "1")[0] == 713
    assert testee("count") == [0, 1]


def test_another_client_is_mapped_by_a_router_that_lets_it_be(gateways: Gateways, calls: Calls) -> None:
    gateway = gateways(secure_mode=False)
    testee = calls(gateway)
    assert testee.add("4000", "4000", client="127.0.0.9", lease="600") == 0
    (entry,) = gateway.mappings()
    assert (entry["internal"], entry["description"]) == ("127.0.0.9:4000", "test")
    assert testee("delete", "4000", "TCP", None) == 0
    assert gateway.ports() == []


def test_another_client_does_not_get_a_port_that_this_process_has(gateways: Gateways, calls: Calls) -> None:
    gateway = gateways(secure_mode=False)
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 0
    assert testee.add("4000", "4000", client="127.0.0.9") == 718
    assert testee.add("4001", "4001", client="::1") == -2
    assert gateway.ports() == ["tcp 4000 4000"]


@pytest.mark.parametrize(("speaks", "code"), [({"secure_mode": True}, 718), (PCP_ONLY, 606)], ids=["strict", "pcp"])
def test_another_client_is_refused_as_the_router_does_and_606_without_upnp(
    gateways: Gateways, calls: Calls, speaks: dict[str, bool], code: int
) -> None:
    gateway = gateways(**speaks)
    assert calls(gateway).add("4000", "4000", client="127.0.0.9") == code
    assert gateway.ports() == []


def test_a_refusal_of_the_router_is_passed_on(gateways: Gateways, calls: Calls) -> None:
    gateway = gateways(**UPNP_ONLY, faults={"soap_errors": {"*": 501}})
    assert calls(gateway).add("4000", "4000") == 501
    full = gateways(**UPNP_ONLY, faults={"table_full": True})
    assert calls(full).add("4000", "4000") == 728
    strict = gateways(**PCP_ONLY, faults={"pcp": {"refuse": 2}})
    assert calls(strict).add("4000", "4000") == 606


@EVERY
def test_a_reboot_of_the_router_loses_nothing(gateways: Gateways, calls: Calls, speaks: dict[str, bool]) -> None:
    gateway = gateways(**speaks, faults={"reboot_keeps_http_port": True})
    testee = calls(gateway)
    assert testee.add("4000", "4000", lease="4") == 0
    gateway.tell(command="reboot")
    # No call brings it back, but a renewal.
    until(lambda: gateway.ports() == ["tcp 4000 4000"], 30)
    assert testee("specific", "4000", "TCP")[0] == 0
