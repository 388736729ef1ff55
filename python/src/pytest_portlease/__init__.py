"""pytest's fixtures for portlease: a simulated home router, fresh for each test or one for the whole run.

A package of its own, because pytest loads it at every start: it must not load the extension module with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portlease.testing import Gateway


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the option."""
    parser.addini(
        "portlease_isolate",
        "whether all tests use a simulated router by default, so that none can reach a real one",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker, and isolates the tests if the option says so."""
    config.addinivalue_line(
        "markers", "portlease_gateway(**options): options of the simulated router, such as upnp=False or cgnat=True"
    )
    if config.getini("portlease_isolate"):
        # Before the first test, whether a test asks for it or not.
        config.addinivalue_line("usefixtures", "portlease_session_gateway")


@pytest.fixture
def portlease_gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A simulated home router for one test: `portlease.testing.Gateway` with the options of the test's marker.

    While the test runs, it is what portlease finds by default, in this process and in those that it starts.
    """
    from portlease.testing import Gateway

    marker = request.node.get_closest_marker("portlease_gateway")
    # Options have names: Python says so if the marker has some without.
    arguments, options = (marker.args, marker.kwargs) if marker else ((), {})
    with Gateway(*arguments, **options) as gateway, gateway.as_default():
        yield gateway


@pytest.fixture(scope="session")
def portlease_session_gateway() -> Iterator[Gateway]:
    """A simulated home router for all tests of a run, and what portlease finds by default from its start on."""
    from portlease.testing import Gateway

    with Gateway() as gateway, gateway.as_default():
        yield gateway
