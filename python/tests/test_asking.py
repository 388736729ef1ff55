"""What a mapper tells of its leases and of the router, and what an error tells beside its kind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from typing import Any

import pytest

import portlease
from portlease import aio
from portlease.testing import Gateway


def test_ensure_and_leases_return_the_objects_that_map_returned(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        game = mapper.map(9001, ttl=600)
        web = mapper.ensure(8080, "tcp", external_port=80)
        assert mapper.ensure(9001, ttl=600) is game
        assert mapper.ensure(8080, "tcp", external_port=80) is web
        assert mapper.leases() == [game, web]
        with pytest.raises(portlease.InvalidError, match="port"):
            mapper.ensure(9001, ttl=300)
        game.stop()
        again = mapper.ensure(9001, ttl=600)
        assert (again.id, mapper.leases()) == (3, [web, again])
        del again
        gc.collect()
        [_, found] = mapper.leases()  # the mapper has held it
        assert (found.id, found.ready(5).active) == (3, True)
        assert type(found) is portlease.Lease
    assert mapper.leases() == []
    with portlease.open(9001, **gateway.config()) as port:
        assert port.mapper.leases() == [port]
        assert port.mapper.ensure(9001) is port


def test_threads_that_ask_at_once_get_one_object(gateway: Gateway) -> None:
    both = threading.Barrier(2)

    class Slow(portlease.Mapper):
        def _wrap(self, handle: Any) -> portlease.Lease:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.2)  # for a second thread to come so far
            return super()._wrap(handle)

    with Slow(**gateway.config()) as mapper, ThreadPoolExecutor(2) as threads:
        one, other = threads.map(mapper.ensure, [9001, 9001])
        assert one is other
        assert mapper.leases() == [one]


def test_both_transports_are_two_leases_and_another_function(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        udp, tcp = mapper.map_both(9001, external_port=9100)
        assert [lease.ready(5).transport for lease in (udp, tcp)] == ["udp", "tcp"]
        assert mapper.leases() == [udp, tcp]
        assert [str(mapping.transport) for mapping in gateway.mappings] in (["udp", "tcp"], ["tcp", "udp"])
        for call in (mapper.map, mapper.ensure):
            with pytest.raises(portlease.InvalidError, match=r"transport: .*Mapper\.map_both"):
                call(9002, "both")  # type: ignore[arg-type]
    for face in (portlease, aio):
        with pytest.raises(portlease.InvalidError, match=r"transport: .*Mapper\.map_both"):
            face.open(9002, "both", **gateway.config())  # type: ignore[arg-type]


def test_both_or_neither_is_begun(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config(), protocols=["pcp"]) as mapper:
        tcp = mapper.map(9001, "tcp")
        tcp.ready(5)
        with pytest.raises(portlease.InvalidError, match=r"\Aport: "):
            mapper.map_both(9001)
        assert mapper.leases() == [tcp]
        assert mapper.map(9002).id == tcp.id + 1
        mapper.stop()
        assert {event.lease for event in mapper} == {1, 2}, "none of a lease that nobody has"


def test_a_request_has_a_lifetime_and_a_description_of_its_own(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config(), protocols=["upnp"], ttl=600, description="all") as mapper:
        assert mapper.map(9001, ttl=120, description="one").ready(5).lifetime == 120.0
        assert mapper.map(9002).ready(5).lifetime == 600.0
        assert {mapping.description for mapping in gateway.mappings} == {"one", "all"}
        for wrong, name in ((0, "ttl"), (True, "ttl")):
            with pytest.raises(portlease.InvalidError, match=rf"\A{name}: "):
                mapper.map(9003, ttl=wrong)
        with pytest.raises(portlease.InvalidError, match=r"\Adescription: "):
            mapper.map(9003, description="x" * 65)


def test_a_lease_tells_its_state_without_a_snapshot(gateway: Gateway) -> None:
    with portlease.open(9001, **gateway.config()) as lease:
        now = lease.snapshot()
        assert (
            lease.state,
            lease.active,
            lease.external,
            lease.external_port,
            lease.protocol,
            lease.address_class,
        ) == (
            now.state,
            now.active,
            now.external,
            now.external_port,
            now.protocol,
            now.address_class,
        )
        assert (lease.state, lease.protocol, lease.external_port) == ("installed", portlease.Protocol.PCP, 9001)
    assert (lease.state, lease.active, lease.external, lease.protocol) == ("exited", False, None, None)


def test_the_external_address_and_the_offers_are_there_in_one_call(gateway: Gateway) -> None:
    address = IPv4Address("192.0.1.1")
    assert portlease.external_address(**gateway.config()) == address
    assert portlease.external_address(5, **gateway.config()) == address
    assert len(portlease.probe(**gateway.config()).protocols) == 3
    with portlease.Mapper(**gateway.config()) as mapper:
        assert mapper.external_address(timeout=5) == address
        gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")
        with pytest.raises(portlease.TimeoutError):
            mapper.external_address(timeout=0.01)
    with pytest.raises(portlease.InvalidError, match=r"\Attl: "):
        portlease.probe(**gateway.config(), ttl=0)
    with pytest.raises(portlease.InvalidTypeError, match=r"\Atimeout: "):
        portlease.external_address("soon", **gateway.config())  # type: ignore[arg-type]
    assert gateway.mappings == []


def test_asyncio_asks_the_same(gateway: Gateway) -> None:
    gateway.add_mapping("tcp", 7000, "127.0.0.1:80")

    async def test() -> None:
        address = IPv4Address("192.0.1.1")
        assert await aio.external_address(**gateway.config()) == address
        assert len((await aio.probe(**gateway.config())).protocols) == 3
        async with aio.Mapper(**gateway.config()) as mapper:
            udp, tcp = mapper.map_both(9001)
            await asyncio.gather(udp.ready(5), tcp.ready(5))
            assert mapper.leases() == [udp, tcp]
            assert mapper.ensure(9001, "tcp") is tcp
            assert (await mapper.external_address(5), udp.external_port) == (address, 9001)
            assert {entry.external_port for entry in await mapper.table()} == {7000, 9001}
            deleted = await mapper.delete(7000, "tcp")
            assert deleted is not None
            assert deleted.internal_client == "127.0.0.1"
            assert await mapper.delete(7000, "tcp") is None
        port = await aio.open(9002, **gateway.config())
        assert port.mapper.leases() == [port]
        await port.stop()

    asyncio.run(test())
    assert gateway.mappings == []


def test_the_table_shows_every_entry_and_foreign_ones_are_deleted_only_on_request(gateway: Gateway) -> None:
    gateway.add_mapping("tcp", 7000, "127.0.0.9:80", lifetime=600)
    gateway.add_mapping("udp", 7001, "127.0.0.1:80")
    with portlease.Mapper(**gateway.config()) as mapper:
        mapper.map(9001).ready(5)
        table = {entry.external_port: entry for entry in mapper.table()}
        assert table.keys() == {7000, 7001, 9001}
        assert (table[9001].this_machine, table[7000].this_machine) == (True, False)
        foreign = table[7000]
        assert (foreign.transport, foreign.internal_client, foreign.internal_port) == ("tcp", "127.0.0.9", 80)
        assert foreign == {entry.external_port: entry for entry in mapper.table()}[7000], "whatever time is left"
        assert pickle.loads(pickle.dumps(foreign)) == foreign
        with pytest.raises(portlease.RefusedError, match=r"127\.0\.0\.9"):
            mapper.delete(7000, "tcp")
        with pytest.raises(portlease.RefusedError, match="606"):  # so says the router, which lets nobody do that
            mapper.delete(7000, "tcp", any_host=True)
        with pytest.raises(portlease.InvalidError, match=r"\Aexternal_port: "):
            mapper.delete(9001)  # that is the lease's
        assert mapper.delete(7001) == table[7001]
        assert mapper.delete(7001) is None
        for wrong in (0, 65536, "7000"):
            with pytest.raises(portlease.InvalidError, match=r"\Aexternal_port: "):
                mapper.delete(wrong)  # type: ignore[arg-type]
        gateway.set_faults(upnp="off")
    with portlease.Mapper(**gateway.config(), protocols=["pcp"]) as mapper, pytest.raises(portlease.UnavailableError):
        mapper.table()


def test_an_error_carries_its_reasons_as_data(gateway: Gateway) -> None:
    gateway.set_faults(pcp={"refuse": 2}, nat_pmp="silent", upnp={"refuse": 718})
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(9001)
        with pytest.raises(portlease.RefusedError) as caught:
            lease.ready(10)
        error = caught.value
        report = lease.snapshot().last_error
        assert report is not None
        assert (error.details, error.advice, error.retry_after) == (report.details, report.advice, report.retry_after)
        while (event := mapper.next_event(5)).kind != "failed":
            pass
        assert event.error is not None
        assert event.error.details == error.details
        gateway.set_faults(pcp="normal")
    assert [(detail.protocol, detail.kind, detail.code, detail.name) for detail in error.details] == [
        ("pcp", "refused", 2, "NOT_AUTHORIZED"),
        ("nat-pmp", "timeout", None, None),
        ("upnp", "refused", 718, "ConflictInMappingEntry"),
    ]
    assert error.advice is not None
    assert (error.details[0].retry_after or 0) > 0
    assert all(isinstance(detail, portlease.ErrorDetail) for detail in error.details)
    assert all(isinstance(detail.kind, portlease.ErrorKind) and detail.message for detail in error.details)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.details, again.advice) == (
        portlease.RefusedError,
        str(error),
        error.details,
        error.advice,
    )


def test_an_error_that_no_router_made_has_no_reasons(gateway: Gateway) -> None:
    with pytest.raises(portlease.InvalidError) as caught:
        portlease.open(0, **gateway.config())
    assert (caught.value.details, caught.value.advice, caught.value.retry_after) == ((), None, None)


def test_a_refusal_says_when_to_try_again(gateway: Gateway) -> None:
    with portlease.open(9001, **gateway.config()) as lease:
        lease.repair(5)
        with pytest.raises(portlease.RefusedError) as caught:
            lease.repair(5)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 10


def test_a_log_record_has_the_time_at_which_it_was_told(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, logger="portlease")
    begin = time.time()
    portlease.enable_logging()
    try:
        portlease.open(9001, **gateway.config()).stop()
    finally:
        end = time.time()
        portlease.disable_logging()
    records = [record for record in caplog.records if record.name.startswith("portlease.")]
    assert records
    for record in records:
        assert begin - 1 <= record.created <= end + 1
        assert 0 <= record.msecs < 1000
        assert logging.Formatter("%(asctime)s %(message)s").format(record).endswith(record.getMessage())
