"""The Node package against a real router: the example of its README, as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from conftest import MakeLab
from homelab import LAN_HOST, LAN_HOST6, WAN_ADDRESS, Entry, Pinhole, eventually, only
from languages import CHECKOUT, errors_of, need, running, said

# Where the package is that is tested; it holds its addon, or PORTLEASE_NATIVE names one.
PACKAGE = Path(os.environ.get("PORTLEASE_NODE", CHECKOUT / "node"))
PORT = 9001

# From the start of Node to the mapping, and from Ctrl-C to its end.
MAPS_WITHIN = 10.0
ENDS_WITHIN = 10.0

# One datagram from the internet to the address of its argument; prints the answer.
ASK = f"""
import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(2)
    sock.sendto(b"hello", (sys.argv[1], {PORT}))
    print(sock.recv(2048).decode())
"""

# The README's server over IPv6.
IPV6 = f"""
import {{ createSocket }} from 'node:dgram';
import {{ open }} from 'portlease';

const socket = createSocket('udp6').bind({PORT});
socket.on('message', (message, from) => socket.send(`echo ${{message}}`, from.port, from.address));
const port = await open({PORT}, {{ transport: 'udp', family: 'ipv6' }});
console.log(`external address: ${{port.external}}`);
process.once('SIGINT', async () => {{
  await port.stop();
  socket.close();
}});
"""

NODE = shutil.which("node")


def example() -> str:
    """The first example of the README."""
    found = re.search(r"```js\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    assert found, "the README has no example"
    return found[1]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The example in an empty project that has the package installed."""
    built = NODE is not None and (PACKAGE / "dist/index.mjs").exists()
    need(built, f"Node package in {PACKAGE}", "make -C node build")
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "portlease").symlink_to(PACKAGE)
    program = tmp_path / "server.mjs"
    program.write_text(example())
    return program


@pytest.mark.parametrize("mode", ["default", "upnp"])
def test_the_readme_s_server_is_reached_from_the_internet_and_leaves_nothing_behind(
    make_lab: MakeLab, server: Path, mode: str
) -> None:
    lab = make_lab(mode=mode)
    with running(lab, str(NODE), server) as program:
        assert said(program, MAPS_WITHIN) == f"external address: {WAN_ADDRESS}:{PORT}"
        assert only(lab.table()) == Entry("udp", PORT, LAN_HOST, PORT)
        asked = lab.run("inet", "python3", "-c", ASK, WAN_ADDRESS)
        assert asked.stdout == "echo hello\n", asked.stderr
        program.send_signal(signal.SIGINT)
        assert errors_of(program, ENDS_WITHIN) == ""
        assert program.returncode == 0
    eventually(lambda: not lab.rules(), 2, "nothing is left on the router")
    lab.assert_nothing_is_mapped()


@pytest.mark.parametrize("mute", ["off", "5351"], ids=["pcp", "upnp"])
def test_a_server_is_reached_over_ipv6_and_leaves_no_pinhole_behind(make_lab: MakeLab, server: Path, mute: str) -> None:
    lab = make_lab()
    lab.mute(mute)
    server.write_text(IPV6)
    with running(lab, str(NODE), server) as program:
        assert said(program, MAPS_WITHIN) == f"external address: [{LAN_HOST6}]:{PORT}"
        assert lab.pinholes() == [Pinhole("udp", LAN_HOST6, PORT)]
        asked = lab.run("inet", "python3", "-c", ASK, LAN_HOST6)
        assert asked.stdout == "echo hello\n", asked.stderr
        program.send_signal(signal.SIGINT)
        assert errors_of(program, ENDS_WITHIN) == ""
        assert program.returncode == 0
    assert lab.rules() == []
    assert lab.run("inet", "python3", "-c", ASK, LAN_HOST6).stdout == ""
