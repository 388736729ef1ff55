"""Many ports at once, on routers that are slow or behind a bad radio link: all are mapped, and none is left."""

from __future__ import annotations

import pytest

from conftest import MakeLab, Start
from homelab import LAN_HOST, Entry

FIRST_PORT = 20000
# A router at a fifth of its speed needs some seconds for 200 ports; each lost datagram costs some more.
MAPPED_WITHIN = 60.0
RELEASED_WITHIN = 120.0


def ports(count: int) -> list[int]:
    return list(range(FIRST_PORT, FIRST_PORT + count))


@pytest.mark.parametrize("percent", [100, 20], ids=["full-speed", "a-fifth-of-the-speed"])
@pytest.mark.parametrize("loss", [0, 10])
def test_two_hundred_ports_are_all_mapped_and_none_is_left(
    make_lab: MakeLab, start: Start, percent: int, loss: int
) -> None:
    lab = make_lab()
    lab.loss(loss)
    with lab.slowed(percent):
        mapping = start(lab, *(f"{port}/udp" for port in ports(200)))
        for _ in ports(200):
            mapping.wait_for("installed", MAPPED_WITHIN)
        status = mapping.stop(within=RELEASED_WITHIN)
    lab.loss(0)
    # Where datagrams are lost, all repetitions of a delete or their answers may be lost as well. Then it is told.
    told = {event["internal_port"] for event in mapping.events if event.name == "unconfirmed"}
    assert told == set() or loss > 0
    assert {entry.internal_port for entry in lab.table()} <= told
    assert status == (4 if told else 0)


@pytest.mark.parametrize("percent", [100, 20], ids=["full-speed", "a-fifth-of-the-speed"])
def test_a_hundred_ports_are_mapped_by_upnp_alone(make_lab: MakeLab, start: Start, percent: int) -> None:
    lab = make_lab(mode="upnp")
    with lab.slowed(percent):
        mapping = start(lab, *(f"{port}/udp" for port in ports(100)))
        for _ in ports(100):
            mapping.wait_for("installed", MAPPED_WITHIN)
        assert lab.table() == [Entry("udp", port, LAN_HOST, port) for port in ports(100)]
        assert mapping.stop(within=RELEASED_WITHIN) == 0
    assert lab.table() == []
