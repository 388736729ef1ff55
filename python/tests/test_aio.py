"""The asyncio face: waits that cost no threads, end when their task is cancelled, and lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time

import pytest
from conftest import Program
from loops import run, stop

import portlease
from portlease import _waits, aio
from portlease.testing import Gateway


def pending() -> int:
    waits = _waits._waits
    return len(waits.pending) if waits else 0


def test_a_mapper_with_leases_events_and_a_probe(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config(), ttl=1) as mapper:
            assert len((await mapper.probe()).protocols) == 3
            async with mapper.map(9001) as lease:
                assert (await lease.ready(timeout=5)).active
                seen = []
                async for event in mapper:
                    seen.append(event.kind)
                    if event.kind == "renewed":
                        break
                assert seen == ["installed", "renewed"]
            assert await mapper.map(9002).detach() == "released"
            with pytest.raises(portlease.TimeoutError):
                while True:
                    await mapper.next_event(timeout=0.05)
        assert [event async for event in mapper] == []

    run(test())


def test_a_hundred_leases_awaited_at_once_need_one_thread(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:
            leases = [mapper.map(10000 + i) for i in range(100)]
            before = threading.active_count()
            waits = [asyncio.ensure_future(lease.ready(10)) for lease in leases]
            await asyncio.sleep(0)
            during = threading.active_count()
            ports = {snapshot.internal_port for snapshot in await asyncio.gather(*waits)}
            assert len(ports) == 100
            assert during - before <= 1
            names = [thread.name for thread in threading.enumerate()]
            assert names.count("portlease-asyncio") == 1
            assert not any(name.startswith(("ThreadPool", "asyncio_")) for name in names)

    run(test())
    assert gateway.mappings == []


def test_leases_that_nobody_keeps_stay_mapped_until_the_mapper_is_stopped(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:
            await asyncio.gather(*(mapper.map(9001 + i).ready(10) for i in range(10)))
            gc.collect()
            assert mapper.snapshot().active == 10
            assert len(gateway.mappings) == 10

    run(test())
    assert gateway.mappings == []


def test_cancelling_ends_the_wait_at_once_and_leaves_the_lease_alone(gateway: Gateway) -> None:
    async def test() -> None:
        gateway.set_faults(pcp="silent")
        async with aio.Mapper(**gateway.config(), protocols=["pcp"]) as mapper:
            lease = mapper.map(9001)
            task = asyncio.ensure_future(lease.ready())
            await asyncio.sleep(0.02)
            assert pending() == 1
            begin = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begin < 0.5, "the attempt itself takes a second"
            assert pending() == 0
            assert lease.snapshot().state == "probing"
            gateway.set_faults(pcp="normal")
            assert (await lease.ready(10)).active

    run(test())


def test_a_repair_is_awaited_and_goes_on_where_its_task_is_cancelled(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config(), protocols=["pcp"]) as mapper:
            lease = mapper.map(9001)
            await lease.ready(5)
            gateway.set_faults(pcp_delay_ms=100)
            task = asyncio.ensure_future(lease.repair())
            await asyncio.sleep(0.02)
            assert pending() == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pending() == 0
            async for event in mapper:
                if event.kind == "repaired":
                    break
            with pytest.raises(portlease.RefusedError, match=" s at the earliest"):
                await lease.repair(5)
            await lease.stop()
            with pytest.raises(portlease.StoppedError):
                await lease.repair(5)
        with pytest.raises(portlease.InvalidError, match="timeout: "):
            await lease.repair("now")  # type: ignore[arg-type]

    run(test())


def test_wait_for_of_asyncio_works_and_loses_nothing(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(mapper.next_event(), 0.02)
            await mapper.map(9001).ready()
            assert (await asyncio.wait_for(mapper.next_event(), 5)).kind == "installed"

    run(test())


def test_an_event_is_not_lost_where_its_task_is_cancelled_as_it_comes(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:
            for i in range(20):
                waiting = asyncio.ensure_future(mapper.next_event())
                await asyncio.sleep(0)
                lease = mapper.map(9001 + i)
                # Blocks the loop until the wait is over in Rust, so that it is cancelled between its end and its step.
                installed = time.monotonic() + 5
                while lease.snapshot().state != "installed":
                    assert time.monotonic() < installed
                    time.sleep(0.001)
                time.sleep(0.01)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                event = await mapper.next_event(5)
                assert (event.kind, event.lease) == ("installed", lease.id)
                assert await lease.stop() == "released"
                assert (await mapper.next_event(5)).kind == "exited"

    run(test())


def test_an_event_that_came_back_goes_to_another_who_waits(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:
            first = asyncio.ensure_future(mapper.next_event())
            second = asyncio.ensure_future(mapper.next_event())
            await asyncio.sleep(0.01)
            lease = mapper.map(9001)
            while lease.snapshot().state != "installed":
                time.sleep(0.001)
            time.sleep(0.01)
            # One of them has the event; it is cancelled, whichever it is, if its wait is over.
            first.cancel()
            event = await asyncio.wait_for(second, 5)
            assert event.kind == "installed"

    run(test())


def test_an_event_whose_loop_is_closed_goes_to_another_who_waits(gateway: Gateway) -> None:
    mapper = aio.Mapper(**gateway.config())
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(mapper.next_event())
    loop.run_until_complete(asyncio.sleep(0))
    lease = mapper.map(9001)
    gateway.wait_for(lambda gateway: gateway.mappings)
    loop.close()

    async def test() -> None:
        assert (await mapper.next_event(10)).lease == lease.id
        assert await mapper.stop() == "released"

    run(test())
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]
    del waiting
    gc.collect()


def test_each_reader_gets_every_event_from_its_start_on(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:

            async def read(events: aio.Events) -> list[int | None]:
                return [event.lease async for event in events if event.kind == "installed"]

            tasks = [asyncio.ensure_future(read(mapper.events())) for _ in range(3)]
            leases = [mapper.map(9001 + i) for i in range(3)]
            for lease in leases:
                await lease.ready(10)
            with pytest.raises(portlease.TimeoutError):
                late = mapper.events()
                while True:
                    await late.next(timeout=0.05)
            await mapper.stop()
            for ids in await asyncio.gather(*tasks):
                assert sorted(ids, key=str) == [lease.id for lease in leases]

    run(test())


def test_a_change_is_waited_for_from_the_call_on(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:
            lease = mapper.map(9001)
            seen = await lease.ready(5)
            with pytest.raises(portlease.TimeoutError):
                await lease.changed(timeout=0.01)
            change = lease.changed()
            assert await lease.stop() == "released"
            over = await change  # what happened between the call and the await is not missed
            assert over.state == "exited"
            assert (await lease.changed(seen)) == (await lease.changed(seen.revision)) == over
            with pytest.raises(portlease.StoppedError):
                await lease.changed(over)

    run(test())


def test_every_task_that_waits_for_a_mapping_hears_of_a_failed_attempt(gateway: Gateway) -> None:
    async def test() -> None:
        gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")
        async with aio.Mapper(**gateway.config(), retry=portlease.Backoff(60, 60)) as mapper:
            lease = mapper.map(9001)
            heard = await asyncio.gather(*(lease.ready(15) for _ in range(4)), return_exceptions=True)
            assert [type(error) for error in heard] == [portlease.UnavailableError] * 4
            with pytest.raises(portlease.TimeoutError):
                await lease.ready(timeout=0.01)  # a later call waits for the next attempt

    run(test())


def test_a_wait_that_has_begun_hears_of_a_failed_attempt_however_late_it_is_looked_at(gateway: Gateway) -> None:
    gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")
    with portlease.Mapper(**gateway.config(), retry=portlease.Backoff(60, 60)) as mapper:
        lease = mapper.map(9001)
        waits = [lease._handle.ready(20) for _ in range(2)]
        assert [wait.step() for wait in waits] == [False, False]
        while not lease.snapshot().failures:
            time.sleep(0.01)
        for wait in waits:
            with pytest.raises(portlease.UnavailableError):
                wait.block()


def test_a_cancelled_stop_goes_on_in_the_background(gateway: Gateway) -> None:
    async def test() -> None:
        mapper = aio.Mapper(**gateway.config(), protocols=["pcp"])
        await mapper.map(9001).ready(5)
        gateway.set_faults(pcp_delay_ms=500)
        stopping = asyncio.ensure_future(mapper.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping

    run(test())
    gateway.wait_for(lambda gateway: not gateway.mappings)


def test_a_stop_with_a_bad_time_out_stops_nothing(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:
            lease = mapper.map(9001)
            await lease.ready(5)
            with pytest.raises(portlease.InvalidError, match=r"\Atimeout: "):
                await mapper.stop(timeout=-1)
            await aio.Mapper(**gateway.config()).stop()
            assert lease.snapshot().active

    run(test())


def test_a_release_that_is_not_confirmed_is_logged_and_fails_no_with(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with contextlib.aclosing(aio.Mapper(**gateway.config())) as mapper:
            async with contextlib.aclosing(mapper.map(9001)) as lease:
                await lease.ready(5)
            assert caplog.records == []
            await mapper.map(9002).ready(5)
            gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")

    run(test())
    [record] = caplog.records
    assert record.getMessage().startswith("portlease.Mapper: the router did not confirm the delete")


def test_errors_are_the_same(gateway: Gateway) -> None:
    async def test() -> None:
        with pytest.raises(portlease.InvalidTypeError, match=r"\Aport: "):
            await aio.open("x", **gateway.config())  # type: ignore[arg-type]
        gateway.set_faults(pcp={"refuse": 2})
        with pytest.raises(portlease.RefusedError):
            async with aio.open(9001, **gateway.config(), protocols=["pcp"]):
                pytest.fail("it was refused")

    run(test())


def test_one_after_another_and_several_loops_at_once_work_with_one_mapper(gateway: Gateway) -> None:
    mapper = aio.Mapper(**gateway.config())

    async def use(port: int) -> None:
        async with mapper.map(port) as lease:
            assert (await lease.ready(10)).active

    for port in (9001, 9002):
        run(use(port))
    failures: list[BaseException] = []

    def loop(port: int) -> None:
        try:
            asyncio.run(use(port))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(9100 + i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    run(stop(mapper))


def test_a_loop_that_is_closed_during_a_wait_hurts_nobody(gateway: Gateway) -> None:
    gateway.set_faults(pcp_delay_ms=500)
    mapper = aio.Mapper(**gateway.config(), protocols=["pcp"])
    lease = mapper.map(9001)
    loop = asyncio.new_event_loop()
    task = loop.create_task(lease.ready())
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    gateway.wait_for(lambda gateway: len(gateway.mappings) == 1)
    run(stop(mapper))
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task
    gc.collect()


def test_a_program_that_ends_during_a_wait_releases_and_says_nothing(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        async def main():
            mapper = portlease.aio.Mapper(**CONFIG)
            await mapper.map(9001).ready()
            await mapper.next_event()
            waiting = asyncio.ensure_future(mapper.next_event())
            await asyncio.sleep(0.01)
            print("mapped")
        asyncio.run(main())
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "mapped\n", "")
    gateway.wait_for(lambda gateway: not gateway.mappings)


@pytest.mark.filterwarnings("always::RuntimeWarning")
def test_a_wait_that_is_never_awaited_warns_by_its_name(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.Mapper(**gateway.config()) as mapper:
            lease = mapper.map(9001)
            for name in ("ready", "changed"):
                with pytest.warns(RuntimeWarning, match=rf"'Lease\.{name}' was never awaited"):
                    getattr(lease, name)()
                    gc.collect()

    run(test())
