"""One house for each file of tests, so that a test costs what it does; who counts servers or fills queues has a fresh
one.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House
from tests.postgres import Cluster

BETWEEN_TESTS = 700.0
"""Seconds: longer than a request waits, so that one test's leave no trace in the next."""


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The file's house."""
    with House(tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_house_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The file's house on each database."""
    database = ""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgres_server")
        database = cluster.fresh_database()
    with House(tmp_path_factory.mktemp("house"), database=database) as made:
        yield made


@pytest.fixture
def house(shared_house: House) -> House:
    """A development org with one MCP server, in which others were before."""
    shared_house.later(BETWEEN_TESTS)
    return shared_house


@pytest.fixture
def house_on(shared_house_on: House) -> House:
    """The same on SQLite and on PostgreSQL."""
    shared_house_on.later(BETWEEN_TESTS)
    return shared_house_on


@pytest.fixture
def fresh_house(tmp_path: Path) -> Iterator[House]:
    """A house that nobody entered before."""
    with House(tmp_path / "data") as made:
        yield made


@pytest.fixture
def fresh_house_on(tmp_path: Path, database: str) -> Iterator[House]:
    """The same on SQLite and on PostgreSQL."""
    with House(tmp_path / "data", database=database) as made:
        yield made
