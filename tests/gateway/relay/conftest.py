"""A gate with an upstream behind it that tests tell what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.relay.rough import Rough, rough
from tests.gateway.relay.standing import Gate, standing

TIMES = {"connect_seconds": 1, "first_byte_seconds": 1, "idle_seconds": 1, "call_seconds": 4, "most_connections": 4}


@pytest.fixture
def gate(tmp_path: Path, furnished: Path) -> Iterator[Gate]:
    with standing(furnished, tmp_path / "data") as made:
        yield made


@pytest.fixture
def upstream(gate: Gate) -> Iterator[Rough]:
    """Registered as "upstream", with a tool that is on; patient for a second."""
    with rough(gate.house) as (made, url):
        gate.upstream(url, largest_answer=1024 * 1024, **TIMES)
        made.asked.clear()
        yield made
