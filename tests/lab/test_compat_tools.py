"""Debian's upnpc and natpmpc, unmodified, with portlease's libminiupnpc and libnatpmp.

COMPAT_PROGRAMS=all tests those of Debian 13 too, whose libminiupnpc is .so.18.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from conftest import MakeLab
from homelab import LAN_HOST, ROUTER, WAN_ADDRESS, Entry, Lab, eventually, only
from languages import TARGET, need
from portlease import BINARY
from test_compat import MODES
from unmodified import OVERLAY, STOCK, libraries

ENTRY = Entry("udp", 4000, LAN_HOST, 4000)
UPNPC = ("upnpc", "-a", LAN_HOST, "4000", "4000", "UDP")
NATPMPC = ("natpmpc", "-a", "4000", "4000", "udp")
# A lifetime that a test can wait for, and how much later the daemon may notice.
SHORT = "3"
OVER_WITHIN = 3 + 4.0


Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["12", "13"] if os.environ.get("COMPAT_PROGRAMS") == "all" else ["12"])
def tool(request: pytest.FixtureRequest) -> Tool:
    """Runs one of the tools on the LAN's host, with the libraries under test."""
    using = libraries()
    variables = () if using == STOCK else ("env", f"LD_LIBRARY_PATH={using}")
    trixie = () if request.param == "12" else ("sh", "-c", OVERLAY, "-", TARGET / "trixie")
    need(not trixie or (TARGET / "trixie/usr/bin/upnpc").exists(), "upnpc of Debian 13", "tests/compat/run")

    def run(lab: Lab, *command: str) -> subprocess.CompletedProcess[str]:
        return lab.run("lan", *trixie, *variables, *command)

    return run


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("command", [UPNPC, NATPMPC], ids=["upnpc", "natpmpc"])
def test_a_tool_leaves_its_mapping_when_it_ends(
    make_lab: MakeLab, tool: Tool, command: tuple[str, ...], mode: str
) -> None:
    lab = make_lab(mode=mode)
    for _ in range(2):
        done = tool(lab, *command, "600")
        assert done.returncode == 0, done.stdout + done.stderr
        assert WAN_ADDRESS in done.stdout
        assert only(lab.table()) == ENTRY
        assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("command", [UPNPC, NATPMPC], ids=["upnpc", "natpmpc"])
def test_a_mapping_that_a_tool_has_left_ends_with_its_lifetime(
    make_lab: MakeLab, tool: Tool, command: tuple[str, ...], mode: str
) -> None:
    lab = make_lab(mode=mode, min_lifetime=2)
    done = tool(lab, *command, SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    eventually(lambda: lab.table() == [], OVER_WITHIN, f"a mapping for {SHORT} s is over")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("command", "delete"),
    [(UPNPC, ("upnpc", "-d", "4000", "UDP")), (NATPMPC, (*NATPMPC, "0"))],
    ids=["upnpc", "natpmpc"],
)
def test_a_tool_deletes_what_an_earlier_run_has_left(
    make_lab: MakeLab, tool: Tool, command: tuple[str, ...], delete: tuple[str, ...], mode: str
) -> None:
    lab = make_lab(mode=mode)
    assert tool(lab, *command, "600").returncode == 0
    assert only(lab.table()) == ENTRY
    done = tool(lab, *delete)
    assert done.returncode == 0, done.stdout + done.stderr
    assert lab.table() == []


def test_upnpc_without_a_lifetime_leaves_a_finite_mapping(make_lab: MakeLab, tool: Tool) -> None:
    lab = make_lab(mode="upnp")
    done = tool(lab, *UPNPC)
    assert done.returncode == 0, done.stdout + done.stderr
    assert only(lab.table()) == ENTRY
    # another client, with no library of portlease, sees what the router has granted
    listed = lab.run("lan", "upnpc", "-u", f"http://{ROUTER}:5000/rootDesc.xml", "-l").stdout
    line = only_line(listed, "UDP  4000->")
    assert 0 < int(line.split()[-1]) <= 604800


@pytest.mark.parametrize("mode", ["default", "upnp"])
def test_upnpc_lists_the_routers_table(make_lab: MakeLab, tool: Tool, mode: str) -> None:
    lab = make_lab(mode=mode)
    lab.run("lan", *UPNPC, "600")
    done = tool(lab, "upnpc", "-l")
    assert done.returncode == 0, done.stdout + done.stderr
    assert only_line(done.stdout, "->192").split()[1:3] == ["UDP", f"4000->{LAN_HOST}:4000"]


@pytest.mark.parametrize("mode", MODES)
def test_upnpc_tells_the_routers_address(make_lab: MakeLab, tool: Tool, mode: str) -> None:
    done = tool(make_lab(mode=mode), "upnpc", "-s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ExternalIPAddress = {WAN_ADDRESS}" in done.stdout
    assert f"Local LAN ip address : {LAN_HOST}" in done.stdout


@pytest.mark.parametrize("mode", MODES)
def test_natpmpc_tells_the_routers_address(make_lab: MakeLab, tool: Tool, mode: str) -> None:
    done = tool(make_lab(mode=mode), "natpmpc")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Public IP address : {WAN_ADDRESS}" in done.stdout


# With Debian's own library each of them finds nothing on that router, so what maps is portlease.
@pytest.mark.parametrize(("command", "mode"), [(UPNPC, "pmp"), (NATPMPC, "upnp")], ids=["upnpc", "natpmpc"])
def test_portlease_run_starts_a_tool_with_the_libraries(
    make_lab: MakeLab, command: tuple[str, ...], mode: str
) -> None:
    using = libraries()
    if using == STOCK:
        pytest.skip("portlease run has nothing to do with Debian's own libraries")
    lab = make_lab(mode=mode)
    done = lab.run("lan", BINARY, "run", "--libraries", using, "--", *command, "600")
    assert done.returncode == 0, done.stdout + done.stderr
    assert only(lab.table()) == ENTRY
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"


def only_line(text: str, part: str) -> str:
    """The one line with this part."""
    found = [line for line in text.splitlines() if part in line]
    assert len(found) == 1, text
    return found[0]
