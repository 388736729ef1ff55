"""The defaults of this process, over which a mapper's settings go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_defaults: dict[str, Any] = {}


def settled(config: Mapping[str, Any]) -> dict[str, Any]:
    """These settings over the defaults of this process."""
    return {**_defaults, **config}


def replace_defaults(defaults: dict[str, Any]) -> dict[str, Any]:
    """Makes these the defaults of every mapper that is started from now on, and returns the ones before."""
    global _defaults
    before, _defaults = _defaults, defaults
    return before
