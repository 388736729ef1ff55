"""`aio.open`: a coroutine, and something for `async with`."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest
from loops import run, stop

from portlease import aio
from portlease.testing import Gateway


def test_a_port_is_opened_and_closed(gateway: Gateway) -> None:
    async def test() -> None:
        async with aio.open(9001, **gateway.config()) as lease:
            assert str(lease.external) == "192.0.1.1:9001"
            assert lease.snapshot().state == "installed"
        assert gateway.mappings == []
        lease = await aio.open(9002, "tcp", **gateway.config())
        assert isinstance(lease, aio.OpenPort)
        assert await lease.stop() == "released"
        assert gateway.mappings == []

    run(test())


def test_a_cancelled_open_leaves_nothing(gateway: Gateway) -> None:
    async def test() -> None:
        # The answer is on its way for longer than even a busy machine needs to cancel.
        gateway.set_faults(pcp_delay_ms=800)
        opening = asyncio.ensure_future(aio.open(9001, **gateway.config(), protocols=["pcp"]))
        while not gateway.counters["pcp_map"]:
            await asyncio.sleep(0.005)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    run(test())
    gateway.set_faults(pcp_delay_ms=0)
    gateway.wait_for(lambda gateway: not gateway.mappings)


def test_detaching_an_open_port_leaves_the_mapping_and_ends_the_engine(gateway: Gateway) -> None:
    async def test() -> None:
        lease = await aio.open(9001, "tcp", external_port=8080, exact=True, timeout=5, **gateway.config(), ttl=600)
        assert lease.snapshot().lifetime == 600.0
        assert await lease.detach() == "released"
        assert lease.mapper.snapshot().stopped

    run(test())
    assert [mapping.external_port for mapping in gateway.mappings] == [8080]


def test_an_open_is_a_coroutine_like_any_other(gateway: Gateway) -> None:
    async def test() -> None:
        task = asyncio.create_task(aio.open(9001, **gateway.config()))
        assert "portlease.aio.open()" in repr(task), "asyncio names it in its logs and warnings"
        port = await task
        assert isinstance(port, aio.OpenPort)
        assert await port.stop() == "released"
        if sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(aio.open(9001 + i, **gateway.config())) for i in range(3)]
            assert len(gateway.mappings) == 3
            await asyncio.gather(*(task.result().stop() for task in tasks))
        opening = aio.open(9001, **gateway.config())
        assert asyncio.iscoroutine(opening)
        opening.close()
        with pytest.raises(RuntimeError, match="already awaited"):
            await opening

    run(test())
    run(stop(asyncio.run(aio.open(9002, **gateway.config()))))


@pytest.mark.filterwarnings("always::RuntimeWarning")
def test_an_open_that_is_never_awaited_warns_and_opens_nothing(gateway: Gateway) -> None:
    with pytest.warns(RuntimeWarning, match=r"coroutine 'portlease\.aio\.open' was never awaited"):
        aio.open(9001, **gateway.config())
        gc.collect()
    assert gateway.counters["pcp_map"] == 0


def test_without_a_loop_of_asyncio_it_says_what_to_do_and_leaves_nothing(gateway: Gateway) -> None:
    # As under trio, which drives coroutines by itself.
    with pytest.raises(RuntimeError, match=r"trio\.to_thread\.run_sync"):
        aio.open(9001, **gateway.config()).send(None)
    mapper = aio.Mapper(**gateway.config())
    with pytest.raises(RuntimeError, match="asyncio loop"):
        mapper.next_event().send(None)
    run(stop(mapper))
    gateway.wait_for(lambda gateway: not gateway.mappings)
