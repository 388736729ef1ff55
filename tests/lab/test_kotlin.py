"""The README's Kotlin program against the real router: a packet from the internet arrives, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

import pytest

from homelab import LAN_HOST, WAN_ADDRESS, Entry, Lab

CHECKOUT = Path(__file__).resolve().parents[2]
# Where Maven has put the jar, the list of what it needs, and the compiled examples.
BUILT = Path(os.environ.get("PORTLEASE_KOTLIN", CHECKOUT / "bindings/uniffi/kotlin/target"))

# Above all the JVM's own start and end, on a machine that does other things.
MAPS_WITHIN = 30.0
STOPS_WITHIN = 30.0


@pytest.fixture(autouse=True)
def class_path() -> str:
    """The jar, what it needs, and the README's programs. Skips where they were not built, unless the lab is required."""
    jars = sorted(BUILT.glob("portlease-*.jar"))
    if len(jars) != 1 or not (BUILT / "class-path").exists():
        message = f"no Kotlin library in {BUILT}; build it with 'make -C bindings/uniffi build'"
        if os.environ.get("LAB_REQUIRED") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return ":".join([str(jars[0]), (BUILT / "class-path").read_text().strip(), str(BUILT / "test-classes")])


@contextmanager
def running(lab: Lab, class_path: str, program: str) -> Iterator[subprocess.Popen[str]]:
    """A program on a JVM in the LAN; it does not outlive the block."""
    process = subprocess.Popen(
        lab.inside("lan", "java", "-Xmx64m", "-cp", class_path, program),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_a_packet_arrives_while_the_kotlin_program_holds_the_port_and_nothing_is_left_behind_it(
    lab: Lab, class_path: str
) -> None:
    assert lab.silent("udp", 4000)
    with running(lab, class_path, "OpenKt") as program:
        assert program.stdin and program.stdout and program.stderr
        readable, _, _ = select([program.stdout], [], [], MAPS_WITHIN)
        assert readable, f"it says nothing within {MAPS_WITHIN} s"
        assert program.stdout.readline() == f"reachable at {WAN_ADDRESS}:4000\n", program.stderr.read()
        assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
        assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.wait(STOPS_WITHIN) == 0, program.stderr.read()
    lab.assert_nothing_is_mapped()
    assert lab.silent("udp", 4000)


def test_the_kotlin_program_ends_with_the_kind_where_the_router_maps_nothing(lab: Lab, class_path: str) -> None:
    lab.daemon("stop")
    with running(lab, class_path, "OpenKt") as program:
        assert program.wait(MAPS_WITHIN) == 1
        assert program.stderr
        assert "io.portlease.PortLeaseException$Unavailable: " in program.stderr.read()
