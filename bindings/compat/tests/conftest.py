"""What the tests of the drop-in libraries share: the installed libraries, a compiler, simulated gateways, and a program that
makes the calls that a test names.

`make -C bindings/compat test` sets the variables:
  PORTLEASE_COMPAT            where `make install` has put the libraries
  PORTLEASE_GATEWAY_PROGRAM   the simulated gateway
  LAB_REQUIRED=1              a tool that is missing is a failure; default: its tests are skipped, with the reason
  PORTLEASE_COMPAT_HEADERS    an include folder of libminiupnpc 2.2.8, if there is one: the tests of API 18 use it
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))

# A test that takes this long hangs: the slowest, under valgrind, take some seconds.
PATIENCE = 120

STRICT = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
VALGRIND = [
    "valgrind", "--quiet", "--error-exitcode=99", "--fair-sched=yes", "--leak-check=full",
    "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect",
]  # fmt: skip

Build = Callable[..., Path]
Calls = Callable[..., "Testee"]


def give_up(reason: str) -> None:
    """Skips the test, or fails it where nothing may be skipped."""
    if os.environ.get("LAB_REQUIRED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def need(*commands: str) -> None:
    """Skips the test where a command is missing, or fails it where that must not be."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        give_up(f"no {', '.join(missing)}; bindings/compat/tests/install installs it on Debian")


def run(command: Sequence[str | Path], **options: Any) -> str:
    """Runs a command that must succeed and gives what it printed; a failure shows all of that."""
    ended = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        **{**({} if "input" in options else {"stdin": subprocess.DEVNULL}), "stderr": subprocess.STDOUT, **options},
    )
    print(ended.stdout)
    assert ended.returncode == 0, f"status {ended.returncode}: {' '.join(map(str, command))}\n{ended.stdout}"
    return ended.stdout


def until(holds: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Waits until it holds, and gives what it said."""
    give_up_at = time.monotonic() + patience
    while not (said := holds()):
        assert time.monotonic() < give_up_at, "it never holds"
        time.sleep(0.01)
    return said


def symbols(library: str) -> list[str]:
    """What Debian's library of this name exports."""
    return (CHECKOUT / "tests/compat/symbols" / library).read_text().split()


@pytest.fixture(scope="session")
def libraries() -> Path:
    """The folder of the installed libraries."""
    path = Path(os.environ.get("PORTLEASE_COMPAT", TARGET / "compat/prefix/lib/portlease-compat"))
    assert (path / "libminiupnpc.so.17").exists(), f"nothing is installed in {path}: make -C bindings/compat test"
    return path


@pytest.fixture(scope="session")
def gateway_program() -> Path:
    """The simulated gateway."""
    path = Path(os.environ.get("PORTLEASE_GATEWAY_PROGRAM", TARGET / "debug/portlease-gateway"))
    assert path.exists(), f"no {path}: cargo build -p portlease-gateway"
    return path


@pytest.fixture(scope="session")
def build(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles a program as a distribution does: against the real libraries, every symbol bound at the start. Debian 12 has no
    libminiupnpc.so.18; a library with its name and its symbols, and nothing behind them, is enough to link with."""
    need("gcc")
    if not Path("/usr/include/natpmp.h").exists() or not Path("/usr/include/miniupnpc/miniupnpc.h").exists():
        give_up("no libminiupnpc-dev, no libnatpmp-dev; bindings/compat/tests/install installs them on Debian")
    folder = tmp_path_factory.mktemp("programs")
    stub = folder / "libminiupnpc.so.18"
    source = "".join(f"void {name}(void) {{}}\n" for name in symbols(stub.name))
    run(["gcc", "-shared", "-nostdlib", "-w", "-x", "c", "-", f"-Wl,-soname,{stub.name}", "-o", stub], input=source)

    def compile_one(source: str, *, api: int = 17, flags: Sequence[str] = ()) -> Path:
        program = folder / f"{source.replace('.', '-')}-{api}{''.join(flags)}".replace("/", "").replace(",", "")
        if not program.exists():
            headers = os.environ.get("PORTLEASE_COMPAT_HEADERS")
            include = [f"-I{headers}"] if api == 18 and headers else []
            upnp = "-lminiupnpc" if api == 17 else stub
            compiler = ["g++", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"] if source.endswith("pp") else ["gcc", *STRICT]
            run([*compiler, "-O1", "-g", f"-DAPI={api}", *include, *flags, "-o", program, HERE / source,
                 "-Wl,-z,now", "-Wl,--no-as-needed", upnp, "-lnatpmp", "-lpthread", "-ldl"])  # fmt: skip
        return program

    return compile_one


@pytest.fixture
def environment(libraries: Path, tmp_path: Path) -> dict[str, str]:
    """A home of the test's own, and the libraries before those of the system."""
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    return {**os.environ, **home, "LD_LIBRARY_PATH": str(libraries)}


class Gateway:
    """A running gateway, and how a program finds it."""

    def __init__(self, program: Path, *arguments: str) -> None:
        self._process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._found(self._event("started"))

    def _found(self, place: dict[str, Any]) -> None:
        ssdp = place["ssdp_address"].rsplit(":", 1)[1]
        self.variable = f"{place['gateway']},pcp={place['pcp_port']},ssdp={ssdp}"

    def _event(self, name: str) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == name:
                return said
        raise AssertionError(f"the gateway ended before it said {name}")

    def tell(self, **command: Any) -> dict[str, Any]:
        """One line, and the reply to it."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        said = self._event("reply")
        assert "error" not in said, said
        return said

    def set(self, **faults: Any) -> None:
        """Turns switches."""
        self.tell(set=faults)

    def be_silent(self) -> None:
        """Answers nothing from now on."""
        self.set(pcp="silent", nat_pmp="silent", upnp="silent")

    def mappings(self) -> list[dict[str, Any]]:
        """Its table."""
        mappings: list[dict[str, Any]] = self.tell(command="mappings")["mappings"]
        return mappings

    def ports(self) -> list[str]:
        """Its table in short: transport, external and internal port."""
        return sorted(
            f"{line['transport']} {line['external_port']} {line['internal'].rsplit(':')[-1]}" for line in self.mappings()
        )

    def count(self, name: str) -> int:
        """A counter."""
        return int(self.tell(command="counters")["counters"].get(name, 0))

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()


@pytest.fixture
def gateways(gateway_program: Path) -> Iterator[Callable[..., Gateway]]:
    """Simulated gateways with settings of the test's own."""
    started: list[Gateway] = []

    def start(*arguments: str, **settings: Any) -> Gateway:
        started.append(Gateway(gateway_program, *arguments, "--config", json.dumps(settings)))
        return started[-1]

    yield start
    for gateway in started:
        gateway.close()


@pytest.fixture
def gateway(gateways: Callable[..., Gateway]) -> Gateway:
    """A simulated gateway."""
    return gateways()


class Testee:
    """A program that makes the calls that a test names."""

    __test__ = False

    def __init__(self, command: list[str | Path], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        self.took = 0.0

    def begin(self, *words: object) -> None:
        """A call, whose answer is read later."""
        assert self.process.stdin
        quoted = ["NULL" if word is None else self._quote(word) for word in words]
        self.process.stdin.write(("\t".join(quoted) + "\n").encode())
        self.process.stdin.flush()

    @staticmethod
    def _quote(word: object) -> str:
        return urllib.parse.quote_from_bytes(word if isinstance(word, bytes) else str(word).encode(), safe=" :/.-+")

    def answer(self) -> Any:
        """What the call answered: numbers as numbers; one answer by itself, several as a list."""
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline().decode()
        assert line, self.process.stderr.read().decode()
        *words, took = line.rstrip("\n").split("\t")[1:]
        self.took = float(took)
        said = [self._read(word) for word in words]
        return said[0] if len(said) == 1 else said

    @staticmethod
    def _read(word: str) -> Any:
        if word == "NULL":
            return None
        return int(word) if word.lstrip("-").isdigit() else urllib.parse.unquote(word, errors="replace")

    def __call__(self, *words: object) -> Any:
        """A call and its answer."""
        self.begin(*words)
        return self.answer()

    def add(self, external: Any, internal: Any, protocol: Any = "TCP", **more: Any) -> Any:
        """UPNP_AddPortMapping."""
        client, text = more.get("client", "127.0.0.1"), more.get("text", "test")
        return self("add", external, internal, client, text, protocol, more.get("remote"), more.get("lease", "0"))

    def end(self, *words: object) -> str:
        """The end by exit(3); gives what was said to stderr."""
        if words:
            self.begin(*words)
        _, said = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, said.decode()
        return said.decode()

    def kill(self) -> None:
        """The end by SIGKILL."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def calls(build: Build, environment: dict[str, str]) -> Iterator[Calls]:
    """Starts programs that make calls to a gateway."""
    started: list[Testee] = []

    def start(gateway: Gateway | str, *, api: int = 17, flags: Sequence[str] = (), under: Sequence[str] = ()) -> Testee:
        variable = gateway if isinstance(gateway, str) else gateway.variable
        command = [*under, build("testee.c", api=api, flags=flags)]
        extra = SANITIZER_OPTIONS if flags else {}
        started.append(Testee(command, {**environment, **extra, "PORTLEASE_GATEWAY": variable}))
        return started[-1]

    yield start
    for testee in started:
        if testee.process.poll() is None:
            testee.kill()
