"""Keeps the port of an ASGI application mapped while the application runs, under uvicorn, hypercorn or another server.

    from portlease.asgi import Mapped

    app = Mapped(app, 8000)

The server still decides where it listens: give both the same port.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from portlease._base_error import PortLeaseError
from portlease._config import Config, FamilyName, TransportName
from portlease._errors import InvalidError, InvalidTypeError, StoppedError
from portlease._handles import tell_of_rest
from portlease._typing import Unpack
from portlease.aio import Lease, Mapper

__all__ = ["Mapped"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

_log = logging.getLogger("portlease")

# How long a router that does not answer may hold up the end of the server, in seconds.
_RELEASES_WITHIN = 2.0


class Mapped:
    """An ASGI application whose port is mapped from the end of its startup to the beginning of its shutdown.

    Mapping is best effort: it delays neither the startup nor a request, and no answer of a router makes the startup
    fail. Only wrong arguments do. The logger `portlease` is told how the first attempt ended, and the lease is
    `request.state.portlease` in Starlette and FastAPI, `scope["state"]["portlease"]` elsewhere. An application needs no
    lifespan of its own.

    The arguments are those of `portlease.Mapper.map` and of `portlease.Mapper`, with TCP as the default. It is also a
    middleware: `app.add_middleware(Mapped, port=8000)` in Starlette and FastAPI.

    Each worker of a server starts its application, so each keeps the mapping. By one `state_dir` they know of each
    other: the router sees one mapping, and the last worker that ends deletes it. The default is a folder of this user's
    below that for temporary files.
    """

    def __init__(
        self,
        app: App,
        port: int,
        transport: TransportName = "tcp",
        *,
        external_port: int | None = None,
        exact: bool = False,
        family: FamilyName = "ipv4",
        **config: Unpack[Config],
    ) -> None:
        self._app = app
        self._port = port
        self._wishes: dict[str, Any] = {
            "transport": transport,
            "external_port": external_port,
            "exact": exact,
            "family": family,
        }
        self._config = config

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Passes everything on, and maps the port as the lifespan of the application begins."""
        if scope["type"] == "lifespan":
            await _Lifespan(self, scope, receive, send).run(self._app)
        else:
            await self._app(scope, receive, send)

    def _map(self) -> Lease | None:
        """Begins to map the port. Raises for wrong arguments alone."""
        try:
            config = self._config.copy()
            if "state_dir" not in config:
                config["state_dir"] = _shared_folder()
            mapper = Mapper(**config)
            try:
                return mapper.map(self._port, **self._wishes)
            except BaseException:
                mapper._ended()
                raise
        except (InvalidError, InvalidTypeError):
            raise
        except PortLeaseError as error:
            _log.warning("port %s is not mapped: %s", self._port, error)
            return None


class _Lifespan:
    """One run of an application, between its server and the application."""

    def __init__(self, mapped: Mapped, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._mapped = mapped
        self._scope = scope
        self._from_server = receive
        self._to_server = send
        self._lease: Lease | None = None
        self._telling: asyncio.Task[None] | None = None
        # The last part of the types of the messages so far: startup, shutdown; complete, failed.
        self._heard: set[str] = set()
        self._answered = False

    async def run(self, app: App) -> None:
        try:
            try:
                await app(self._scope, self._receive, self._send)
            except Exception:
                # By the standard, an application that knows no lifespan raises before it answers.
                if self._answered:
                    raise
            await self._go_on_without_it()
        finally:
            await self._release()

    async def _go_on_without_it(self) -> None:
        """Does the rest of the protocol for an application that has no lifespan, or has left its own."""
        if "startup" not in self._heard:
            await self._receive()
        if not self._answered:
            await self._send({"type": "lifespan.startup.complete"})
        if "shutdown" not in self._heard:
            await self._receive()
            await self._send({"type": "lifespan.shutdown.complete"})

    async def _receive(self) -> Message:
        message = await self._from_server()
        self._heard.add(message["type"].rpartition(".")[2])
        if message["type"] == "lifespan.shutdown":
            await self._release()
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            try:
                self._lease = self._mapped._map()
            except (InvalidError, InvalidTypeError) as error:
                message = {"type": "lifespan.startup.failed", "message": f"portlease: {error}"}
            if self._lease is not None:
                self._telling = asyncio.create_task(_tell(self._lease))
                self._scope.get("state", {})["portlease"] = self._lease
        self._answered = True
        await self._to_server(message)

    async def _release(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        if self._lease is not None:
            mapper, self._lease = self._lease.mapper, None
            tell_of_rest(mapper, await mapper.stop(_RELEASES_WITHIN))


async def _tell(lease: Lease) -> None:
    """Tells how the first attempt ends."""
    try:
        now = await lease.ready()
        _log.info("%s is mapped: %s", lease._name(), now.external or f"external port {now.external_port}")
    except StoppedError:
        pass
    except PortLeaseError as error:
        _log.warning("%s; portlease keeps trying", error)


def _shared_folder() -> Path | None:
    """The folder by which the workers of a server know of each other; none if it might be another user's."""
    if os.name == "nt":  # the folder for temporary files is the user's own there
        return Path(tempfile.gettempdir()) / "portlease"
    folder = Path(tempfile.gettempdir()) / f"portlease-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if is_ours else None
