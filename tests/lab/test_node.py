"""The Node package against a real router: the example of its README, as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import MakeLab
from homelab import COMMAND_TIMEOUT, LAN_HOST, WAN_ADDRESS, Entry, Lab, eventually, only

ROOT = Path(__file__).resolve().parents[2]
# Where the package is that is tested; it holds its addon, or PORTLEASE_NATIVE names one.
PACKAGE = Path(os.environ.get("PORTLEASE_NODE", ROOT / "node"))
PORT = 9001

# From the start of Node to the mapping, and from Ctrl-C to its end.
MAPS_WITHIN = 10.0
ENDS_WITHIN = 10.0

# One datagram from the internet; prints what came back.
ASK = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(2)
    sock.sendto(b"hello", ("{WAN_ADDRESS}", {PORT}))
    print(sock.recv(2048).decode())
"""

NODE = shutil.which("node")
BUILT = NODE and (PACKAGE / "dist/index.mjs").exists()

pytestmark = pytest.mark.skipif(
    not BUILT, reason=f"no node, or the package in {PACKAGE} is not built: `make -C node build` builds it"
)


def example() -> str:
    """The first example of the README."""
    found = re.search(r"```js\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    assert found, "the README has no example"
    return found[1]


def run_example(lab: Lab, folder: Path) -> subprocess.Popen[str]:
    """Runs it in the LAN, in an empty project that has the package installed."""
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "portlease").symlink_to(PACKAGE)
    program = folder / "server.mjs"
    program.write_text(example())
    return subprocess.Popen(
        lab.inside("lan", str(NODE), program),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str], within: float) -> str:
    """What the program says first; it is ended where it says nothing."""
    assert process.stdout
    watchdog = threading.Timer(within, process.kill)
    watchdog.start()
    try:
        return process.stdout.readline().rstrip()
    finally:
        watchdog.cancel()


@pytest.mark.parametrize("mode", ["default", "upnp"])
def test_the_readme_s_server_is_reached_from_the_internet_and_leaves_nothing_behind(
    make_lab: MakeLab, tmp_path: Path, mode: str
) -> None:
    lab = make_lab(mode=mode)
    process = run_example(lab, tmp_path)
    try:
        assert first_line(process, MAPS_WITHIN) == f"reachable at {WAN_ADDRESS}:{PORT}", process.communicate()[1]
        assert only(lab.table()) == Entry("udp", PORT, LAN_HOST, PORT)
        asked = lab.run("inet", "python3", "-c", ASK)
        assert asked.stdout == "echo hello\n", asked.stderr
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=ENDS_WITHIN)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.wait(COMMAND_TIMEOUT)
    eventually(lambda: not lab.rules(), 2, "nothing is left on the router")
    lab.assert_nothing_is_mapped()
