"""A server of each kind behind one gate: what it is called with, and what of that reached the thing behind it."""

import contextlib
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from starlette.responses import PlainTextResponse

from gatelodge.core import mcp_servers, server_items
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_items import TOOL
from tests.gateway.speaking import META, MODERN, Client, token
from tests.house import House
from tests.openapi.apis import Api
from tests.servers.offering import items, server
from tests.servers.test_commands import tell
from tests.servers.upstreams import Upstream, tool

KINDS = ("records", "upstream", "openapi", "stdio")
NAME = "behind"
COMMAND = Path(__file__).parent / "command.py"
TABLE = "CREATE TABLE Things (Id INTEGER PRIMARY KEY, Name TEXT NOT NULL, Secret TEXT)"


class Asked(msgspec.Struct, frozen=True):
    """A call: a tool and its arguments."""

    tool: str
    arguments: dict[str, Any]


class Behind(msgspec.Struct, kw_only=True):
    """A server whose every tool is on. ``reads`` and ``writes`` are calls that succeed, ``fails`` one that the server
    itself answers with an error; ``done`` counts the calls that reached what stands behind it.
    """

    house: House
    kind: str
    reads: Asked
    writes: Asked
    fails: Asked
    done: Callable[[], int]

    @property
    def server(self) -> McpServer:
        """Its row as it is now."""
        return server(self.house, NAME)

    def client(self, n: int = 1, **claims: Any) -> Client:
        """The n-th person's client of it, a standard user's."""
        return Client(self.house, token(self.house, n, aud=f"{self.house.org.issuer}/mcp/{NAME}", **claims), NAME)

    def mark(self, tool: str, **changes: Any) -> None:
        """An administrator decides about a tool."""
        item = items(self.house, self.server).find(TOOL, tool)
        assert item is not None
        told = {"is_on": True, "mark": item.mark, "actor": "a test", "now_ms": self.house.site.clock.now_ms()}
        assert self.house.write(server_items.change, item, self.server, **(told | changes))
        self.house.catch_up()

    def change(self, **changes: Any) -> None:
        """An administrator changes the server."""
        told = {"actor": "a test", "now_ms": self.house.site.clock.now_ms()}
        changed = msgspec.structs.replace(self.server, **changes)
        self.house.write(mcp_servers.change, self.server, changed, **told)
        self.house.catch_up()


def call(of: Client, asked: Asked, meta: dict[str, Any] = META, **params: Any) -> httpx2.Response:
    """A call of the modern era."""
    said = {"name": asked.tool, "arguments": asked.arguments, "_meta": meta}
    return of.modern("tools/call", said | params)


def legacy_call(of: Client, asked: Asked) -> httpx2.Response:
    """The same of a client of the older era, in a session where the server keeps any."""
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}
    begun = of.legacy("initialize", about)
    assert begun.status_code == 200, begun.text
    headers = {"MCP-Protocol-Version": "2025-11-25"}
    if session := begun.headers.get("mcp-session-id"):
        headers["Mcp-Session-Id"] = session
    of.send({"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
    params = {"name": asked.tool, "arguments": asked.arguments}
    return of.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers)


def told(answer: httpx2.Response) -> dict[str, Any]:
    """The message in an answer, whether it came as JSON or as the last event of a stream."""
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = text.strip().rpartition("data: ")[2]
    return json.loads(text)


def result(answer: httpx2.Response) -> dict[str, Any]:
    """The result of an answered request."""
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return told(answer)["result"]


def listed(of: Client) -> list[str]:
    """The names of the tools that a client is told of."""
    return [each["name"] for each in result(of.modern("tools/list"))["tools"]]


@contextlib.contextmanager
def behind(house: House, kind: str) -> Iterator[Behind]:
    """A server of this kind, registered from the command line, active, every tool on."""
    with MAKERS[kind](house) as made:
        at = server(house, NAME)
        for item in items(house, at).of_kind(TOOL):
            told = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
            house.write(server_items.switch, item, at, is_on=True, **told)
        tell(house, "activate", NAME)
        house.catch_up()
        yield made


@contextlib.contextmanager
def _records(house: House) -> Iterator[Behind]:
    folder = Path(house.config.data) / "records"
    folder.mkdir(exist_ok=True)
    path = folder / "things.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.execute(TABLE)
        made.execute("INSERT INTO Things VALUES (1, 'One', 'hush'), (2, 'Two', NULL)")
    tell(house, "create", NAME, "--kind", "records", "--variant", "sobject-all", "--source", "sqlite:///things.db")

    def done() -> int:
        with contextlib.closing(sqlite3.connect(path)) as database:
            return int(database.execute("SELECT COUNT(*) - 2 FROM Things").fetchone()[0])

    body = {"Name": "Three", "Secret": "do not keep"}
    yield Behind(
        house=house,
        kind="records",
        reads=Asked("soqlQuery", {"q": "SELECT Name FROM Things ORDER BY Name"}),
        writes=Asked("createSobjectRecord", {"sobject-name": "Things", "body": body}),
        fails=Asked("soqlQuery", {"q": "SELECT Nothing FROM Things"}),
        done=done,
    )


@contextlib.contextmanager
def _upstream(house: House) -> Iterator[Behind]:
    made = Upstream(tool("look"), tool("keep", reads=False))
    with made.running() as url:
        tell(house, "create", NAME, "--source", url, "--allow-private-addresses")
        yield Behind(
            house=house,
            kind="upstream",
            reads=Asked("look", {"q": "x"}),
            writes=Asked("keep", {"q": "x", "body": {"Secret": "do not keep"}}),
            fails=Asked("look", {"q": "fail"}),
            done=lambda: len(made.called),
        )


@contextlib.contextmanager
def _openapi(house: House) -> Iterator[Behind]:
    api = Api()
    api.answers["/v1/pets/none"] = PlainTextResponse("no such pet", 404)
    with api.running() as url:
        document = f"{url}/openapi.json"
        tell(
            house, "create", NAME, "--kind", "openapi", "--source", url, "--document", document,
            "--allow-private-addresses",
        )  # fmt: skip
        yield Behind(
            house=house,
            kind="openapi",
            reads=Asked("getPet", {"petId": "7"}),
            writes=Asked("createPet", {"name": "Rex", "tag": "do not keep"}),
            fails=Asked("getPet", {"petId": "none"}),
            done=lambda: len(api.asked),
        )


@contextlib.contextmanager
def _stdio(house: House) -> Iterator[Behind]:
    line = json.dumps([sys.executable, "-u", str(COMMAND)])
    tell(house, "create", NAME, "--kind", "stdio", "--source", line)
    kept = Path(house.config.data) / "stdio" / server(house, NAME).id / "done"
    yield Behind(
        house=house,
        kind="stdio",
        reads=Asked("look", {"q": "x"}),
        writes=Asked("keep", {"q": "x", "body": {"Secret": "do not keep"}}),
        fails=Asked("look", {"q": "fail"}),
        done=lambda: len(kept.read_text().splitlines()) if kept.exists() else 0,
    )


MAKERS = {"records": _records, "upstream": _upstream, "openapi": _openapi, "stdio": _stdio}
OPENS_URLS = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}

__all__ = [
    "KINDS",
    "MODERN",
    "NAME",
    "OPENS_URLS",
    "Asked",
    "Behind",
    "behind",
    "call",
    "legacy_call",
    "listed",
    "result",
    "told",
]
