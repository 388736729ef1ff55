"""The ends of processes: nothing stays mapped, nothing hangs, nothing is said. And their forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import Program

from portlease.testing import Gateway

# The release at the end of the interpreter may take this long, and the interpreter itself a while on a busy machine.
EXIT_LIMIT = 2.0
BUSY = 2.0

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def test_the_end_of_the_interpreter_releases_open_mappers_without_a_word(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        first = portlease.Mapper(**CONFIG)
        leases = [first.map(9001 + i) for i in range(5)]
        second = portlease.open(9100, "tcp", **CONFIG)
        for lease in leases: lease.ready(5)
        print(len(first.snapshot().leases))
        """,
        "-X",
        "dev",
    )
    assert (ended.status, ended.out, ended.err) == (0, "5\n", "")
    assert gateway.mappings == []
    assert gateway.counters["pcp_delete"] >= 6


def test_it_also_waits_for_what_was_dropped_or_not_given_the_time(gateway: Gateway, program: Program) -> None:
    gateway.set_faults(pcp_delay_ms=500)
    ended = program(
        """
        portlease.open(9001, **CONFIG, protocols=["pcp"])  # dropped at once
        lease = portlease.open(9002, **CONFIG, protocols=["pcp"])
        assert lease.stop(0) == "pending"
        """
    )
    assert (ended.status, ended.err) == (0, "")
    assert gateway.mappings == []


def test_a_program_that_ends_by_an_exception_releases_too(gateway: Gateway, program: Program) -> None:
    ended = program("lease = portlease.open(9001, **CONFIG); 1 / 0")
    assert ended.status == 1
    assert ended.err.endswith("ZeroDivisionError: division by zero\n")
    assert gateway.mappings == []


def test_a_dead_router_holds_the_end_up_for_two_seconds_at_most(program: Program) -> None:
    ended = program(
        """
        from portlease.testing import Gateway
        gateway = Gateway()
        leases = [portlease.open(9001 + i, **gateway.config()) for i in range(4)]
        gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")
        print(time.time(), flush=True)
        """
    )
    took = time.time() - float(ended.out)
    assert (ended.status, ended.err) == (0, "")
    assert took < EXIT_LIMIT + BUSY


def test_daemon_threads_that_wait_end_with_the_interpreter_without_a_word(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        mapper = portlease.Mapper(**CONFIG)
        lease = mapper.map(9001)
        lease.ready(5)

        async def use():
            async with portlease.aio.Mapper(**CONFIG) as other:
                await other.next_event()

        def iterate():
            for event in other: pass
            os.write(1, b"no more events\\n")  # whole or not at all; print writes the end of the line by itself

        other = portlease.Mapper(**CONFIG)
        waits = [mapper.next_event, mapper.events().next, lease.changed, mapper.probe, lease.ready]
        def again_and_again(wait):
            while True: wait()
        bodies = [lambda wait=wait: again_and_again(wait) for wait in waits] + [lambda: asyncio.run(use()), iterate]
        threads = [threading.Thread(target=body, daemon=True) for body in bodies]
        for thread in threads: thread.start()
        time.sleep(0.3)
        assert all(thread.is_alive() for thread in threads)
        """
    )
    assert (ended.status, ended.err) == (0, "")
    assert ended.out in ("no more events\n", ""), "it may not have the time"
    assert gateway.mappings == []


def test_daemon_threads_that_are_busy_with_errors_do_not_crash_the_end(gateway: Gateway, program: Program) -> None:
    for _ in range(4):
        ended = program(
            """
            mapper = portlease.Mapper(**CONFIG)
            def busy():
                while True:
                    try:
                        mapper.map("9001")
                    except portlease.InvalidError:
                        pass
            for _ in range(2):
                threading.Thread(target=busy, daemon=True).start()
            time.sleep(0.02)
            """
        )
        assert (ended.status, ended.err) == (0, "")


def test_functions_that_run_at_the_end_of_the_interpreter_can_wait(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        import atexit
        @atexit.register
        def close():
            async def closing():
                lease = await portlease.aio.open(9002, **CONFIG)
                print(await lease.stop(), await first.stop(), portlease.open(9003, **CONFIG).stop())
            asyncio.run(closing())
        async def main():
            global first
            first = await portlease.aio.open(9001, **CONFIG)
        asyncio.run(main())
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "released released released\n", "")
    assert gateway.mappings == []


@pytest.mark.skipif(sys.platform == "win32", reason="nothing sends SIGTERM on Windows")
@pytest.mark.parametrize("face", ["blocking", "asyncio"])
def test_sigterm_releases_where_the_program_asks_for_that(gateway: Gateway, program: Program, face: str) -> None:
    bodies = {
        "blocking": """
        with portlease.open(9001, **CONFIG):
            other = portlease.Mapper(**CONFIG)
            other.map(9002).ready(5)
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            threading.Event().wait(20)
        """,
        "asyncio": """
        async def main():
            async with portlease.aio.open(9001, **CONFIG):
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
                await asyncio.sleep(20)
        asyncio.run(main())
        """,
    }
    ended = program("print(portlease.exit_on_sigterm())" + textwrap.dedent(bodies[face]))
    assert (ended.status, ended.out, ended.err) == (143, "True\n", "")
    assert gateway.mappings == []


def test_a_handler_that_the_program_has_for_sigterm_is_left_alone(program: Program) -> None:
    ended = program(
        """
        def mine(number, frame): pass
        signal.signal(signal.SIGTERM, mine)
        print(portlease.exit_on_sigterm(), signal.getsignal(signal.SIGTERM) is mine)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        print(portlease.exit_on_sigterm(), portlease.exit_on_sigterm())
        """
    )
    assert (ended.out, ended.err) == ("False True\nTrue True\n", "")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="what makes interpreters has other names before")
def test_a_subinterpreter_is_told_to_use_the_main_one(program: Program) -> None:
    ended = program(
        """
        import _interpreters
        for kind in ("isolated", "legacy"):  # those of `concurrent.interpreters`, and those of mod_wsgi
            failure = _interpreters.exec(_interpreters.create(kind), "import portlease")
            print(failure.type.__name__, failure.msg)
        """
    )
    message = "portlease runs in one interpreter of a process, and in no isolated one: import it in the main one first"
    assert (ended.out, ended.err) == (f"ImportError {message}\n" * 2, "")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="what makes interpreters has other names before")
def test_the_main_interpreter_is_told_that_a_subinterpreter_was_first() -> None:
    code = """
import _interpreters, sys
assert _interpreters.exec(_interpreters.create("legacy"), "import portlease") is None
try:
    import portlease
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=30)
    assert "import it in the main one first" in done.stdout, done.stderr
    assert done.returncode == 0


@fork
def test_a_forked_child_gets_stopped_and_the_parent_goes_on(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        mapper = portlease.Mapper(**CONFIG)
        events = mapper.events()
        lease = mapper.map(9001)
        lease.ready(5)

        def failing(call):
            try:
                call()
            except portlease.StoppedError:
                return "stopped"

        child = os.fork()
        if child == 0:
            now = lease.snapshot()
            print(now.state, now.active, now.external, mapper.snapshot().stopped, list(mapper), list(events))
            mapper.network_changed()
            calls = [lease.ready, lease.changed, lease.repair, mapper.probe, mapper.next_event, events.next]
            calls.append(lambda: mapper.map(9002))
            print(*map(failing, calls))
            print(lease.stop(), mapper.stop())
            del lease, mapper, events
            gc.collect()
            own = portlease.open(9003, **CONFIG)
            print(own.external, own.stop(), flush=True)
            sys.exit(0)  # with all that Python does at the end
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print(lease.snapshot().state, mapper.next_event(5).kind, lease.stop(), mapper.next_event(5).kind, flush=True)
        mapper.stop()
        """,
        "-X",
        "dev",
        # Python warns of forks in a process with threads; this package is one of those that know how.
        "-W",
        "ignore::DeprecationWarning",
    )
    assert ended.err == ""
    assert ended.out.splitlines() == [
        "exited False None True [] []",
        "stopped stopped stopped stopped stopped stopped stopped",
        "released released",
        "192.0.1.1:9003 released",
        "installed installed released exited",
    ]
    assert gateway.mappings == []


@fork
def test_a_child_of_multiprocessing_neither_hangs_nor_releases(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        import multiprocessing
        lease = portlease.open(9001, **CONFIG)
        def child():
            os.write(1, f"{lease.snapshot().state}\\n".encode())  # whole, whoever else writes
        children = multiprocessing.get_context("fork")
        processes = [children.Process(target=child) for _ in range(4)]
        for process in processes: process.start()
        for process in processes: process.join(10)
        print([process.exitcode for process in processes], lease.snapshot().state)
        lease.stop()
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    assert ended.err == ""
    assert ended.out == "exited\n" * 4 + "[0, 0, 0, 0] installed\n"
    assert gateway.counters["pcp_delete"] <= 3, "one release, sent up to three times"


@fork
def test_asyncio_works_in_the_child_of_a_fork_amid_waits(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        async def alone(port):
            async with portlease.aio.open(port, **CONFIG) as lease:
                print("child", lease.external, flush=True)

        async def use(port):
            async with portlease.aio.open(port, **CONFIG) as lease:
                await lease.mapper.next_event()
                waiting = asyncio.ensure_future(lease.mapper.next_event())
                await asyncio.sleep(0.01)
                child = os.fork()
                if child == 0:
                    asyncio.new_event_loop().run_until_complete(alone(9002))
                    waiting.cancel()
                    del waiting
                    gc.collect()
                    os._exit(0)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                print("parent", status, lease.snapshot().state, flush=True)
                waiting.cancel()

        import warnings; warnings.simplefilter("ignore")
        asyncio.run(use(9001))
        """
    )
    assert ended.out.splitlines() == ["child 192.0.1.1:9002", "parent 0 installed"], ended.err
    assert gateway.mappings == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_hundreds_of_cycles_leave_no_memory_threads_or_files_behind(program: Program) -> None:
    ended = program(
        """
        def resident():
            with open("/proc/self/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        def threads():
            return len(os.listdir("/proc/self/task"))

        def files():
            return len(os.listdir("/proc/self/fd"))

        def cycle(i):
            with portlease.Mapper(**CONFIG) as mapper:
                lease = mapper.map(9001 + i % 10)
                lease.ready(5)
                mapper.next_event(5)
                lease.snapshot().asdict()

        async def cycle_async(i):
            async with portlease.aio.Mapper(**CONFIG) as mapper:
                lease = mapper.map(9001 + i % 10)
                await lease.ready(5)
                await mapper.next_event(5)

        def cycles(times):
            for i in range(times):
                cycle(i)
            loop = asyncio.new_event_loop()
            for i in range(times // 4):
                loop.run_until_complete(cycle_async(i))
            loop.close()
            gc.collect()

        cycles(200)
        before = resident(), threads(), files()
        cycles(400)
        after = resident(), threads(), files()
        print(after[0] - before[0], after[1] - before[1], after[2] - before[2])
        """
    )
    assert (ended.status, ended.err) == (0, "")
    memory, threads, files = map(int, ended.out.split())
    assert memory < 1024 * 1024, f"{memory} bytes more after 500 cycles"
    assert (threads, files) == (0, 0)
