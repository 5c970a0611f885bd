"""What people and clients see while the database can't serve, and that it passes without a restart."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatelodge.core import propagation
from gatelodge.core.errors import Unavailable
from tests import postgres
from tests.house import House
from tests.people import OAuthClient, Person, tools_list
from tests.requirements import requirement
from tests.running import eventually
from tests.store import operations

CALLBACK = "http://localhost:8080/callback"


def client_of(house: House) -> OAuthClient:
    key = next(app["consumer_key"] for app in house.told.apps if app["preset"] == "claude-code")
    return OAuthClient(front=house.client(), issuer=house.issuer, client_id=key, redirect_uri=CALLBACK)


def tokens_of(house: House, client: OAuthClient) -> dict[str, Any]:
    user = house.told.users[0]
    code = Person(house.client(), user["username"], user["password"]).allow(client.authorize_url())["code"]
    return client.redeem(code).json()


def mcp(house: House, client: OAuthClient, tokens: dict[str, Any]) -> int:
    return tools_list(client.front, f"{house.issuer}/mcp/sobject-reads", tokens["access_token"]).status_code


@requirement("store:disk-full")
def test_a_full_disk_answers_503_and_leaves_nothing_half_written(house: House):
    client = client_of(house)
    tokens = tokens_of(house, client)
    writer: sqlite3.Connection = house.site.store._writer

    async def limit(pages: int) -> None:
        writer.execute(f"PRAGMA max_page_count = {pages}")

    house.run(limit(1))  # SQLite takes the present size for the least
    with pytest.raises(Unavailable, match="full"):
        for n in range(1000):
            house.write(operations.label, "", f"{n}" * 5000)
            house.write(operations.add, f"filler-{n:04}")
    large = client.authorize_url(state="s" * 2000)  # needs a page that isn't there
    assert eventually(lambda: house.client().get(large).status_code == 503)
    before = house.read(propagation.newest_change), house.read(operations.names)
    answers = [house.client().get(large) for _ in range(10)]
    assert [(answer.status_code, answer.headers.get("retry-after")) for answer in answers] == [(503, "1")] * 10
    assert mcp(house, client, tokens) == 200  # what writes nothing goes on
    assert (house.read(propagation.newest_change), house.read(operations.names)) == before
    house.run(limit(1_000_000))
    assert house.client().get(large).status_code == 303
    assert client.refresh(tokens["refresh_token"]).status_code == 200


@requirement("store:other-program-holds-the-file")
def test_while_another_program_holds_the_file_everybody_else_is_answered(house: House):
    beside = sqlite3.connect(house.config.database_name, isolation_level=None)
    beside.execute("BEGIN IMMEDIATE")
    waiting = asyncio.run_coroutine_threadsafe(house.site.store.run(operations.add, "patient"), house._loop)
    assert house.client().get("/readyz").status_code == 200
    assert "patient" not in house.read(operations.names)
    assert not waiting.done()
    beside.execute("ROLLBACK")
    beside.close()
    waiting.result(10)
    assert "patient" in house.read(operations.names)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[postgres.Cluster]:
    """One that a test may stop."""
    with postgres.running(tmp_path / "postgres") as made:
        yield made


@pytest.mark.slow
@requirement("store:database-away", "propagation:stale-is-503", "propagation:reads-anew-after-an-outage")
def test_while_postgresql_is_away_answers_are_503_and_it_comes_back_by_itself(tmp_path: Path, cluster: Any):
    url = cluster.fresh_database()
    with House(tmp_path / "data", database=url) as house:
        client = client_of(house)
        tokens, ending = tokens_of(house, client), tokens_of(house, client)
        assert (mcp(house, client, tokens), mcp(house, client, ending)) == (200, 200)
        cluster.stop()
        refused = client.refresh(tokens["refresh_token"])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        ready = house.client().get("/readyz")
        assert ready.status_code == 503
        assert "the database is away" in ready.json()["database"]
        assert house.client().get("/livez").status_code == 200
        # What was remembered is served for three seconds more, and then no longer.
        assert eventually(lambda: mcp(house, client, tokens) == 503, 15)
        cluster.start()
        assert eventually(lambda: mcp(house, client, tokens) == 200, 15)
        assert eventually(lambda: house.client().get("/readyz").status_code == 200, 15)
        assert client.refresh(tokens["refresh_token"]).status_code == 200
        _come_back_as_a_standby_that_lacks_the_last_changes(house, cluster, url)
        # Counted from the earlier number, this end has one that the node had already seen.
        assert client.refresh(ending["refresh_token"]).status_code == 200
        house.later(31)
        assert client.refresh(ending["refresh_token"]).status_code == 400
        assert eventually(lambda: mcp(house, client, ending) == 401)
        assert mcp(house, client, tokens) == 200


def _come_back_as_a_standby_that_lacks_the_last_changes(house: House, cluster: postgres.Cluster, url: str) -> None:
    seen = house.site.live.applied
    cluster.stop()
    assert eventually(lambda: house.client().get("/readyz").status_code == 503, 15)
    assert eventually(lambda: house.site.live._is_lost, 15)
    cluster.start()
    cluster.sql(url, f"UPDATE feed SET seq = {seen - 5}; DELETE FROM changes WHERE seq > {seen - 5}")
    assert eventually(lambda: house.client().get("/readyz").status_code == 200, 15)
    assert eventually(lambda: not house.site.live._is_lost, 15)
