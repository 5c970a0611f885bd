"""One org for the tests that only read."""

from collections.abc import Iterator

import pytest

from tests.gateway.speaking import Client, token
from tests.house import House


@pytest.fixture(scope="package")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A development org that no test changes."""
    with House(tmp_path_factory.mktemp("org") / "data") as made:
        yield made


@pytest.fixture
def robin(org: House) -> Client:
    """The administrator's client: it may see everything."""
    return Client(org, token(org, 0))
