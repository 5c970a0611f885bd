"""An upstream for each test."""

from collections.abc import Iterator

import pytest

from tests.upstreams.issuing import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An honest one; the test may make it lie."""
    with Upstream() as made:
        yield made
