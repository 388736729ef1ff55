"""Every example of the README and of MIGRATION.md runs as it stands, with a simulated router for the user's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README, MIGRATION = ((Path(__file__).resolve().parents[1] / name).read_text() for name in ("README.md", "MIGRATION.md"))
BLOCKS, MIGRATED = (
    re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for text in (README, MIGRATION)
)
# These run until somebody ends them: test_servers.py.
SERVERS = [text for text in BLOCKS if "KeyboardInterrupt" in text or "portlease.asgi" in text]
EXAMPLES = [text for text in BLOCKS if text not in SERVERS]
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

# The router of the reader's home is the simulated one, and its address the one that the README shows.
HOME = """
import runpy, sys
from portlease.testing import Gateway
with Gateway(external_address="203.0.113.7", ipv6=True) as home, home.as_default():
    runpy.run_path(sys.argv[1], run_name="__main__")
    assert home.mappings == [], home.mappings
"""

# How what the examples print begins.
PRINTED = {
    0: "203.0.113.7:9001\n",
    1: "203.0.113.7:9001 pcp reserved\ninstalled ",
    2: "203.0.113.7\npcp yes\nnat-pmp yes\nupnp portlease simulated gateway\nNone\n",
    3: "ipv4 203.0.113.7:9001\n",
    4: "203.0.113.7:9001\n10 ports are open\n",
    5: "serving on 203.0.113.7:9001\n",
}

# The same for all that those of MIGRATION.md print.
MIGRATED_PRINT = ["203.0.113.7\n", "203.0.113.7 9001 600.0\n", "8080 tcp 127.0.0.1\n"]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6
    assert len(SERVERS) >= 3
    assert len(MIGRATED) == len(MIGRATED_PRINT)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs_as_it_stands(number: int, tmp_path: Path) -> None:
    assert output_of(EXAMPLES[number], tmp_path).startswith(PRINTED.get(number, ""))


@pytest.mark.parametrize("number", range(len(MIGRATED)))
def test_an_example_of_the_migration_page_runs_as_it_stands(number: int, tmp_path: Path) -> None:
    assert output_of(MIGRATED[number], tmp_path) == MIGRATED_PRINT[number]


def output_of(example: str, tmp_path: Path) -> str:
    """Runs an example, which has to end well, and returns what it printed."""
    script = tmp_path / ("test_example.py" if "def test_" in example else "example.py")
    script.write_text(example)
    runner = (
        ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "def test_" in example else ["-W", "always", "-c", HOME]
    )
    done = subprocess.run(
        [sys.executable, *runner, str(script)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_the_commands_are_commands() -> None:
    lines = [line.split("#")[0].split() for block in COMMANDS for line in block.splitlines()]
    ours = [line for line in lines if line[0] == "portlease"]
    assert len(ours) >= 2
    for line in ours:
        done = subprocess.run(
            [sys.executable, "-m", "portlease", line[1], "--help"], check=False, capture_output=True, timeout=30
        )
        assert done.returncode == 0
    assert shutil.which("portlease", path=str(Path(sys.executable).parent))
