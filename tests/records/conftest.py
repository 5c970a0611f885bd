"""One org whose records the tests read, its administrator and its standard user, and the same database without us."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.speaking import Client, token
from tests.house import House

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="package")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A development org that no test changes."""
    with House(tmp_path_factory.mktemp("records") / "data") as made:
        Client(made, token(made)).query("SELECT COUNT() FROM Account")  # the first call makes the sample
        yield made


@pytest.fixture(scope="package")
def robin(org: House) -> Client:
    """The administrator: sees everything."""
    return Client(org, token(org, 0))


@pytest.fixture(scope="package")
def sam(org: House) -> Client:
    """The standard user: no Lead, no Opportunity.Amount."""
    return Client(org, token(org, 1))


@pytest.fixture(scope="package")
def sql(org: House) -> Iterator[Sql]:
    """The rows of plain SQL on the sample database, by SQLite alone."""
    database = sqlite3.connect(f"file:{Path(org.config.data) / 'sample.db'}?mode=ro", uri=True)
    yield lambda text, *values: database.execute(text, values).fetchall()
    database.close()
