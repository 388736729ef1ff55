"""The code of bindings/c/MIGRATION.md compiles, before and after; and README.md has every function."""

from __future__ import annotations

import re

import pytest

from conftest import CHECKOUT, STRICT, need, run, symbols

GUIDE = CHECKOUT / "bindings/c/MIGRATION.md"
BLOCKS = re.findall(r"^```c\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
HEADERS = """
#include <math.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>
#include <natpmp.h>
#include <poll.h>
#include <portlease.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
"""


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_code_of_the_migration_guide_compiles(build: object, number: int) -> None:
    need("gcc")
    program = f"{HEADERS}\nint main(void) {{\n{BLOCKS[number]}\nreturn 0;\n}}\n"
    run(["gcc", *STRICT, "-fsyntax-only", f"-I{CHECKOUT}/include", "-x", "c", "-"], input=program)


def test_the_migration_guide_names_only_what_there_is() -> None:
    header = (CHECKOUT / "include/portlease.h").read_text()
    named = set(re.findall(r"\b(?:portlease|PORTLEASE)_[A-Za-z0-9_]+\b", GUIDE.read_text()))
    assert named and not [name for name in named if not re.search(rf"\b{name}\b", header)]


def test_the_readme_says_of_every_function_what_it_does() -> None:
    readme = (CHECKOUT / "bindings/compat/README.md").read_text()
    both = symbols("libminiupnpc.so.17") + symbols("libnatpmp.so.1")
    assert len(both) == 70 and not [name for name in both if f"`{name}`" not in readme]
