"""A gate in front of local commands."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.relay.standing import Gate, standing


@pytest.fixture
def gate(tmp_path: Path, furnished: Path) -> Iterator[Gate]:
    with standing(furnished, tmp_path / "data", allow_command=(sys.executable,)) as made:
        yield made
