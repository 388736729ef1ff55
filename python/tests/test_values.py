"""Snapshots, events, reports and endpoints as plain values: copied, pickled, compared, hashed, and written as JSON."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import socket
import time
from ipaddress import ip_address
from typing import Any

import pytest

import portlease
from portlease import _portlease
from portlease.testing import Gateway


@pytest.fixture
def values(gateway: Gateway) -> list[Any]:
    """One of each kind of value, with errors, endpoints and other values within."""
    gateway.set_faults(pcp={"refuse": 2})
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(9001)
        lease.ready(5)
        report = mapper.probe()
        gateway.set_faults(nat_pmp={"refuse": 2}, upnp={"refuse": 501})
        with pytest.raises(portlease.PortLeaseError):
            mapper.map(9002).ready(5)
        snapshot = mapper.snapshot()
        failed = snapshot.leases[1].last_error
        assert failed is not None
        gateway.set_faults(pcp="normal", nat_pmp="normal", upnp="normal")
        return [lease.snapshot(), snapshot, mapper.next_event(5), report, report.protocols[0], failed]


def test_every_value_can_be_copied_pickled_compared_and_hashed(values: list[Any]) -> None:
    assert {type(value) for value in values} == {
        portlease.LeaseSnapshot,
        portlease.MapperSnapshot,
        portlease.Event,
        portlease.GatewayReport,
        portlease.ProtocolReport,
        portlease.ErrorReport,
    }
    for value in values:
        ways = [copy.copy, copy.deepcopy]
        ways += [lambda it, number=number: pickle.loads(pickle.dumps(it, number)) for number in range(6)]
        for way in ways:
            again = way(value)
            assert type(again) is type(value)
            assert (again, hash(again), repr(again)) == (value, hash(value), repr(value))
            assert again.asdict() == value.asdict()
        assert len({value, copy.copy(value)}) == 1
        assert value != values[values.index(value) - 1]


def test_two_snapshots_of_one_state_are_equal_although_the_time_goes_on(gateway: Gateway) -> None:
    with portlease.open(9001, **gateway.config()) as lease:
        before = lease.snapshot()
        time.sleep(0.001)  # so that the clock moves
        after = lease.snapshot()
        assert before.expires_in != after.expires_in
        assert before.renews_in != after.renews_in
        assert (before, hash(before)) == (after, hash(after))
        assert lease.mapper.snapshot() == lease.mapper.snapshot()
        with pytest.raises(portlease.TimeoutError):
            lease.changed(pickle.loads(pickle.dumps(before)), timeout=0.01)
    assert lease.snapshot() != before


def test_a_pickle_of_an_older_version_lacks_what_came_later() -> None:
    old = portlease.LeaseSnapshot._restored({"id": 1, "state": portlease.LeaseState.IDLE})  # type: ignore[attr-defined]
    assert (old.id, old.state, old.external) == (1, "idle", None)


def test_a_hostile_pickle_makes_no_crash_and_nothing_that_changes() -> None:
    deep: Any = ()
    for _ in range(200_000):
        deep = (deep,)
    fields: dict[str, Any] = {"active": 1, "leases": deep}
    snapshot = portlease.MapperSnapshot._restored(fields)  # type: ignore[attr-defined]
    for use in (snapshot.asdict, snapshot.__repr__, lambda: json.dumps(snapshot.asdict(json=True))):
        with contextlib.suppress(RecursionError):
            use()
    fields["leases"] = (snapshot,)  # within itself, if it were the same dict
    assert snapshot.leases is deep
    with pytest.raises(TypeError):
        portlease.LeaseSnapshot._restored([])  # type: ignore[attr-defined]


def test_as_json_every_value_is_of_nothing_but_what_json_has(values: list[Any]) -> None:
    for value in values:
        plain = value.asdict(json=True)
        assert json.loads(json.dumps(plain)) == plain
        assert list(plain) == list(value.asdict())
    lease = values[0].asdict(json=True)
    assert (lease["external"], lease["state"], type(lease["state"])) == ("192.0.1.1:9001", "installed", str)
    assert values[3].asdict(json=True)["gateway"] == "127.0.0.1"


def test_an_endpoint_is_what_sockets_take(gateway: Gateway) -> None:
    # A host's own address stands for the router's, which is on no network here.
    gateway.external_address = "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, portlease.open(9001, **gateway.config()) as lease:
        assert lease.external is not None
        peer.connect(lease.external)
        assert peer.getpeername() == lease.external == ("127.0.0.1", 9001)
        host, port = lease.external
        assert (host, port) == (lease.external.host, lease.external.port)
        assert lease.external.address == ip_address("127.0.0.1")
    assert str(portlease.Endpoint("2001:db8::1", 80)) == "[2001:db8::1]:80"


def test_pydantic_takes_values_as_they_are_and_writes_them_as_json(values: list[Any]) -> None:
    pydantic = pytest.importorskip("pydantic")
    for value in values:
        adapter = pydantic.TypeAdapter(type(value))
        assert adapter.validate_python(value) is value
        assert json.loads(adapter.dump_json(value)) == value.asdict(json=True)
    with pytest.raises(pydantic.ValidationError):
        pydantic.TypeAdapter(portlease.Event).validate_python(values[0])


def test_no_value_can_be_changed(values: list[Any]) -> None:
    for value in values:
        assert type(value).__module__ == "portlease"
        for name in value.asdict():
            with pytest.raises(AttributeError):
                setattr(value, name, None)
    assert not hasattr(_portlease.LeaseSnapshot, "__dict__") or not hasattr(values[0], "__dict__")
