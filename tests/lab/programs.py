"""Programs of Debian that map ports: how each is started without a screen, and what it maps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from homelab import LAN_HOST, Entry

Arguments = Callable[[Path], list[str]]


@dataclass(frozen=True)
class Program:
    """One program, how it is started, and what it maps."""

    # Its package, and the folder below target/ into which tests/compat/fetch puts that.
    package: str
    path: str
    arguments: Arguments
    # What it maps, or how many ports if it chooses them itself.
    entries: tuple[Entry, ...] = ()
    ports: int = 0
    # A message to its UDP port, in hexadecimal, that it answers. Its TCP ports accept connections, if it is `open`.
    says: str = ""
    open: bool = True
    # Whether it deletes its mappings when SIGTERM ends it; None: if it has got far enough.
    deletes: bool | None = True
    # Whether it may stand still at its end, when it has deleted its mappings.
    hangs: bool = False
    # Whether it runs until something ends it.
    stays: bool = True
    # How long it may take from its start until it asks for its first mapping, on a busy machine.
    asks_within: float = 3.0
    # The name of the process that gets the signals, if it is not the one that is started.
    process: str = ""
    # What else is fetched, and folders with libraries beside the usual ones.
    with_packages: tuple[str, ...] = ()
    library_folders: tuple[str, ...] = ()
    suite: str = "debian"


def both(port: int) -> tuple[Entry, Entry]:
    """The same port over both transports, inside and outside."""
    return Entry("tcp", port, LAN_HOST, port), Entry("udp", port, LAN_HOST, port)


def tcp(*ports: int) -> tuple[Entry, ...]:
    """The same ports inside and outside."""
    return tuple(Entry("tcp", port, LAN_HOST, port) for port in ports)


def transmission(home: Path) -> list[str]:
    """Settings without anything that looks for other peers."""
    settings = {
        "port-forwarding-enabled": True,
        "peer-port": 51413,
        "dht-enabled": False,
        "lpd-enabled": False,
        "utp-enabled": True,
        "rpc-enabled": False,
        "message-level": 3,
    }
    (home / "settings.json").write_text(json.dumps(settings))
    return ["-f", "-g", str(home)]


def i2pd(home: Path) -> list[str]:
    """Without its local services. A proxy that refuses at once ends the search for other routers before it begins."""
    off = [f"--{service}.enabled=0" for service in ("http", "httpproxy", "socksproxy", "sam")]
    certificates, proxy = "--certsdir=/usr/share/i2pd/certificates", "--reseed.proxy=socks://127.0.0.1:9"
    return [f"--datadir={home}", certificates, "--upnp.enabled=1", "--port=14567", proxy, "--log=stdout", *off]


def upnpc(home: Path) -> list[str]:
    """One mapping for ten minutes."""
    return ["-a", LAN_HOST, "4000", "4000", "UDP", "600"]


def natpmpc(home: Path) -> list[str]:
    """The same."""
    return ["-a", "4000", "4000", "udp", "600"]


def litecoind(home: Path) -> list[str]:
    """A chain of its own, and no search for other nodes."""
    return [f"-datadir={home}", "-regtest", "-dnsseed=0", "-upnp=1", "-port=19333", "-printtoconsole"]


def simutrans(home: Path) -> list[str]:
    """`-easyserver` asks the router."""
    data = ["-set_workdir", "/usr/share/games/simutrans/", "-objects", "pak/"]
    return [*data, "-server", "13353", "-easyserver", "-nosound", "-nomidi", "-lang", "en"]


def warzone(home: Path) -> list[str]:
    """A host that waits for players."""
    game = {"map": "Sk-Rush", "maxPlayers": 4, "scavengers": 0, "alliances": 0, "powerLevel": 1, "bases": 1}
    host = {"name": "lab", "techLevel": 1, "spectatorHost": True, "openSpectatorSlots": 1}
    (home / "autohost").mkdir(exist_ok=True)
    (home / "autohost/lab.json").write_text(json.dumps({"challenge": game | host}))
    return [f"--configdir={home}", "--autohost=lab.json", "--headless", "--nosound", "--gameport=2100"]


def megaglest(home: Path) -> list[str]:
    """A server that nobody is told of."""
    return ["--headless-server-mode=lan", "--server-title=lab", "--use-ports=61357,61357,61355"]


# Jami maps nothing before there is an account. A call to it before it has its name on the bus would start another one.
JAMI = """
/usr/libexec/jamid -c -d & jami=$!
until dbus-send --session --print-reply --dest=org.freedesktop.DBus / \
  org.freedesktop.DBus.NameHasOwner string:cx.ring.Ring | grep -q true; do
  kill -0 $jami && sleep 0.1 || exit
done
dbus-send --session --print-reply --dest=cx.ring.Ring /cx/ring/Ring/ConfigurationManager \
  cx.ring.Ring.ConfigurationManager.addAccount dict:string:string:Account.type,RING,Account.upnpEnabled,true
wait $jami
"""


def jami(home: Path) -> list[str]:
    """A bus of its own, and an account."""
    return ["--", "sh", "-c", JAMI]


# A uTP packet for a connection that does not exist (BEP 29): the answer is a reset.
UTP_DATA = "01" + "00" + "1234" + "00000001" * 2 + "00010000" + "0001" + "0000"

# Part of `make test`.
QUICK = {
    "transmission-daemon": Program(
        "transmission-daemon", "/usr/bin/transmission-daemon", transmission, both(51413), says=UTP_DATA
    ),
    "i2pd": Program("i2pd", "/usr/sbin/i2pd", i2pd, both(14567)),
}

# These have tests of their own.
TOOLS = {
    "upnpc -a": Program("miniupnpc", "/usr/bin/upnpc", upnpc, (both(4000)[1],), stays=False),
    "natpmpc -a": Program("natpmpc", "/usr/bin/natpmpc", natpmpc, (both(4000)[1],), stays=False),
}

# What tests/compat/run adds: large, slow, or of a later Debian, whose libminiupnpc is .so.18.
OTHERS = {
    "litecoind": Program("litecoind", "/usr/bin/litecoind", litecoind, tcp(19333), asks_within=10),
    "simutrans": Program(
        "simutrans", "/usr/games/simutrans", simutrans, tcp(13353), deletes=None, with_packages=("simutrans-pak64",)
    ),
    # It looks for its lobby server before it asks the router.
    "warzone2100": Program("warzone2100", "/usr/games/warzone2100", warzone, tcp(2100), asks_within=60),
    # It listens on the first of its ports, and on the others for players who are there.
    "megaglest": Program(
        "megaglest",
        "/usr/games/megaglest",
        megaglest,
        tcp(*range(61357, 61367)),
        open=False,
        deletes=False,
        asks_within=60,
    ),
    "jami-daemon": Program(
        "jami-daemon",
        "/usr/bin/dbus-run-session",
        jami,
        ports=13,
        open=False,
        asks_within=20,
        process="jamid",
        hangs=True,  # its threads wait for a lock of OpenDHT's pool that none of them has
        with_packages=("dbus-daemon", "dbus-bin", "dbus-session-bus-common"),
        library_folders=("/usr/lib/x86_64-linux-gnu/blas", "/usr/lib/x86_64-linux-gnu/lapack"),
    ),
    "transmission-daemon of Debian 13": Program(
        "transmission-daemon", "/usr/bin/transmission-daemon", transmission, both(51413), suite="trixie"
    ),
    "i2pd of Debian 13": Program("i2pd", "/usr/bin/i2pd", i2pd, both(14567), suite="trixie"),
}


def packages() -> list[str]:
    """What tests/compat/fetch is to fetch, a line for each call: the suite, then the packages."""
    programs = [" ".join((one.suite, one.package, *one.with_packages)) for one in (QUICK | OTHERS).values()]
    return [*programs, "trixie miniupnpc natpmpc"]
