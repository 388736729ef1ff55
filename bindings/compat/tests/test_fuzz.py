"""All functions at random, against a router that has a fault for every moment.

PORTLEASE_COMPAT_FUZZ_SECONDS is for how long, 3 by default; PORTLEASE_COMPAT_FUZZ_SEED repeats the choices of a run.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from conftest import PATIENCE, SANITIZER_OPTIONS, SANITIZERS, Build, Gateway

SECONDS = int(os.environ.get("PORTLEASE_COMPAT_FUZZ_SECONDS", "3"))
FAULTS: list[dict[str, Any]] = [
    {"loss": 0.2}, {"drop_next": 2}, {"duplicates": 2}, {"reorder": True}, {"pcp": {"refuse": 2}}, {"pcp": {"refuse": 8}},
    {"nat_pmp": {"refuse": 3}}, {"upnp": {"refuse": 501}}, {"pcp": "off"}, {"pcp": "off", "nat_pmp": "off"}, {"upnp": "off"},
    {"pcp_lose_answers": 2}, {"http_lose_answers": 1}, {"pcp_delay_ms": 50, "http_delay_ms": 50}, {"wrong_nonce": True},
    {"truncate": 7}, {"extra_bytes": 9}, {"granted_port": 5000}, {"granted_lifetime": 1}, {"table_full": True},
    {"lease_lost": True}, {"cgnat": True}, {"empty_external_address": True}, {"soap_errors": {"*": 718}},
    {"nonzero_lease_error": 725}, {"external_address_text": "<&>"}, {"http_body": "truncated"}, {"http_body": "reset"},
    {"http_body": "chunked"}, {"control_body": "bad_length"}, {"scpd_missing": True}, {"control_missing": True},
    {"name_encoding": "broken_utf8"}, {"pcp": "silent"},
]  # fmt: skip


class Trouble(threading.Thread):
    """Turns switches at random until it is told to stop."""

    def __init__(self, gateway: Gateway, seed: int) -> None:
        super().__init__()
        self._gateway, self._random, self._over = gateway, random.Random(seed), threading.Event()
        self._usual = gateway.tell(command="faults")["faults"]

    def run(self) -> None:
        while not self._over.wait(self._random.uniform(0.05, 0.3)):
            self._gateway.set(**self._usual)
            if self._random.random() < 0.05:
                self._gateway.tell(command="reboot")
            elif self._random.random() < 0.6:
                self._gateway.set(**self._random.choice(FAULTS))

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.parametrize("flags", [[], SANITIZERS], ids=["with children", "with sanitizers"])
def test_no_sequence_of_calls_harms_the_program(
    build: Build, gateways: Callable[..., Gateway], environment: dict[str, str], flags: list[str]
) -> None:
    seed = int(os.environ.get("PORTLEASE_COMPAT_FUZZ_SEED") or random.SystemRandom().randrange(1 << 24))
    gateway = gateways(faults={"reboot_keeps_http_port": True}, seed=seed)
    trouble = Trouble(gateway, seed)
    trouble.start()
    ended = subprocess.run(
        [build("fuzz.c", flags=flags), str(seed), str(SECONDS), "4"],
        env={**environment, **SANITIZER_OPTIONS, "PORTLEASE_GATEWAY": gateway.variable},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS + PATIENCE, check=False,
    )  # fmt: skip
    trouble.end()
    print(ended.stdout)
    assert ended.returncode == 0, f"PORTLEASE_COMPAT_FUZZ_SEED={seed}: status {ended.returncode}\n{ended.stderr}"
