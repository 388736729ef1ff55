"""A home with a router, as the tests see it: the namespaces of lab.sh, what runs in them, and the router's table."""

from __future__ import annotations

import copy
import ipaddress
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

LAN_HOST = "192.168.77.10"
LAN_HOST6 = "2d00:77::10"
NEIGHBOUR = "192.168.77.11"
ROUTER = "192.168.77.1"
ROUTER6 = "fe80::1"
WAN_ADDRESS = "192.0.1.1"
# The second router's, where there is one.
SECOND_ROUTER = "192.168.88.1"
SECOND_LAN_HOST = "192.168.88.10"
SECOND_WAN_ADDRESS = "192.0.3.1"
DEFAULT_HTTP_PORT = 5000

# How long a packet that ought to arrive may take on a busy machine, and how long one that ought not is waited for. On
# the wire both take 0.1 ms.
ARRIVES_WITHIN = 2.0
ARRIVES_NOT_WITHIN = 0.3
# No command of the lab takes longer; a hang is a failure and says which command it was.
COMMAND_TIMEOUT = 30.0
POLL_INTERVAL = 0.05
# An entry that is waited for is looked for this often: recoveries are measured by it.
LOOK_INTERVAL = 0.01
# The daemon replaces an entry by removing it and writing it anew, 1 ms later where it is not interrupted. A reading of
# the table counts when the next one, this much later, is the same.
TABLE_STANDS_FOR = 0.02

# A slowed daemon runs and rests in turns of this length: short beside the time after which requests are repeated.
SLOW_TURN = 0.04

# The rules that the daemon writes, as nft prints them: one that redirects, one that lets the redirected packet pass.
REDIRECT = re.compile(r'iif "wan0" @nh,72,8 (0x\w+) th dport (\d+) dnat ip to ([\d.]+):(\d+)')
TRANSPORTS = {0x11: "udp", 0x6: "tcp"}
# One that lets packets from everybody pass to a port of an IPv6 host.
PINHOLE = re.compile(r'iif "wan0" th dport (\d+) @nh,192,128 0x([0-9a-f]{32}) @nh,48,8 (0x\w+) accept')
UPNPC_LINE = re.compile(r"^\s*\d+ (UDP|TCP)\s+(\d+)->([\d.]+):(\d+)\s", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Entry:
    """One line of the router's table of mappings."""

    transport: str
    external_port: int
    host: str
    internal_port: int


@dataclass(frozen=True, order=True)
class Pinhole:
    """A port of a host that the router's IPv6 firewall leaves open."""

    transport: str
    host: str
    port: int


class Lab:
    """A router and its daemon, a LAN and an internet of one host each. Made and taken down in 0.15 s."""

    def __init__(self, name: str, *, wan: str = "192.0.1") -> None:
        self.name = name
        self.router = "router"
        self._environment = os.environ | {"LAB": name, "WAN": wan}
        self._servers: list[subprocess.Popen[str]] = []
        self._state = tempfile.TemporaryDirectory(prefix=f"{name}-state-")
        # What programs run with: a state folder of the lab's own, not the user's.
        self.state = self._state.name
        self.environment = os.environ | {"XDG_STATE_HOME": self.state}
        self.sh("up")

    def close(self) -> None:
        """Ends everything that runs in the lab, then removes it."""
        self.sh("down")
        for server in self._servers:
            server.wait(COMMAND_TIMEOUT)
            for pipe in (server.stdin, server.stdout):
                if pipe:
                    pipe.close()
        self._state.cleanup()

    # The machines

    def sh(self, *arguments: str, **environment: str) -> str:
        """Runs lab.sh; its failure is the test's."""
        done = subprocess.run(
            [HERE / "lab.sh", *arguments],
            env=self._environment | environment,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",  # the daemon writes into its log what it was sent
            timeout=COMMAND_TIMEOUT,
        )
        assert done.returncode == 0, f"lab.sh {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def inside(self, namespace: str, *command: str | Path) -> list[str]:
        """The command line that runs a command in `lan`, `router` or `inet`."""
        return ["ip", "netns", "exec", f"{self.name}-{namespace}", *map(str, command)]

    def run(self, namespace: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a command in a namespace to its end, whatever its status."""
        return subprocess.run(
            self.inside(namespace, *command),
            env=self.environment,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        )

    def ip(self, namespace: str, *commands: str) -> None:
        """Runs commands of ip(8) in a namespace, each of them a line."""
        batch = subprocess.run(
            self.inside(namespace, "ip", "-batch", "-"),
            check=False,
            input="\n".join(commands),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        )
        assert batch.returncode == 0, f"ip {commands}: {batch.stderr}"

    def probe(self, namespace: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs one of probe.py's tools in a namespace."""
        return self.run(namespace, sys.executable, HERE / "probe.py", *arguments)

    # The router

    def daemon(
        self,
        action: str,
        *,
        mode: str = "default",
        min_lifetime: int = 120,
        extra: str = "",
        uptime: int | None = None,
    ) -> None:
        """`start`, `stop`, `restart` (keeps the mappings), `off` or `reboot` (lose them). Options as in lab.sh."""
        since = "" if uptime is None else str(uptime)
        self.sh("daemon", action, MODE=mode, MIN=str(min_lifetime), EXTRA=extra, UPTIME=since)

    def second(self, **options: Any) -> Lab:
        """The second router, with its daemon running: the same lab, seen from there."""
        second = copy.copy(self)
        second.router = "router2"
        second._environment = self._environment | {"ROUTER": "router2"}
        self.sh("second")
        second.daemon("start", **options)
        return second

    def daemon_log(self) -> str:
        """What the daemon said."""
        return self.sh("daemon", "log")

    @contextmanager
    def slowed(self, percent: int) -> Iterator[None]:
        """Lets the daemon run for that share of the time only, as on a router with a weak processor."""
        daemon = int(self.sh("daemon", "pid"))
        ended = threading.Event()

        def turns() -> None:
            while not ended.wait(SLOW_TURN * percent / 100):
                os.kill(daemon, signal.SIGSTOP)
                ended.wait(SLOW_TURN * (100 - percent) / 100)
                os.kill(daemon, signal.SIGCONT)

        slowing = threading.Thread(target=turns, daemon=True)
        if percent < 100:
            slowing.start()
        try:
            yield
        finally:
            ended.set()
            if percent < 100:
                slowing.join(COMMAND_TIMEOUT)

    def loss(self, percent: int) -> None:
        """Loses that share of the LAN's frames in each direction."""
        self.sh("loss", str(percent))

    def mute(self, what: str) -> None:
        """What the router drops in silence: `on` all requests, `5351` PCP and NAT-PMP, `pcp` PCP version 2, `off` none."""
        self.sh("mute", what)

    def wan(self, address: str) -> None:
        """The provider gives the router another address."""
        self.sh("wan", address)

    def multicast(self, passes: bool) -> None:
        """Whether multicast reaches the LAN's host; many Wi-Fi networks and containers drop it."""
        self.sh("multicast", "on" if passes else "off")

    def count(self) -> None:
        """Begins to count what the LAN's host sends."""
        self.sh("count", "start")

    def sent(self) -> int:
        """How many UDP and TCP packets the LAN's host has sent since `count`, but for its answers to the internet."""
        return int(self.sh("count", "read"))

    def sent6(self) -> int:
        """How many of them over IPv6."""
        return int(self.sh("count", "read6"))

    def rules(self) -> list[str]:
        """The rules in the router's firewall that the daemon wrote."""
        listing = self.run(self.router, "nft", "list", "ruleset")
        assert listing.returncode == 0, listing.stderr
        rules, ours = [], False
        for line in map(str.strip, listing.stdout.splitlines()):
            if line.startswith("chain "):
                ours = "miniupnpd" in line
            elif ours and line and line != "}":
                rules.append(line)
        return rules

    def table(self) -> list[Entry]:
        """The mappings in force, from the firewall itself and not by any of the protocols under test."""
        deadline = time.monotonic() + COMMAND_TIMEOUT
        earlier, reading = None, self._table_of_this_instant()
        while reading != earlier:
            assert time.monotonic() < deadline, f"the table changes with every reading: {earlier}, {reading}"
            time.sleep(TABLE_STANDS_FOR)
            earlier, reading = reading, self._table_of_this_instant()
        return reading

    def _table_of_this_instant(self) -> list[Entry]:
        """One reading, which may fall between the two halves of a replacement."""
        redirects = [REDIRECT.fullmatch(rule) for rule in self.rules() if "dnat" in rule]
        assert all(redirects), f"a rule that this test cannot read: {self.rules()}"
        return sorted(
            Entry(TRANSPORTS[int(found[1], 16)], int(found[2]), found[3], int(found[4])) for found in redirects if found
        )

    def pinholes(self) -> list[Pinhole]:
        """What the router's IPv6 firewall leaves open."""
        found = [PINHOLE.fullmatch(rule) for rule in self.rules() if "dnat" not in rule and "@nh,192,128" in rule]
        assert all(found), f"a rule that this test cannot read: {self.rules()}"
        return sorted(
            Pinhole(TRANSPORTS[int(one[3], 16)], str(ipaddress.IPv6Address(int(one[2], 16))), int(one[1]))
            for one in found
            if one
        )

    def appears(self, entry: Entry, within: float) -> float:
        """Waits for a mapping on the router and answers when it was seen, by the monotonic clock."""
        deadline = time.monotonic() + within
        while entry not in self._table_of_this_instant():
            assert time.monotonic() < deadline, f"not on the {self.router} within {within} s: {entry}; {self.table()}"
            time.sleep(LOOK_INTERVAL)
        return time.monotonic()

    def upnpc_list(self, http_port: int = DEFAULT_HTTP_PORT) -> list[Entry]:
        """The mappings as the daemon itself lists them to an independent UPnP client."""
        url = f"http://{ROUTER}:{http_port}/rootDesc.xml"
        listing = self.run("lan", "upnpc", "-u", url, "-l")
        assert "SpecifiedArrayIndexInvalid" in listing.stdout, f"upnpc got no table: {listing.stdout}{listing.stderr}"
        return sorted(
            Entry(transport.lower(), int(external), host, int(internal))
            for transport, external, host, internal in UPNPC_LINE.findall(listing.stdout)
        )

    def assert_nothing_is_mapped(self, *, upnp: bool = True, http_port: int = DEFAULT_HTTP_PORT) -> None:
        """Neither in the firewall nor, where the router has UPnP, in the daemon's own list."""
        assert self.rules() == []
        if upnp:
            assert self.upnpc_list(http_port) == []

    def take(self, transport: str, port: int) -> None:
        """The neighbour maps an external port to itself."""
        self.sh("neighbour")
        answer = self.probe("lan", "map", transport, str(port), "-e", str(port), "-s", NEIGHBOUR)
        assert json.loads(answer.stdout).get("port") == port, f"the neighbour got {answer.stdout}{answer.stderr}"

    # The packets

    def serve(self, *endpoints: tuple[str, int]) -> None:
        """Starts an echo server, UDP and TCP, on each (address, port) of the LAN and waits until it listens."""
        self._in_background("serve", *(f"{address}:{port}" for address, port in endpoints))

    def tunnel(self, name: str) -> None:
        """Makes a tun device on the LAN's host, as a VPN does, whose other end says nothing."""
        self._in_background("swallow", name)

    @contextmanager
    def announcements(self) -> Iterator[set[str]]:
        """Collects by which protocols the router announces itself to the LAN's host: a set that grows."""
        listener = self._in_background("announcements", LAN_HOST)
        heard: set[str] = set()

        def listen() -> None:
            for line in listener.stdout or []:
                heard.add(line.strip())

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        yield heard
        assert listener.stdin
        listener.stdin.close()
        listening.join(COMMAND_TIMEOUT)

    def _in_background(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts one of probe.py's tools on the LAN's host and waits until it is ready. It ends with the lab."""
        tool = subprocess.Popen(
            self.inside("lan", sys.executable, HERE / "probe.py", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._servers.append(tool)
        assert tool.stdout and tool.stdout.readline() == "ready\n", f"does not run: {arguments}"
        return tool

    def reach(
        self, transport: str, port: int, *, address: str = WAN_ADDRESS, within: float = ARRIVES_WITHIN
    ) -> str | None:
        """Sends one message from the internet; who echoed it (`address:port` in the LAN), or None."""
        answer = self.probe("inet", "reach", transport, address, str(port), str(within))
        return answer.stdout.strip() or None

    def ask(self, transport: str, port: int, message: str = "", *, within: float = ARRIVES_WITHIN) -> str | None:
        """What the mapped server answers to a message from the internet, both in hexadecimal; or None."""
        answer = self.probe("inet", "ask", transport, WAN_ADDRESS, str(port), str(within), message)
        return answer.stdout.strip() or None

    def silent(self, transport: str, port: int, *, address: str = WAN_ADDRESS) -> bool:
        """Whether a message from the internet reaches nobody."""
        return self.reach(transport, port, address=address, within=ARRIVES_NOT_WITHIN) is None


def eventually(condition: Callable[[], Any], within: float, what: str) -> Any:
    """Waits for something that has no event of its own; its first true value."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(POLL_INTERVAL)


def quiet(lab: Lab, within: float = 15.0) -> None:
    """Waits until the LAN's host has sent nothing for a second: what a first mapping causes is over."""

    def a_second_of_silence() -> bool:
        lab.count()
        time.sleep(1)
        return lab.sent() == 0

    eventually(a_second_of_silence, within, "nothing is sent any more")


def always(condition: Callable[[], Any], during: float, what: str) -> None:
    """Watches something for a while that must not change."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert condition(), f"no longer: {what}"
        time.sleep(POLL_INTERVAL)


def only(entries: Iterable[Entry]) -> Entry:
    """The one entry that there is."""
    found = list(entries)
    assert len(found) == 1, f"want exactly one mapping on the router, there are {found}"
    return found[0]
