"""How the tests of the asyncio face run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from portlease import aio


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a test, whose default executor nobody may use."""

    async def guarded() -> None:
        loop = asyncio.get_running_loop()
        used = []
        loop.run_in_executor = lambda *arguments: used.append(arguments)  # type: ignore[method-assign,assignment]
        await asyncio.wait_for(coroutine, 20)
        assert not used, "the default executor is the user's"

    asyncio.run(guarded())


async def stop(handle: aio.Mapper | aio.Lease) -> None:
    assert await handle.stop() == "released"
