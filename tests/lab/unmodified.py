"""Debian's own programs, as they are, in the lab: started with portlease's drop-in libraries or with the stock ones."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from homelab import Lab
from languages import TARGET, need
from programs import Program

# The drop-in libraries; `stock` tests with Debian's own, which shows what the tests themselves are worth.
COMPAT = os.environ.get("PORTLEASE_COMPAT") or str(TARGET / "compat/prefix/lib/portlease-compat")
STOCK = "stock"

# The packages appear in /usr of this program alone: `ip netns exec` has made a mount namespace for it.
OVERLAY = 'mount -t overlay debian -o "lowerdir=$1/usr:/usr" /usr && shift && exec "$@"'
# Nothing answers the names that programs look up: they find out soon.
ENVIRONMENT = {"RES_OPTIONS": "timeout:1 attempts:1", "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
# How long a program may take from SIGTERM until it is gone.
ENDS_WITHIN = 20.0

# The router's BOOTID is the second in which it started.
DARK = 1.1

# A program that chooses its ports asks for the next one at once.
SETTLES = 1.0

# What the daemon writes when it is asked for a mapping, by protocol.
REQUESTS = {
    "PCP": re.compile(r"PCP MAP: added mapping (?P<transport>\w+) (?P<port>\d+)"),
    "NAT-PMP": re.compile(r"NAT-PMP port mapping request : (?P<port>\d+)->\S+ (?P<transport>\w+) lifetime=[1-9]"),
    "UPnP": re.compile(r"Add(?:Any)?PortMapping: ext port (?P<port>\d+) to \S+ protocol (?P<transport>\w+)"),
}


def requests(lab: Lab) -> list[tuple[str, str, int]]:
    """The mappings that the daemon was asked for so far: protocol, transport, external port."""
    return [
        (protocol, found["transport"].lower(), int(found["port"]))
        for line in lab.daemon_log().splitlines()
        for protocol, pattern in REQUESTS.items()
        if (found := pattern.search(line))
    ]


def asks_no_more(lab: Lab) -> bool:
    """Whether no port was asked for in a while. A program that ends before it has its answer deletes nothing."""
    before = len(requests(lab))
    time.sleep(SETTLES)
    return len(requests(lab)) == before


def restart_router(lab: Lab, mode: str) -> None:
    """The router loses its table and starts again. It is away for more than a second."""
    lab.daemon("off")
    time.sleep(DARK)
    lab.daemon("start", mode=mode)


def libraries() -> str:
    """The folder with portlease's libraries, or `stock`."""
    if COMPAT != STOCK:
        need((Path(COMPAT) / "libminiupnpc.so.17").exists(), f"drop-in libraries in {COMPAT}", "make test-lab")
    return COMPAT


def need_program(program: Program) -> None:
    """Skips a program that was not fetched. Where apt-get is, that is a failure if all languages are required."""
    found = (TARGET / program.suite / "fetched" / program.package).exists()
    if not found and shutil.which("apt-get") is None:
        pytest.skip(f"{program.package} is not there, and no apt-get to fetch it with")
    suite = "" if program.suite == "debian" else f"-s {program.suite} "
    need(found, f"Debian's {program.package}", f"tests/compat/fetch {suite}{program.package}")


class Running:
    """A program that runs in the LAN, and its home folder, which the next start finds again."""

    def __init__(self, lab: Lab, program: Program, home: Path, using: str) -> None:
        self.program, self.log = program, home / "log"
        (home / "run").mkdir(exist_ok=True)
        environment = {**ENVIRONMENT, "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
        folders = [*([] if using == STOCK else [using]), *program.library_folders]
        if folders:
            environment["LD_LIBRARY_PATH"] = ":".join(folders)
        variables = [f"{name}={value}" for name, value in environment.items()]
        command = ["env", *variables, program.path, *program.arguments(home)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                lab.inside("lan", "sh", "-c", OVERLAY, "-", TARGET / program.suite, *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def assert_runs(self) -> None:
        """It has not ended by itself."""
        assert self.process.poll() is None, f"{self.program.path} has ended: {self.last_words()}"

    def end(self) -> None:
        """Ends it as a service manager does, and waits until it is gone."""
        self.assert_runs()
        os.kill(self._main_process(), signal.SIGTERM)
        try:
            self.process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            if not self.program.hangs:
                raise
            self.kill()

    def kill(self) -> None:
        """Ends it with no chance to say anything."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(ENDS_WITHIN)

    def last_words(self) -> str:
        """The end of what it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def _main_process(self) -> int:
        """Itself, or the process of that name in its session."""
        if not self.program.process:
            return self.process.pid
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                name, session = (entry / "comm").read_text().strip(), os.getsid(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
            if (name, session) == (self.program.process, self.process.pid):
                return int(entry.name)
        raise AssertionError(f"{self.program.process} does not run: {self.last_words()}")
