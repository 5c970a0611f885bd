"""Calls while they can't be written down: on a full disk, without the database, and when the node is killed."""

import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gatelodge.core import audit, calls, mcp_servers, recording
from gatelodge.core.audit import Filter
from gatelodge.core.errors import Unavailable
from gatelodge.core.operation import execute
from tests import postgres
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.people import OAuthClient, Person, call_tool, tools_list
from tests.requirements import requirement
from tests.running import eventually, running_dev
from tests.written.test_calls import a_call, settle, walk, written

ALL = "sobject-all"
ACCOUNTS = "SELECT COUNT() FROM Account"


def writer(house: House) -> Client:
    """A client that may write to the sample."""
    house.write(mcp_servers.set_active, house.org.id, ALL, is_active=True, actor="a test", now_ms=0)
    house.catch_up()
    return Client(house, token(house, aud=f"{house.org.issuer}/mcp/{ALL}"), ALL)


def create(client: Client, name: str) -> httpx2.Response:
    arguments = {"sobject-name": "Account", "body": {"Name": name}}
    return client.modern(
        "tools/call", {"name": "createSobjectRecord", "arguments": arguments}, {"Mcp-Name": "createSobjectRecord"}
    )


def fill(house: House) -> None:
    """Let the disk be full: not one more call can be kept."""
    connection: sqlite3.Connection = house.site.store._writer

    async def limit() -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the present size for the least

    house.run(limit())
    with pytest.raises(Unavailable, match="full"):
        for n in range(5000):
            house.write(calls.begin, f"filler-{n}", "filler", a_call(house))


def empty(house: House) -> None:
    """There is room again."""
    connection: sqlite3.Connection = house.site.store._writer

    async def limit() -> None:
        connection.execute("PRAGMA max_page_count = 1000000")

    def remove() -> Any:
        yield from execute("DELETE FROM begun_calls WHERE node_id = 'filler'")

    house.run(limit())
    house.write(remove)


@requirement("calls:reads-follow-the-rule", "calls:writes-are-kept-first", "calls:loss-is-counted")
def test_on_a_full_disk_writes_are_refused_and_reads_follow_the_orgs_rule(house: House):
    client, site = writer(house), house.site
    assert create(client, "Before").status_code == 200
    settle(house)
    before = client.query(ACCOUNTS)["totalSize"]
    fill(house)
    refused = create(client, "On a full disk")
    assert refused.status_code == 503 and refused.headers["retry-after"] and refused.headers["trace-id"]
    assert eventually(
        lambda: tools_list(client.front, client.url, client.headers["Authorization"][7:]).status_code == 503
    )
    waits = tools_list(client.front, client.url, client.headers["Authorization"][7:])
    assert "written down" in waits.text and site.calls.trouble()
    empty(house)
    settle(house)
    assert client.query(ACCOUNTS)["totalSize"] == before, "nothing was made that was refused"
    assert not site.calls.trouble() and create(client, "After").status_code == 200
    rules = recording.Rules(org_id=house.org.id, reads_wait=False)
    house.write(recording.change_rules, rules, actor="a test", now_ms=house.site.clock.now_ms())
    house.run(site.calls._look())
    fill(house)
    assert create(client, "On a full disk").status_code == 503
    assert eventually(lambda: (site.calls.note(a_call(house)), site.calls.trouble())[1])
    for _ in range(3):
        assert tools_list(client.front, client.url, client.headers["Authorization"][7:]).status_code == 200
    for n in range(20_000):
        site.calls.note(a_call(house, n))
    empty(house)
    settle(house)
    assert walk(house) == [] and not site.calls.trouble()
    assert {"tools/list", "tools/call"} <= {each.method for each in house.read(calls.page, house.org.id, limit=30_000)}
    [told] = [
        each
        for each in house.read(audit.page, house.org.id, Filter(kind="calls"), limit=10)
        if each.tag.endswith("lost")
    ]
    assert told.told()["calls"] >= 3
    assert house.read(calls.count, house.org.id) + told.told()["calls"] >= 20_000 + 3


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[postgres.Cluster]:
    """One that a test may stop."""
    with postgres.running(tmp_path / "postgres") as made:
        yield made


@pytest.mark.slow
@requirement("calls:writes-are-kept-first")
def test_while_postgresql_is_away_nothing_is_written_to_a_server_that_the_record_lacks(tmp_path: Path, cluster: Any):
    with House(tmp_path / "data", database=cluster.fresh_database()) as house:
        client = writer(house)
        assert create(client, "Before").status_code == 200
        settle(house)
        before = client.query(ACCOUNTS)["totalSize"]
        cluster.stop()
        assert [create(client, f"Away {n}").status_code for n in range(3)] == [503] * 3
        cluster.start()
        assert eventually(lambda: create(client, "After").status_code == 200, 20)
        assert eventually(lambda: client.query(ACCOUNTS)["totalSize"] == before + 1, 20)
        made = [each.outcome for each in written(house) if each.name == "createSobjectRecord"]
        assert made.count("ok") == 2 and walk(house) == []


@pytest.mark.slow
@requirement("calls:writes-are-kept-first", "audit:command")
def test_of_a_node_that_is_killed_every_answered_write_is_in_the_record_and_the_rest_is_told(tmp_path: Path):
    data, answered = tmp_path / "data", set[str]()
    with running_dev(data) as dev:
        dev.tell("server", "activate", ALL)
        url = f"{dev.issuer}/mcp/{ALL}"
        access = access_token(dev, url)
        threads = [threading.Thread(target=write_on, args=(url, access, answered)) for _ in range(4)]
        for each in threads:
            each.start()
        assert eventually(lambda: len(answered) >= 30, 90)
        dev.process.kill()
        for each in threads:
            each.join()
    with sqlite3.connect(data / "sample.db") as connection:
        made = {name for (name,) in connection.execute("SELECT name FROM account WHERE name LIKE 'trace %'")}
    with running_dev(data) as dev:
        assert [each["state"] for each in dev.tell("audit", "verify")] == ["whole", "whole"]
        rows = {row["trace_id"]: row for row in exported(dev) if row["name"] == "createSobjectRecord"}
        assert answered <= set(rows) and {rows[each]["outcome"] for each in answered} <= {"ok", "unknown"}
        assert {name.removeprefix("trace ") for name in made} <= set(rows), "what was done is told"
        crash = [row for row in exported(dev, is_calls=False) if row["tag"] == "calls:records:crash"]
        assert len(crash) == 1


def access_token(dev: Any, url: str) -> str:
    with httpx2.Client(base_url=dev.issuer, timeout=60) as front:
        user = dev.user(0)
        client = OAuthClient(
            front=front,
            issuer=dev.issuer,
            client_id=dev.key("claude-code"),
            redirect_uri="http://localhost:8080/callback",
        )
        who = Person(front, user["username"], user["password"])
        code = who.allow(client.authorize_url(resource=url))["code"]
        return str(client.redeem(code).json()["access_token"])


def write_on(url: str, access: str, answered: set[str]) -> None:
    """Make accounts named by their calls' trace ids, until nobody answers any more."""
    with httpx2.Client(timeout=60) as front:
        while True:
            trace = secrets.token_hex(16)
            headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
            named = {"sobject-name": "Account", "body": {"Name": f"trace {trace}"}}
            try:
                answer = call_tool(front, url, access, "createSobjectRecord", named, **headers)
            except httpx2.TransportError:
                return
            if answer.status_code == 200 and not answer.json()["result"].get("isError"):
                answered.add(trace)


def exported(dev: Any, *, is_calls: bool = True) -> list[dict[str, Any]]:
    import subprocess
    import sys

    from tests.running import environment

    words = [
        sys.executable,
        "-m",
        "gatelodge",
        "audit",
        "export",
        "--data",
        str(dev.data),
        *(["--calls"] if is_calls else []),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env=environment())
    return [json.loads(line) for line in done.stdout.splitlines()]
