"""Each test here is asked of every kind of server; where rows decide, on both databases too."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import copy_on
from tests.every_kind.behind import KINDS, Behind, behind


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    """A server of each kind."""
    with (
        copy_on("sqlite", request, tmp_path / "data", allow_command=(sys.executable,)) as house,
        behind(house, request.param) as found,
    ):
        yield found


@pytest.fixture(params=[(kind, database) for kind in KINDS for database in ("sqlite", "postgresql")], ids="-".join)
def made_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    """The same, with the house's own rows in either database."""
    kind, database = request.param
    with (
        copy_on(database, request, tmp_path / "data", allow_command=(sys.executable,)) as house,
        behind(house, kind) as found,
    ):
        yield found
