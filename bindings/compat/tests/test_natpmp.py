"""libnatpmp: requests that one call sends and whose answers another one reads, which never waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conftest import Calls, Gateway, Testee, until

Gateways = Callable[..., Gateway]
PCP_ONLY = {"nat_pmp": False, "upnp": False}
PMP_ONLY = {"pcp": False, "upnp": False}
UPNP_ONLY = {"pcp": False, "nat_pmp": False}
EVERY = pytest.mark.parametrize("speaks", [PCP_ONLY, PMP_ONLY, UPNP_ONLY], ids=["pcp", "nat-pmp", "upnp"])

UDP, TCP = 1, 2
INVALID_ARGS, CLOSE_ERROR, NO_PENDING_REQUEST, NO_GATEWAY_SUPPORT, TRY_AGAIN = -1, -4, -6, -7, -100


def began(testee: Testee, number: int = 0, gateway: str | None = None) -> Testee:
    """After initnatpmp."""
    assert testee("init", number, *[gateway] * (gateway is not None)) == [0, gateway or "127.0.0.1"]
    return testee


def mapped(testee: Testee, protocol: int, private: int, public: int, lifetime: int = 3600) -> list[int]:
    """A port is asked for, and the answer is waited for."""
    assert testee("ask_port", 0, protocol, private, public, lifetime) == 12
    said: list[int] = testee("finish", 0)
    return said


@EVERY
def test_the_address_is_told_and_a_port_is_mapped_and_given_back(
    gateways: Gateways, calls: Calls, speaks: dict[str, bool]
) -> None:
    gateway = gateways(**speaks)
    testee = began(calls(gateway))
    assert testee("ask_address", 0) == 2
    assert testee("finish", 0) == [0, 0, "192.0.1.1"]
    code, kind, private, public, lifetime = mapped(testee, UDP, 4001, 4000)
    assert (code, kind, private, public) == (0, UDP, 4001, 4000)
    assert 3590 <= lifetime <= 3600
    assert mapped(testee, TCP, 4001, 4000)[:4] == [0, TCP, 4001, 4000]
    assert gateway.ports() == ["tcp 4000 4001", "udp 4000 4001"]
    assert mapped(testee, UDP, 4001, 4000, 0) == [0, UDP, 4001, 0, 0]
    assert gateway.ports() == ["tcp 4000 4001"]
    assert testee("close", 0) == 0
    assert gateway.ports() == ["tcp 4000 4001"]


def test_any_public_port_may_be_asked_for(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert mapped(testee, TCP, 4000, 0)[:4] == [0, TCP, 4000, 4000]


def test_no_call_waits_for_a_silent_router(gateway: Gateway, calls: Calls) -> None:
    gateway.be_silent()
    testee = began(calls(gateway))
    looked, slow = 0, 0
    for words in [("ask_address", 0), ("ask_port", 0, TCP, 4000, 4000, 60), ("ask_port", 0, UDP, 4001, 4001, 60)]:
        testee(*words)
        slow += testee.took > 100
        for _ in range(50):
            assert testee("read", 0) == TRY_AGAIN
            slow += testee.took > 100
            assert testee("timeout", 0)[0] == 0
            looked += 1
    # None, unless this machine was elsewhere for a moment: a router's silence takes every call seconds.
    assert looked == 150 and slow < 5


def test_a_silent_router_is_no_gateway_and_the_waits_grow(gateway: Gateway, calls: Calls) -> None:
    gateway.be_silent()
    address, port = began(calls(gateway)), began(calls(gateway))
    assert address("ask_address", 0) == 2
    assert port("ask_port", 0, TCP, 4000, 4000, 60) == 12
    address.begin("finish", 0)
    port.begin("finish", 0)
    for testee in (address, port):
        code, *waits = testee.answer()
        assert code == NO_GATEWAY_SUPPORT
        assert testee.took < 30_000
        # 250 ms, then twice as long each time. Some wait may end early, and its rest is told again.
        assert 0 < waits[0] <= 250
        assert any(250 < wait <= 500 for wait in waits) and any(500 < wait <= 1000 for wait in waits), waits
        assert testee("read", 0) == NO_PENDING_REQUEST


def test_the_socket_is_readable_with_the_answer_and_not_before(gateway: Gateway, calls: Calls) -> None:
    gateway.set(pcp_delay_ms=300, nat_pmp_delay_ms=300, upnp="off")
    testee = began(calls(gateway))
    assert testee("wait", 0, 0) == 0
    assert testee("ask_port", 0, TCP, 4000, 4000, 60) == 12
    assert testee("read", 0) == TRY_AGAIN
    assert testee("wait", 0, 0) == 0
    # It may be readable more than once; each time the program reads and waits again.
    while (said := testee("read", 0)) == TRY_AGAIN:
        assert testee("wait", 0, 20_000) == 1
    assert said[:4] == [0, TCP, 4000, 4000]
    assert testee("wait", 0, 0) == 0
    assert testee("read", 0) == NO_PENDING_REQUEST


def test_an_answer_that_is_there_takes_no_wait_at_all(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert testee("ask_address", 0) == 2
    assert testee("wait", 0, 20_000) == 1
    assert until(lambda: testee("timeout", 0) == [0, 0])
    assert testee("read", 0) == [0, 0, "192.0.1.1"]


def test_nothing_was_asked_for_nothing_is_there(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert testee("read", 0) == NO_PENDING_REQUEST
    assert testee("timeout", 0)[0] == NO_PENDING_REQUEST


def test_an_answer_is_read_once(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert mapped(testee, TCP, 4000, 4000)[0] == 0
    assert testee("read", 0) == NO_PENDING_REQUEST


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"pcp": {"refuse": 2}}, -51),
        ({"pcp": {"refuse": 8}}, -53),
        ({"empty_external_address": True}, -52),
    ],
)  # fmt: skip
def test_a_refusal_has_its_code(gateways: Gateways, calls: Calls, faults: dict[str, object], code: int) -> None:
    testee = began(calls(gateways(**PCP_ONLY, faults=faults)))
    assert mapped(testee, TCP, 4000, 4000)[0] == code


def test_a_refusal_by_nat_pmp_is_passed_on(gateways: Gateways, calls: Calls) -> None:
    for refused, code in [(2, -51), (3, -52), (4, -53)]:
        testee = began(calls(gateways(**PMP_ONLY, faults={"nat_pmp": {"refuse": refused}})))
        assert mapped(testee, TCP, 4000, 4000)[0] == code
        assert testee("ask_address", 0) == 2
        assert testee("finish", 0)[0] == code


def test_a_later_request_takes_the_place_of_one_whose_answer_nobody_has_read(gateway: Gateway, calls: Calls) -> None:
    """Delete everything by both protocols, then map: a program reads the last answer only."""
    testee = began(calls(gateway))
    assert mapped(testee, TCP, 4000, 4000)[0] == 0
    assert mapped(testee, UDP, 4000, 4000)[0] == 0
    assert testee("ask_port", 0, TCP, 0, 0, 0) == 12
    assert testee("ask_port", 0, UDP, 0, 0, 0) == 12
    assert mapped(testee, TCP, 4000, 4000)[:4] == [0, TCP, 4000, 4000]
    for port in (4001, 4002, 4003):
        assert testee("ask_port", 0, UDP, port, port, 3600) == 12
    assert testee("finish", 0)[:3] == [0, UDP, 4003]
    until(lambda: gateway.ports() == ["tcp 4000 4000", "udp 4001 4001", "udp 4002 4002", "udp 4003 4003"])


def test_both_ports_0_and_no_lifetime_deletes_all_of_the_protocol(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    for port in (4000, 4001):
        assert mapped(testee, TCP, port, port)[0] == 0
        assert mapped(testee, UDP, port, port)[0] == 0
    assert mapped(testee, TCP, 0, 0, 0) == [0, TCP, 0, 0, 0]
    assert gateway.ports() == ["udp 4000 4000", "udp 4001 4001"]
    assert mapped(testee, UDP, 0, 0, 0) == [0, UDP, 0, 0, 0]
    assert gateway.ports() == []
    # Also if there is nothing.
    assert mapped(testee, UDP, 0, 0, 0) == [0, UDP, 0, 0, 0]


def test_a_port_that_is_deleted_can_be_mapped_again_at_once(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert mapped(testee, TCP, 4000, 4000)[0] == 0
    for _ in range(3):
        assert testee("ask_port", 0, TCP, 4000, 0, 0) == 12
        assert mapped(testee, TCP, 4000, 4000)[:4] == [0, TCP, 4000, 4000]
    assert gateway.ports() == ["tcp 4000 4000"]


def test_deleting_what_was_never_mapped_succeeds_and_leaves_nothing(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert mapped(testee, TCP, 4000, 4000, 0) == [0, TCP, 4000, 0, 0]
    assert gateway.ports() == []


def test_a_port_that_was_never_mapped_can_be_deleted_and_mapped_at_once(gateway: Gateway, calls: Calls) -> None:
    """As programs do at their start, without a look at the first answer."""
    testee = began(calls(gateway))
    for port in (4000, 4001, 4002):
        assert testee("ask_port", 0, TCP, port, 0, 0) == 12
        assert mapped(testee, TCP, port, port)[:4] == [0, TCP, port, port]
    assert gateway.ports() == ["tcp 4000 4000", "tcp 4001 4001", "tcp 4002 4002"]


def test_two_private_ports_with_one_wish_get_two_public_ports(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert mapped(testee, TCP, 4000, 5000)[:4] == [0, TCP, 4000, 5000]
    code, _, private, public, _ = mapped(testee, TCP, 4001, 5000)
    assert (code, private) == (0, 4001) and public != 5000
    assert gateway.ports() == sorted(["tcp 5000 4000", f"tcp {public} 4001"])


def test_arguments_that_say_nothing_are_refused(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert testee("init_null") == INVALID_ARGS
    for protocol in [0, 3, -1, 6, 17, 65537]:
        assert testee("ask_port", 0, protocol, 4000, 4000, 60) == INVALID_ARGS
    assert testee("ask_port", 0, TCP, 0, 4000, 60) == INVALID_ARGS
    assert testee("ask_port", None, TCP, 4000, 4000, 60) == INVALID_ARGS
    assert testee("ask_address", None) == INVALID_ARGS
    assert testee("read", None) == INVALID_ARGS
    assert testee("read", 0, 1) == INVALID_ARGS
    assert testee("timeout", None)[0] == INVALID_ARGS
    assert testee("timeout", 0, 1)[0] == INVALID_ARGS
    assert testee("close", None) == INVALID_ARGS
    assert gateway.ports() == []


def test_the_gateway_may_be_named_and_need_not_be_the_one_that_there_is(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway), 0, "127.0.0.1")
    assert mapped(testee, TCP, 4000, 4000)[0] == 0
    assert gateway.ports() == ["tcp 4000 4000"]
    began(testee, 1, "127.0.0.77")
    assert testee("ask_address", 1) == 2
    # The port is closed there, and nothing of it goes to the other router.
    assert testee("finish", 1)[0] == NO_GATEWAY_SUPPORT
    assert testee("ask_port", 1, TCP, 4001, 4001, 60) == 12
    assert testee("finish", 1)[0] == NO_GATEWAY_SUPPORT
    assert gateway.ports() == ["tcp 4000 4000"]


def test_a_copy_of_the_struct_is_as_good_as_the_struct(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert testee("ask_port", 0, TCP, 4000, 4000, 60) == 12
    testee("copy", 0, 1)
    testee("garbage", 0)
    assert testee("finish", 1)[:4] == [0, TCP, 4000, 4000]
    assert testee("close", 1) == 0


def test_several_structs_have_requests_side_by_side(gateway: Gateway, calls: Calls) -> None:
    testee = began(began(began(calls(gateway), 0), 1), 2)
    for number in range(3):
        assert testee("ask_port", number, TCP, 4000 + number, 4000 + number, 60) == 12
    for number in (2, 0, 1):
        assert testee("finish", number)[:3] == [0, TCP, 4000 + number]


def test_what_is_closed_twice_or_used_after_that_is_an_error_and_touches_no_other_descriptor(
    gateway: Gateway, calls: Calls
) -> None:
    testee = began(calls(gateway))
    testee("copy", 0, 1)
    assert testee("close", 0) == 0
    assert testee("close", 0) == CLOSE_ERROR
    for words in [("ask_address",), ("ask_port", TCP, 4000, 4000, 60), ("read",), ("timeout",)]:
        said = testee(words[0], 0, *words[1:])
        assert (said[0] if isinstance(said, list) else said) == INVALID_ARGS, words
    # The number of the socket that was closed belongs to something else by now.
    assert testee("stdin_is_at", 1) == 1
    assert testee("close", 1) == CLOSE_ERROR
    assert testee("stdin_is_still_there") == 1
    assert testee("ask_address", 1) == INVALID_ARGS
    testee.end()


def test_a_struct_that_nobody_has_initialized_is_an_error(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    testee("garbage", 0)
    assert testee("ask_address", 0) == INVALID_ARGS
    assert testee("read", 0) == INVALID_ARGS
    assert testee("timeout", 0)[0] == INVALID_ARGS
    testee.end()


def test_both_libraries_of_a_program_have_one_mapping(gateway: Gateway, calls: Calls) -> None:
    testee = began(calls(gateway))
    assert testee.add("4000", "4000") == 0
    assert mapped(testee, TCP, 4000, 4000)[:4] == [0, TCP, 4000, 4000]
    assert gateway.ports() == ["tcp 4000 4000"]
    # Each gives back its own; the last one deletes it.
    assert mapped(testee, TCP, 4000, 4000, 0)[0] == 0
    assert gateway.ports() == ["tcp 4000 4000"]
    assert testee("delete", "4000", "TCP", None) == 0
    assert gateway.ports() == []
