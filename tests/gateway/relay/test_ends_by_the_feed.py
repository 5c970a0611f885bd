"""Open streams end when the ground they stand on goes, by what the feed says alone: on PostgreSQL it was another node that
wrote the change.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from gatelodge.core import mcp_servers, permissions, propagation, server_items
from gatelodge.core.apps import deleted, registry
from gatelodge.core.apps.policies import Policies
from tests.gateway.relay.rough import Asked, Rough, begin, chunk, hang, rough
from tests.gateway.relay.standing import Gate, standing
from tests.gateway.relay.test_endings import ACK, CALL, listening, streaming
from tests.gateway.speaking import META, MODERN
from tests.house import House
from tests.postgres import Cluster
from tests.requirements import requirement
from tests.store.operations import opened

ACTOR = "robin@acme.example"


@pytest.fixture(params=["sqlite", "postgresql"])
def gate_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gate]:
    """A gate with its state in a file, and one with it in a database that others write to."""
    if request.param == "sqlite":
        made = standing(request.getfixturevalue("furnished"), tmp_path / "data")
    else:
        model: House = request.getfixturevalue("furnished_on_postgres")
        cluster: Cluster = request.getfixturevalue("postgres_server")
        url = cluster.fresh_database(template=model.config.database.rpartition("/")[2])
        made = standing(Path(model.config.data), tmp_path / "data", database=url)
    with made as gate:
        yield gate


@pytest.fixture
def behind(gate_on: Gate) -> Iterator[Rough]:
    with rough(gate_on.house) as (made, url):
        gate_on.upstream(url)
        made.behave = listening
        yield made


def elsewhere(gate: Gate, operation: Any, *args: Any, **told: Any) -> Any:
    """Change something as another node does; the file of a SQLite has but one."""
    house = gate.house
    if not house.config.database:
        return house.write(operation, *args, **told)

    async def write() -> Any:
        async with opened(house.config.database) as store:
            return await store.run(operation, *args, **told)

    return house.run(write())


def app_of(gate: Gate) -> registry.ExternalClientApp:
    house = gate.house
    key = next(app["consumer_key"] for app in house.told.apps if app["preset"] == "claude-code")
    live = house.run(house.site.live.client(house.org.id, key))
    return house.read(registry.find, house.org.id, live.app_id)


def save(gate: Gate, change: Callable[[Policies], Policies]) -> None:
    app = app_of(gate)
    told = {"actor": ACTOR, "now_ms": gate.house.site.clock.now_ms(), "delay": 0, "revision": app.revision}
    elsewhere(
        gate, propagation.change_app, app, settings=app.settings, policies=change(app.policies), **told
    )  # fmt: skip


def disable_the_app(gate: Gate) -> None:
    save(gate, lambda policies: msgspec.structs.replace(policies, is_enabled=False))


def delete_the_app(gate: Gate) -> None:
    elsewhere(gate, deleted.delete, app_of(gate), actor=ACTOR, now_ms=gate.house.site.clock.now_ms())


def forbid_the_server(gate: Gate) -> None:
    save(gate, lambda policies: msgspec.structs.replace(policies, mcp_servers=("sobject-reads",)))


def shrink_the_permission_sets(gate: Gate) -> None:
    org_id = gate.house.org.id
    for each in gate.house.read(permissions.of_org, org_id):
        kept = tuple(one for one in each.system if one != permissions.USE_MCP_SERVERS)
        elsewhere(gate, permissions.change, org_id, msgspec.structs.replace(each, system=kept))


def keep_the_server_for_others(gate: Gate) -> None:
    before = gate.house.read(mcp_servers.find, gate.house.org.id, "upstream")
    after = msgspec.structs.replace(before, permission_sets=("Nobody_Has_It",))
    elsewhere(gate, mcp_servers.change, before, after, actor=ACTOR, now_ms=1)


def deactivate_the_server(gate: Gate) -> None:
    elsewhere(
        gate, mcp_servers.set_active, gate.house.org.id, "upstream", is_active=False, actor=ACTOR, now_ms=1
    )  # fmt: skip


ENDS = (
    disable_the_app, delete_the_app, forbid_the_server, shrink_the_permission_sets, keep_the_server_for_others,
    deactivate_the_server,
)  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
@requirement("relay:streams-end")
def test_an_open_stream_ends_when_its_user_would_not_be_let_in_any_more(
    gate_on: Gate, behind: Rough, end: Callable[[Gate], None]
):  # fmt: skip
    with streaming(gate_on) as stream:
        end(gate_on)
        assert stream.result(10) == ACK
    gate_on.house.run(asyncio.wait_for(behind.is_left.wait(), 5))


@requirement("relay:calls-end")
def test_a_call_under_way_ends_when_its_tool_is_turned_off(gate_on: Gate, behind: Rough):
    async def working(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await begin(writer)
        await chunk(writer, b": at work\n\n")
        await hang(asked, writer)

    behind.behave = working
    house, started = gate_on.house, asyncio.Event()

    async def call(token: str) -> bytes:
        headers = {
            "Authorization": f"Bearer {token}", "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call",
            "Mcp-Name": "do", "Accept": "application/json, text/event-stream",
        }  # fmt: skip
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, **CALL}}
        said, url = b"", f"{gate_on.url}/mcp/upstream"
        async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as got:
            async for each in got.content.iter_any():
                said += each
                started.set()
        return said

    calling = asyncio.run_coroutine_threadsafe(call(gate_on.token()), house._loop)
    house.run(asyncio.wait_for(started.wait(), 10))
    known = house.read(mcp_servers.find, house.org.id, "upstream")
    item = house.read(server_items.of_server, known).of_kind("tool")[0]
    elsewhere(gate_on, server_items.switch, item, known, is_on=False, actor=ACTOR, now_ms=1)
    assert b"result" not in calling.result(10)
    house.run(asyncio.wait_for(behind.is_left.wait(), 5))
