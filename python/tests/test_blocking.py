"""The blocking face as Python users expect it."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import threading
import warnings

import pytest
from conftest import Program

import portlease
from portlease import _lifetime
from portlease.testing import Gateway

INTERRUPTED_WITHIN = 0.1


def test_three_lines_open_a_port_and_close_it(gateway: Gateway) -> None:
    with portlease.open(9001, **gateway.config()) as lease:
        assert str(lease.external) == "192.0.1.1:9001"
        assert [mapping.external_port for mapping in gateway.mappings] == [9001]
    assert gateway.mappings == []
    assert lease.external is None


def test_a_mapper_serves_many_ports_and_its_block_releases_all(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        game = mapper.map(9001)
        web = mapper.map(8080, transport="tcp", external_port=80)
        assert game.ready(timeout=5).active
        assert str(web.ready(5).external) == "192.0.1.1:80"
        assert (game.id, web.id) == (1, 2)
        assert game.mapper is mapper
        assert len(gateway.mappings) == 2
        with mapper.map(9002) as short:
            short.ready(5)
        assert len(gateway.mappings) == 2
    assert gateway.mappings == []


def test_an_exact_port_that_is_taken_is_refused(gateway: Gateway) -> None:
    gateway.add_mapping("udp", 9001, "127.0.0.9:9001")
    with pytest.raises(portlease.RefusedError):
        portlease.open(9001, exact=True, protocols=["pcp"], **gateway.config())


def test_a_snapshot_is_frozen_and_typed(gateway: Gateway) -> None:
    with portlease.open(9001, **gateway.config()) as lease:
        snapshot = lease.snapshot()
        assert snapshot.external is not None
        address = snapshot.external.address
        assert (str(address), address.version, address.is_global) == ("192.0.1.1", 4, True)
        assert snapshot.state == "installed"
        assert snapshot.state is portlease.LeaseState.INSTALLED
        assert f"{snapshot.state} {snapshot.protocol!s} {snapshot.transport:>4}" == "installed pcp  udp"
        assert json.dumps({"class": snapshot.address_class}) == '{"class": "public"}'
        assert (snapshot.lifetime, snapshot.permanent, snapshot.last_error) == (3600.0, False, None)
        assert f"(id=1, revision={snapshot.revision}, state='installed', active=True, external=" in repr(snapshot)
        with pytest.raises(AttributeError):
            snapshot.active = False  # type: ignore[misc]
        assert snapshot != "installed"
        plain = lease.mapper.snapshot().asdict()
        assert plain["leases"][0]["internal_port"] == 9001
        assert plain["protocols"] == ["pcp"]
    after = lease.snapshot()
    assert (after.state, after.active, after.external, after.expires_in) == ("exited", False, None, None)


def test_handles_say_what_they_are(gateway: Gateway) -> None:
    with portlease.open(9001, **gateway.config()) as lease:
        assert repr(lease) == "<portlease.OpenPort 1: udp port 9001 installed, outside 192.0.1.1:9001>"
        assert repr(lease.mapper) == "<portlease.Mapper: 1 of 1 leases active>"
    assert repr(lease.mapper) == "<portlease.Mapper: stopped>"


def test_handles_cannot_be_copied_and_the_attempt_leaves_the_mapping_alone(gateway: Gateway) -> None:
    with portlease.open(9001, **gateway.config()) as lease:
        for handle in (lease, lease.mapper):
            for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match=f"cannot copy or pickle a {type(handle).__name__}: "):
                    duplicate(handle)
        gc.collect()
        assert lease.snapshot().active


def test_iterating_over_a_mapper_gives_events_until_it_is_stopped(gateway: Gateway) -> None:
    mapper = portlease.Mapper(**gateway.config(), ttl=1)
    seen = []
    lease = mapper.map(9001)
    for event in mapper:
        seen.append(event.kind)
        if event.kind == "renewed":
            assert (event.lease, event.internal_port, event.protocol) == (lease.id, 9001, "pcp")
            mapper.stop()
    assert seen == ["installed", "renewed", "exited"]


def test_each_reader_gets_every_event_from_its_start_on(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        first = mapper.events()
        game = mapper.map(9001)
        assert first.next(timeout=5).lease == game.id
        second = iter(mapper)
        web = mapper.map(9002)
        assert (first.next(5).lease, second.next(5).lease) == (web.id, web.id)
        for reader in (first, second):
            with pytest.raises(portlease.TimeoutError):
                reader.next(timeout=0.01)
    kinds = [[event.kind for event in reader] for reader in (first, second)]
    assert kinds == [["exited", "exited"]] * 2


def test_a_new_reader_begins_with_the_events_that_nobody_has_read(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        leases = [mapper.map(9001 + i) for i in range(3)]
        for lease in leases:
            lease.ready(5)
        read = mapper.next_event(5).lease
        reader = mapper.events()
        ids = [reader.next(5).lease for _ in range(2)]
        assert sorted([read, *ids]) == [lease.id for lease in leases]


def test_calls_of_next_event_share_one_queue_and_readers_take_nothing_from_it(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        reader = mapper.events()
        ids: list[int | None] = []
        threads = [threading.Thread(target=lambda: ids.append(mapper.next_event(10).lease)) for _ in range(4)]
        for thread in threads:
            thread.start()
        leases = [mapper.map(9001 + i) for i in range(4)]
        for thread in threads:
            thread.join()
        assert sorted(ids, key=str) == [lease.id for lease in leases]
        assert {reader.next(5).lease for _ in leases} == set(ids)


def test_a_reader_does_not_keep_its_mapper_running(gateway: Gateway) -> None:
    mapper = portlease.Mapper(**gateway.config())
    mapper.map(9001).ready(5)
    events = mapper.events()
    with pytest.warns(ResourceWarning, match="never stopped"):
        del mapper
        gc.collect()
    assert [event.kind for event in events][-1:] == ["exited"], "and then it ends"


def test_a_change_is_waited_for_from_the_state_that_the_caller_has_seen(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(9001)
        installed = lease.ready(5)
        with pytest.raises(portlease.TimeoutError, match="no change"):
            lease.changed(timeout=0.01)
        with pytest.raises(portlease.TimeoutError):
            lease.changed(installed, 0.01)
        threading.Timer(0.05, lease.stop).start()
        over = lease.changed(timeout=10)
        while over.state != "exited":  # each change counts
            over = lease.changed(over, timeout=10)
        assert over.revision > installed.revision
        assert lease.changed(installed).state == "exited", "at once, for the state is another"
        assert lease.changed(installed.revision) == over
        for seen in (over, over.revision, None):
            with pytest.raises(portlease.StoppedError):
                lease.changed(seen)


def test_a_repair_makes_the_mapping_again_and_returns_the_state_that_has_it(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(9001)
        before = lease.ready(5)
        after = lease.repair(timeout=5)
        assert (after.active, after.external) == (True, before.external)
        assert after.revision > before.revision
        assert [mapper.next_event(5).kind, mapper.next_event(5).kind] == ["installed", "repaired"]
        with pytest.raises(portlease.RefusedError, match=" s at the earliest"):
            lease.repair()
        lease.stop()
        with pytest.raises(portlease.StoppedError):
            lease.repair()
    assert gateway.counters["pcp_map"] >= 2


def test_a_program_can_tell_that_the_network_changed(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(9001)
        lease.ready(5)
        mapper.network_changed()
        assert [mapper.next_event(5).kind, mapper.next_event(5).kind] == ["installed", "renewed"]
    mapper.network_changed()  # nothing is left to look at


def test_every_thread_that_waits_for_a_mapping_hears_of_a_failed_attempt(gateway: Gateway) -> None:
    gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")
    with portlease.Mapper(**gateway.config(), retry=portlease.Backoff(60, 60)) as mapper:
        lease = mapper.map(9001)
        begun = threading.Semaphore(0)
        heard: list[BaseException] = []

        def wait() -> None:
            begun.release()
            try:
                lease.ready(timeout=20)
            except portlease.PortLeaseError as error:
                heard.append(error)

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert begun.acquire(timeout=10)
        for thread in threads:
            thread.join()
        assert [type(error) for error in heard] == [portlease.UnavailableError] * 4
        with pytest.raises(portlease.TimeoutError):
            lease.ready(timeout=0.01)  # a later call waits for the next attempt


def test_a_failure_is_seen_in_the_snapshot_and_in_the_event(gateway: Gateway) -> None:
    gateway.set_faults(pcp={"refuse": 2})
    with portlease.Mapper(**gateway.config(), protocols=["pcp"]) as mapper:
        lease = mapper.map(9001)
        with pytest.raises(portlease.RefusedError) as caught:
            lease.ready(5)
        error = lease.snapshot().last_error
        assert error is not None
        assert (error.kind, error.message) == ("refused", caught.value.message)
        assert mapper.next_event(5).error == error
        gateway.set_faults(pcp="normal")


def test_a_probe_tells_what_the_router_offers(gateway: Gateway) -> None:
    gateway.set_faults(pcp={"refuse": 2})
    with portlease.Mapper(**gateway.config()) as mapper:
        report = mapper.probe()
    assert str(report.gateway) == "127.0.0.1"
    by_name = {str(each.protocol): each for each in report.protocols}
    assert list(by_name) == ["pcp", "nat-pmp", "upnp"]
    assert by_name["pcp"].error is not None
    assert by_name["upnp"].device == "portlease simulated gateway"
    assert str(by_name["nat-pmp"].external_address) == "192.0.1.1"
    assert by_name["upnp"].round_trip is not None
    assert gateway.mappings == []


def test_a_detached_mapping_stays(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        lease = mapper.map(9001)
        lease.ready(5)
        assert lease.detach() == "released"
        assert not mapper.snapshot().stopped
    assert [mapping.external_port for mapping in gateway.mappings] == [9001]


def test_detaching_an_open_port_leaves_the_mapping_and_ends_the_engine(gateway: Gateway) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lease = portlease.open(9001, **gateway.config())
        assert lease.detach() == "released"
        assert lease.mapper.snapshot().stopped
        assert [event.kind for event in lease.mapper] == ["installed", "exited"]
        del lease
        gc.collect()
    assert [mapping.external_port for mapping in gateway.mappings] == [9001]


def test_open_takes_every_argument_of_a_mapper_a_request_and_a_wait(gateway: Gateway) -> None:
    config = {**gateway.config(), "protocols": ["nat-pmp"], "ttl": 600, "retry": "never"}
    with portlease.open(9001, "tcp", external_port=8080, exact=True, family="ipv4", timeout=5, **config) as lease:
        snapshot = lease.snapshot()
        assert str(snapshot.external) == "192.0.1.1:8080"
        assert (snapshot.transport, snapshot.protocol, snapshot.lifetime) == ("tcp", "nat-pmp", 600.0)


@pytest.mark.parametrize("wrong", [{"timeout": -1}, {"port": 0}, {"ttl": 0}], ids=str)
def test_an_open_with_a_bad_argument_starts_nothing(gateway: Gateway, wrong: dict[str, int]) -> None:
    before = len(_lifetime.live)
    with pytest.raises(portlease.InvalidError):
        portlease.open(**{"port": 9001, **gateway.config(), **wrong})  # type: ignore[arg-type]
    assert len(_lifetime.live) == before
    assert gateway.counters["pcp_map"] == 0


def test_other_threads_run_during_a_wait(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        leases: list[portlease.Lease] = []
        threading.Timer(0.1, lambda: leases.append(mapper.map(9001))).start()
        # With the GIL held the timer could not map, and no event would ever come.
        assert mapper.next_event(timeout=10).kind == "installed"


def test_many_threads_wait_at_once(gateway: Gateway) -> None:
    with portlease.Mapper(**gateway.config()) as mapper:
        leases = [mapper.map(9001 + i) for i in range(20)]
        externals = []
        threads = [threading.Thread(target=lambda lease=lease: externals.append(lease.ready(10))) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({snapshot.internal_port for snapshot in externals}) == 20


@pytest.mark.parametrize(
    "call", ["next_event()", "events().next()", "map(next(ports)).ready()", "map(next(ports)).repair()", "probe()"]
)
def test_ctrl_c_interrupts_a_wait_within_100_ms(gateway: Gateway, program: Program, call: str) -> None:
    gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")
    ended = program(
        f"""
        # A program that was started in the background by a shell ignores Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        mapper = portlease.Mapper(**CONFIG)
        ports = iter(range(9001, 65536))
        def interrupt():
            global sent
            sent = time.monotonic()
            # On Windows `os.kill` ends the process.
            signal.raise_signal(signal.SIGINT) if os.name == "nt" else os.kill(os.getpid(), signal.SIGINT)
        for i in range(5):
            threading.Timer(0.2, interrupt).start()
            try:
                while True:
                    try:
                        mapper.{call}
                    except portlease.UnavailableError:
                        pass  # a busy machine is slower than the attempt: the next one is interrupted
            except KeyboardInterrupt:
                print(time.monotonic() - sent)
        mapper.stop(0)
        """
    )
    assert (ended.status, ended.err) == (0, "")
    took = sorted(map(float, ended.out.split()))
    assert len(took) == 5
    # The median: a busy machine may have had no time for one of them.
    assert took[2] < INTERRUPTED_WITHIN, took


def test_the_external_port_is_known_also_if_the_router_does_not_know_its_address(gateway: Gateway) -> None:
    gateway.set_faults(empty_external_address=True)
    with portlease.open(9001, protocols=["upnp"], **gateway.config()) as lease:
        snapshot = lease.snapshot()
        assert (snapshot.active, snapshot.external, snapshot.external_port) == (True, None, 9001)
        assert (snapshot.nat_class, lease.external) == ("unknown", None)
        assert repr(lease) == "<portlease.OpenPort 1: udp port 9001 installed, outside port 9001>"
        event = lease.mapper.next_event(5)
        assert (event.kind, event.external, event.external_port) == ("installed", None, 9001)
