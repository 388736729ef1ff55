"""A router that restarts, or gets another address: the mapping is there again long before its renewal is due."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from conftest import MakeLab, Measured, Start
from homelab import LAN_HOST, Entry, Lab
from portlease import Mapping

# Not the port inside, so that the entry is made again only if the port of the lost mapping was asked for.
EXTERNAL = 4100
ENTRY = Entry("udp", EXTERNAL, LAN_HOST, 4000)
# The lifetime is an hour and the next renewal half an hour away: nothing heals by itself within a test.
ARGUMENTS = ("4000/udp", "--external", str(EXTERNAL))
# Within 1 s of an announcement, by the renewals' spread; the rest is for a busy machine.
ANNOUNCED_WITHIN = 4.0
CHECK_INTERVAL = 2
CHECKED_WITHIN = CHECK_INTERVAL + ANNOUNCED_WITHIN
# A BOOTID counts seconds: the second one must be another than the first.
DARK = 1.1
# Where only the epoch tells: the steps in which epochs are compared are larger than that (RFC 6887 8.5).
DARK_FOR_EPOCHS = 3.5


@dataclass(frozen=True)
class Restart:
    """How a router restarts, and what its epoch says of it."""

    system_uptime: str
    # The router's uptime at its first start and at its second, if it is not the machine's.
    uptimes: tuple[int | None, int | None] = (None, None)

    def start(self, lab: Lab, mode: str = "default", min_lifetime: int = 120) -> None:
        self._come(lab, self.uptimes[0], mode, min_lifetime)

    def come_back(self, lab: Lab, mode: str = "default", min_lifetime: int = 120) -> None:
        self._come(lab, self.uptimes[1], mode, min_lifetime)

    def _come(self, lab: Lab, uptime: int | None, mode: str, min_lifetime: int) -> None:
        extra = f"system_uptime={self.system_uptime}"
        lab.daemon("start", mode=mode, min_lifetime=min_lifetime, extra=extra, uptime=uptime)


RESTARTS = {
    # The epoch begins anew with the daemon.
    "daemon": Restart("no"),
    # As the daemon is shipped, the epoch is the router's uptime: it goes on where only the daemon restarts ...
    "daemon-unseen": Restart("yes"),
    # ... and begins anew after a power cut.
    "power-cut": Restart("yes", (5000, 5)),
}
SEEN = ["daemon", "power-cut"]


def restarts_under(
    lab: Lab,
    restart: Restart,
    mapping: Mapping,
    *,
    within: float,
    dark: float,
    mode: str = "default",
    min_lifetime: int = 120,
) -> float:
    """The router loses its table and starts again; seconds from its first answer until the entry is there again."""
    mapping.wait_for("installed")
    lab.appears(ENTRY, 1)
    lab.daemon("off")
    assert lab.table() == []
    time.sleep(dark)
    restart.come_back(lab, mode, min_lifetime)
    answers = time.monotonic()
    restored = max(lab.appears(ENTRY, within) - answers, 0)
    assert lab.reach("udp", EXTERNAL) == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert "revoked" not in mapping.names()
    assert lab.rules() == []
    return restored


@pytest.mark.parametrize("name", RESTARTS)
@pytest.mark.parametrize(
    ("protocol", "mode"), [("pcp", "default"), ("nat-pmp", "default"), ("upnp", "default"), ("upnp", "upnp")]
)
def test_a_router_that_announces_its_restart_has_the_mapping_again_a_second_later(
    make_lab: MakeLab, start: Start, measured: Measured, protocol: str, mode: str, name: str
) -> None:
    if mode == "upnp" and name != "daemon":
        pytest.skip("UPnP alone has no epoch")
    lab = make_lab(daemon=False)
    RESTARTS[name].start(lab, mode)
    mapping = start(lab, *ARGUMENTS, "--protocol", protocol)
    restored = restarts_under(lab, RESTARTS[name], mapping, within=ANNOUNCED_WITHIN, dark=DARK, mode=mode)
    measured(f"restart ({name}), announced: {protocol}, router with {mode}", restored, "s")


def test_a_router_that_announces_another_description_address_is_found_there(
    make_lab: MakeLab, start: Start, measured: Measured
) -> None:
    lab = make_lab(mode="upnp")
    mapping = start(lab, *ARGUMENTS)
    mapping.wait_for("installed")
    lab.daemon("off")
    time.sleep(DARK)
    lab.daemon("start", mode="upnp", extra="http_port=5001")
    answers = time.monotonic()
    restored = max(lab.appears(ENTRY, ANNOUNCED_WITHIN) - answers, 0)
    measured("restart on another HTTP port, announced: upnp, router with upnp", restored, "s")
    assert mapping.stop() == 0
    assert "revoked" not in mapping.names()
    lab.assert_nothing_is_mapped(http_port=5001)


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp"])
def test_a_restart_that_nobody_hears_of_is_found_by_the_next_check(
    make_lab: MakeLab, start: Start, measured: Measured, protocol: str, name: str
) -> None:
    lab = make_lab(daemon=False)
    lab.multicast(False)
    RESTARTS[name].start(lab)
    mapping = start(lab, *ARGUMENTS, "--protocol", protocol, "--check-interval", str(CHECK_INTERVAL))
    restored = restarts_under(lab, RESTARTS[name], mapping, within=CHECKED_WITHIN, dark=DARK_FOR_EPOCHS)
    measured(f"restart ({name}), not heard, check every {CHECK_INTERVAL} s: {protocol}", restored, "s")


@pytest.mark.parametrize(
    ("protocol", "name"), [("pcp", "daemon-unseen"), ("nat-pmp", "daemon-unseen"), ("upnp", "daemon")]
)
def test_a_restart_that_shows_nowhere_is_healed_by_the_next_renewal(
    make_lab: MakeLab, start: Start, measured: Measured, protocol: str, name: str
) -> None:
    lab = make_lab(daemon=False)
    lab.multicast(False)
    ttl = 8
    RESTARTS[name].start(lab, min_lifetime=2)
    mapping = start(lab, *ARGUMENTS, "--protocol", protocol, "--ttl", str(ttl), "--check-interval", str(CHECK_INTERVAL))
    restored = restarts_under(lab, RESTARTS[name], mapping, within=ttl, dark=DARK, min_lifetime=2)
    measured(f"restart ({name}), not heard, lifetime {ttl} s: {protocol}", restored, "s")


def address_changes_under(lab: Lab, mapping: Mapping, within: float, *, after: float = 0) -> float:
    """The provider gives the router another address; seconds until the mapping is published with it."""
    mapping.wait_for("installed")
    time.sleep(after)
    changing = time.monotonic()
    lab.wan("192.0.1.7")
    changed = mapping.wait_for("changed", within)
    published = time.monotonic() - changing
    assert changed["external"] == f"192.0.1.7:{EXTERNAL}"
    assert lab.reach("udp", EXTERNAL, address="192.0.1.7") == f"{LAN_HOST}:4000"
    assert mapping.stop() == 0
    assert lab.rules() == []
    return published


@pytest.mark.parametrize("system_uptime", ["yes", "no"])
@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp"])
def test_another_address_of_the_router_that_is_announced_is_published_a_second_later(
    make_lab: MakeLab, start: Start, measured: Measured, protocol: str, system_uptime: str
) -> None:
    lab = make_lab(extra=f"system_uptime={system_uptime}")
    mapping = start(lab, *ARGUMENTS, "--protocol", protocol)
    published = address_changes_under(lab, mapping, ANNOUNCED_WITHIN)
    measured(f"other WAN address, announced, system_uptime={system_uptime}: {protocol}", published, "s")


@pytest.mark.parametrize("system_uptime", ["yes", "no"])
@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp"])
def test_another_address_of_the_router_that_nobody_hears_of_is_published_by_the_next_check(
    make_lab: MakeLab, start: Start, measured: Measured, protocol: str, system_uptime: str
) -> None:
    lab = make_lab(extra=f"system_uptime={system_uptime}")
    lab.multicast(False)
    mapping = start(lab, *ARGUMENTS, "--protocol", protocol, "--check-interval", str(CHECK_INTERVAL))
    published = address_changes_under(lab, mapping, CHECKED_WITHIN, after=DARK_FOR_EPOCHS)
    measured(
        f"other WAN address, not heard, check every {CHECK_INTERVAL} s, system_uptime={system_uptime}: {protocol}",
        published,
        "s",
    )
