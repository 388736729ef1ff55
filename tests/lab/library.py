"""The library itself in the lab: a program that makes the calls it is told to, one JSON line each (tests/scenarios)."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

from homelab import COMMAND_TIMEOUT, Lab
from portlease import BINARY, MAPS_WITHIN

TESTEE = Path(os.environ.get("PORTLEASE_TESTEE", BINARY.parent / "portlease-testee"))


class CallFailed(Exception):
    """What a call of the library failed with."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class Library:
    """A process with one mapper in the LAN."""

    def __init__(self, lab: Lab, **config: Any) -> None:
        self._process = subprocess.Popen(
            lab.inside("lan", TESTEE), env=lab.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._numbers = itertools.count(1)
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.call("start", config=config)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def call(self, do: str, lease: str = "lease", **arguments: Any) -> Any:
        """Makes a call on the mapper or on a lease and answers with its result."""
        assert self._process.stdin
        number = next(self._numbers)
        command = {"id": number, "do": do, "mapper": "mapper", "lease": lease, **arguments}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._answers.get(timeout=COMMAND_TIMEOUT)
        assert line, f"the program ended at {command}"
        answer = json.loads(line)
        assert answer["id"] == number and "unsupported" not in answer, answer
        if "error" in answer:
            raise CallFailed(answer["error"]["kind"], answer["error"]["message"])
        return answer["result"]

    def map(self, port: int, lease: str = "lease", **arguments: Any) -> dict[str, Any]:
        """Maps a UDP port and waits for the mapping."""
        self.call("map", lease, port=port, transport="udp", family="ipv4", **arguments)
        mapped: dict[str, Any] = self.call("ready", lease, timeout=MAPS_WITHIN)
        return mapped

    def wait_for_event(self, kind: str, within: float = MAPS_WITHIN) -> dict[str, Any]:
        """The next event of this kind."""
        event: dict[str, Any] = {"kind": None}
        while event["kind"] != kind:
            event = self.call("next_event", timeout=within)
        return event

    def stop(self) -> str:
        """Stops the mapper; how that left the router."""
        return str(self.call("stop_mapper"))

    def close(self) -> None:
        """Ends the program, whatever it does."""
        self._process.kill()
        self._process.wait(COMMAND_TIMEOUT)
        self._reader.join(COMMAND_TIMEOUT)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
