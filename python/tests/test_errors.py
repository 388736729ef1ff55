"""What is raised: the kind, the class, and which argument was wrong."""

from __future__ import annotations

import builtins
import copy
import errno
import ipaddress
import pickle
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import portlease
from portlease.testing import Gateway

HUGE = 10**400


@pytest.mark.parametrize(
    ("argument", "value", "type_is_wrong"),
    [
        ("port", 0, False),
        ("port", -1, False),
        ("port", 65536, False),
        ("port", HUGE, False),
        ("port", True, True),
        ("port", 4000.0, True),
        ("port", "4000", True),
        ("port", None, True),
        ("transport", "sctp", False),
        ("transport", "UDP", False),
        ("transport", 17, True),
        ("transport", "\ud800", False),
        ("external_port", 0, False),
        ("external_port", 65536, False),
        ("external_port", False, True),
        ("exact", 1, True),
        ("exact", None, True),
        ("family", "ipv5", False),
        ("timeout", -0.001, False),
        ("timeout", float("nan"), False),
        ("timeout", float("inf"), False),
        ("timeout", HUGE, False),
        ("timeout", timedelta(seconds=-1), False),
        ("timeout", "5", True),
        ("timeout", True, True),
        ("gateway", "router.local", False),
        ("gateway", "", False),
        ("gateway", 1, True),
        ("gateway", ipaddress.ip_network("10.0.0.0/8"), True),
        ("local_address", "::zz", False),
        ("interface", "", False),
        ("interface", b"eth0", True),
        ("protocols", [], False),
        ("protocols", ["pcp", "pcp"], False),
        ("protocols", ["none"], False),
        ("protocols", ["smtp"], False),
        ("protocols", "pcp", True),
        ("protocols", [1], True),
        ("protocols", 5, True),
        ("ttl", 0, False),
        ("ttl", 86401, False),
        ("ttl", -HUGE, False),
        ("ttl", timedelta(days=2), False),
        ("ttl", "1h", True),
        ("renewal_interval", float("nan"), False),
        ("check_interval", 0.5, False),
        ("check_interval", -1, False),
        ("state_dir", "", False),
        ("state_dir", 1, True),
        ("state_dir", b"state", True),
        ("failure_threshold", 0, False),
        ("failure_threshold", -1, False),
        ("failure_threshold", 2**32, False),
        ("failure_threshold", 2.0, True),
        ("retry", "always", False),
        ("retry", (2, 1), False),
        ("retry", (0, HUGE), False),
        ("retry", (1, 2, 3), True),
        ("retry", 5, True),
        ("retry", ("a", "b"), True),
        ("description", "x" * 65, False),
        ("description", "a\nb", False),
        ("description", 1, True),
        ("pcp_port", 0, False),
        ("pcp_port", 65536, False),
        ("ssdp_address", "192.168.1.1", False),
        ("ssdp_address", ("192.168.1.1", 0), False),
        ("ssdp_address", ("192.168.1.1", 70000), False),
        ("ssdp_address", ["192.168.1.1", 1900], True),
        ("no_such_setting", 1, True),
        ("no_such_setting", None, True),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_bad_argument_is_invalid_and_named(gateway: Gateway, argument: str, value: Any, type_is_wrong: bool) -> None:
    arguments: dict[str, Any] = {"port": 4000, **gateway.config(), argument: value}
    with pytest.raises(portlease.InvalidError, match=rf"\A{argument}: .") as caught:
        portlease.open(**arguments)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError) == type_is_wrong
    assert caught.value.kind == "invalid"
    assert gateway.mappings == []


class Index:
    """Another library's integer, such as numpy's."""

    def __index__(self) -> int:
        return 4000


class Defective:
    def __index__(self) -> int:
        raise RuntimeError("not today")


def test_what_python_takes_for_an_int_is_one_here_and_its_own_errors_come_through(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(Index())  # type: ignore[arg-type]
        assert lease.snapshot().internal_port == 4000
        with pytest.raises(RuntimeError, match="not today"):
            mapper.map(Defective())  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [5, 5.0, timedelta(seconds=5), None])
def test_times_are_numbers_or_timedeltas_and_none_is_no_limit(gateway: Gateway, timeout: Any) -> None:
    with portlease.Mapper(**gateway.config(), ttl=timedelta(minutes=10)) as mapper:
        assert mapper.map(4000).ready(timeout).lifetime == 600.0


@pytest.mark.parametrize("check_interval", [0, 1.0, timedelta(minutes=1), None])
def test_a_check_interval_may_be_0_which_is_never(gateway: Gateway, check_interval: Any) -> None:
    with portlease.open(4000, check_interval=check_interval, **gateway.config()) as lease:
        assert lease.snapshot().active


@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
def test_a_state_directory_is_text_or_a_path(gateway: Gateway, tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    with portlease.open(4000, state_dir=kind(tmp_path / "sta\u0308te"), **gateway.config()) as lease:
        assert lease.mapper.snapshot().last_error is None


def test_addresses_are_text_or_of_ipaddress(gateway: Gateway) -> None:
    config = gateway.config()
    address = ipaddress.ip_address(str(config["gateway"]))
    host, port = str(config["ssdp_address"]).rsplit(":", 1)
    for ssdp_address in [(host, int(port)), portlease.Endpoint(host, int(port))]:
        with portlease.open(
            4000,
            protocols=[portlease.Protocol.UPNP],
            gateway=address,
            local_address=address,
            ssdp_address=ssdp_address,
            retry=portlease.Backoff(0.5, 10),
        ) as lease:
            assert lease.snapshot().protocol == "upnp"


def test_a_refusal_says_by_which_protocol_and_code(gateway: Gateway) -> None:
    gateway.set_faults(pcp={"refuse": 2}, nat_pmp={"refuse": 2}, upnp={"refuse": 718})
    with pytest.raises(portlease.RefusedError, match=r"pcp NOT_AUTHORIZED.*718 ConflictInMappingEntry") as caught:
        portlease.open(4000, **gateway.config())
    assert caught.value.kind is portlease.ErrorKind.REFUSED
    assert caught.value.message == str(caught.value)


def test_nobody_there_is_unavailable() -> None:
    with Gateway(pcp=False, nat_pmp=False, upnp=False) as nobody, pytest.raises(portlease.UnavailableError):
        portlease.open(4000, **nobody.config())


def test_a_timeout_is_the_builtin_one_too(gateway: Gateway) -> None:
    gateway.set_faults(pcp="silent")
    with pytest.raises(builtins.TimeoutError, match=r"udp port 4000 within 0\.01 s") as caught:
        portlease.open(4000, **gateway.config(), protocols=["pcp"], timeout=0.01)
    assert isinstance(caught.value, portlease.TimeoutError)
    assert caught.value.kind == "timeout"


# Nobody may send to the broadcast address who has not asked for that; nothing leaves the machine. It may have no
# network at all.
if sys.platform == "win32":
    NOT_SENT = {errno.WSAEACCES, errno.WSAENETUNREACH}
else:
    NOT_SENT = {errno.EACCES, errno.ENETUNREACH}


def test_a_transport_error_is_an_os_error_with_its_number() -> None:
    with pytest.raises(OSError, match=r"255\.255\.255\.255.*: .* \(os error [0-9]+\)") as caught:
        portlease.open(4000, gateway="255.255.255.255", protocols=["pcp"], retry="never")
    assert isinstance(caught.value, portlease.TransportError)
    assert caught.value.kind == "transport"
    assert caught.value.errno in NOT_SENT
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (type(again), again.errno, str(again)) == (
            portlease.TransportError,
            caught.value.errno,
            str(caught.value),
        )


def test_a_stopped_handle_says_so(gateway: Gateway) -> None:
    mapper = portlease.Mapper(**gateway.config())
    lease = mapper.map(4000)
    lease.ready()
    assert mapper.stop() == "released"
    assert [event.kind for event in mapper] == ["installed", "exited"]
    calls: list[Callable[[], object]] = [lease.ready, lease.changed, mapper.probe, mapper.next_event]
    calls += [lambda: mapper.map(4001), lambda: mapper.events().next()]
    for call in calls:
        with pytest.raises(portlease.StoppedError) as caught:
            call()
        assert caught.value.kind == "stopped"
    assert mapper.stop() == "released"
    assert lease.stop() == "released"


def test_a_request_that_clashes_names_the_argument_as_python_spells_it(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        held = mapper.map(4000)
        with pytest.raises(portlease.InvalidError, match=r"\Aport: .*4000"):
            mapper.map(4000)
        with pytest.raises(portlease.InvalidError, match=r"\Aexternal_port: .*4000"):
            mapper.map(4001, external_port=4000)
        with pytest.raises(portlease.InvalidError, match=r"\Aport: "):
            mapper.map(0)
        assert held.ready(5).active


@pytest.mark.parametrize(
    ("since", "type_is_wrong"), [(-1, False), (HUGE, False), (True, True), ("2", True), (2.0, True)], ids=str
)
def test_what_is_no_revision_is_invalid_and_named(gateway: Gateway, since: Any, type_is_wrong: bool) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(4000)
        with pytest.raises(portlease.InvalidError, match=r"\Asince: .") as caught:
            lease.changed(since)
        assert isinstance(caught.value, TypeError) == type_is_wrong
        with pytest.raises(portlease.InvalidError, match=r"\Atimeout: ."):
            lease.changed(timeout=-1)


def test_errors_can_be_pickled_and_keep_their_class() -> None:
    for error in [portlease.RefusedError("no"), portlease.TimeoutError("late"), portlease.InvalidTypeError("port: no")]:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.kind, again.message) == (type(error), error.kind, error.message)
