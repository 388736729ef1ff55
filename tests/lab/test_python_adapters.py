"""Python servers behind the real router: a request from the internet arrives at aiohttp and at uvicorn."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from homelab import LAN_HOST, WAN_ADDRESS, Lab, only
from languages import TARGET, errors_of, need, running, said
from test_python import EXAMPLES, PYTHON

# Where aiohttp and uvicorn are: what tests the package is installed there.
TOOLS = Path(os.environ.get("PORTLEASE_PYTHON_TOOLS", TARGET / "python/tools"))

# From the start of Python to the mapping, and from the signal to the end.
MAPS_WITHIN = 10.0
ENDS_WITHIN = 10.0

ASK = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=2) as answer:
    print(answer.read().decode())
"""

# Runs the code of its second argument with the packages of the folder in its first.
WITH_PACKAGES = "import sys; sys.path.append(sys.argv[1]); exec(compile(sys.argv[2], 'README.md', 'exec'))"

# The README's application, run as its comment says, and what happens to its mapping.
SERVED = """
import logging, sys, uvicorn
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
uvicorn.run(app, host="0.0.0.0", port=8000, log_config=None, log_level="warning")
"""


def example(having: str) -> str:
    return next(text for text in EXAMPLES if having in text)


@pytest.fixture
def packages() -> Path:
    """The wheel and the servers must be installed."""
    need(PYTHON.exists(), f"Python with portlease, {PYTHON}", "make -C python build")
    found = next(TOOLS.glob("lib/python*/site-packages/aiohttp/.."), None)
    need(found is not None, f"aiohttp in {TOOLS}", "make -C python build")
    assert found
    return found


def ask(lab: Lab, port: int) -> subprocess.CompletedProcess[str]:
    """A request from the internet."""
    return lab.run("inet", "python3", "-c", ASK, f"http://{WAN_ADDRESS}:{port}/")


def test_a_request_arrives_at_aiohttp_at_the_port_that_the_system_gave(lab: Lab, packages: Path) -> None:
    with running(lab, PYTHON, "-I", "-c", WITH_PACKAGES, packages, example("aiohttp")) as program:
        url = said(program, MAPS_WITHIN)
        entry = only(lab.table())
        assert (entry.transport, entry.host) == ("tcp", LAN_HOST)
        assert url == f"http://{WAN_ADDRESS}:{entry.external_port}/"
        answer = ask(lab, entry.external_port)
        assert answer.stdout == "hello\n", answer.stderr
        program.send_signal(signal.SIGINT)
        assert errors_of(program, ENDS_WITHIN) == ""
        assert program.returncode == 0
    lab.assert_nothing_is_mapped()


def test_a_request_arrives_at_an_application_in_uvicorn(lab: Lab, packages: Path) -> None:
    code = example("portlease.asgi") + SERVED
    with running(lab, PYTHON, "-I", "-c", WITH_PACKAGES, packages, code) as program:
        assert said(program, MAPS_WITHIN) == f"tcp port 8000 is mapped: {WAN_ADDRESS}:8000"
        answer = ask(lab, 8000)
        assert answer.stdout == "hello\n", answer.stderr
        program.send_signal(signal.SIGTERM)
        errors_of(program, ENDS_WITHIN)
    assert lab.table() == []
    lab.assert_nothing_is_mapped()
