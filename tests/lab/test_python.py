"""The README's Python snippets against the real router: a packet from the internet arrives, and nothing is left behind."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

import pytest

from homelab import COMMAND_TIMEOUT, LAN_HOST, WAN_ADDRESS, Entry, Lab
from portlease import MAPS_WITHIN, STOPS_WITHIN

CHECKOUT = Path(__file__).resolve().parents[2]
BUILT = CHECKOUT / (os.environ.get("CARGO_TARGET_DIR") or "target") / "python/venv/bin/python"
# A Python that has the wheel.
PYTHON = Path(os.environ.get("PORTLEASE_PYTHON", BUILT))

EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (CHECKOUT / "python/README.md").read_text(), re.MULTILINE | re.DOTALL)
PORT = 9001

# Runs a snippet as it stands, and waits for a line before each step that is worth looking at: a snippet's `print` is
# where its port is open.
STEPS = """
import builtins, sys
def print_and_wait(*what):
    say(*what, flush=True)
    sys.stdin.readline()
say, builtins.print = builtins.print, print_and_wait
exec(compile(sys.argv[1], "README.md", "exec"), {"__name__": "__main__"})
"""


@pytest.fixture(autouse=True)
def built() -> None:
    """Skips where the wheel was not built, unless the lab is required."""
    if not PYTHON.exists():
        message = f"no Python with portlease at {PYTHON}; build it with 'make -C python build'"
        if os.environ.get("LAB_REQUIRED") == "1":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def running(lab: Lab, snippet: str) -> Iterator[subprocess.Popen[str]]:
    """The snippet in the LAN; it does not outlive the block."""
    # Isolated: this folder has a `portlease.py` of its own.
    program = subprocess.Popen(
        lab.inside("lan", PYTHON, "-I", "-c", STEPS, snippet),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        try:
            yield program
        finally:
            program.kill()


def said(program: subprocess.Popen[str]) -> str:
    """What it says next, without hanging where it says nothing."""
    assert program.stdout
    ready, _, _ = select([program.stdout], [], [], MAPS_WITHIN)
    assert ready, f"it says nothing within {MAPS_WITHIN} s"
    return program.stdout.readline().rstrip()


def go_on(program: subprocess.Popen[str]) -> None:
    """Lets it take the next step."""
    assert program.stdin
    program.stdin.write("\n")
    program.stdin.flush()


def check_the_end(lab: Lab, program: subprocess.Popen[str]) -> None:
    """It ends by itself, without a word on stderr, and nothing is left behind it."""
    _, errors = program.communicate(timeout=STOPS_WITHIN)
    assert (program.returncode, errors) == (0, "")
    assert lab.silent("udp", PORT)
    lab.assert_nothing_is_mapped()


@pytest.mark.parametrize("mute", ["off", "pcp", "5351"])
def test_a_packet_arrives_while_the_first_snippet_is_in_its_block_and_nothing_is_left_behind_it(
    lab: Lab, mute: str
) -> None:
    lab.mute(mute)
    lab.serve((LAN_HOST, PORT))
    assert lab.silent("udp", PORT)
    with running(lab, EXAMPLES[0]) as program:
        assert said(program) == f"{WAN_ADDRESS}:{PORT}"
        assert lab.table() == [Entry("udp", PORT, LAN_HOST, PORT)]
        assert lab.reach("udp", PORT) == f"{LAN_HOST}:{PORT}"
        go_on(program)
        check_the_end(lab, program)


def test_the_snippet_with_many_ports_sees_the_router_and_releases_all(lab: Lab) -> None:
    lab.serve((LAN_HOST, PORT))
    with running(lab, EXAMPLES[1]) as program:
        assert said(program) == f"{WAN_ADDRESS}:{PORT} pcp public"
        assert lab.reach("udp", PORT) == f"{LAN_HOST}:{PORT}"
        go_on(program)
        assert said(program).startswith("installed ")
        go_on(program)
        check_the_end(lab, program)


def test_the_asyncio_snippet_opens_ten_ports_at_once_and_releases_all(lab: Lab) -> None:
    lab.serve((LAN_HOST, PORT))
    with running(lab, EXAMPLES[2]) as program:
        assert said(program) == f"{WAN_ADDRESS}:{PORT}"
        assert lab.reach("udp", PORT) == f"{LAN_HOST}:{PORT}"
        go_on(program)
        assert said(program) == "10 ports are open"
        assert [entry.external_port for entry in lab.table()] == list(range(PORT, PORT + 10))
        assert lab.reach("udp", PORT) == f"{LAN_HOST}:{PORT}"
        go_on(program)
        check_the_end(lab, program)


@pytest.mark.parametrize("held", ["lease = portlease.open(9001); print(lease.external)", "print(open(9001).external)"])
def test_the_end_of_the_interpreter_releases_what_a_program_left_open(lab: Lab, held: str) -> None:
    with running(lab, f"import portlease; from portlease import open; {held}") as program:
        assert said(program) == f"{WAN_ADDRESS}:{PORT}"
        go_on(program)
        check_the_end(lab, program)


def test_the_command_in_the_wheel_asks_the_same_router(lab: Lab) -> None:
    done = subprocess.run(
        lab.inside("lan", PYTHON, "-I", "-m", "portlease", "doctor", "--json"),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    assert WAN_ADDRESS in done.stdout
    lab.assert_nothing_is_mapped()
