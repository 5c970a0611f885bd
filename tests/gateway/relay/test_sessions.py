"""Sessions of the old era through the gate: whose they are, what they carry, how they end; and what crosses between eras."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.relay.standing import Gate, everything, standing
from tests.gateway.speaking import LEGACY, META, Client
from tests.requirements import requirement

CAPABLE = {"capabilities": {"elicitation": {}}, "clientInfo": {"name": "test", "version": "1"}}


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory, furnished: Path) -> Iterator[Gate]:
    """One gate with an upstream of each era behind it."""
    data = tmp_path_factory.mktemp("crossing") / "data"
    with everything("legacy") as old, everything("modern") as new, standing(furnished, data) as gate:
        gate.upstream(old, "older")
        gate.upstream(new, "newer")
        yield gate


def begin(client: Client) -> str:
    """A session's id."""
    answer = client.legacy("initialize", CAPABLE | {"protocolVersion": LEGACY[-1]}, None)
    assert answer.status_code == 200, answer.text
    return answer.headers["mcp-session-id"]


def told(answer: Any) -> dict[str, Any]:
    """The last message of an answer, whichever kind it is."""
    if answer.headers["content-type"].startswith("application/json"):
        return answer.json()
    return [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:") and line[5:].strip()][
        -1
    ]


def within(client: Client, session: str, method: str, params: dict[str, Any] | None = None, verb: str = "POST") -> Any:
    headers = {"MCP-Protocol-Version": LEGACY[-1], "Mcp-Session-Id": session}
    body: Any = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}} if verb == "POST" else b""
    return client.send(body, headers, method=verb)


@pytest.mark.parametrize("server", ["older", "newer"])
@requirement("relay:session-owner")
def test_a_session_is_its_owners_and_unknown_to_everybody_else(crossing: Gate, server: str):
    own = crossing.client(server)
    session = begin(own)
    assert len(base64.urlsafe_b64decode(session + "==")) >= 16
    assert "tools" in told(within(own, session, "tools/list"))["result"]
    other_user = crossing.client(server, 1)
    other_app = crossing.client(server, preset="codex")
    elsewhere = crossing.client("newer" if server == "older" else "older")
    for stranger in (other_user, other_app, elsewhere):
        refused = within(stranger, session, "tools/list")
        assert refused.status_code == 404 and refused.json()["error"]["message"] == "Session not found"
    for wrong in ("", "made-up", session[:-4] + "AAAA", "a" * 9000):
        assert within(own, wrong, "tools/list").status_code == 404
    assert within(own, session, "tools/list").status_code == 200


@pytest.mark.parametrize("server", ["older", "newer"])
@requirement("relay:session-end")
def test_delete_ends_a_session_on_both_sides(crossing: Gate, server: str):
    client = crossing.client(server)
    session = begin(client)
    assert within(client, session, "", verb="DELETE").status_code == 204
    assert within(client, session, "tools/list").status_code == 404
    assert within(client, session, "", verb="DELETE").status_code == 404


@pytest.mark.parametrize("server", ["older", "newer"])
@requirement("relay:session-any-node")
def test_another_node_takes_a_session_up(crossing: Gate, server: str):
    client = crossing.client(server)
    session = begin(client)
    crossing.house.app._gateway.relaying._relay.sessions._known.clear()  # as a node that never saw it
    assert "tools" in told(within(client, session, "tools/list"))["result"]


@requirement("relay:session-bounded")
def test_who_begins_too_many_sessions_loses_the_oldest(crossing: Gate):
    from gatelodge.gateway.relay.sessions import MOST_OF_A_CALLER

    client = crossing.client("newer", 1, preset="codex")
    first = begin(client)
    for _ in range(MOST_OF_A_CALLER):
        last = begin(client)
    assert within(client, first, "ping").status_code == 404
    assert within(client, last, "ping").status_code == 200


@requirement("relay:across")
def test_a_client_of_the_old_era_meets_an_upstream_of_the_new_one(crossing: Gate):
    client = crossing.client("newer")
    answer = client.legacy("initialize", CAPABLE | {"protocolVersion": "2025-06-18"}, None).json()["result"]
    assert answer["protocolVersion"] == "2025-06-18" and answer["serverInfo"]["name"] == "everything"
    assert answer["instructions"] == "The org's words"
    session = begin(client)
    called = told(within(client, session, "tools/call", {"name": "test_simple_text", "arguments": {}}))["result"]
    assert called["content"][0]["text"].startswith("This is a simple text")
    assert not {"resultType", "ttlMs", "cacheScope"} & set(called)
    region = told(within(client, session, "tools/call", {"name": "test_headers", "arguments": {"region": "é"}}))
    assert "result" in region, "the header that the tool's schema asks for is made from the arguments"
    missing = told(within(client, session, "resources/read", {"uri": "test://nowhere"}))
    assert missing["error"]["code"] == -32002


@requirement("relay:across")
def test_a_client_of_the_new_era_meets_an_upstream_of_the_old_one(crossing: Gate):
    client = crossing.client("older")
    known = client.modern("server/discover").json()["result"]
    assert known["supportedVersions"] == ["2026-07-28"] and known["instructions"] == "The org's words"
    listed = told(client.modern("tools/list"))["result"]
    assert listed["resultType"] == "complete" and listed["cacheScope"] == "private" and listed["ttlMs"] == 0
    called = told(client.modern("tools/call", {"name": "test_simple_text", "arguments": {}}))["result"]
    assert called["resultType"] == "complete" and called["content"][0]["text"].startswith("This is")
    gone = client.modern("logging/setLevel", {"level": "info"})
    assert gone.status_code == 404 and gone.json()["error"]["code"] == -32601


@requirement("relay:held-calls")
def test_what_an_old_tool_asks_is_answered_by_a_retry_of_the_same_call_by_the_same_caller_once(crossing: Gate):
    asking = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    call = {"_meta": asking, "name": "test_elicitation", "arguments": {"message": "Who?"}}
    client, stranger = crossing.client("older"), crossing.client("older", 1)
    asked = told(client.modern("tools/call", call))["result"]
    assert asked["resultType"] == "input_required"
    assert asked["inputRequests"]["answer"]["params"]["message"] == "Who?"
    state, given = asked["requestState"], {"answer": {"action": "accept", "content": {"username": "r", "email": "e"}}}
    retry = call | {"requestState": state, "inputResponses": given}
    for wrong in (
        retry | {"requestState": state[:-6] + "AAAAAA"},
        retry | {"requestState": "nonsense"},
        retry | {"arguments": {"message": "Another"}},
    ):
        refused = client.modern("tools/call", wrong)
        assert refused.status_code == 400 and refused.json()["error"]["code"] == -32602
    assert stranger.modern("tools/call", retry).status_code == 400
    again = told(client.modern("tools/call", call | {"requestState": state}))["result"]
    assert again["resultType"] == "input_required", "an answer is missing: it is asked again"
    done = told(client.modern("tools/call", retry | {"requestState": again["requestState"]}))["result"]
    assert done["resultType"] == "complete" and "action=accept" in done["content"][0]["text"]
    assert client.modern("tools/call", retry | {"requestState": again["requestState"]}).status_code == 400


@requirement("relay:held-calls")
def test_what_an_old_tool_asks_at_once_is_asked_at_once(crossing: Gate):
    able = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "sampling": {}, "roots": {}}}
    call = {"_meta": able, "name": "test_input_required_result_multiple_inputs", "arguments": {}}
    client = crossing.client("older")
    asked = told(client.modern("tools/call", call))["result"]
    methods = {key: each["method"] for key, each in asked["inputRequests"].items()}
    assert sorted(methods.values()) == ["elicitation/create", "roots/list", "sampling/createMessage"]
    said = {
        "elicitation/create": {"action": "accept", "content": {"name": "Robin"}},
        "sampling/createMessage": {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Hello"}},
        "roots/list": {"roots": []},
    }
    given = {key: said[method] for key, method in methods.items()}
    less = {key: each for key, each in given.items() if methods[key] != "roots/list"}
    again = told(client.modern("tools/call", call | {"requestState": asked["requestState"], "inputResponses": less}))[
        "result"
    ]
    assert again["resultType"] == "input_required" and set(again["inputRequests"]) == set(given)
    done = told(client.modern("tools/call", call | {"requestState": again["requestState"], "inputResponses": given}))[
        "result"
    ]
    assert done["resultType"] == "complete"


@pytest.mark.parametrize("server", ["older", "newer"])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
@requirement("relay:python-client")
def test_the_python_client_works_in_either_era_at_an_upstream_of_either(crossing: Gate, server: str, mode: str):
    import httpx2
    from mcp.client import Client as McpClient
    from mcp.client.streamable_http import streamable_http_client

    token = crossing.token(server)

    async def use() -> tuple[list[str], str]:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
            url = f"{crossing.url}/mcp/{server}"
            async with McpClient(streamable_http_client(url, http_client=http), mode=mode) as client:
                listed, cursor = [], None
                while True:
                    page = await client.list_tools(cursor=cursor)
                    listed += [tool.name for tool in page.tools]
                    if not (cursor := page.next_cursor):
                        break
                called = await client.call_tool("test_simple_text", {})
                return listed, called.content[0].text

    listed, text = asyncio.run(use())
    assert "test_simple_text" in listed and len(listed) == len(set(listed)) > 20
    assert text.startswith("This is a simple text")
