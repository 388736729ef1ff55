"""pytest's fixture for portlease: a simulated home router, fresh for each test.

A package of its own, because pytest loads it at every start: it must not load the extension module with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portlease.testing import Gateway


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker."""
    config.addinivalue_line(
        "markers", "portlease_gateway(**options): options of the simulated router, such as upnp=False or cgnat=True"
    )


@pytest.fixture
def portlease_gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A simulated home router: `portlease.testing.Gateway` with the options of the test's marker."""
    from portlease.testing import Gateway

    marker = request.node.get_closest_marker("portlease_gateway")
    with Gateway(**(marker.kwargs if marker else {})) as gateway:
        yield gateway
