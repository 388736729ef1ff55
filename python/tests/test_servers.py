"""Real servers with a mapped port: those of the README, and `portlease.asgi` in uvicorn and hypercorn.

Each server is a process of its own, which finds the simulated router as its default one, and is asked through it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_readme import SERVERS

from portlease.testing import Gateway, GatewayMapping

# From the start of Python to what a server does next, on a busy machine; and from the signal to its end.
STARTS_WITHIN = 15.0
ENDS_WITHIN = 15.0
ANSWERS_WITHIN = 5.0

unix = pytest.mark.skipif(os.name == "nt", reason="the servers are ended by signals")
pytestmark = unix


def example(having: str) -> str:
    return next(text for text in SERVERS if having in text)


@contextmanager
def running(gateway: Gateway, folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A server, as a process group of its own that does not outlive the block."""
    # A shell's jobs in the background ignore Ctrl-C, and so would what they start: what is handled here is not ignored.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with gateway.as_default():
            server = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env={**os.environ, "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
    finally:
        signal.signal(signal.SIGINT, ours)
    try:
        yield server
    finally:
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        server.communicate()


def end(server: subprocess.Popen[str], number: int) -> str:
    """Sends the signal, and returns what the server has said on stderr."""
    server.send_signal(number)
    out, err = server.communicate(timeout=ENDS_WITHIN)
    # uvicorn sends itself the signal again once all is done.
    assert server.returncode in (0, -number), out + err
    return err


def mapped(gateway: Gateway) -> GatewayMapping:
    gateway.wait_for(lambda _: len(gateway.mappings) == 1, STARTS_WITHIN)
    return gateway.mappings[0]


def ask(mapping: GatewayMapping) -> str:
    """What the server answers to somebody outside."""
    host, port = mapping.reach
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=ANSWERS_WITHIN) as answer:
        return str(answer.read().decode())


def echo(mapping: GatewayMapping) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(ANSWERS_WITHIN)
        sock.sendto(b"hello", mapping.reach)
        return sock.recv(2048)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_the_example_with_a_protocol_of_its_own_maps_the_port_that_the_system_gave(
    gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "server.py").write_text(example("DatagramProtocol"))
    with running(gateway, tmp_path, "-W", "error", "server.py") as server:
        assert server.stdout
        mapping = mapped(gateway)
        assert server.stdout.readline() == f"echoing at 192.0.1.1:{mapping.external_port}\n"
        assert mapping.transport == "udp"
        assert echo(mapping) == b"hello"
        assert end(server, signal.SIGINT) == ""
    assert gateway.mappings == []


def test_the_example_with_aiohttp_is_reached_at_the_port_that_the_system_gave(gateway: Gateway, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "server.py").write_text(example("aiohttp"))
    with running(gateway, tmp_path, "-W", "error", "server.py") as server:
        assert server.stdout
        mapping = mapped(gateway)
        assert server.stdout.readline() == f"http://192.0.1.1:{mapping.external_port}/\n"
        assert ask(mapping) == "hello"
        assert end(server, signal.SIGINT) == ""
    assert gateway.mappings == []


# What an application in a worker says at once, so that the lines of several do not mix.
FASTAPI = """
import os
from contextlib import asynccontextmanager
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from portlease.asgi import Mapped

@asynccontextmanager
async def lifespan(app):
    os.write(1, b"started\\n")
    yield
    os.write(1, b"ended\\n")

app = FastAPI(lifespan=lifespan)
app.add_middleware(Mapped, port=8000)

@app.get("/", response_class=PlainTextResponse)
async def where(request: Request):
    return str((await request.state.portlease.ready(5)).external)
"""

UVICORN = ["-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", "8000"]
HYPERCORN = ["-m", "hypercorn", "main:app", "--bind", "127.0.0.1:8000"]


def application(folder: Path, code: str, command: list[str]) -> list[str]:
    """Writes the application, with a free port in the place of 8000, and returns the command for that."""
    port = str(free_port())
    (folder / "main.py").write_text(code.replace("8000", port))
    return [argument.replace("8000", port) for argument in command]


@pytest.mark.parametrize("command", [UVICORN, HYPERCORN], ids=["uvicorn", "hypercorn"])
def test_the_example_of_asgi_is_reached_in_a_real_server_and_released_by_sigterm(
    command: list[str], gateway: Gateway, tmp_path: Path
) -> None:
    pytest.importorskip(command[1])
    with running(gateway, tmp_path, *application(tmp_path, example("asgi"), command)) as server:
        assert ask_when_up(gateway) == "hello"
        end(server, signal.SIGTERM)
    assert gateway.mappings == []


def ask_when_up(gateway: Gateway) -> str:
    """Asks a server that maps its port a moment before it listens."""
    answers: list[str] = []

    def answered(_: Gateway) -> bool:
        try:
            answers.append(ask(mapped(gateway)))
        except OSError:
            return False
        return True

    gateway.wait_for(answered, STARTS_WITHIN)
    return answers[0]


@pytest.mark.parametrize("command", [UVICORN, HYPERCORN], ids=["uvicorn", "hypercorn"])
def test_several_workers_have_one_mapping_and_the_router_refuses_none_of_them(
    command: list[str], gateway: Gateway, tmp_path: Path
) -> None:
    pytest.importorskip(command[1])
    pytest.importorskip("fastapi")
    gateway.set_faults(nat_pmp="off", upnp="off")
    whole = [*application(tmp_path, FASTAPI, command), "--workers", "3"]
    with running(gateway, tmp_path, *whole) as server:
        assert server.stdout
        assert [server.stdout.readline() for _ in range(3)] == ["started\n"] * 3
        mapping = mapped(gateway)
        # Each that asks has its answer: by PCP, the only protocol here, a second nonce would be refused.
        gateway.wait_for(lambda _: gateway.counters["pcp_map"] >= 3, STARTS_WITHIN)
        for _ in range(8):
            assert ask_when_up(gateway) == f"192.0.1.1:{mapping.external_port}"
        assert gateway.mappings[0].nonce == mapping.nonce
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=ENDS_WITHIN)
        # hypercorn's parent may kill a worker whose application has not ended yet.
        if command is UVICORN:
            assert out.count("ended\n") == 3, err
    if command is UVICORN:
        assert gateway.mappings == []


def test_a_reload_releases_the_mapping_and_makes_it_again(gateway: Gateway, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    gateway.set_faults(nat_pmp="off", upnp="off")
    whole = [*application(tmp_path, example("asgi"), UVICORN), "--reload"]
    with running(gateway, tmp_path, *whole) as server:
        assert ask_when_up(gateway) == "hello"
        first = mapped(gateway)
        main = tmp_path / "main.py"
        main.write_text(main.read_text().replace('b"hello"', 'b"hello again"'))

        def reloads(_: Gateway) -> bool:
            os.utime(main)  # uvicorn may not have looked at the file yet
            return gateway.counters["pcp_delete"] >= 1

        gateway.wait_for(reloads, STARTS_WITHIN)
        assert ask_when_up(gateway) == "hello again"
        assert mapped(gateway).external_port == first.external_port
        end(server, signal.SIGTERM)
    assert gateway.mappings == []
