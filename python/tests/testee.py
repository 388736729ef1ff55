"""The testee: makes the calls that the scenarios' runner asks for, many at once, and answers with what they gave.

`testee.py` calls the blocking face, each call in a thread; `testee.py --asyncio` the asyncio face, each call in a task.
The lines are described in tests/scenarios/README.md.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import portlease
from portlease import aio

mappers: dict[str, Any] = {}
leases: dict[str, Any] = {}


def call(face: Any, command: dict[str, Any]) -> Any:
    """Makes a call of the blocking face, or begins one of the asyncio face."""
    # The runner asks for no handle that is not there.
    mapper, lease = mappers.get(command.get("mapper", "")), leases.get(command.get("lease", ""))
    # Without a limit of the runner's, the library's default counts.
    limit = {"timeout": command["timeout"]} if command.get("timeout") is not None else {}
    match command["do"]:
        case "start":
            settings = command["config"]
            if isinstance(settings.get("retry"), dict):
                settings["retry"] = portlease.Backoff(**settings["retry"])
            mappers[command["mapper"]] = face.Mapper(**settings)
        case "map" | "ensure" as method:
            wishes = {name: command[name] for name in ("external_port", "exact", "family", "ttl", "description")}
            lease = getattr(mapper, method)(command["port"], command["transport"], **wishes)
            leases[command["lease"]] = lease
            return lease.id if method == "ensure" else None
        case "leases":
            return [lease.id for lease in mapper.leases()]
        case "external_address":
            return mapper.external_address(**limit)
        case "table":
            return mapper.table()
        case "delete":
            return mapper.delete(command["external_port"], command["transport"], any_host=command["any_host"])
        case "ready" | "repair" | "stop" as method:
            return getattr(lease, method)(**limit)
        case "changed":
            return lease.changed(command["since"], **limit)
        case "snapshot" | "detach" as method:
            return getattr(lease, method)()
        case "network_changed":
            mapper.network_changed()
        case "mapper_snapshot":
            return mapper.snapshot()
        case "next_event":
            return mapper.next_event(**limit)
        case "probe":
            return mapper.probe()
        case "stop_mapper":
            return mapper.stop(**limit)
        case other:
            raise NotImplementedError(other)
    return None


def plain(value: Any) -> Any:
    """A result in the writing of the scenarios."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.asdict(json=True) if hasattr(value, "asdict") else value


def failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, portlease.PortLeaseError):
        names = ("kind", "message", "advice", "retry_after")
        return {"error": {name: getattr(error, name) for name in names} | {"details": plain(list(error.details))}}
    return {"unsupported": repr(error)}


def say(command: dict[str, Any], answer: dict[str, Any]) -> None:
    # One write, so that the lines of several threads do not mix.
    sys.stdout.write(json.dumps({"id": command["id"], **answer}, default=str) + "\n")
    sys.stdout.flush()


def block(command: dict[str, Any]) -> None:
    try:
        answer = {"result": plain(call(portlease, command))}
    except Exception as error:
        answer = failure(error)
    say(command, answer)


async def wait(command: dict[str, Any]) -> None:
    try:
        result = call(aio, command)
        answer = {"result": plain(await result if asyncio.iscoroutine(result) else result)}
    except Exception as error:
        answer = failure(error)
    say(command, answer)


async def serve() -> None:
    tasks = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        tasks.append(asyncio.create_task(wait(json.loads(line))))
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    if sys.argv[1:] == ["--asyncio"]:
        asyncio.run(serve())
    else:
        with ThreadPoolExecutor(32) as threads:
            for line in sys.stdin:
                threads.submit(block, json.loads(line))
