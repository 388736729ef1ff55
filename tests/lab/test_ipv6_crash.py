"""A program with a pinhole that is killed: the next start takes it up, or closes it if nobody wants it any more."""

from __future__ import annotations

import signal
import time

import pytest

from conftest import MakeLab, Measured, Start
from homelab import LAN_HOST6, Lab, Pinhole, always, eventually
from portlease import Mapping

# By PCP alone a pinhole that was taken up cannot be closed, see `end`; if UPnP may help, it is PCP that opens it.
PROTOCOLS = [("pcp",), ("upnp",), ("pcp", "upnp")]
CRASHES = 4
# The aim is 5 s after the next start; the rest is for a busy machine.
GONE_WITHIN = 8.0


def begin(start: Start, lab: Lab, protocols: tuple[str, ...], *arguments: str) -> Mapping:
    """A program that records in the lab's folder what it opens."""
    by = [word for protocol in protocols for word in ("--protocol", protocol)]
    return start(lab, *arguments, *by, "--family", "ipv6", "--state-dir", lab.state)


def kill(mapping: Mapping) -> None:
    """Ends it as a crash does."""
    assert mapping.stop(signal.SIGKILL) == -signal.SIGKILL


def end(lab: Lab, mapping: Mapping, protocols: tuple[str, ...], port: int) -> None:
    """Ends a program that has taken up a pinhole for this port: nothing is left, or the user is told."""
    # miniupnpd 2.3.1 takes that for a renewal, and forgets at a renewal by PCP whose pinhole it is.
    refuses = protocols == ("pcp",)
    assert mapping.stop() == (4 if refuses else 0), str(mapping)
    assert ("unconfirmed" in mapping.names()) == refuses
    assert lab.pinholes() == (holes(port) if refuses else [])


def holes(*ports: int) -> list[Pinhole]:
    """Pinholes for these UDP ports."""
    return [Pinhole("udp", LAN_HOST6, port) for port in ports]


@pytest.mark.parametrize("protocols", PROTOCOLS, ids="+".join)
def test_each_start_after_a_crash_takes_up_the_pinhole_and_the_last_one_closes_it(
    lab: Lab, start: Start, protocols: tuple[str, ...]
) -> None:
    lab.serve((LAN_HOST6, 4000))
    mapping = begin(start, lab, protocols, "4000/udp")
    mapping.wait_for("installed")
    for _ in range(CRASHES):
        kill(mapping)
        assert lab.pinholes() == holes(4000)
        mapping = begin(start, lab, protocols, "4000/udp")
        mapping.wait_for("installed")
    assert lab.pinholes() == holes(4000)
    assert lab.reach("udp", 4000, address=LAN_HOST6) == f"{LAN_HOST6}:4000"
    end(lab, mapping, protocols, 4000)
    assert protocols == ("pcp",) or lab.silent("udp", 4000, address=LAN_HOST6)


@pytest.mark.parametrize("protocols", PROTOCOLS, ids="+".join)
def test_what_the_next_start_does_not_want_is_closed_soon_after_it(
    lab: Lab, start: Start, measured: Measured, protocols: tuple[str, ...]
) -> None:
    ports = range(4000, 4006)
    mapping = begin(start, lab, protocols, *(f"{port}/udp" for port in ports))
    for _ in ports:
        mapping.wait_for("installed")
    kill(mapping)
    assert lab.pinholes() == holes(*ports)
    started = time.monotonic()
    mapping = begin(start, lab, protocols, "4003/udp")
    mapping.wait_for("installed")
    eventually(lambda: lab.pinholes() == holes(4003), GONE_WITHIN, "only what is asked for is left")
    what = "+".join(protocols)
    measured(f"leftover pinholes of a crash are closed after the next start: {what}", time.monotonic() - started, "s")
    always(lambda: lab.pinholes() == holes(4003), 0.5, "what is asked for stays")
    end(lab, mapping, protocols, 4003)


def test_a_pinhole_that_was_renewed_before_the_crash_is_taken_up_and_closed(make_lab: MakeLab, start: Start) -> None:
    lab = make_lab(min_lifetime=3)
    both = ("pcp", "upnp")
    mapping = begin(start, lab, both, "4000/udp", "--ttl", "3")
    mapping.wait_for("installed")
    mapping.wait_for("renewed")
    kill(mapping)
    mapping = begin(start, lab, both, "4000/udp")
    mapping.wait_for("installed")
    assert lab.pinholes() == holes(4000)
    assert mapping.stop() == 0, str(mapping)
    assert lab.rules() == []
