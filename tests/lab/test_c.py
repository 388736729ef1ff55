"""The examples of the C library on a real router: a packet arrives, and after the end nothing is left.

PORTLEASE_C_PREFIX is where the library is installed; by default where `make -C bindings/c test` puts it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from homelab import LAN_HOST, WAN_ADDRESS, Entry, Lab
from languages import CHECKOUT, TARGET, enter, errors_of, need, running, said
from portlease import STOPS_WITHIN

EXAMPLES = CHECKOUT / "bindings/c/examples"
PREFIX = Path(os.environ.get("PORTLEASE_C_PREFIX", TARGET / "c/prefix"))


def compile_example(name: str, linking: str, folder: Path) -> Path:
    """One of the examples, linked as it says, against the installed library."""
    need((PREFIX / "include/portlease.h").exists(), f"C library in {PREFIX}", "make -C bindings/c test")
    tools = shutil.which("cc") is not None and shutil.which("pkg-config") is not None
    need(tools, "C compiler and pkg-config", "bindings/c/tests/install")
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


@pytest.mark.parametrize("linking", ["shared", "static"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("minimal", f"mapped to {WAN_ADDRESS}:4000 by pcp, address public"),
        ("poll_loop", f"installed udp 4000 at {WAN_ADDRESS}:4000 by pcp"),
    ],
    ids=["minimal", "poll_loop"],
)
def test_an_example_maps_and_releases(lab: Lab, tmp_path: Path, name: str, says: str, linking: str) -> None:
    example = compile_example(name, linking, tmp_path)
    assert lab.silent("udp", 4000)
    with running(lab, example, "4000") as program:
        assert said(program) == says
        assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
        assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
        enter(program)
        assert errors_of(program, STOPS_WITHIN) == ""
        assert program.returncode == 0
    assert lab.silent("udp", 4000)
    lab.assert_nothing_is_mapped()
