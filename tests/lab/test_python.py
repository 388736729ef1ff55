"""The README's Python snippets against the real router: a packet from the internet arrives, and nothing is left behind."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from homelab import COMMAND_TIMEOUT, LAN_HOST, LAN_HOST6, WAN_ADDRESS, Entry, Lab, Pinhole
from languages import CHECKOUT, TARGET, enter, errors_of, need, running, said
from portlease import STOPS_WITHIN

# A Python that has the wheel.
PYTHON = Path(os.environ.get("PORTLEASE_PYTHON", TARGET / "python/venv/bin/python"))

EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (CHECKOUT / "python/README.md").read_text(), re.MULTILINE | re.DOTALL)
PORT = 9001


def example(having: str) -> str:
    """The first example of the README in which this can be read."""
    return next(text for text in EXAMPLES if having in text)


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
    """The wheel must be installed."""
    need(PYTHON.exists(), f"Python with portlease, {PYTHON}", "make -C python build")


def snippet(lab: Lab, text: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """The snippet in the LAN, isolated: this folder has a `portlease.py` of its own."""
    return running(lab, PYTHON, "-I", "-c", STEPS, text)


def check_the_end(lab: Lab, program: subprocess.Popen[str]) -> None:
    """It ends by itself, without a word on stderr, and nothing is left behind it."""
    assert errors_of(program, STOPS_WITHIN) == ""
    assert program.returncode == 0
    assert lab.silent("udp", PORT)
    lab.assert_nothing_is_mapped()


@pytest.mark.parametrize("mute", ["off", "pcp", "5351"])
def test_a_packet_arrives_while_the_first_snippet_is_in_its_block_and_nothing_is_left_behind_it(
    lab: Lab, mute: str
) -> None:
    lab.mute(mute)
    lab.serve((LAN_HOST, PORT))
    assert lab.silent("udp", PORT)
    with snippet(lab, example("print(lease.external)  # 203")) as program:
        assert said(program) == f"{WAN_ADDRESS}:{PORT}"
        assert lab.table() == [Entry("udp", PORT, LAN_HOST, PORT)]
        assert lab.reach("udp", PORT) == f"{LAN_HOST}:{PORT}"
        enter(program)
        check_the_end(lab, program)


IPV6 = """
import portlease
with portlease.open(9001, "udp", family="ipv6", protocols=[{protocol!r}]) as lease:
    print(lease.external)
"""


@pytest.mark.parametrize("protocol", ["pcp", "upnp"])
def test_a_packet_arrives_over_ipv6_while_the_block_is_open(lab: Lab, protocol: str) -> None:
    lab.serve((LAN_HOST6, PORT))
    assert lab.silent("udp", PORT, address=LAN_HOST6)
    with snippet(lab, IPV6.format(protocol=protocol)) as program:
        assert said(program) == f"[{LAN_HOST6}]:{PORT}"
        assert lab.pinholes() == [Pinhole("udp", LAN_HOST6, PORT)]
        assert lab.reach("udp", PORT, address=LAN_HOST6) == f"{LAN_HOST6}:{PORT}"
        enter(program)
        check_the_end(lab, program)
    assert lab.silent("udp", PORT, address=LAN_HOST6)


def test_the_snippet_with_many_ports_sees_the_router_and_releases_all(lab: Lab) -> None:
    lab.serve((LAN_HOST, PORT))
    with snippet(lab, example("for event in mapper")) as program:
        assert said(program) == f"{WAN_ADDRESS}:{PORT} pcp public"
        assert lab.reach("udp", PORT) == f"{LAN_HOST}:{PORT}"
        enter(program)
        assert said(program).startswith("installed ")
        enter(program)
        check_the_end(lab, program)


def test_the_asyncio_snippet_opens_ten_ports_at_once_and_releases_all(lab: Lab) -> None:
    lab.serve((LAN_HOST, PORT))
    with snippet(lab, example("ports are open")) as program:
        assert said(program) == f"{WAN_ADDRESS}:{PORT}"
        assert lab.reach("udp", PORT) == f"{LAN_HOST}:{PORT}"
        enter(program)
        assert said(program) == "10 ports are open"
        assert [entry.external_port for entry in lab.table()] == list(range(PORT, PORT + 10))
        assert lab.reach("udp", PORT) == f"{LAN_HOST}:{PORT}"
        enter(program)
        check_the_end(lab, program)


@pytest.mark.parametrize("held", ["lease = portlease.open(9001); print(lease.external)", "print(open(9001).external)"])
def test_the_end_of_the_interpreter_releases_what_a_program_left_open(lab: Lab, held: str) -> None:
    with snippet(lab, f"import portlease; from portlease import open; {held}") as program:
        assert said(program) == f"{WAN_ADDRESS}:{PORT}"
        enter(program)
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
