"""What goes through the relay, to the byte, and what stays."""

import asyncio
import json
from typing import Any

import pytest

from gatelodge.core.server_items import Catalogue, Offered
from tests.gateway.relay.rough import Asked, Rough, answer, begin, chunk, rough, well
from tests.gateway.relay.standing import Gate
from tests.gateway.speaking import META, MODERN
from tests.requirements import requirement

CALL = {"name": "do", "arguments": {}}
ODD = (
    b'{ "$schema" : "x" , "$defs":{"\\u0061":{"$anchor":"a"}},"type":"object", "zzz":1e2, "aaa": [1.0 ,2],'
    b'"big":123456789012345678901234567890 }'
)


def tools(*names: str, schema: bytes = b'{"type":"object"}') -> bytes:
    return b",".join(b'{"inputSchema": %s ,"name":"%s"}' % (schema, name.encode()) for name in names)


def listing(*names: str, cursor: str = "", schema: bytes = b'{"type":"object"}') -> bytes:
    more = b', "nextCursor":"%s"' % cursor.encode() if cursor else b""
    return b'{"jsonrpc":"2.0","id":1,"result":{"unknown": 7,"resultType":"complete","tools":[%s]%s}}' % (
        tools(*names, schema=schema), more,
    )  # fmt: skip


@requirement("relay:bytes-pass")
def test_an_answer_is_the_upstreams_to_the_byte(gate: Gate, upstream: Rough):
    body = b'{"jsonrpc":"2.0", "id":1 ,"result":{"content":[],"zeta":%s,"alpha":null}}' % ODD

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await answer(writer, body)

    upstream.behave = behave
    assert gate.client().modern("tools/call", CALL).content == body


@requirement("relay:bytes-pass")
def test_arguments_and_unknown_members_reach_the_upstream_as_they_were_written(gate: Gate, upstream: Rough):
    body = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","later":[1.50],"params":{"_meta":{"io.modelcontextprotocol/protocolVersion"'
        b':"2026-07-28","io.modelcontextprotocol/clientCapabilities":{ "x" : 1 },"traceparent":"00-1"},"name":"do","arguments":%s}}' % ODD
    )  # fmt: skip
    got = gate.client().send(body, {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "do"})
    assert got.status_code == 200
    (asked,) = upstream.calls
    assert asked.body == body and ODD in asked.body


@requirement("relay:one-meaning")
def test_a_member_that_is_sent_twice_means_here_what_it_means_behind(gate: Gate, upstream: Rough):
    twice = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"secret"},"params":{"_meta":%s,'
        b'"name":"secret","n\\u0061me":"do","arguments":{}}}' % json.dumps(META).encode()
    )
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "do"}
    assert gate.client().send(twice, headers).status_code == 200
    (asked,) = upstream.calls
    assert asked.body.count(b'"method"') == asked.body.count(b'"params"') == asked.body.count(b'"name":"do"') == 1
    assert b"secret" not in asked.body and asked.message["params"]["name"] == "do"


@requirement("relay:filtered")
def test_a_list_holds_what_the_caller_may_use_byte_for_byte_and_its_pages_stay_pages(gate: Gate, upstream: Rough):
    pages = {
        None: listing("do", "hidden", cursor="two", schema=ODD),
        "two": listing("other", cursor="three"),
        "three": listing("do"),
    }

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await answer(writer, pages[asked.message["params"].get("cursor")])

    with rough(gate.house, behave) as (_, url):
        server = gate.register(url, "paged")
        found = gate.read_in(server)
        assert [each.name for each in found.offered] == ["do", "hidden", "other", "do"]
        gate.offer(server, found, off=())
        gate.house.write(switch_off, gate, server, "hidden", "other")
        gate.house.catch_up()
        first = gate.client("paged").modern("tools/list")
        assert first.content == b'{"jsonrpc":"2.0","id":1,"result":{"unknown":7,"resultType":"complete","tools":[%s],"nextCursor":"two"}}' % (
            tools("do", schema=ODD)
        )  # fmt: skip
        second = gate.client("paged").modern("tools/list", {"cursor": "two"}).json()["result"]
        assert second["tools"] == [] and second["nextCursor"] == "three"


def switch_off(gate: Gate, server: Any, *names: str) -> Any:
    from gatelodge.core import mcp_servers, server_items

    known = yield from mcp_servers.find(server.org_id, server.name)
    for item in (yield from server_items.of_server(known)).all:
        if item.name in names:
            yield from server_items.switch(item, known, is_on=False, actor="robin", now_ms=0)


@requirement("relay:filtered")
def test_what_is_not_listed_is_answered_like_what_nobody_has_heard_of(gate: Gate, upstream: Rough):
    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await (answer(writer, listing("do", "hidden")) if asked.called == "tools/list" else well(asked, writer))

    with rough(gate.house, behave) as (other, url):
        server = gate.upstream(url, "half")
        gate.house.write(switch_off, gate, server, "hidden")
        gate.house.catch_up()
        other.asked.clear()
        hidden = gate.client("half").modern("tools/call", {"name": "hidden", "arguments": {}})
        unheard = gate.client("half").modern("tools/call", {"name": "unheard", "arguments": {}})
        assert hidden.status_code == unheard.status_code == 400
        assert hidden.text.replace("hidden", "unheard") == unheard.text
        assert hidden.json()["error"] == {"code": -32602, "message": "Unknown tool: hidden"}
        for method, params in (("prompts/get", {"name": "p"}), ("resources/read", {"uri": "file:///etc/passwd"})):
            refused = gate.client("half").modern(method, params, {"Mcp-Name": params.get("uri", "p")})
            assert refused.json()["error"]["code"] == -32602
        assert other.asked == [], "nothing of it was sent on"


@requirement("relay:forwarded-headers")
def test_of_a_clients_headers_only_those_that_are_named_go_on(gate: Gate, upstream: Rough):
    headers = {
        "Mcp-Param-Region": "=?base64?w6k=?=", "Mcp-Param-Later-Word": "x", "traceparent": "00-1", "Cookie": "a=b",
        "X-Forwarded-For": "10.0.0.1", "X-Internal": "1", "Forwarded": "for=x", "Proxy-Authorization": "Basic x",
        "Mcp-Session-Id": "theirs", "Origin": gate.url, "Accept-Language": "de",
    }  # fmt: skip
    client = gate.client()
    assert client.modern("tools/call", CALL, headers).status_code == 200
    (asked,) = upstream.calls
    assert set(asked.headers) == {
        "host", "accept", "accept-encoding", "content-type", "content-length", "user-agent", "mcp-protocol-version",
        "mcp-method", "mcp-name", "mcp-param-region", "mcp-param-later-word", "traceparent",
    }  # fmt: skip
    assert asked.headers["mcp-param-region"] == "=?base64?w6k=?="
    secret = client.headers["Authorization"].partition(" ")[2]
    assert all(secret not in each.body.decode("latin-1") + str(each.headers) for each in upstream.asked)


@requirement("relay:one-request")
def test_a_call_is_one_request_upstream_and_connections_are_kept(gate: Gate, upstream: Rough):
    client = gate.client()
    for _ in range(5):
        assert client.modern("tools/call", CALL).status_code == 200
    assert [each.called for each in upstream.asked].count("tools/call") == 5
    assert len([each for each in upstream.asked if each.called != "tools/call"]) <= 1, "which era it speaks, once"
    assert upstream.most_at_once == 1


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found"])
@requirement("relay:errors-pass")
def test_an_upstreams_own_errors_pass_with_their_status(gate: Gate, upstream: Rough, status: str):
    body = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "theirs", "data": {"x": 1}}}

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await answer(writer, body, status)

    upstream.behave = behave
    got = gate.client().modern("later/method")
    assert got.status_code == int(status[:3]) and got.json() == body


@requirement("relay:unbuffered")
def test_events_come_as_they_are_sent_and_no_proxy_is_to_hold_them(gate: Gate, upstream: Rough):
    first, last = (
        b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n',
        b'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n',
    )
    seen = asyncio.Event()

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await begin(writer)
        await chunk(writer, first)
        await seen.wait()  # the second is sent when the first was read
        await chunk(writer, last)
        writer.write(b"0\r\n\r\n")

    upstream.behave = behave

    signed = gate.token()

    async def reading() -> tuple[Any, list[bytes]]:
        import aiohttp

        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, **CALL}}
        headers = {
            "Authorization": f"Bearer {signed}", "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "do",
        }  # fmt: skip
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{gate.url}/mcp/upstream", json=body, headers=headers) as got,
        ):
            chunks = []
            async for each in got.content.iter_any():
                chunks.append(each)
                seen.set()
            return got.headers, chunks

    headers, chunks = gate.house.run(reading())
    assert chunks == [first, last]
    assert headers["X-Accel-Buffering"] == "no" and headers["Content-Type"] == "text/event-stream"


@pytest.mark.parametrize("kind", ["json", "large", "chunked", "events"])
@pytest.mark.parametrize("method", ["tools/list", "resources/read"])
@requirement("relay:private")
def test_what_depends_on_the_caller_is_kept_for_nobody_else(gate: Gate, method: str, kind: str):
    text = json.dumps('what looks like "cacheScope":"public"' + "x" * (10 if kind == "json" else 100_000)).encode()
    offered = b'"tools":[]' if method == "tools/list" else b'"contents":[{"uri":"a:b","text":%s}]' % text
    body = b'{"jsonrpc":"2.0","id":1,"result":{%s,"ttlMs":60000,"cacheScope": "public"}}' % offered

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if kind in ("json", "large"):
            await answer(writer, body)
            return
        await begin(writer, kind="application/json" if kind == "chunked" else "text/event-stream")
        whole = b"data: %s\n\n" % body if kind == "events" else body
        for start in range(0, len(whole), 999):
            await chunk(writer, whole[start : start + 999])
        writer.write(b"0\r\n\r\n")

    with rough(gate.house, behave) as (_, url):
        server = gate.register(url, "sharing")
        gate.offer(server, Catalogue(offered=(Offered("resource", "a:b", '{"uri":"a:b","name":"a"}'),)))
        params = {"uri": "a:b"} if method == "resources/read" else {}
        got = gate.client("sharing").modern(method, params, {"Mcp-Name": "a:b"} if params else {})
        assert got.status_code == 200, got.text
        result = json.loads(got.text.removeprefix("event: message\n").removeprefix("data:"))["result"]
        assert (result["cacheScope"], result["ttlMs"]) == ("private", 60000)
        if params:
            assert result["contents"][0]["text"] == json.loads(text)
