"""Who holds a lease and a mapper, and what becomes of them when they are stopped, closed or dropped."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
import warnings

import pytest
from conftest import Program

import portlease
from portlease.testing import Gateway


def test_a_mapper_holds_its_leases_until_they_or_it_are_stopped(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        mapper.map(9001).ready(5)
        lease = mapper.map(9002)
        lease.ready(5)
        del lease
        gc.collect()
        assert mapper.snapshot().active == 2
        assert len(gateway.mappings) == 2
        with pytest.raises(portlease.InvalidError):
            mapper.map(9001)
        mapper.map(9003).stop()
        mapper.map(9003).ready(5)  # the port of one that was stopped is free again
    assert gateway.mappings == []


def test_a_mapper_forgets_leases_that_ended_by_themselves(gateway: Gateway) -> None:
    gateway.set_faults(pcp={"refuse": 2})
    with portlease.Mapper(**gateway.config(), protocols=["pcp"], retry="never") as mapper:
        for i in range(100):
            with pytest.raises(portlease.RefusedError):
                mapper.map(9001 + i).ready(5)
        assert len(mapper._leases) < 50


def test_a_dropped_mapper_warns_and_releases_in_the_background(gateway: Gateway) -> None:
    mapper = portlease.Mapper(**gateway.config())
    mapper.map(9001).ready(5)
    lease = mapper.map(9002)
    lease.ready(5)
    del mapper
    gc.collect()
    assert len(gateway.mappings) == 2, "a lease that is held holds its mapper"
    with pytest.warns(ResourceWarning, match=r"portlease\.Mapper was never stopped"):
        del lease  # no reference leads in a circle, so this is the moment
    gateway.wait_for(lambda gateway: not gateway.mappings)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_dropping_a_mapper_does_not_wait_for_a_router_that_is_silent(gateway: Gateway) -> None:
    took = []
    for port in (9001, 9002, 9003):
        gateway.set_faults(pcp="normal")
        lease = portlease.open(port, **gateway.config(), protocols=["pcp"])
        gateway.set_faults(pcp="silent")
        begin = time.monotonic()
        del lease
        gc.collect()
        took.append(time.monotonic() - begin)
    # Giving the router up takes a second. The least: a busy machine may have had no time for one of them.
    assert min(took) < 0.5, took


def test_a_dropped_open_port_warns_by_its_name(gateway: Gateway) -> None:
    with pytest.warns(ResourceWarning, match=r"portlease\.open\(9001\) was never stopped"):
        portlease.open(9001, **gateway.config())
        gc.collect()
    gateway.wait_for(lambda gateway: not gateway.mappings)


def test_an_open_that_fails_leaves_nothing_and_does_not_warn(gateway: Gateway) -> None:
    gateway.set_faults(pcp_delay_ms=600)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(portlease.TimeoutError):
            portlease.open(9001, **gateway.config(), protocols=["pcp"], timeout=0.05)
        gc.collect()
    gateway.wait_for(lambda gateway: gateway.counters["pcp_map"] > 0 and not gateway.mappings)


def test_a_stop_with_a_bad_time_out_stops_nothing(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(9001)
        lease.ready(5)
        with pytest.raises(portlease.InvalidError, match=r"\Atimeout: "):
            mapper.stop(timeout=-1)
        portlease.Mapper(**gateway.config()).stop()
        assert lease.snapshot().active


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a program there, whatever the signal")
def test_a_stop_that_is_interrupted_goes_on(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from portlease.testing import Gateway
        with Gateway() as gateway:
            mapper = portlease.Mapper(**gateway.config(), protocols=["pcp"])
            lease = mapper.map(9001)
            lease.ready(5)
            gateway.set_faults(pcp_delay_ms=400)
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                mapper.stop()
            except KeyboardInterrupt:
                print("interrupted")
            del mapper, lease
            gateway.wait_for(lambda gateway: not gateway.mappings)
        """,
        "-W",
        "always",
    )
    assert (ended.status, ended.out, ended.err) == (0, "interrupted\n", ""), "and warns of nothing"


def test_a_stop_that_is_not_given_the_time_is_pending_and_goes_on(gateway: Gateway) -> None:
    lease = portlease.open(9001, **gateway.config(), protocols=["pcp"])
    gateway.set_faults(pcp_delay_ms=800)
    assert lease.stop(timeout=0.01) == "pending"
    gateway.wait_for(lambda gateway: not gateway.mappings)
    assert lease.stop() is portlease.Release.RELEASED


def test_a_router_that_is_gone_makes_the_release_unconfirmed_and_fails_no_with(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        with mapper.map(9001) as lease:
            lease.ready(5)
            gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")
        assert lease.stop() == "unconfirmed"
    assert mapper.stop() == "unconfirmed"
    said = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    rest = "the router did not confirm the delete, so the mapping may stay until its lifetime ends"
    assert said == [("portlease", "WARNING", f"{of}: {rest}") for of in ("udp port 9001", "portlease.Mapper")]


def test_closing_closes_what_has_no_with_of_its_own(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(portlease.Mapper(**gateway.config())) as mapper:
        with contextlib.closing(mapper.map(9001)) as lease:
            assert lease.ready(5).active
        assert lease.snapshot().state == "exited"
    assert mapper.snapshot().stopped
    with contextlib.closing(portlease.open(9001, **gateway.config())) as port:
        assert port.snapshot().active
    assert (gateway.mappings, caplog.records) == ([], [])
