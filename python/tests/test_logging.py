"""Core's diagnostics in `logging`: off by default, from a thread of Python's, and in order."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator

import pytest
from conftest import Program

import portlease
from portlease.testing import Gateway

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture
def logged() -> Iterator[None]:
    portlease.enable_logging()
    yield
    portlease.disable_logging()


def test_nothing_is_logged_by_default(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    portlease.open(9001, **gateway.config()).stop()
    assert [record for record in caplog.records if record.name.startswith("portlease")] == []


def test_diagnostics_come_to_loggers_by_module_from_a_thread_of_pythons(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, logged: None
) -> None:
    caplog.set_level(1, logger="portlease")
    portlease.enable_logging()  # a second time changes nothing
    gateway.set_faults(pcp={"refuse": 2})
    with pytest.raises(portlease.RefusedError):
        portlease.open(9001, **gateway.config(), protocols=["pcp"])
    portlease.disable_logging()
    records = [record for record in caplog.records if record.name.startswith("portlease.")]
    assert records, "a refusal is worth a word"
    assert {record.threadName for record in records} == {"portlease-logging"}
    assert all(record.levelno in (5, 10, 20, 30, 40) and record.getMessage() for record in records)
    assert len({(record.created, record.getMessage()) for record in records}) == len(records), "each comes once"
    assert not [thread for thread in threading.enumerate() if thread.name == "portlease-logging"]


def test_the_levels_of_the_loggers_decide(gateway: Gateway, caplog: pytest.LogCaptureFixture, logged: None) -> None:
    caplog.set_level(logging.ERROR, logger="portlease")
    portlease.open(9001, **gateway.config()).stop()
    portlease.disable_logging()
    assert [record for record in caplog.records if record.levelno < logging.ERROR] == []


def test_a_handler_that_fails_or_uses_portlease_does_no_harm(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        import logging
        class Handler(logging.Handler):
            heard = 0
            def emit(self, record):
                Handler.heard += 1
                lease.snapshot()
                1 / 0
        logging.raiseExceptions = False
        lease = portlease.open(9001, **CONFIG)
        logging.getLogger("portlease").addHandler(Handler())
        logging.getLogger("portlease").setLevel(1)
        portlease.enable_logging()
        portlease.open(9002, **CONFIG).stop()
        portlease.disable_logging()
        print(lease.snapshot().state, Handler.heard > 1)
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "installed True\n", ""), "and it hears of what comes later"
    assert gateway.mappings == []


@fork
def test_a_program_that_logs_ends_without_a_word_and_its_forks_start_afresh(gateway: Gateway, program: Program) -> None:
    ended = program(
        """
        import logging
        logging.basicConfig(level=1, filename=os.devnull)
        portlease.enable_logging()
        lease = portlease.open(9001, **CONFIG)
        child = os.fork()
        if child == 0:
            portlease.open(9002, **CONFIG).stop()
            portlease.enable_logging()
            portlease.open(9002, **CONFIG).stop()
            portlease.disable_logging()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    assert (ended.status, ended.out, ended.err) == (0, "0\n", "")


@fork
def test_a_fork_waits_for_the_record_that_a_handler_has_in_hand(program: Program) -> None:
    ended = program(
        """
        import logging, threading
        begun = threading.Event()
        class Slow(logging.Handler):
            busy = False
            def emit(self, record):
                self.busy = True
                begun.set()
                time.sleep(0.05)
                self.busy = False
        handler = Slow()
        logging.basicConfig(level=1, handlers=[handler])
        portlease.enable_logging()
        lease = portlease.open(9001, **CONFIG)
        begun.wait()
        child = os.fork()
        if child == 0:
            os._exit(handler.busy)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    assert (ended.status, ended.out, ended.err) == (0, "0\n", "")


@fork
def test_a_handler_that_hangs_holds_up_no_fork(program: Program) -> None:
    ended = program(
        """
        import logging, threading
        begun, forked = threading.Event(), threading.Event()
        class Hanging(logging.Handler):
            def emit(self, record):
                begun.set()
                forked.wait()
        logging.basicConfig(level=1, handlers=[Hanging()])
        portlease.enable_logging()
        lease = portlease.open(9001, **CONFIG)
        begun.wait()
        child = os.fork()
        if child == 0:
            forked.set()
            logging.disable()
            portlease.open(9002, **CONFIG).stop()
            os._exit(0)
        forked.set()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    assert (ended.status, ended.out, ended.err) == (0, "0\n", "")
