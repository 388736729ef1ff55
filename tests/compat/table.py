"""Measures what Debian's programs map, with Debian's own libraries and with portlease's; prints a Markdown table.

Runs in the lab's private namespaces: tests/compat/run table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path

from homelab import LAN_HOST, LOOK_INTERVAL, Lab, eventually
from programs import OTHERS, QUICK, TOOLS, Program
from unmodified import COMPAT, STOCK, Running, asks_no_more, requests, restart_router

PROGRAMS = QUICK | TOOLS | OTHERS
ROUTERS = {"default": "PCP, NAT-PMP, UPnP", "upnp": "UPnP only", "pmp": "PCP, NAT-PMP"}
# Debian's libraries search for 2 to 8 s, whatever answers; this is after the program has begun to.
MAPS_WITHIN = 14.0
# A program that asks by itself again does so every 20 minutes.
BACK_WITHIN = 15.0
# How many run at once: they mostly wait, and more of them would disturb the figures.
AT_ONCE = 3

NEVER = "never"

numbers = count()


@dataclass
class Outcome:
    """What became of one program with one set of libraries."""

    mapped: str
    back: str = "-"
    deleted: str = "-"


def measure(program: Program, mode: str, using: str) -> Outcome:
    """Two lives of one program in a lab of its own: one until its end, one until its router restarts."""
    lab = Lab(f"table{next(numbers)}")
    try:
        lab.daemon("start", mode=mode)
        lab.serve((LAN_HOST, 4000))
        with running(lab, program, using) as first:
            outcome = Outcome(mapped(lab, program, first))
            if outcome.mapped == NEVER or not program.stays:
                return outcome
            if not program.entries:
                with suppress(AssertionError):  # on a busy machine it may take longer
                    eventually(lambda: asks_no_more(lab), MAPS_WITHIN, f"{program.package} asks for no more ports")
            first.end()
            outcome.deleted = "no" if lab.table() else "yes"
        lab.daemon("reboot", mode=mode)
        with running(lab, program, using) as second:
            mapped(lab, program, second)
            outcome.back = back(lab, mode)
        return outcome
    finally:
        lab.close()


@contextmanager
def running(lab: Lab, program: Program, using: str) -> Iterator[Running]:
    """The program, with a home folder that is new."""
    with tempfile.TemporaryDirectory() as home:
        one = Running(lab, program, Path(home), using)
        try:
            yield one
        finally:
            one.kill()


def mapped(lab: Lab, program: Program, running: Running) -> str:
    """How long after its start its ports are there, and by which protocols."""
    started = changed = time.monotonic()
    wanted, seen = len(program.entries) or program.ports, 0
    deadline = started + program.asks_within + MAPS_WITHIN
    while seen < wanted and time.monotonic() < deadline:
        ended = running.process.poll() is not None
        now = len(lab._table_of_this_instant())
        if now != seen:
            seen, changed = now, time.monotonic()
        if ended and seen < wanted:
            break
        time.sleep(LOOK_INTERVAL)
    if not seen:
        return NEVER
    # the daemon writes its log after the rule
    asked = eventually(lambda: requests(lab), 2, "the daemon writes who asked")
    protocols = "/".join(sorted({protocol for protocol, _, _ in asked}))
    some = "" if seen >= wanted else f", {seen} of {wanted} ports"
    return f"{changed - started:.2f} s, {protocols}{some}"


def back(lab: Lab, mode: str) -> str:
    """When its ports were there again after a restart of the router."""
    rules = lab.table()
    restart_router(lab, mode)
    restarted = time.monotonic()
    while time.monotonic() < restarted + BACK_WITHIN:
        if lab._table_of_this_instant() == rules:
            return f"{time.monotonic() - restarted:.2f} s"
        time.sleep(LOOK_INTERVAL)
    return "no"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", default="", help="the programs with this in their name")
    chosen = {name: program for name, program in PROGRAMS.items() if parser.parse_args().k in name}
    if not (Path(COMPAT) / "libminiupnpc.so.17").exists():
        sys.exit(f"compat: no drop-in libraries in {COMPAT}; see 'make build-compat' and 'make install-compat'")
    runs = list(product(chosen, ROUTERS, (STOCK, COMPAT)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = dict(zip(runs, pool.map(lambda run: measure(chosen[run[0]], *run[1:]), runs), strict=True))
    figures = ("from start to rule", "back after a restart of the router", "deleted at its end")
    print("| program | router |", *(f"{figure}: stock | portlease |" for figure in figures))
    print("|" + "---|" * (2 + 2 * len(figures)))
    for name, mode in product(chosen, ROUTERS):
        stock, ours = outcomes[name, mode, STOCK], outcomes[name, mode, COMPAT]
        cells = [stock.mapped, ours.mapped, stock.back, ours.back, stock.deleted, ours.deleted]
        print("|", " | ".join([name, ROUTERS[mode], *cells]), "|")
    return 0


if __name__ == "__main__":
    sys.exit(main())
