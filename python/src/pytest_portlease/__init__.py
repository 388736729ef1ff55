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
        config.pluginmanager.register(_Isolation(), "portlease-isolation")


class _Isolation:
    @pytest.fixture(scope="session", autouse=True)
    def _portlease_isolation(self, portlease_session_gateway: Gateway) -> None:
        """Begins the simulated router before the first test, whether a test asks for it or not."""


@pytest.fixture
def portlease_gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A simulated home router for one test: `portlease.testing.Gateway` with the options of the test's marker.

    While the test runs, it is what portlease finds by default, in this process and in those that it starts.
    """
    from portlease.testing import Gateway

    marker = request.node.get_closest_marker("portlease_gateway")
    with Gateway(**(marker.kwargs if marker else {})) as gateway, gateway.as_default():
        yield gateway


@pytest.fixture(scope="session")
def portlease_session_gateway() -> Iterator[Gateway]:
    """A simulated home router for all tests of a run, and what portlease finds by default from its start on."""
    from portlease.testing import Gateway

    with Gateway() as gateway, gateway.as_default():
        yield gateway
