"""The life of a process: its end, its crash, its children, and what the next one finds. The lists of symbols have tests of their
own, tests/lab/test_compat_symbols.py."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from conftest import PATIENCE, SANITIZER_OPTIONS, SANITIZERS, VALGRIND, Build, Calls, Gateway, need, run, until

Gateways = Callable[..., Gateway]
PROGRAMS = ["layout.c", "fork.c", "threads.c", "load.c"]


def test_what_the_program_has_not_deleted_stays_after_its_end(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 0
    assert testee("init", 0)[0] == 0
    assert testee("ask_port", 0, 1, 4001, 4001, 600) == 12
    assert testee("finish", 0)[0] == 0
    testee.end()
    assert gateway.ports() == ["tcp 4000 4000", "udp 4001 4001"]
    # It was left on purpose: another program of the same user does not tidy it up.
    other = calls(gateway)
    assert other.add("4002", "4002") == 0
    assert gateway.ports() == ["tcp 4000 4000", "tcp 4002 4002", "udp 4001 4001"]


def test_after_a_kill_the_next_process_has_its_port_again_and_the_others_are_deleted(
    gateway: Gateway, calls: Calls
) -> None:
    killed = calls(gateway)
    for port in ("4000", "4001", "4002"):
        assert killed.add(port, port) == 0
    killed.kill()
    assert gateway.ports() == ["tcp 4000 4000", "tcp 4001 4001", "tcp 4002 4002"]
    testee = calls(gateway)
    assert testee.add("4001", "4001") == 0
    until(lambda: gateway.ports() == ["tcp 4001 4001"], 30)


def test_the_end_takes_no_longer_for_a_silent_router(gateway: Gateway, calls: Calls) -> None:
    testees = [calls(gateway) for _ in range(3)]
    for number, testee in enumerate(testees):
        assert testee.add(4000 + number, 4000 + number, lease="4") == 0
    assert testees[1]("init", 0)[0] == 0
    gateway.be_silent()
    assert testees[1]("ask_port", 0, 1, 5000, 5000, 60) == 12
    assert testees[2]("init", 0, "127.0.0.77")[0] == 0
    assert testees[2]("ask_address", 0) == 2
    took = []
    for testee in testees:
        began = time.monotonic()
        testee.end("exit", 0)
        took.append(time.monotonic() - began)
    # A second and what a busy machine adds; to wait for the router takes five.
    assert sorted(took)[1] < 2 and max(took) < 4, took


def test_the_exit_status_is_the_programs_own(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 0
    testee.begin("exit", 7)
    assert testee.process.wait(PATIENCE) == 7


def test_a_terminal_signal_ends_the_program_as_ever(gateway: Gateway, calls: Calls) -> None:
    testee = calls(gateway)
    assert testee.add("4000", "4000") == 0
    testee.process.terminate()
    assert testee.process.wait(PATIENCE) == -15


def test_without_a_home_ports_are_mapped_all_the_same(
    gateway: Gateway, build: Build, environment: dict[str, str]
) -> None:
    bare = {name: value for name, value in environment.items() if name not in ("HOME", "XDG_STATE_HOME")}
    bare |= {"PORTLEASE_GATEWAY": gateway.variable, "HOME": "/nonexistent"}
    line = b"add\t4000\t4000\t127.0.0.1\tx\tTCP\tNULL\t0\n"
    said = subprocess.run([build("testee.c")], input=line, env=bare, capture_output=True, timeout=PATIENCE, check=True)
    assert said.stdout.startswith(b"\t0\t") and gateway.ports() == ["tcp 4000 4000"]


# --- the programs in C ---


def settings(environment: dict[str, str], gateway: Gateway) -> dict[str, str]:
    return {**environment, **SANITIZER_OPTIONS, "PORTLEASE_GATEWAY": gateway.variable}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(build: Build, gateway: Gateway, environment: dict[str, str], name: str) -> None:
    assert "ok   " in run([build(name)], env=settings(environment, gateway))


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_with_sanitizers(build: Build, gateway: Gateway, environment: dict[str, str], name: str) -> None:
    with_leaks = settings(environment, gateway)
    if name == "fork.c":
        # A child has memory of threads that did not come along: there it is lost by nature.
        with_leaks["ASAN_OPTIONS"] = "detect_leaks=0"
    assert "ok   " in run([build(name, flags=SANITIZERS)], env=with_leaks)


def test_program_under_valgrind(build: Build, gateway: Gateway, environment: dict[str, str]) -> None:
    """The one that goes through all structs; with the symbols of a debug build the start alone takes seconds."""
    need("valgrind")
    assert "ok   " in run([*VALGRIND, build("layout.c")], env=settings(environment, gateway))


@pytest.mark.parametrize("api", [17, 18])
def test_a_program_of_either_api_starts_with_all_symbols_bound(
    build: Build, gateway: Gateway, environment: dict[str, str], api: int
) -> None:
    now = {**settings(environment, gateway), "LD_BIND_NOW": "1"}
    assert run([build("testee.c", api=api)], env=now) == ""


@pytest.mark.parametrize("moment", ["atexit", "static", "destructor", "cancel", "signal", "thread"])
def test_calls_in_the_last_moments_of_a_program_do_what_they_say(
    build: Build, gateway: Gateway, environment: dict[str, str], moment: str
) -> None:
    said = run([build("moments.cpp"), moment], env=settings(environment, gateway))
    assert said.splitlines()[-1] == "ended"
    assert gateway.ports() == []
