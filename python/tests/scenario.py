"""Plays a scenario of tests/scenarios: what a file may say, how results match, and the calls. See the README there."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import portlease
from portlease.testing import Gateway

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "scenarios"

# How long a wait goes on where the scenario names no time, and how often a condition is looked at.
PATIENCE = 10.0
LOOK = 0.01

FIELDS = {"name", "note", "gateway", "config", "steps", "end", "fails_at"}
# The arguments of each step; those in capitals must be there.
ARGUMENTS = {
    "start": {"mapper", "config"},
    "map": {"mapper", "lease", "PORT", "transport", "external_port", "exact"},
    "ready": {"lease", "timeout"},
    "snapshot": {"lease"},
    "wait_for": {"lease"},
    "stop": {"lease", "timeout"},
    "detach": {"lease"},
    "mapper_snapshot": {"mapper"},
    "next_event": {"mapper", "timeout", "skip"},
    "probe": {"mapper"},
    "stop_mapper": {"mapper", "timeout"},
    "gateway": {"LINE"},
    "wait_for_gateway": set(),
    "repeat": {"TIMES", "STEPS"},
}
CONDITIONS = {"at_least", "at_most", "contains", "not", "one_of"}


class Mismatch(Exception):
    """What was seen is not what the scenario says; or the scenario itself is wrong."""

    def __init__(self, reason: str, at: int | str | None = None) -> None:
        super().__init__(reason)
        self.at = at


def read(path: Path) -> dict[str, Any]:
    """The scenario of a file; whatever the format does not know is an error."""
    scenario: dict[str, Any] = json.loads(path.read_text())
    if unknown := scenario.keys() - FIELDS:
        raise Mismatch(f"unknown fields {unknown}")
    check_steps(scenario["steps"])
    return scenario


def check_steps(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        if step.get("do") not in ARGUMENTS:
            raise Mismatch(f"unknown step {step}")
        known = ARGUMENTS[step["do"]]
        needed = {name.lower() for name in known if name.isupper()}
        allowed = {name.lower() for name in known} | {"do", "sees", "fails", "within"}
        if not needed <= step.keys() <= allowed:
            raise Mismatch(f"wrong arguments {set(step)}, allowed are {allowed}, needed {needed} in {step}")
        if "sees" in step and "fails" in step:
            raise Mismatch(f"both `sees` and `fails` in {step}")
        if step["do"].startswith("wait_for") and "sees" not in step:
            raise Mismatch(f"nothing to wait for in {step}")
        if step["do"] == "repeat":
            check_steps(step["steps"])


def mismatch(path: str, expected: Any, actual: Any) -> str | None:
    """Why `actual` is not as expected; None where it is."""
    differs = f"{path}: expected {json.dumps(expected)}, got {json.dumps(actual)}"
    if isinstance(expected, dict) and expected and expected.keys() <= CONDITIONS:
        return None if all(holds(word, argument, actual) for word, argument in expected.items()) else differs
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return differs
        for name, part in expected.items():
            if name not in actual:
                return f"{path}: there is no field {name} in {json.dumps(actual)}"
            if reason := mismatch(f"{path}.{name}", part, actual[name]):
                return reason
        return None
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            return differs
        parts = (mismatch(f"{path}[{i}]", *pair) for i, pair in enumerate(zip(expected, actual, strict=True)))
        return next(filter(None, parts), None)
    if is_number(expected) and is_number(actual):
        return None if expected == actual else differs
    # True is no 1 here.
    return None if type(expected) is type(actual) and expected == actual else differs


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def holds(word: str, argument: Any, actual: Any) -> bool:
    if word == "at_least":
        return is_number(actual) and actual >= argument
    if word == "at_most":
        return is_number(actual) and actual <= argument
    if word == "contains":
        return isinstance(actual, str) and argument in actual
    if word == "not":
        return mismatch("", argument, actual) is not None
    return any(mismatch("", option, actual) is None for option in argument)


def view(result: Any) -> Any:
    """A result as the scenarios write it: plain JSON, addresses as text."""
    if hasattr(result, "asdict"):
        result = result.asdict()
    return json.loads(json.dumps(plain(result), default=str))


def plain(value: Any) -> Any:
    if isinstance(value, portlease.Endpoint):
        return str(value)
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


class Player:
    """One scenario against a gateway of its own."""

    def __init__(self, scenario: dict[str, Any], gateway: Gateway) -> None:
        self.gateway = gateway
        self.settings = {**gateway.config(), **scenario.get("config", {})}
        self.mappers: dict[str, portlease.Mapper] = {}
        self.leases: dict[str, portlease.Lease] = {}

    def play(self, steps: list[dict[str, Any]]) -> None:
        for number, step in enumerate(steps, 1):
            try:
                self.step(step)
            except Mismatch as error:
                raise Mismatch(f"step {number}, {json.dumps(step)}\n  {error}", number) from None

    def step(self, step: dict[str, Any]) -> None:
        begin = time.monotonic()
        reason: str | None
        try:
            result = self.act(step)
        except portlease.PortLeaseError as error:
            seen = {"kind": str(error.kind), "message": error.message}
            if "fails" not in step:
                reason = f"it failed: {seen}"
            else:
                reason = mismatch("error", step["fails"], seen)
        else:
            if "fails" in step:
                reason = f"it should have failed, but gave {result}"
            else:
                reason = mismatch("result", step["sees"], result) if "sees" in step else None
        took = time.monotonic() - begin
        if reason is None and took > step.get("within", math.inf):
            reason = f"it took {took:.3f} s"
        if reason is not None:
            raise Mismatch(reason)

    def act(self, step: dict[str, Any]) -> Any:
        arguments = {name: value for name, value in step.items() if name not in ("do", "sees", "fails", "within")}
        mapper, lease = arguments.pop("mapper", "mapper"), arguments.pop("lease", "lease")
        action = step["do"]
        if action == "start":
            settings = {**self.settings, **arguments.get("config", {})}
            if isinstance(settings.get("retry"), dict):
                settings["retry"] = portlease.Backoff(**settings["retry"])
            try:
                self.mappers[mapper] = portlease.Mapper(**settings)
            except TypeError as error:
                # A setting that does not exist is the scenario's mistake, not an answer of the library.
                raise Mismatch(str(error)) from None
            return None
        if action == "map":
            self.leases[lease] = self.find(self.mappers, mapper).map(**arguments)
            return None
        if action == "ready":
            return view(self.find(self.leases, lease).ready(arguments.get("timeout", PATIENCE)))
        if action == "snapshot":
            return view(self.find(self.leases, lease).snapshot())
        if action == "wait_for":
            handle = self.find(self.leases, lease)
            return self.until(step["sees"], lambda: view(handle.snapshot()))
        if action == "stop":
            return self.find(self.leases, lease).stop(**arguments)
        if action == "detach":
            return self.find(self.leases, lease).detach()
        if action == "mapper_snapshot":
            return view(self.find(self.mappers, mapper).snapshot())
        if action == "next_event":
            return self.next_event(self.find(self.mappers, mapper), **arguments)
        if action == "probe":
            return view(self.find(self.mappers, mapper).probe())
        if action == "stop_mapper":
            return self.find(self.mappers, mapper).stop(**arguments)
        if action == "gateway":
            return self.tell_gateway(arguments["line"])
        if action == "wait_for_gateway":
            return self.until(step["sees"], lambda: self.gateway_state(step["sees"]))
        for _ in range(arguments["times"]):
            self.play(arguments["steps"])
        return None

    def next_event(self, mapper: portlease.Mapper, timeout: float = PATIENCE, skip: Any = None) -> Any:
        end = time.monotonic() + timeout
        while True:
            event = view(mapper.next_event(max(0.0, end - time.monotonic())))
            if skip is None or mismatch("skip", skip, event):
                return event

    def find(self, handles: dict[str, Any], name: str) -> Any:
        if name not in handles:
            raise Mismatch(f"there is no `{name}`")
        return handles[name]

    def tell_gateway(self, line: dict[str, Any]) -> Any:
        if line.get("command") == "stop":
            raise Mismatch("the gateway stays until the end")
        try:
            return self.gateway.command(line)
        except portlease.InvalidError as error:
            raise Mismatch(f"the gateway says: {error}") from None

    def gateway_state(self, expected: Any) -> Any:
        """Table and counters; a counter that is expected and never counted is 0."""
        state = self.tell_gateway({"command": "state"})["state"]
        for name in expected.get("counters", {}) if isinstance(expected, dict) else ():
            state["counters"].setdefault(name, 0)
        return state

    def until(self, expected: Any, look: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            seen = look()
            if time.monotonic() >= end or mismatch("", expected, seen) is None:
                return seen
            time.sleep(LOOK)


def run(scenario: dict[str, Any]) -> None:
    """Plays all steps, stops every mapper and looks at what is left on the gateway."""
    expected = scenario.get("end", {"mappings": []})
    options = dict(scenario.get("gateway", {}))
    faults = options.pop("faults", {})
    with ExitStack() as stack:
        try:
            gateway = stack.enter_context(Gateway(**options))
            gateway.set_faults(**faults)
        except portlease.InvalidError as error:
            raise Mismatch(f"the gateway does not start: {error}") from None
        player = Player(scenario, gateway)
        try:
            player.play(scenario["steps"])
        finally:
            for mapper in player.mappers.values():
                mapper.stop(PATIENCE)
        if reason := mismatch("end", expected, player.gateway_state(expected)):
            raise Mismatch(reason, "end")
