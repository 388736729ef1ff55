"""The program under test, run in a namespace of the lab and read by its JSON lines."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homelab import COMMAND_TIMEOUT, Lab

BINARY = Path(os.environ.get("PORTLEASE_BIN", Path(__file__).resolve().parents[2] / "target/debug/portlease"))

# The first mapping takes a few milliseconds with PCP and 60 with UPnP; the rest is room for a busy machine.
MAPS_WITHIN = 4.0
# After the signal: the delete, within the protocol's deadline, and the end of the engine.
STOPS_WITHIN = 6.0


@dataclass(frozen=True)
class Event:
    """One line of `portlease map --json`, and when it came: seconds since the program was started."""

    name: str
    at: float
    fields: dict[str, Any]

    def __getitem__(self, field: str) -> Any:
        return self.fields[field]

    @property
    def external_address(self) -> str:
        """The address of `external`."""
        return str(self["external"]).rsplit(":", 1)[0].strip("[]")

    @property
    def external_port(self) -> int:
        """The port of `external`."""
        return int(str(self["external"]).rsplit(":", 1)[1])


class Mapping:
    """A running `portlease map`."""

    def __init__(self, lab: Lab, *arguments: str) -> None:
        # What one test leaves behind is not for the next one, and nobody's home is touched.
        state = [] if "--state-dir" in arguments else ["--no-state"]
        self.command = ["portlease", "map", *arguments, *state, "--json"]
        self._started = time.monotonic()
        # `ip netns exec` becomes the program, so the process is portlease itself and gets the signals.
        self._process = subprocess.Popen(
            lab.inside("lan", BINARY, *self.command[1:]),
            env=lab.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[Event] = []
        self.errors: list[str] = []
        self._queue: queue.Queue[Event | str | None] = queue.Queue()
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_events, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read_events(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            try:
                fields = json.loads(line)
                self._queue.put(Event(fields["event"], time.monotonic() - self._started, fields))
            except (ValueError, TypeError, KeyError):
                self._queue.put(f"this line is no event: {line!r}")
        self._queue.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr
        self.errors.extend(self._process.stderr)

    def next_event(self, within: float) -> Event | None:
        """The next event; None once the program has ended its output. A hang or a line that is no event fails."""
        try:
            event = self._queue.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"no event within {within:.1f} s\n{self}") from None
        assert not isinstance(event, str), f"{event}\n{self}"
        if event:
            self.events.append(event)
        return event

    def wait_for(self, name: str, within: float = MAPS_WITHIN, **fields: Any) -> Event:
        """The next event of this name with these fields; what comes before it stays in `events`."""
        deadline = time.monotonic() + within
        while True:
            event = self.next_event(max(deadline - time.monotonic(), 0))
            assert event, f"ended without `{name}`\n{self}"
            if event.name == name and fields.items() <= event.fields.items():
                return event

    def names(self) -> list[str]:
        """The names of all events that were read."""
        return [event.name for event in self.events]

    def moment(self, event: Event) -> float:
        """When the event came, by the monotonic clock."""
        return self._started + event.at

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def ended(self, within: float = STOPS_WITHIN) -> int:
        """Reads the rest of the events, waits for the end and answers the exit status."""
        deadline = time.monotonic() + within
        while self.next_event(max(deadline - time.monotonic(), 0)):
            pass
        try:
            status = self._process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {within:.1f} s\n{self}") from None
        for reader in self._readers:
            reader.join(COMMAND_TIMEOUT)
        return status

    def stop(self, number: signal.Signals = signal.SIGINT, within: float = STOPS_WITHIN) -> int:
        """Ctrl-C, and the exit status."""
        self.send(number)
        return self.ended(within)

    def stderr(self) -> str:
        """What was said on stderr; whole once the program has ended."""
        return "".join(self.errors)

    def close(self) -> None:
        """Ends the program if the test did not."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(COMMAND_TIMEOUT)
        for reader in self._readers:
            reader.join(COMMAND_TIMEOUT)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def __str__(self) -> str:
        lines = [f"$ {' '.join(self.command)}   (status {self._process.poll()})"]
        lines += [f"  {event.at:7.3f} s  {json.dumps(event.fields)}" for event in self.events]
        lines += [f"  stderr: {line.rstrip()}" for line in self.errors]
        return "\n".join(lines)


def portlease(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs one of the commands that end by themselves."""
    return lab.run("lan", BINARY, *arguments)
