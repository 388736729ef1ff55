"""The tests that are written in C and C++, plain, under valgrind, and with the compiler's sanitizers."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import BINDING, HERE, PATIENCE, STRICT, Build, Gateway, need, run

PROGRAMS = ["misuse", "open", "ipv6", "asks", "changes", "events", "threads", "waits", "release", "fork", "exit"]

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
# Memory that nothing points to any more is lost, and so is what is only pointed to by what is lost. What something points
# into the middle of is "possibly lost": so Rust points to its hash tables and to what it counts references to, and in its
# statics those stay until the process ends.
VALGRIND = [
    "valgrind", "--quiet", "--error-exitcode=99", "--fair-sched=yes", "--leak-check=full",
    "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect",
]  # fmt: skip


def clean(said: str) -> None:
    """Valgrind has found nothing."""
    for complaint in ("Invalid", "uninitialised", "definitely lost", "indirectly lost"):
        assert complaint not in said, said


@pytest.mark.parametrize("way", [[], ["--waits"]], ids=["by calls that block", "by waits"])
def test_every_scenario(build: Build, scenarios: Path, way: list[str]) -> None:
    run([scenarios, "--testee", shlex.join([str(build("testee", "testee.c")), *way])], stderr=None)


@pytest.mark.parametrize("way", [[], ["--waits"]], ids=["by calls that block", "by waits"])
def test_every_scenario_with_sanitizers(build: Build, scenarios: Path, way: list[str]) -> None:
    testee = build("testee-sanitized", "testee.c", flags=SANITIZERS)
    run([scenarios, "--testee", shlex.join([str(testee), *way])], env={**os.environ, **SANITIZER_OPTIONS}, stderr=None)


@pytest.mark.parametrize("way", [[], ["--waits"]], ids=["by calls that block", "by waits"])
def test_no_scenario_leaks_or_touches_what_it_must_not(build: Build, scenarios: Path, way: list[str]) -> None:
    """Under valgrind an answer may come after its deadline, so that here only memory counts, not what was seen."""
    need("valgrind")
    testee = shlex.join([*VALGRIND, str(build("testee", "testee.c")), *way])
    command = [scenarios, "--testee", testee]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert re.search(r"^test result: .* 0 filtered out", ended.stdout, re.M), ended.stdout + ended.stderr
    assert "the testee" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    clean(ended.stderr)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(build: Build, gateway_program: Path, name: str) -> None:
    assert "ok   " in run([build(name, f"{name}.c", "gateway.c"), gateway_program])


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_with_sanitizers(build: Build, gateway_program: Path, name: str) -> None:
    program = build(f"{name}-sanitized", f"{name}.c", "gateway.c", flags=SANITIZERS)
    run([program, gateway_program], env=SANITIZER_OPTIONS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_under_valgrind(build: Build, gateway_program: Path, name: str) -> None:
    need("valgrind")
    # The child of a fork has memory of threads that did not come along: there it is lost by nature.
    leaks = ["--leak-check=no"] if name == "fork" else []
    clean(run([*VALGRIND, *leaks, build(name, f"{name}.c", "gateway.c"), gateway_program]))


# The longest address that a router can call itself by, and the longest name that an interface may have.
ROUTER, INTERFACE = "fe80:1111:2222:3333:4444:5555:6666:7777", "lan-with-15-let"
NETWORK = f"""
ip link add {INTERFACE} type veth peer name far && ip link set {INTERFACE} up && ip link set far up &&
ip addr add 2600:1::5/64 dev {INTERFACE} nodad && ip -6 route add default via {ROUTER} dev {INTERFACE} && exec "$@"
"""


def test_the_longest_scoped_address_fits(build: Build, gateway_program: Path) -> None:
    """In a network of its own, whose router never answers."""
    need("unshare")
    need("ip")
    program = build("ipv6", "ipv6.c", "gateway.c")
    command = ["unshare", "-rn", "sh", "-c", NETWORK, "sh", program, gateway_program, f"{ROUTER}%{INTERFACE}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode != 0 and ("unshare" in done.stderr or "RTNETLINK" in done.stderr):
        pytest.skip(f"no network of one's own here: {done.stderr.strip()}")
    assert "ok   a link-local router keeps its scope" in done.stdout, done.stderr


def test_a_program_of_threads_under_threadsanitizer(
    prefix: Path, build: Build, gateway_program: Path, tmp_path: Path
) -> None:
    """With what is installed for that, and the same for the library by which the test speaks to its gateways."""
    program = build("threads-tsan", "threads.c", "gateway.c", flags=["-fsanitize=thread"])
    both = tmp_path / "tsan.supp"
    both.write_text((prefix / "share/portlease/tsan.supp").read_text() + "race:json_decref\nrace:libjansson\n")
    assert "ok   " in run([program, gateway_program], env={"TSAN_OPTIONS": f"suppressions={both}"})


def test_program_on_a_machine_that_sleeps(build: Build, gateway_program: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("its clocks are those of Linux")
    shim = build("sleep_shim.so", "sleep_shim.c", flags=["-Wl,--as-needed", "-shared", "-fPIC"])
    program = build("sleep", "sleep.c", "gateway.c", flags=["-ldl"])
    assert "ok   " in run([program, gateway_program], env={**os.environ, "LD_PRELOAD": str(shim)})


@contextmanager
def leave(build: Build, gateway: Gateway, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program whose main thread has ended."""
    if sys.platform != "linux":
        pytest.skip("only Linux says whether a thread has ended")
    program = build("leave", "leave.c")
    left = subprocess.Popen(
        [program, *gateway.address, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert left.stdout and left.stdout.readline() == "mapped\n"
    main = Path(f"/proc/{left.pid}/task/{left.pid}/status")
    give_up_at = time.monotonic() + PATIENCE
    try:
        while "State:\tZ" not in main.read_text():
            assert time.monotonic() < give_up_at, main.read_text()
            time.sleep(0.01)
        yield left
    finally:
        left.kill()
        left.wait()


def test_a_program_whose_main_thread_has_ended_still_ends_by_a_signal(build: Build, gateway: Gateway) -> None:
    with leave(build, gateway) as left:
        left.terminate()
        assert left.wait(PATIENCE) == -signal.SIGTERM


def test_a_signal_that_a_thread_of_the_program_takes_is_left_to_it(build: Build, gateway: Gateway) -> None:
    """Also to one that was begun after the main thread had ended, and the kernel looks at last."""
    with leave(build, gateway, "interrupt") as left:
        assert left.stdin and left.stdout
        left.stdin.write("\n")
        left.stdin.flush()
        assert left.stdout.readline() == "waiting\n"
        left.terminate()
        assert left.wait(PATIENCE) == 3


def test_a_program_whose_main_thread_has_ended_ends_with_its_other_threads(build: Build, gateway: Gateway) -> None:
    with leave(build, gateway, "stop") as left:
        left.communicate(timeout=PATIENCE)
        assert left.returncode == 0
    assert gateway.mappings() == []


def test_a_library_that_is_unloaded_while_it_releases_still_releases(
    prefix: Path, build: Build, gateway_program: Path
) -> None:
    # Not linked to the library, which would keep it loaded.
    program = build("unload", "unload.c", flags=["-Wl,--as-needed", "-ldl"])
    gateway = Gateway(gateway_program, "--faults", '{"pcp_processing_ms": 200}')
    command = [program, prefix / "lib/libportlease.so", *gateway.address]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout and running.stdout.readline() == "unloaded\n"
        give_up_at = time.monotonic() + PATIENCE
        while gateway.mappings() != []:
            assert running.poll() is None and time.monotonic() < give_up_at
            time.sleep(0.01)
        running.communicate(timeout=PATIENCE)
        assert running.returncode == 0
    finally:
        running.kill()
        gateway.close()


@pytest.mark.parametrize("standard", ["c++11", "c++17", "c++20"])
def test_the_header_in_cplusplus(prefix: Path, gateway: Gateway, tmp_path: Path, standard: str) -> None:
    need("g++")
    program = tmp_path / "cplusplus"
    where = [f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib"]
    run(["g++", f"-std={standard}", *STRICT, *where, HERE / "cplusplus.cpp", "-o", program, "-lportlease"])
    assert "ok   192.0.1.1:4000" in run([program, *gateway.address])
    assert gateway.mappings() == []


@pytest.mark.parametrize("standard", ["c99", "c11", "c17"])
def test_the_header_alone_is_strict_c(prefix: Path, tmp_path: Path, standard: str) -> None:
    source = tmp_path / "alone.c"
    source.write_text("#include <portlease.h>\n#include <portlease.h>\nint main(void) { return 0; }\n")
    flags = ["-Wconversion", "-Wstrict-prototypes", "-Wundef", "-Wshadow"]
    run(["gcc", f"-std={standard}", *STRICT, *flags, f"-I{prefix}/include", "-c", source, "-o", tmp_path / "alone.o"])


def test_the_header_may_stand_within_extern_c(prefix: Path, tmp_path: Path) -> None:
    """As programs in C++ often include the headers of C libraries."""
    need("g++")
    source = tmp_path / "within.cpp"
    source.write_text('extern "C" {\n#include <portlease.h>\n}\nauto config = PORTLEASE_INIT(portlease_config);\n')
    run(["g++", "-std=c++11", *STRICT, f"-I{prefix}/include", "-c", source, "-o", tmp_path / "within.o"])


def test_the_benchmark_measures_both_of_its_calls(build: Build, gateway_program: Path) -> None:
    figures = json.loads(run([build("bench", "bench.c", "gateway.c", flags=["-O2"]), gateway_program]))
    assert figures.keys() == {"snapshot_ns", "map_and_stop_ns"} and min(figures.values()) > 0


README = (BINDING / "README.md").read_text()


def example(prefix: Path, gateway: Gateway, tmp_path: Path, name: str, ports: str) -> subprocess.Popen[str]:
    """An example, built by the line of the README."""
    line = re.search(rf"^(cc .*{name}\.c.*)$", README, re.M)
    assert line, f"the README has no line that builds {name}.c"
    (tmp_path / "examples").symlink_to(BINDING / "examples")
    environment = {
        "PATH": "/usr/bin:/bin",
        "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }
    run(["sh", "-ec", line[1]], cwd=tmp_path, env=environment)
    command = [str(tmp_path / name), ports, *gateway.address]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("name", ["minimal", "poll_loop"])
def test_an_example_builds_with_the_readmes_line_and_runs(
    prefix: Path, gateway: Gateway, tmp_path: Path, name: str
) -> None:
    running = example(prefix, gateway, tmp_path, name, "4000")
    assert running.stdout
    assert "192.0.1.1:4000 by pcp" in running.stdout.readline()
    assert [mapping["external_port"] for mapping in gateway.mappings()] == [4000]
    running.communicate("\n", timeout=PATIENCE)  # Enter, and the end of the input
    assert running.returncode == 0
    assert gateway.mappings() == []


def test_the_example_of_many_leases_shows_them_out_of_one_array(
    prefix: Path, gateway: Gateway, tmp_path: Path
) -> None:
    said, _ = example(prefix, gateway, tmp_path, "leases", "4000,4001,4001").communicate(timeout=PATIENCE)
    assert said.split("\n") == ["4000 installed 192.0.1.1:4000 ", "4001 installed 192.0.1.1:4001 ", ""]
    assert gateway.mappings() == []
