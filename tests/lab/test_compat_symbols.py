"""portlease's drop-in libraries export what Debian's do: programs are bound to every name when they start.

The lists in tests/compat/symbols are those of Debian's packages, and compared with them where they are at hand.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from languages import CHECKOUT, TARGET, need
from unmodified import STOCK, libraries

LISTS = CHECKOUT / "tests/compat/symbols"
LIBRARIES = sorted(path.name for path in LISTS.iterdir())
# Where Debian's packages put theirs: on this machine, and below target/ those that were fetched for tests.
DEBIANS = [Path("/usr/lib"), TARGET / "debian/usr/lib", TARGET / "trixie/usr/lib"]
# What the library behind the others exports for them alone.
INTERNAL = "portlease_compat_"


def listed(library: str) -> set[str]:
    """The names in the list."""
    return set((LISTS / library).read_text().split())


def exported(path: Path) -> set[str]:
    """The names that a library defines."""
    need(shutil.which("nm") is not None, "nm", "apt-get install binutils")
    done = subprocess.run(["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True, timeout=30)
    return {line.split()[-1].split("@")[0] for line in done.stdout.splitlines()}


def ours() -> Path:
    """The folder with portlease's libraries."""
    if libraries() == STOCK:
        pytest.skip("about portlease's libraries, not the stock ones")
    return Path(libraries())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_drop_in_library_has_every_symbol_of_debians(library: str) -> None:
    # those that have a library of their own are in the one behind it
    there = exported(ours() / library) | exported(ours() / "libportlease-compat.so.0")
    assert listed(library) - there == set()


def test_the_drop_in_libraries_have_no_symbols_but_debians() -> None:
    there = set().union(*(exported(path) for path in ours().iterdir()))
    known = set().union(*(listed(library) for library in LIBRARIES))
    assert {name for name in there - known if not name.startswith(INTERNAL)} == set()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_list_of_symbols_is_that_of_debians_package(library: str) -> None:
    found = [path for folder in DEBIANS if folder.exists() for path in folder.glob(f"*/{library}")]
    if not found:
        pytest.skip(f"no package with {library} at hand")
    for path in found:
        assert exported(path) == listed(library), path
