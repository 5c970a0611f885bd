"""A start stays lean: what only MCP calls need is loaded by the first of them, and nothing heavy is made by the next."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gatelodge.core import mcp_servers
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.requirements import requirement
from tests.running import eventually, free_port

LATER = ("mcp", "mcp_types", "pydantic", "sqlalchemy", "lark", "authlib", "aiohttp", "webauthn")
STARTED = """
import sys
from gatelodge.__main__ import main
from gatelodge.cli.seeding import Told

def as_json(told):
    import json
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    return json.dumps({"issuer": told.issuer, "loaded": loaded})

Told.as_json = as_json  # what is printed at readiness: here, the modules that are there by then
sys.argv = ["gatelodge", "dev", "--json", *sys.argv[1:]]
sys.exit(main())
"""


HASHED = """
import asyncio, re
from pathlib import Path
from gatelodge.cli import starting
from gatelodge.web.passwords import Passwords

def held():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

async def hash():
    starting.give_back_large_blocks()
    passwords = Passwords()
    before = held()
    await asyncio.gather(*(passwords.hash("a password") for _ in range(6)))
    print(held() - before)
    passwords.close()

asyncio.run(hash())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc says how much memory is held")
@requirement("gateway:lean-memory")
def test_the_memory_of_a_passwords_hash_is_given_back():
    told = subprocess.run([sys.executable, "-c", HASHED], stdout=subprocess.PIPE, check=True, timeout=60)
    assert int(told.stdout) < 19 * 1024 * 1024, "less than one hash needs"


@pytest.mark.slow
@requirement("gateway:lean-start")
def test_what_only_calls_need_is_not_loaded_at_readiness(tmp_path: Path):
    command = [sys.executable, "-c", STARTED, "--port", str(free_port()), "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            loaded = set(json.loads(process.stdout.readline())["loaded"])
        finally:
            process.terminate()
    assert "starlette" in loaded, "it has started"
    assert [name for name in LATER if name in loaded] == []


@requirement("gateway:lean-calls")
def test_calls_after_the_first_make_no_threads_connections_or_servers(house: House):
    from gatelodge.gateway.records.server import THREADS

    client = Client(house, token(house))

    def call(times: int) -> None:
        for n in range(times):
            client.query(f"SELECT Id FROM Account WHERE Name != '{n}' LIMIT 1")
            client.call("find", q=f"alder {n}")
            assert client.legacy("tools/list").status_code == 200

    call(10)
    (server,) = (each.server for each in house.app._gateway._records.started.values())
    engine = server.desk._reader
    before = server._serving._manager, engine, server._threads
    call(10)
    assert (server._serving._manager, server.desk._reader, server._threads) == before
    most = THREADS["sqlite"]
    assert len(server._threads._threads) <= most and engine.pool.checkedin() <= most, "of 60 calls"
    assert [each.server for each in house.app._gateway._records.started.values()] == [server]


@requirement("gateway:server-sees-no-token")
def test_a_hosted_server_is_handed_the_caller_and_never_the_token(house: House):
    good = token(house)
    client = Client(house, good)
    assert client.modern("tools/list").status_code == 200
    (server,) = (each.server for each in house.app._gateway._records.started.values())
    seen: list[dict] = []
    serve = server._serving._manager.asgi_app

    async def watch(scope, receive, send):
        seen.append(scope)
        await serve(scope, receive, send)

    server._serving._manager.asgi_app = watch
    assert client.modern("tools/list", headers={"Cookie": "session=secret"}).status_code == 200
    names = {name for name, _ in seen[0]["headers"]}
    assert b"mcp-method" in names and not names & {b"authorization", b"cookie"}
    assert good not in repr(seen[0]["headers"])


@requirement("gateway:let-go")
def test_a_server_that_no_app_may_call_any_more_is_let_go_with_its_connections(house: House):
    client, started = Client(house, token(house)), house.app._gateway._records.started
    assert client.modern("tools/list").status_code == 200
    (before,) = (each.server for each in started.values())

    def switch(*, is_active: bool) -> None:
        now_ms = house.site.clock.now_ms()
        house.write(
            mcp_servers.set_active, house.org.id, "sobject-reads", is_active=is_active, actor="robin", now_ms=now_ms
        )
        house.catch_up()

    switch(is_active=False)
    assert client.modern("tools/list").status_code == 404
    assert eventually(lambda: not started and before._threads._shutdown)
    switch(is_active=True)
    assert client.modern("tools/list").status_code == 200
    (after,) = (each.server for each in started.values())
    assert after is not before
