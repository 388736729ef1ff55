"""`portlease.asgi.Mapped` and an application, with the test in the place of the server."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from loops import run

import portlease
from portlease import asgi
from portlease.asgi import Mapped
from portlease.testing import Gateway

PORT = 9001

App = Callable[[Any, Any, Any], Awaitable[None]]

# What a server may wait for the answer to one message; nothing in these tests takes long.
ANSWERS_WITHIN = 5.0


class Server:
    """Runs the lifespan of an application, message by message."""

    def __init__(self, app: App) -> None:
        self.scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.lifespan = asyncio.ensure_future(self._run(app))

    async def _run(self, app: App) -> None:
        await app(self.scope, self._to_app.get, self._from_app.put)

    async def say(self, what: str) -> dict[str, Any]:
        self._to_app.put_nowait({"type": f"lifespan.{what}"})
        return await asyncio.wait_for(self._from_app.get(), ANSWERS_WITHIN)

    @property
    def lease(self) -> portlease.aio.Lease:
        lease = self.scope["state"]["portlease"]
        assert isinstance(lease, portlease.aio.Lease)
        return lease


async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["log"] = ["started"]
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    scope["state"]["log"].append("ended")
    await send({"type": "lifespan.shutdown.complete"})


async def of_http_alone(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def that_looks_and_raises(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise NotImplementedError


async def that_returns_at_once(scope: Any, receive: Any, send: Any) -> None:
    return


async def that_does_not_wait_for_its_end(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})


APPS = [with_lifespan, of_http_alone, that_looks_and_raises, that_returns_at_once, that_does_not_wait_for_its_end]


@pytest.mark.parametrize("app", APPS)
def test_the_port_is_mapped_from_the_startup_to_the_shutdown(app: App, gateway: Gateway, tmp_path: Path) -> None:
    async def test() -> None:
        server = Server(Mapped(app, PORT, **gateway.config(), state_dir=tmp_path))
        assert (await server.say("startup"))["type"] == "lifespan.startup.complete"
        assert (await server.lease.ready(5)).transport == "tcp"
        (mapping,) = gateway.mappings
        assert mapping.internal.port == PORT
        assert (await server.say("shutdown"))["type"] == "lifespan.shutdown.complete"
        assert gateway.mappings == []
        await server.lifespan
        if app is with_lifespan:
            assert server.scope["state"]["log"] == ["started", "ended"]

    run(test())


def test_requests_reach_the_application_as_they_are(gateway: Gateway) -> None:
    async def test() -> None:
        async def app(*call: Any) -> None:
            calls.append(call)

        calls: list[Any] = []
        given = ({"type": "http"}, object(), object())
        await Mapped(app, PORT, **gateway.config())(*given)  # type: ignore[arg-type]
        assert calls == [given]
        assert calls[0][0] is given[0]

    run(test())


def test_a_router_that_says_nothing_delays_neither_the_startup_nor_much_the_shutdown(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")

    async def test() -> None:
        server = Server(Mapped(with_lifespan, PORT, **gateway.config(), state_dir=tmp_path))
        begin = time.monotonic()
        assert (await server.say("startup"))["type"] == "lifespan.startup.complete"
        assert time.monotonic() - begin < 0.5
        begin = time.monotonic()
        assert (await server.say("shutdown"))["type"] == "lifespan.shutdown.complete"
        assert time.monotonic() - begin < 3.0

    run(test())


def test_a_router_that_says_no_is_a_warning_and_does_not_make_the_startup_fail(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.set_faults(pcp={"refuse": 2}, nat_pmp="off", upnp="off")

    async def test() -> None:
        server = Server(Mapped(with_lifespan, PORT, **gateway.config(), state_dir=tmp_path))
        assert (await server.say("startup"))["type"] == "lifespan.startup.complete"
        with pytest.raises(portlease.RefusedError):
            await server.lease.ready(5)
        while not caplog.records:
            await asyncio.sleep(0)
        await server.say("shutdown")

    run(test())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "NOT_AUTHORIZED" in caplog.text


def test_the_external_address_is_told(gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        server = Server(Mapped(with_lifespan, PORT, **gateway.config(), state_dir=tmp_path))
        await server.say("startup")
        while not caplog.records:
            await asyncio.sleep(0)
        await server.say("shutdown")

    with caplog.at_level(logging.INFO, "portlease"):
        run(test())
    assert [record.message for record in caplog.records] == [f"tcp port {PORT} is mapped: 192.0.1.1:{PORT}"]


@pytest.mark.parametrize(
    ("wrong", "says"), [({"port": 0}, "port"), ({"ttl": -1}, "ttl"), ({"transport": "sctp"}, "transport")]
)
@pytest.mark.parametrize("app", [with_lifespan, of_http_alone])
def test_a_wrong_argument_is_a_failed_startup_that_says_which(
    app: App, wrong: dict[str, Any], says: str, gateway: Gateway, tmp_path: Path
) -> None:
    async def test() -> None:
        server = Server(Mapped(app, **{"port": PORT, "state_dir": tmp_path, **gateway.config(), **wrong}))
        answer = await server.say("startup")
        assert answer["type"] == "lifespan.startup.failed"
        assert answer["message"].startswith("portlease: ")
        assert says in answer["message"]
        server.lifespan.cancel()

    run(test())


def test_an_application_that_fails_to_start_is_not_mapped(gateway: Gateway, tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise OSError("no database")

    async def test() -> None:
        server = Server(Mapped(app, PORT, **gateway.config(), state_dir=tmp_path))
        assert await server.say("startup") == {"type": "lifespan.startup.failed", "message": "no database"}
        with pytest.raises(OSError, match="no database"):
            await server.lifespan
        assert "portlease" not in server.scope["state"]

    run(test())
    assert gateway.counters["pcp_map"] == 0


def test_a_server_that_cancels_the_lifespan_leaves_nothing_mapped(gateway: Gateway, tmp_path: Path) -> None:
    async def test() -> None:
        server = Server(Mapped(with_lifespan, PORT, **gateway.config(), state_dir=tmp_path))
        await server.say("startup")
        await server.lease.ready(5)
        server.lifespan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.lifespan
        assert gateway.mappings == []

    run(test())


def test_a_release_that_the_router_did_not_confirm_is_a_warning(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        server = Server(Mapped(with_lifespan, PORT, **gateway.config(), state_dir=tmp_path))
        await server.say("startup")
        await server.lease.ready(5)
        gateway.set_faults(pcp="silent", nat_pmp="silent", upnp="silent")
        await server.say("shutdown")

    with caplog.at_level(logging.WARNING, "portlease"):
        run(test())
    assert [record.levelname for record in caplog.records if record.name == "portlease"] == ["WARNING"]


@pytest.mark.skipif(os.name == "nt", reason="the folder for temporary files is the user's own there")
def test_workers_meet_in_a_folder_that_no_other_user_may_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"portlease-{os.getuid()}"
    assert asgi._shared_folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert asgi._shared_folder() == folder
    folder.chmod(0o777)
    assert asgi._shared_folder() is None
    folder.rmdir()
    folder.symlink_to(tmp_path, target_is_directory=True)
    assert asgi._shared_folder() is None
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert asgi._shared_folder() is None
