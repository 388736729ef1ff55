"""Finding the router: upnpDiscover, UPNP_GetValidIGD and their kin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conftest import Calls, Gateway

DEVICE = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
DESCRIPTION = "http://127.0.0.1:5351/portlease/device.xml"
CONTROL = "http://127.0.0.1:5351/portlease/control"

Gateways = Callable[..., Gateway]
BOTH = pytest.mark.parametrize("api", [17, 18])


def igd(testee: object, lan: int = 64, wan: int = 64) -> list[object]:
    """The result of UPNP_GetValidIGD after a search, and the two addresses."""
    testee("discover")  # type: ignore[operator]
    said = testee("igd", lan, wan)  # type: ignore[operator]
    return said[:3]


@pytest.mark.parametrize(
    "speaks", [{}, {"nat_pmp": False, "upnp": False}, {"pcp": False, "upnp": False}, {"pcp": False, "nat_pmp": False}]
)
def test_whatever_the_router_speaks_one_device_is_found(gateways: Gateways, calls: Calls, speaks: dict[str, bool]) -> None:
    testee = calls(gateways(**speaks))
    error, count, st, url, usn, scope = testee("discover")
    assert (error, count, st, url, scope) == (0, 1, DEVICE, DESCRIPTION, 0)
    assert usn.startswith("uuid:") and usn.endswith(f"::{DEVICE}")
    assert testee("igd", 64, 64) == [1, "127.0.0.1", "", CONTROL, DESCRIPTION, SERVICE]
    testee("free")
    testee("free")
    testee.end()


def test_over_ipv6_no_device_is_found(gateway: Gateway, calls: Calls) -> None:
    assert calls(gateway)("discover", 1) == [0, 0]


def test_nobody_need_ask_for_the_error(gateway: Gateway, calls: Calls) -> None:
    assert calls(gateway)("discover", 0, 1)[:2] == [-77, 1]


@BOTH
def test_a_router_with_a_public_address_is_connected(gateway: Gateway, calls: Calls, api: int) -> None:
    assert igd(calls(gateway, api=api)) == [1, "127.0.0.1", "192.0.1.1" if api == 18 else ""]


@BOTH
@pytest.mark.parametrize("address", ["100.64.0.9", "192.168.7.1", "10.0.0.1"])
def test_a_router_behind_another_nat_is_not_1(gateways: Gateways, calls: Calls, api: int, address: str) -> None:
    testee = calls(gateways(external_address=address), api=api)
    assert igd(testee) == [2, "127.0.0.1", address if api == 18 else ""]


@BOTH
def test_a_router_without_an_address_is_not_connected(gateway: Gateway, calls: Calls, api: int) -> None:
    gateway.set(empty_external_address=True)
    assert igd(calls(gateway, api=api)) == [3 if api == 18 else 2, "127.0.0.1", ""]


@BOTH
def test_without_a_list_there_is_no_router_and_nothing_is_sent(gateway: Gateway, calls: Calls, api: int) -> None:
    testee = calls(gateway, api=api)
    assert testee("igd", 64, 64)[0] == 0
    assert gateway.tell(command="counters")["counters"].get("pcp_map", 0) == 0


def test_a_silent_router_is_not_found_and_every_call_says_so(gateway: Gateway, calls: Calls) -> None:
    gateway.be_silent()
    gateway_calls = [calls(gateway) for _ in range(6)]
    discover, external, add, entry, delete, table = gateway_calls
    # Side by side: each takes seconds.
    discover.begin("discover")
    external.begin("external")
    add.begin("add", "4000", "4000", "127.0.0.1", "x", "TCP", None, "0")
    entry.begin("specific", "4000", "TCP")
    delete.begin("delete", "4000", "TCP", None)
    table.begin("generic", "0")
    assert discover.answer() == [0, 0]
    assert external.answer() == [-3, ""]
    assert add.answer() == -3
    assert entry.answer()[:3] == [714, "", ""]
    assert delete.answer() == 714
    assert table.answer()[0] == 713
    assert max(testee.took for testee in gateway_calls) < 30_000


def test_a_router_that_falls_silent_after_it_was_found_is_0_and_the_urls_can_be_freed(
    gateway: Gateway, calls: Calls
) -> None:
    testee = calls(gateway)
    gateway.be_silent()
    # A list that another program's library could have made.
    assert testee("from_url", DESCRIPTION)[0] == 0
    testee("free")
    testee.end()


@pytest.mark.parametrize("size", [0, 1, 5, 9, 10, 16])
def test_addresses_are_cut_at_the_size_of_their_place(gateway: Gateway, calls: Calls, size: int) -> None:
    def cut(address: str) -> str:
        return "KEPT" if size == 0 else address[: size - 1]

    # 127.0.0.1 and 192.0.1.1 have nine characters.
    assert igd(calls(gateway, api=18), size, size) == [1, cut("127.0.0.1"), cut("192.0.1.1")]


def test_a_device_is_also_found_by_its_url_and_by_no_other(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    for url in [DESCRIPTION, "http://127.0.0.1:49152/rootDesc.xml"]:
        assert testee("from_url", url) == [1, "127.0.0.1", CONTROL]
        testee("free")
    for url in [None, "", "x", "http://127.0.0.2:5351/portlease/device.xml", "ftp://127.0.0.1/"]:
        assert testee("from_url", url) == [0, "KEPT", None], url


def test_a_program_that_reads_the_description_itself_finds_the_same(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee("by_hand", DESCRIPTION) == [200, 0, "127.0.0.1", CONTROL, SERVICE]
    testee("free")
    assert testee("by_hand", "http://127.0.0.1/other.xml")[:2] == [-1, 0]
    testee("free")
    testee.end()


def test_the_external_address_is_that_of_the_router(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee("external", "place") == [0, "192.0.1.1"]
    assert testee("external", None) == -2


def test_the_state_of_the_connection_is_told(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee("status") == [0, "Connected", "ERROR_NONE", 1]
    assert testee("type", "place") == [0, "IP_Routed"]
    assert testee("type", None) == -2
    assert testee("rates") == [401, 0]


def test_the_state_of_a_router_without_an_address_is_disconnected(gateway: Gateway, calls: Calls) -> None:
    gateway.set(empty_external_address=True)
    assert calls(gateway)("status") == [0, "Disconnected", "ERROR_NONE", 0]


def test_every_code_has_a_text_because_programs_print_it(calls: Calls) -> None:
    """`printf("%s", strupnperror(code))` of a code that nobody has defined."""
    testee = calls("127.0.0.1")
    for code in [*range(-110, 1), *range(400, 420), *range(500, 740), 65535]:
        upnp, natpmp = testee("error", code)
        assert upnp and natpmp, code
    assert testee("error", 713)[0] == "SpecifiedArrayIndexInvalid"
    assert testee("error", 718)[0] == "ConflictInMappingEntry"


@pytest.mark.parametrize("variable", ["", "nonsense", "127.0.0.1,pcp=0", "127.0.0.1,what=1", "\x01"])
def test_a_gateway_that_is_named_wrongly_is_an_error_and_never_another_router(calls: Calls, variable: str) -> None:
    testee = calls(variable or ",")
    assert testee("discover")[1] == 0
    assert testee.add("4000", "4000") == -2
    assert testee("external", "place")[0] == -2
    assert testee("init", 0)[0] == -3
    testee.end()
