"""Programs of Debian, unmodified, with portlease's libminiupnpc and libnatpmp: what they map, keep and leave.

COMPAT_PROGRAMS=all tests those too that tests/compat/run fetches; PORTLEASE_COMPAT=stock tests Debian's own libraries.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from conftest import MakeLab, Measured
from homelab import Entry, Lab, eventually
from programs import OTHERS, QUICK, Program
from unmodified import Running, asks_no_more, libraries, need_program, requests, restart_router

PROGRAMS = QUICK | OTHERS if os.environ.get("COMPAT_PROGRAMS") == "all" else QUICK
MODES = ["default", "upnp", "pmp"]
# From the program's request until the rule is there; portlease's own limit for a first answer is 2 s.
MAPS_WITHIN = 5.0
# The router announces its restart; the rest is for a busy machine.
RESTORED_WITHIN = 8.0
# A program that ends deletes first, and the daemon needs its time for it.
GONE_WITHIN = 3.0
StartProgram = Callable[[Lab, str], Running]

for_each_program = pytest.mark.parametrize("name", PROGRAMS)
on_each_router = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def start_program(tmp_path: Path) -> Iterator[StartProgram]:
    """Starts one of Debian's programs; the next start of the same program finds the same home folder."""
    running: list[Running] = []

    def start_one(lab: Lab, name: str) -> Running:
        need_program(PROGRAMS[name])
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        running.append(Running(lab, PROGRAMS[name], home, libraries()))
        return running[-1]

    yield start_one
    for one in running:
        one.kill()
        print(f"--- the last words of {one.program.package}", one.last_words(), sep="\n")


def wait_for_rules(lab: Lab, program: Program) -> list[Entry]:
    """Waits until what the program maps is there, once and at its own ports."""
    within = program.asks_within + MAPS_WITHIN
    if not program.entries:
        eventually(lambda: len(lab.table()) >= program.ports, within, f"{program.ports} ports on the router")
        eventually(lambda: asks_no_more(lab), within, f"{program.package} asks for no more ports")
        return lab.table()
    eventually(lambda: set(program.entries) <= set(lab.table()), within, f"{program.entries} on the router")
    assert lab.table() == sorted(program.entries)
    return sorted(program.entries)


def assert_answers(lab: Lab, program: Program) -> None:
    """A packet from the internet gets to the program's own sockets."""
    for entry in program.entries if program.open else program.entries[:1]:
        if entry.transport == "tcp":
            reached = eventually(lambda port=entry.external_port: lab.ask("tcp", port), 3, f"answer from {entry}")
            assert reached == "connected"
        elif program.says:
            assert lab.ask("udp", entry.external_port, program.says), f"no answer from {entry}"


def assert_silent(lab: Lab, entries: Iterable[Entry]) -> None:
    """Nothing from the internet gets to these ports."""
    for entry in entries:
        assert lab.silent(entry.transport, entry.external_port)


@on_each_router
@for_each_program
def test_a_program_is_reachable_until_it_ends(
    make_lab: MakeLab, start_program: StartProgram, measured: Measured, name: str, mode: str
) -> None:
    lab, program = make_lab(mode=mode), PROGRAMS[name]
    started = time.monotonic()
    running = start_program(lab, name)
    rules = wait_for_rules(lab, program)
    measured(f"{name}, {mode}: from its start to the rule", time.monotonic() - started, "s")
    assert_answers(lab, program)
    running.end()
    if program.deletes:
        eventually(lambda: lab.table() == [], GONE_WITHIN, "no rule is left")
        assert_silent(lab, rules[:2])
    elif program.deletes is False:
        assert lab.table() == rules


@on_each_router
@for_each_program
def test_a_program_that_was_killed_gets_the_same_port_again(
    make_lab: MakeLab, start_program: StartProgram, name: str, mode: str
) -> None:
    lab, program = make_lab(mode=mode), PROGRAMS[name]
    if not program.entries:
        pytest.skip(f"{name} asks for other ports at each start")
    first = start_program(lab, name)
    wait_for_rules(lab, program)
    first.kill()
    assert lab.table() == sorted(program.entries)
    before = len(requests(lab))
    second = start_program(lab, name)
    asked = {(entry.transport, entry.external_port) for entry in program.entries}
    eventually(
        lambda: asked <= {request[1:] for request in requests(lab)[before:]},
        program.asks_within + MAPS_WITHIN,
        "the second start asks for the same ports",
    )
    wait_for_rules(lab, program)
    assert_answers(lab, program)
    second.end()
    if program.deletes:
        eventually(lambda: lab.table() == [], GONE_WITHIN, "no rule is left, nor one of the first start")


@on_each_router
@for_each_program
def test_a_router_that_restarts_has_the_rule_again_though_the_program_does_nothing(
    make_lab: MakeLab, start_program: StartProgram, measured: Measured, name: str, mode: str
) -> None:
    lab, program = make_lab(mode=mode), PROGRAMS[name]
    running = start_program(lab, name)
    rules = wait_for_rules(lab, program)
    restart_router(lab, mode)
    restarted = time.monotonic()
    eventually(lambda: lab.table() == rules, RESTORED_WITHIN, "the rules are back")
    measured(f"{name}, {mode}: from the router's restart to the rule", time.monotonic() - restarted, "s")
    assert_answers(lab, program)
    running.assert_runs()
