# pyright: strict, reportMissingModuleSource=false
"""What a user's editor and type checker see. Checked by mypy and pyright, both strict; never run."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import portlease
from portlease import aio
from portlease.asgi import Mapped
from portlease.testing import Faults, Gateway, GatewayMapping, GatewaySettings


def blocking() -> None:
    with portlease.open(9001) as lease:
        assert_type(lease, portlease.OpenPort)
        assert_type(lease.external, portlease.Endpoint | None)
        if lease.external is not None:
            host, port = lease.external
            assert_type(host, str)
            assert_type(port, int)
            assert_type(lease.external.host, str)
            assert_type(lease.external.address, IPv4Address | IPv6Address)
            socket.create_connection(lease.external)
    with portlease.open(9001, state_dir=Path("state"), check_interval=0), portlease.open(9002, state_dir="state"):
        pass
    with portlease.Mapper(ttl=timedelta(minutes=10), protocols=["pcp", portlease.Protocol.UPNP]) as mapper:
        game = mapper.map(9001, portlease.Transport.UDP)
        assert_type(game, portlease.Lease)
        assert_type(game.mapper, portlease.Mapper)
        snapshot = game.ready(timeout=5)
        assert_type(snapshot, portlease.LeaseSnapshot)
        assert_type(snapshot.state, portlease.LeaseState)
        assert_type(snapshot.protocol, portlease.Protocol | None)
        assert_type(snapshot.lifetime, float | None)
        assert_type(snapshot.external_port, int | None)
        assert_type(snapshot.revision, int)
        assert_type(snapshot.asdict(json=True), dict[str, Any])
        assert_type(len({snapshot}), int)
        assert_type(mapper.snapshot().leases, tuple[portlease.LeaseSnapshot, ...])
        snapshot = game.changed(timeout=5)
        assert_type(game.changed(since=snapshot), portlease.LeaseSnapshot)
        assert_type(game.changed(snapshot.revision), portlease.LeaseSnapshot)
        assert_type(game.repair(timeout=5), portlease.LeaseSnapshot)
        assert_type(mapper.snapshot().last_error, portlease.ErrorReport | None)
        mapper.network_changed()
        assert_type(mapper.events(), portlease.Events)
        assert_type(mapper.events().next(timeout=1), portlease.Event)
        for event in mapper:
            assert_type(event, portlease.Event)
            assert_type(event.error, portlease.ErrorReport | None)
        assert_type(mapper.probe().protocols[0].round_trip, float | None)
        assert_type(mapper.stop(0.5), portlease.Release)
        assert_type(game.detach(), portlease.Release)
    with contextlib.closing(portlease.open(9003)) as closing:
        assert_type(closing, portlease.OpenPort)
    assert_type(portlease.exit_on_sigterm(), bool)


def parameters(transport: portlease.TransportName, timeout: portlease.Seconds | None) -> portlease.OpenPort:
    return portlease.open(9001, transport, timeout=timeout)


async def in_asyncio() -> None:
    async with aio.open(9001, retry="never") as lease:
        assert_type(lease, aio.OpenPort)
        assert_type(await lease.ready(), portlease.LeaseSnapshot)
    assert_type(await aio.open(9002, "tcp", retry=portlease.Backoff(max=60)), aio.OpenPort)
    assert_type(await asyncio.create_task(aio.open(9003)), aio.OpenPort)
    async with contextlib.aclosing(aio.Mapper()) as closing:
        assert_type(closing, aio.Mapper)
    async with aio.Mapper() as mapper:
        game = mapper.map(9001)
        assert_type(game, aio.Lease)
        assert_type(await game.changed(), portlease.LeaseSnapshot)
        assert_type(await game.repair(), portlease.LeaseSnapshot)
        assert_type(await game.stop(), portlease.Release)
        async for event in mapper:
            assert_type(event.kind, portlease.EventKind)
        async for event in mapper.events():
            assert_type(event, portlease.Event)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert_type(Mapped(application, 8000, external_port=80, ttl=600), Mapped)


def errors() -> None:
    try:
        portlease.open(9001)
    except portlease.RefusedError as error:
        assert_type(error.kind, portlease.ErrorKind)
        assert_type(error.message, str)
    except TimeoutError:
        pass


def own_tests() -> None:
    with Gateway(upnp=False, pcp="silent", soap_errors={"*": 501}) as gateway:
        with portlease.Mapper(ttl=2, **gateway.config()) as mapper:
            mapper.map(9001)
        with portlease.open(9001, ttl=2, timeout=5, **gateway.config()):
            pass
        assert_type(gateway.config(), GatewaySettings)
        assert_type(gateway.mappings, list[GatewayMapping])
        assert_type(gateway.faults, Faults)
        assert_type(gateway.counters["pcp_map"], int)
        gateway.set_faults(nat_pmp={"refuse": 2})
        gateway.wait_for(lambda gateway: not gateway.mappings)


def mistakes() -> None:
    portlease.open("9001")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    portlease.open(9001, "sctp")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    portlease.Mapper(time_to_live=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Gateway(pcp="quiet")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
