"""`python -m portlease` and the script: the Rust program's command line, exit status and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import portlease
from portlease.testing import Gateway

LIMIT = 30
SCRIPT = Path(sys.executable).with_name("portlease")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portlease", *arguments], check=False, capture_output=True, text=True, timeout=LIMIT
    )


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "portlease", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    fields: dict[str, object] = json.loads(process.stdout.readline())
    return fields


def place(gateway: Gateway) -> list[str]:
    config = gateway.config()
    names = {"gateway": "--gateway", "pcp_port": "--pcp-port", "ssdp_address": "--ssdp-address"}
    return [part for name, flag in names.items() for part in (flag, str(config[name]))]  # type: ignore[literal-required]


def test_help_and_version() -> None:
    version = run("--version")
    assert (version.returncode, version.stdout, version.stderr) == (0, f"portlease {portlease.__version__}\n", "")
    assert "portlease map 4000/udp" in run("--help").stdout


def test_bad_usage_is_status_2_and_a_router_that_refuses_1(gateway: Gateway) -> None:
    assert run("no-such-command").returncode == 2
    gateway.set_faults(pcp={"refuse": 2}, nat_pmp={"refuse": 2}, upnp="off")
    refused = run("map", "4000/udp", "--no-state", "--retry", "never", *place(gateway))
    assert refused.returncode == 1
    assert "refused" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_map_and_releases(gateway: Gateway, number: signal.Signals) -> None:
    process = start("map", "4000/udp", "--no-state", "--json", *place(gateway))
    assert line(process)["event"] == "installed"
    assert len(gateway.mappings) == 1
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["event"] == "exited"
    assert gateway.mappings == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
def test_ctrl_c_ends_the_gateway_that_would_run_for_ever() -> None:
    process = start("gateway")
    assert line(process)["event"] == "started"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode in (0, -signal.SIGINT)
    assert err == ""


@pytest.mark.skipif(not SCRIPT.exists(), reason="not installed as a wheel")
def test_the_script_is_the_same_command() -> None:
    done = subprocess.run([SCRIPT, "--version"], check=False, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (0, f"portlease {portlease.__version__}\n")
