"""The README's Kotlin program against the real router: a packet from the internet arrives, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from homelab import LAN_HOST, WAN_ADDRESS, Entry, Lab
from languages import CHECKOUT, enter, errors_of, need, running, said

# Where Maven has put the jar, the list of what it needs, and the compiled examples.
BUILT = Path(os.environ.get("PORTLEASE_KOTLIN", CHECKOUT / "bindings/uniffi/kotlin/target"))

# Above all the JVM's own start and end, on a machine that does other things.
MAPS_WITHIN = 30.0
STOPS_WITHIN = 30.0


@pytest.fixture(autouse=True)
def class_path() -> str:
    """The jar, what it needs, and the README's programs."""
    jars = [jar for jar in BUILT.glob("portlease-*.jar") if not jar.stem.endswith(("-sources", "-javadoc"))]
    built = len(jars) == 1 and (BUILT / "class-path").exists()
    need(built, f"Kotlin library in {BUILT}", "make -C bindings/uniffi build")
    return ":".join([str(jars[0]), (BUILT / "class-path").read_text().strip(), str(BUILT / "test-classes")])


def program_on_jvm(lab: Lab, class_path: str, program: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A program on a JVM in the LAN."""
    return running(lab, "java", "-Xmx64m", "-cp", class_path, program)


def test_a_packet_arrives_while_the_kotlin_program_holds_the_port_and_nothing_is_left_behind_it(
    lab: Lab, class_path: str
) -> None:
    assert lab.silent("udp", 4000)
    with program_on_jvm(lab, class_path, "OpenKt") as program:
        assert said(program, MAPS_WITHIN) == f"external address: {WAN_ADDRESS}:4000"
        assert lab.table() == [Entry("udp", 4000, LAN_HOST, 4000)]
        assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
        enter(program)
        errors = errors_of(program, STOPS_WITHIN)
        assert program.returncode == 0, errors  # newer JVMs warn of native code there
    lab.assert_nothing_is_mapped()
    assert lab.silent("udp", 4000)


def test_the_kotlin_program_ends_with_the_kind_where_the_router_maps_nothing(lab: Lab, class_path: str) -> None:
    lab.daemon("stop")
    with program_on_jvm(lab, class_path, "OpenKt") as program:
        assert "io.portlease.PortLeaseException$Unavailable: " in errors_of(program, MAPS_WITHIN)
        assert program.returncode == 1
