"""Hosted and relayed alike: what no revision allows gets the same answer at every server, and one meaning goes on."""

import json
from typing import Any

import pytest

from gatelodge.core import mcp_servers, server_items
from tests.gateway.relay.rough import Rough
from tests.gateway.relay.standing import Gate
from tests.gateway.speaking import META, MODERN
from tests.requirements import requirement

SERVERS = ("sobject-reads", "upstream")
VERSIONS = (MODERN, "2025-11-25", "2025-06-18")
LISTED = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":%s}}' % json.dumps(META).encode()
BAD = (
    (b"", 400, (-32700,)),
    (b"{", 400, (-32700,)),
    (b"\xff", 400, (-32700,)),
    (b"[" * 129 + b"]" * 129, 400, (-32700,)),
    (b'{"a":' * 100_000, 400, (-32700,)),
    (b" " * 1_048_577, 413, (-32600,)),
    (b"[" + LISTED + b"]", 400, (-32600, -32602)),
    (b"[]", 400, (-32600, -32602)),
    (b"7", 400, (-32600, -32602)),
    (LISTED.replace(b'"2.0"', b'"1.0"'), 400, (-32600, -32602)),
    (LISTED.replace(b'"tools/list"', b"7"), 400, (-32600, -32602)),
)
"""Bodies, with the HTTP status and the JSON-RPC codes that may answer each."""


@pytest.mark.parametrize("version", VERSIONS)
@requirement("gateway:same-bounds")
def test_every_server_refuses_bad_bodies_alike_and_an_upstream_hears_of_none(
    gate: Gate, upstream: Rough, version: str
):  # fmt: skip
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/list"}
    for server in SERVERS:
        client = gate.client(server)
        for body, status, codes in BAD:
            got = client.send(body, headers)
            assert got.status_code == status, (server, body[:40], got.text)
            assert got.json()["error"]["code"] in codes, (server, body[:40], got.text)
        for method in ("PUT", "PATCH"):
            assert client.send(LISTED, headers, method=method).status_code == 405
    assert upstream.asked == []


@requirement("gateway:same-bounds")
def test_every_server_tells_a_client_of_an_unknown_revision_which_ones_there_are(gate: Gate, upstream: Rough):
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    for server in SERVERS:
        got = gate.client(server).modern("tools/list", {"_meta": meta}, {"MCP-Protocol-Version": "2099-01-01"})
        assert got.status_code == 400 and got.json()["error"]["code"] == -32022
        assert got.json()["error"]["data"]["supported"] == [MODERN]
    assert upstream.asked == []


def called(params: str) -> bytes:
    """A call whose parameters are this text."""
    said = f'"_meta":{json.dumps(META)},"name":"do",{params}'
    return f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{said}}}}}'.encode()


TWICE = (
    '"arguments":{"a":1,"a":2}',
    '"arguments":{"a":1,"\\u0061":2}',
    '"arguments":{"list":[{"x":{"b":1,"b":2}}]}',
    '"arguments":{},"inputResponses":{"a":{"b":1,"b":2}}',
    '"arguments":{"a":"\\ud83d\\ude00","n":1,"n":1}',
)


@pytest.mark.parametrize("asks_first", [False, True])
@pytest.mark.parametrize("version", [MODERN, "2025-11-25"])
@requirement("relay:one-meaning")
def test_a_call_that_two_parsers_could_read_in_two_ways_is_refused(
    gate: Gate, upstream: Rough, version: str, asks_first: bool
):
    if asks_first:
        ask_first(gate)
    headers: dict[str, Any] = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": "do"}
    client = gate.client()
    for params in TWICE:
        if not asks_first or "inputResponses" not in params:
            got = client.send(called(params), headers)
            assert got.json()["error"]["code"] == -32602 and "twice" in got.text, params
    assert upstream.calls == []
    if not asks_first and version == MODERN:
        kept = '"arguments":{"a":{"b":1.50,"c":123456789012345678901234567890},"b":[{"a":1},{"a":1e400}],"":"a\\n\\":"}'
        assert client.send(called(kept), headers).status_code == 200
        assert kept.encode() in upstream.calls[0].body, "what can be read in one way passes byte for byte"


def ask_first(gate: Gate) -> None:
    house = gate.house
    known = house.read(mcp_servers.find, house.org.id, "upstream")
    item = house.read(server_items.of_server, known).of_kind("tool")[0]
    told = {"is_on": True, "mark": item.mark, "asks_first": True, "actor": "a test", "now_ms": 1}
    assert house.write(server_items.change, item, known, **told)
    house.catch_up()
