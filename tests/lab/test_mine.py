"""`ip`, `status`, `list --mine` and `unmap --mine` on a daemon that others wrote."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import MakeLab, Start
from homelab import LAN_HOST, WAN_ADDRESS, Lab
from portlease import portlease


def test_the_address_and_the_state_of_the_connection_are_told_without_a_mapping(lab: Lab) -> None:
    for protocol in ("nat-pmp", "upnp"):
        done = portlease(lab, "ip", "--protocol", protocol)
        assert (done.returncode, done.stdout, done.stderr) == (0, WAN_ADDRESS + "\n", "")
    done = portlease(lab, "status", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wan"]["status"] == "Connected" and told["wan"]["uptime"] is not None
    assert (told["external_address"], told["address_class"]) == (WAN_ADDRESS, "public")
    assert [protocol["ok"] for protocol in told["protocols"]] == [True, True, True]
    lab.assert_nothing_is_mapped()


def test_without_a_daemon_the_address_is_not_known(make_lab: MakeLab) -> None:
    done = portlease(make_lab(daemon=False), "ip", "--json")
    failure = json.loads(done.stdout)
    assert (done.returncode, failure["event"], failure["kind"]) == (1, "failed", "unavailable")
    assert failure["message"] in done.stderr and failure["advice"]


def test_unmap_mine_removes_what_upnpc_has_left_and_neither_a_running_map_nor_another_host(
    lab: Lab, start: Start, tmp_path: Path
) -> None:
    record = ("--state-dir", str(tmp_path))
    mapping = start(lab, "4000/udp", *record)
    mapping.wait_for("installed")
    lab.take("tcp", 4102)
    lab.run("lan", "upnpc", "-a", LAN_HOST, "4101", "4101", "tcp", "300").check_returncode()
    lab.run("lan", "natpmpc", "-a", "4103", "4103", "udp", "300").check_returncode()
    mine = {
        json.loads(line)["external_port"] for line in portlease(lab, "list", "--mine", "--json").stdout.splitlines()
    }
    assert mine == {4000, 4101, 4103}
    done = portlease(lab, "unmap", "--mine", *record)
    assert done.returncode == 2 and "4101/tcp" in done.stdout and len(lab.table()) == 4
    done = portlease(lab, "unmap", "--mine", "--yes", *record)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {entry.external_port for entry in lab.table()} == {4000, 4102}
    assert mapping.stop() == 0
