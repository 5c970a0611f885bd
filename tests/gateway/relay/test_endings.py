"""Streams that are open end with what they stood on; and a client that leaves, or misbehaves, hurts nobody."""

import asyncio
import contextlib
import json
from collections.abc import Callable

import aiohttp
import pytest

from gatelodge.core import mcp_servers, users
from gatelodge.core.operation import Operation, announce
from tests.gateway.relay.rough import Asked, Rough, begin, chunk, hang, rough, well
from tests.gateway.relay.standing import Gate
from tests.gateway.speaking import META, MODERN
from tests.requirements import requirement

CALL = {"name": "do", "arguments": {}}
ACK = b'data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{}}}\n\n'


async def listening(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await begin(writer)
    await chunk(writer, ACK)
    await hang(asked, writer)


def ended(org_id: str, kind: str, record_id: str) -> Operation[None]:
    """What the feed says when a user takes an authorization back, or a connection ends."""
    yield from announce(org_id, kind, record_id)


def end_the_authorization(gate: Gate) -> None:
    gate.house.write(ended, gate.house.org.id, "authorization", "0uA000000000001AAA")


def end_the_connection(gate: Gate) -> None:
    gate.house.write(ended, gate.house.org.id, "connection", "0uC000000000001AAA")


def deactivate_the_server(gate: Gate) -> None:
    told = {"actor": "robin", "now_ms": 1}
    gate.house.write(mcp_servers.set_active, gate.house.org.id, "upstream", is_active=False, **told)


def deactivate_the_user(gate: Gate) -> None:
    found = gate.house.read(users.in_order, gate.house.org.id)
    user = next(each for each in found if each.username == gate.house.told.users[1]["username"])
    gate.house.write(users.set_active, gate.house.org.id, user.id, is_active=False)


async def reading(url: str, token: str, started: asyncio.Event) -> bytes:
    """Everything that an open stream says until it ends."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"_meta": META, "notifications": {}}}
    headers = {
        "Authorization": f"Bearer {token}", "Accept": "text/event-stream", "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "subscriptions/listen",
    }  # fmt: skip
    said = b""
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as got:
        assert got.status == 200, await got.text()
        async for each in got.content.iter_any():
            said += each
            started.set()
    return said


@contextlib.contextmanager
def streaming(gate: Gate, n: int = 1):
    """A stream that is open; what it said, when it has ended."""
    started = asyncio.Event()
    work = reading(f"{gate.url}/mcp/upstream", gate.token(n=n), started)
    running = asyncio.run_coroutine_threadsafe(work, gate.house._loop)
    gate.house.run(asyncio.wait_for(started.wait(), 10))
    yield running


@pytest.mark.parametrize("end", [end_the_authorization, end_the_connection, deactivate_the_server, deactivate_the_user])
@requirement("relay:streams-end")
def test_an_open_stream_ends_with_what_it_stood_on(gate: Gate, upstream: Rough, end: Callable[[Gate], None]):
    upstream.behave = listening
    with streaming(gate) as stream:
        end(gate)
        assert stream.result(5) == ACK, "by the feed alone, and whole events only"
    gate.house.run(asyncio.wait_for(upstream.is_left.wait(), 5))


@requirement("relay:streams-end")
def test_a_stream_of_somebody_else_goes_on(gate: Gate, upstream: Rough):
    upstream.behave = listening
    with streaming(gate, n=0) as other, streaming(gate, n=1) as stream:
        deactivate_the_user(gate)
        assert stream.result(5) == ACK
        assert not other.done()
        deactivate_the_server(gate)
        assert other.result(5) == ACK


@requirement("relay:client-leaves")
def test_when_the_client_leaves_its_call_is_called_off_upstream(gate: Gate, upstream: Rough):
    upstream.behave = hang
    token = gate.token()

    async def leave() -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, **CALL}}
        headers = {
            "Authorization": f"Bearer {token}", "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call",
            "Mcp-Name": "do",
        }  # fmt: skip
        async with aiohttp.ClientSession() as http:
            with contextlib.suppress(TimeoutError):
                await http.post(
                    f"{gate.url}/mcp/upstream", json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=0.3)
                )
        await asyncio.wait_for(upstream.is_left.wait(), 0.6)  # long before the upstream's own time is over

    gate.house.run(leave())


@requirement("relay:slow-readers")
def test_a_client_that_reads_nothing_holds_up_its_own_answer_and_no_memory(gate: Gate, upstream: Rough):
    sent = [0]

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await begin(writer, kind="application/json")
        for _ in range(100_000):
            await chunk(writer, b"x" * 1024)
            sent[0] += 1024

    with rough(gate.house, behave) as (other, url):
        made = gate.register(url, "large", call_seconds=3, largest_answer=500 * 1024 * 1024)
        from gatelodge.core.server_items import Catalogue, Offered
        from tests.gateway.relay.rough import TOOL

        gate.offer(made, Catalogue(offered=(Offered("tool", "do", json.dumps(TOOL)),)))
        token = gate.token("large")

        async def stall() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", gate.port, limit=1024)
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, **CALL}})
            writer.write(
                f"POST /mcp/large HTTP/1.1\r\nHost: localhost:{gate.port}\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: application/json\r\nMCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\n"
                f"Mcp-Name: do\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            await asyncio.wait_for(other.is_left.wait(), 8)
            writer.close()

        gate.house.run(stall())
        assert sent[0] < 32 * 1024 * 1024, "what the sockets hold, and not the hundred million bytes that were to come"


@requirement("relay:slow-writers")
def test_a_request_whose_body_comes_slowly_is_read_whole(gate: Gate, upstream: Rough):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, **CALL}}).encode()
    head = (
        f"POST /mcp/upstream HTTP/1.1\r\nHost: localhost:{gate.port}\r\nAuthorization: Bearer {gate.token()}\r\n"
        f"Content-Type: application/json\r\nMCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\n"
        f"Mcp-Name: do\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()

    async def begun() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(head + body[:10])
        return reader, writer

    async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for at in range(10, len(body)):
            writer.write(body[at : at + 1])
            await writer.drain()
        got = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
        writer.close()
        return got

    opened = gate.house.run(begun())
    upstream.behave = hang
    assert gate.client().modern("tools/call", CALL).status_code == 504, "which takes a second"
    upstream.behave = well
    assert b" 200 " in gate.house.run(ended(*opened))


def deep(n: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":%s,"name":"do","arguments":%s}}' % (
        json.dumps(META).encode(), b"[" * n + b"]" * n,
    )  # fmt: skip


@pytest.mark.parametrize("version", [MODERN, "2025-11-25"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, -32700), (b"{", 400, -32700), (b"\xff", 400, -32700), (b"[]", 400, -32600), (b"7", 400, -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400, -32600), (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', 400, -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', 400, -32600), (b'{"jsonrpc":"2.0","id":1,"method":7}', 400, -32600),
        (deep(200), 400, -32700), (deep(200_000), 400, -32700), (b'{"a":' * 100_000, 400, -32700), (b" " * 1_048_577, 413, -32600),
    ],
    ids=range(13),
)  # fmt: skip
@requirement("relay:bad-input")
def test_what_no_revision_allows_is_refused_before_anything_is_sent_on(
    gate: Gate, upstream: Rough, version: str, body: bytes, status: int, code: int
):
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": "do"}
    got = gate.client().send(body, headers)
    assert got.status_code == status and got.json()["error"]["code"] == code, got.text
    assert upstream.asked == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Mcp-Method": "tools/list"}, -32020), ({"Mcp-Method": ""}, -32020), ({"Mcp-Name": "other"}, -32020),
        ({"Mcp-Name": "=?base64?!!?="}, -32020), ({"MCP-Protocol-Version": "2099-01-01"}, -32020),
    ],
)  # fmt: skip
@requirement("relay:bad-input")
def test_headers_that_say_something_else_than_the_body_are_refused(
    gate: Gate, upstream: Rough, changes: dict[str, str], code: int
):
    got = gate.client().modern("tools/call", CALL, changes)
    assert got.status_code == 400 and got.json()["error"]["code"] == code
    assert upstream.asked == []


@requirement("relay:bad-input")
def test_an_unknown_revision_is_told_which_ones_are_known(gate: Gate, upstream: Rough):
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    got = gate.client().modern("tools/call", {"_meta": meta, **CALL}, {"MCP-Protocol-Version": "2099-01-01"})
    assert got.status_code == 400
    assert got.json()["error"]["code"] == -32022
    assert got.json()["error"]["data"] == {"supported": [MODERN], "requested": "2099-01-01"}


@requirement("relay:bad-input")
def test_a_request_without_its_envelope_is_refused(gate: Gate, upstream: Rough):
    for meta in ({}, {"io.modelcontextprotocol/protocolVersion": MODERN}, None, 7):
        got = gate.client().modern("tools/call", {"_meta": meta, **CALL})
        assert got.status_code == 400 and got.json()["error"]["code"] == -32602


@requirement("relay:bad-input")
def test_a_new_era_has_no_get_and_no_delete(gate: Gate, upstream: Rough):
    for method in ("GET", "DELETE"):
        assert gate.client().send(b"", {"MCP-Protocol-Version": MODERN}, method=method).status_code == 405
