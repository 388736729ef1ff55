"""The examples of the C library on a real router: a packet arrives, and after the end nothing is left.

PORTLEASE_C_PREFIX is where the library is installed; by default where `make -C bindings/c test` puts it.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MakeLab
from homelab import COMMAND_TIMEOUT, LAN_HOST, WAN_ADDRESS, Entry, Lab
from portlease import MAPS_WITHIN, STOPS_WITHIN

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = CHECKOUT / "bindings/c/examples"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))
PREFIX = Path(os.environ.get("PORTLEASE_C_PREFIX", TARGET / "c/prefix"))


def compile_example(name: str, linking: str, folder: Path) -> Path:
    """One of the examples, linked as it says, against the installed library."""
    if not (PREFIX / "include/portlease.h").exists():
        pytest.skip(f"NO C LIBRARY IN {PREFIX}; it gets there by: make -C bindings/c test")
    if shutil.which("cc") is None or shutil.which("pkg-config") is None:
        pytest.skip("NO C COMPILER OR NO pkg-config; bindings/c/tests/install installs them on Debian")
    package = "portlease" if linking == "shared" else "portlease-static"
    asked = subprocess.run(
        ["pkg-config", "--cflags", "--libs", package],
        env={**os.environ, "PKG_CONFIG_PATH": str(PREFIX / "lib/pkgconfig")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    program = folder / name
    command = ["cc", str(EXAMPLES / f"{name}.c"), "-o", str(program), *asked.stdout.split()]
    subprocess.run([*command, f"-Wl,-rpath,{PREFIX}/lib"], check=True, timeout=60)
    return program


class Example:
    """A running example: one line for each thing that it says."""

    def __init__(self, lab: Lab, program: Path) -> None:
        self._process = subprocess.Popen(
            lab.inside("lan", program, "4000"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """What it says next."""
        return self._lines.get(timeout=MAPS_WITHIN)

    def leave(self) -> int:
        """Enter, the end of its input, and its exit status."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.close()
        return self._process.wait(STOPS_WITHIN)

    def close(self) -> None:
        """Ends it if the test did not."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(COMMAND_TIMEOUT)
        self._reader.join(COMMAND_TIMEOUT)
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def examples() -> Iterator[list[Example]]:
    """Examples that are ended with the test."""
    running: list[Example] = []
    yield running
    for example in running:
        example.close()


@pytest.mark.parametrize("linking", ["shared", "static"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("minimal", f"reachable at {WAN_ADDRESS}:4000 by pcp, address public"),
        ("poll_loop", f"installed udp 4000 at {WAN_ADDRESS}:4000 by pcp"),
    ],
    ids=["minimal", "poll_loop"],
)
def test_an_example_maps_and_releases(
    make_lab: MakeLab, examples: list[Example], tmp_path: Path, name: str, says: str, linking: str
) -> None:
    program = compile_example(name, linking, tmp_path)
    lab = make_lab()
    assert lab.silent("udp", 4000)
    example = Example(lab, program)
    examples.append(example)
    assert example.line() == says
    assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert example.leave() == 0
    assert lab.silent("udp", 4000)
    lab.assert_nothing_is_mapped()
