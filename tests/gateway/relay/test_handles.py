"""Handles that an upstream gives out: where it can't tell one user from another, none of them reaches anybody."""

import asyncio
import json
from typing import Any

import pytest

from gatelodge.core.server_items import Catalogue, Offered
from tests.gateway.relay.rough import MODERN, TOOL, Asked, answer, begin, chunk, rough
from tests.gateway.relay.standing import Gate
from tests.requirements import requirement

EXTENSION = "io.modelcontextprotocol/tasks"
CAPABLE: dict[str, Any] = {"tools": {}, "tasks": {"list": {}}, "extensions": {EXTENSION: {}, "com.example/other": {}}}


class Place:
    """An upstream with tasks, of either era, without sessions."""

    discovers = True

    def __init__(self, era: str) -> None:
        self.era = era

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        found: dict[str, Any] = {"content": []}
        if asked.method == "GET":
            await begin(writer)
            await chunk(writer, b": heard\n\n")
            writer.write(b"0\r\n\r\n")
            return
        match asked.called:
            case "initialize":
                found = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": CAPABLE,
                    "serverInfo": {"name": "x", "version": "1"},
                }
            case "server/discover":
                found = {"supportedVersions": [MODERN], "capabilities": CAPABLE, "ttlMs": 0, "cacheScope": "private"}
            case "tools/list":
                found = {"tools": [TOOL], "ttlMs": 0, "cacheScope": "private"}
            case "tasks/list":
                found = {"tasks": [{"taskId": "somebody else's"}]}
        more = {"resultType": "complete"} if self.era == "modern" else {}
        await answer(writer, {"jsonrpc": "2.0", "id": asked.message.get("id"), "result": {**more, **found}})


def capabilities(gate: Gate, era: str) -> dict[str, Any]:
    if era == "modern":
        return gate.client().modern("server/discover").json()["result"]["capabilities"]
    told = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    return gate.client().legacy("initialize", told, None).json()["result"]["capabilities"]


@pytest.mark.parametrize("client", ["modern", "legacy"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
@requirement("relay:tasks")
def test_tasks_of_an_upstream_that_cannot_tell_users_apart_are_nobodys(gate: Gate, era: str, client: str):
    with rough(gate.house, Place(era)) as (upstream, url):
        gate.upstream(url, era=era)
        assert capabilities(gate, client) == {"tools": {}, "extensions": {"com.example/other": {}}}
        for method in ("tasks/list", "tasks/get", "tasks/result", "tasks/cancel"):
            asked = gate.client().modern(method, {"taskId": "1"})
            assert asked.status_code == 404 and asked.json()["error"]["code"] == -32601, method
            assert "isn't told who calls" in asked.json()["error"]["message"]
        called = gate.client().modern("tools/call", {"name": "do", "arguments": {}, "task": {"ttl": 60_000}})
        assert called.status_code == 200 and "task" not in upstream.calls[0].message["params"]
        assert not [each for each in upstream.asked if each.called.startswith("tasks/")]


@requirement("relay:tasks")
def test_an_upstream_that_is_told_who_calls_has_tasks(gate: Gate):
    with rough(gate.house, Place("modern")) as (upstream, url):
        offered = Catalogue(offered=(Offered("tool", "do", json.dumps(TOOL)),))
        gate.offer(gate.register(url, sends_identity=True), offered)
        assert gate.client().modern("tasks/list").json()["result"]["tasks"]
        called = gate.client().modern("tools/call", {"name": "do", "arguments": {}, "task": {"ttl": 60_000}})
        assert called.status_code == 200 and upstream.calls[0].message["params"]["task"] == {"ttl": 60_000}
        assert json.dumps(capabilities(gate, "modern")) == json.dumps(CAPABLE)


@requirement("relay:tasks")
def test_events_are_sent_again_within_a_session_alone(gate: Gate):
    with rough(gate.house, Place("legacy")) as (upstream, url):
        gate.upstream(url, era="legacy")
        headers = {"MCP-Protocol-Version": "2025-11-25", "Last-Event-ID": "of-another-stream"}
        assert gate.client().send(b"", headers, method="GET").status_code == 200
        [heard] = [each for each in upstream.asked if each.method == "GET"]
        assert "last-event-id" not in heard.headers
