"""What a mapping costs the router that nothing happens to: packets, counted as they leave the host."""

from __future__ import annotations

import time

import pytest

from conftest import MakeLab, Measured, Start
from homelab import Lab, quiet

# At the defaults, one lease for an hour: a renewal each half hour, and a check each five minutes for the whole mapper. Four looks
# in the first two minutes come on top.
RENEWALS_AN_HOUR = 2
CHECKS_AN_HOUR = 12
# The hour is not waited for: so many renewals, or checks, that come once a second instead.
ROUNDS = 5


@pytest.mark.parametrize(("protocol", "at_most"), [("pcp", 4), ("nat-pmp", 4), ("upnp", None)])
def test_renewals_cost_few_packets_in_an_hour(
    make_lab: MakeLab, start: Start, measured: Measured, protocol: str, at_most: int | None
) -> None:
    lab = make_lab(min_lifetime=2)
    mapping = start(lab, "4000/udp", "--protocol", protocol, "--ttl", "2", "--check-interval", "0")
    mapping.wait_for("installed")
    mapping.wait_for("renewed")
    lab.count()
    for _ in range(ROUNDS):
        mapping.wait_for("renewed")
    an_hour = lab.sent() / ROUNDS * RENEWALS_AN_HOUR
    measured(f"renewals of one lease: {protocol}", an_hour, "packets/h")
    # UPnP has a TCP connection for each question: the protocol asks for more
    assert at_most is None or 0 < an_hour <= at_most
    assert mapping.stop() == 0


# NAT-PMP asks for mapping and address in two messages, and UPnP has a TCP connection for each question.
@pytest.mark.parametrize(("protocol", "at_most"), [("pcp", 1), ("nat-pmp", 2), ("upnp", 10)])
@pytest.mark.parametrize("leases", [1, 20])
def test_the_check_is_one_question_however_many_leases(
    lab: Lab, start: Start, measured: Measured, protocol: str, at_most: int, leases: int
) -> None:
    ports = [f"{port}/udp" for port in range(4000, 4000 + leases)]
    mapping = start(lab, *ports, "--protocol", protocol, "--check-interval", "1s")
    for _ in ports:
        mapping.wait_for("installed")
    # what the first mappings cause: a look whether they are there
    time.sleep(3)
    lab.count()
    began = time.monotonic()
    time.sleep(ROUNDS)
    sent, rounds = lab.sent(), time.monotonic() - began
    measured(f"checks, {leases} leases: {protocol}", sent / rounds * CHECKS_AN_HOUR, "packets/h")
    assert sent <= (rounds + 1) * at_most
    assert sent > 0
    assert mapping.stop() == 0


def test_a_mapping_that_nothing_happens_to_sends_nothing(lab: Lab, start: Start) -> None:
    # without the looks at a new mapping
    mapping = start(lab, "4000/udp", "--check-interval", "0")
    mapping.wait_for("installed")
    quiet(lab)
    lab.count()
    time.sleep(ROUNDS)
    assert lab.sent() == 0
    assert mapping.stop() == 0
