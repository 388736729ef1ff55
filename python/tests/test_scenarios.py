"""Every scenario of tests/scenarios is a test; those in must_fail are wrong on purpose and must be noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import scenario


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def title(path: Path) -> str:
    try:
        return f"{path.stem}: {json.loads(path.read_text())['name']}"
    except (ValueError, KeyError):
        return path.stem


def test_there_are_scenarios_of_both_sorts() -> None:
    assert len(files(scenario.FOLDER)) >= 25
    assert len(files(scenario.FOLDER / "must_fail")) >= 5


@pytest.mark.parametrize("path", files(scenario.FOLDER), ids=title)
def test_scenario(path: Path) -> None:
    scenario.run(scenario.read(path))


@pytest.mark.parametrize("path", files(scenario.FOLDER / "must_fail"), ids=title)
def test_a_wrong_scenario_is_noticed(path: Path) -> None:
    expected = json.loads(path.read_text()).get("fails_at")
    try:
        played = scenario.read(path)
    except (scenario.Mismatch, KeyError):
        return  # what cannot be read names no place
    with pytest.raises(scenario.Mismatch) as caught:
        scenario.run(played)
    if expected is not None:
        assert caught.value.at == expected, str(caught.value)
