"""Two programs of one host that map the same port: the one that ends, and the one that stays."""

from __future__ import annotations

import pytest

from conftest import Start
from homelab import LAN_HOST, WAN_ADDRESS, Entry, Lab, always, eventually, only

PROTOCOLS = ["pcp", "nat-pmp", "upnp"]
# Without a state folder the looks at a new mapping find within seconds that another program has deleted it.
NOTICED_WITHIN = 30.0
LATE_LOSERS_COME_WITHIN = 1.0

OURS = Entry("udp", 4000, LAN_HOST, 4000)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("state", [True, False], ids=["with-state", "without-state"])
def test_after_a_rolling_restart_the_new_program_has_the_mapping(
    lab: Lab, start: Start, protocol: str, state: bool
) -> None:
    arguments = ["4000/udp", "--protocol", protocol, *(["--state-dir", lab.state] if state else [])]
    old = start(lab, *arguments)
    assert old.wait_for("installed")["external"] == f"{WAN_ADDRESS}:4000"
    new = start(lab, *arguments)
    assert new.wait_for("installed")["external"] == f"{WAN_ADDRESS}:4000"
    # 4: the daemon did not let it delete what the new program has taken over by PCP, with a nonce of its own
    assert old.stop() in ([0] if state or protocol != "pcp" else [0, 4])
    if state:
        always(lambda: lab.table() == [OURS], LATE_LOSERS_COME_WITHIN, "the new program's entry")
    eventually(lambda: lab.table() == [OURS], NOTICED_WITHIN, "the new program's entry")
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    assert new.stop() == 0
    assert lab.rules() == []


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "pcp,nat-pmp,upnp"])
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "any-port"])
def test_a_second_program_does_not_get_the_external_port_of_the_first(
    lab: Lab, start: Start, protocol: str, exact: bool
) -> None:
    lab.serve((LAN_HOST, 5000))
    first = start(lab, "4000/udp", "--protocol", protocol)
    assert first.wait_for("installed")["external"] == f"{WAN_ADDRESS}:4000"
    more = ["--exact", "--retry", "never"] if exact else []
    second = start(lab, "5000/udp", "--external", "4000", "--protocol", protocol, *more)
    if exact:
        assert second.wait_for("failed")["kind"] == "refused"
        assert second.ended() == 1
    else:
        port = second.wait_for("installed").external_port
        assert port != 4000
        assert lab.reach("udp", port) == f"{LAN_HOST}:5000"
    assert lab.reach("udp", 4000) == f"{LAN_HOST}:4000"
    if not exact:
        assert second.stop() == 0
    always(lambda: only(lab.table()) == OURS, LATE_LOSERS_COME_WITHIN, "the first program's entry")
    assert first.stop() == 0
    assert lab.rules() == []
