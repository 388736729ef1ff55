"""What the tests of the C library share: an installed prefix, a compiler, and simulated gateways.

`make -C bindings/c test` sets the variables:
  PORTLEASE_PREFIX            where `make install` has put the library
  PORTLEASE_GATEWAY_PROGRAM   the simulated gateway
  PORTLEASE_SCENARIOS         the runner of tests/scenarios
  PORTLEASE_BUILT             where cargo has put the library
  LAB_REQUIRED=1              a tool that is missing is a failure; default: its tests are skipped, with the reason
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
BINDING = HERE.parent
CHECKOUT = BINDING.parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))

# A test that takes this long hangs: the slowest, under valgrind, take half a minute.
PATIENCE = 240

C99 = ["-std=c99", "-D_DEFAULT_SOURCE"]
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]

Build = Callable[..., Path]
Address = tuple[str, str, str]


def need(*commands: str) -> None:
    """Skips the test where a command is missing, or fails it where that must not be."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        give_up(f"no {', '.join(missing)}; bindings/c/tests/install installs it on Debian")


def give_up(reason: str) -> None:
    """Skips the test, or fails it where nothing may be skipped."""
    if os.environ.get("LAB_REQUIRED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(command: Sequence[str | Path], **options: Any) -> str:
    """Runs a command that must succeed and gives what it printed; a failure shows all of that."""
    ended = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        **{"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, **options},
    )
    print(ended.stdout)
    assert ended.returncode == 0, f"status {ended.returncode}: {' '.join(map(str, command))}\n{ended.stdout}"
    return ended.stdout


@pytest.fixture(scope="session")
def prefix() -> Path:
    """The prefix that the library is installed under."""
    path = Path(os.environ.get("PORTLEASE_PREFIX", TARGET / "c/prefix"))
    assert (path / "include/portlease.h").exists(), f"nothing is installed in {path}: make -C bindings/c test"
    return path


@pytest.fixture(scope="session")
def gateway_program() -> Path:
    """The simulated gateway."""
    path = Path(os.environ.get("PORTLEASE_GATEWAY_PROGRAM", TARGET / "debug/portlease-gateway"))
    assert path.exists(), f"no {path}: cargo build -p portlease-gateway"
    return path


@pytest.fixture(scope="session")
def scenarios() -> Path:
    """The runner of the scenarios."""
    path = Path(os.environ.get("PORTLEASE_SCENARIOS", TARGET / "debug/portlease-scenarios"))
    assert path.exists(), f"no {path}: cargo build -p portlease-scenarios"
    return path


@pytest.fixture(scope="session")
def build(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles a program against the installed library."""
    need("gcc", "pkg-config")
    if subprocess.run(["pkg-config", "--exists", "jansson"], check=False).returncode != 0:
        give_up("no jansson; bindings/c/tests/install installs it on Debian")
    folder = tmp_path_factory.mktemp("programs")

    def compile_one(name: str, *sources: str, flags: Sequence[str] = ()) -> Path:
        program = folder / name
        files = [HERE / source for source in sources]
        # The test's own flags come last, so that they count.
        library = [f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib", "-lportlease"]
        run(["gcc", *C99, *STRICT, "-O1", "-g", *flags, "-o", program, *files, *library, "-ljansson", "-lpthread"])
        return program

    return compile_one


@pytest.fixture
def gateway(gateway_program: Path) -> Iterator[Gateway]:
    """A simulated gateway."""
    started = Gateway(gateway_program)
    yield started
    started.close()


class Gateway:
    """A running gateway."""

    def __init__(self, program: Path, *arguments: str) -> None:
        self._process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        place = self._event("started")
        self.address: Address = (place["gateway"], str(place["pcp_port"]), place["ssdp_address"])

    def _event(self, name: str) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == name:
                return said
        raise AssertionError(f"the gateway ended before it said {name}")

    def mappings(self) -> list[dict[str, Any]]:
        """Its table."""
        assert self._process.stdin
        self._process.stdin.write('{"command":"mappings"}\n')
        self._process.stdin.flush()
        mappings: list[dict[str, Any]] = self._event("reply")["mappings"]
        return mappings

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()
