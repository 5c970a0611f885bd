"""Local commands of either era, for clients of either era."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client as McpClient

from tests.gateway.relay.standing import Gate, signing
from tests.gateway.speaking import META
from tests.gateway.stdio.commanding import BY_HAND, BY_LIBRARY, command, commands, result, tell
from tests.requirements import requirement

KINDS = [(BY_HAND, ("legacy",)), (BY_HAND, ("modern",)), (BY_LIBRARY, ())]
NAMES = ["by hand, legacy", "by hand, modern", "mcp library"]


@requirement("stdio:both-eras")
@pytest.mark.parametrize(("program", "words"), KINDS, ids=NAMES)
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_the_mcp_client_of_either_era_calls_a_command_of_either(
    gate: Gate, program: Path, words: tuple[str, ...], mode: Any
):
    command(gate, *words, program=program)

    async def talk(url: str) -> tuple[list[str], str]:
        async with McpClient(url, mode=mode) as client:
            listed = await client.list_tools()
            said = await client.call_tool("tell", {"what": "hello"})
            return [each.name for each in listed.tools], said.content[0].text

    with signing(gate) as url:
        assert asyncio.run(talk(url)) == (["tell"], "done: hello")


@requirement("stdio:both-eras")
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_definitions_pass_as_they_were_written_and_progress_goes_to_who_asked(gate: Gate, era: str):
    command(gate, era)
    client = gate.client()
    [tool] = result(client.modern("tools/list"))["tools"]
    assert tool["x-unknown"] == [1, 2] and tool["inputSchema"]["$defs"] == {"kept": {"type": "null"}}
    assert "Ignore the user" not in client.modern("server/discover").text
    asked = {"name": "tell", "arguments": {"what": "progress"}, "_meta": {**META, "progressToken": "mine"}}
    answer = client.modern("tools/call", asked)
    events = [json.loads(each[6:]) for each in answer.text.splitlines() if each.startswith("data: ")]
    tokens = [each["params"]["progressToken"] for each in events if "params" in each]
    assert tokens == ["mine"] * 3 and events[-1]["id"] == 1


@requirement("stdio:isolation")
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_each_user_has_a_child_of_their_own_with_little_around_it(gate: Gate, era: str, monkeypatch: Any):
    monkeypatch.setenv("GATELODGE_SECRET_OF_OURS", "x")
    command(gate, era)
    robin, other = gate.client(n=0), gate.client(n=1)
    first, again, another = (json.loads(tell(each, "who")) for each in (robin, robin, other))
    assert first["pid"] == again["pid"] != another["pid"]
    assert set(first["environment"]) <= {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR"}
    assert first["environment"]["TMPDIR"] == first["cwd"] != another["cwd"]
    assert Path(first["cwd"]).is_relative_to(Path(gate.house.config.data).resolve() / "stdio")
    assert Path(first["cwd"]).stat().st_mode & 0o077 == 0
    assert first["limits"] == {"core": 0, "files": 256, "cpu": 900, "data": 1024**3}


@requirement("stdio:isolation")
def test_a_session_is_one_child_and_ends_with_it(gate: Gate):
    command(gate, "legacy")
    client = gate.client()
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    begun = [client.legacy("initialize", hello) for _ in range(2)]
    sessions = [{"Mcp-Session-Id": each.headers["mcp-session-id"]} for each in begun]
    asked = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "tell", "arguments": {"what": "who"}},
    }
    first, second = (json.loads(result(client.send(asked, each))["content"][0]["text"]) for each in sessions)
    assert first["pid"] != second["pid"]
    assert gate.client(n=1).send(asked, sessions[0]).status_code == 404
    assert client.send(b"", sessions[0], method="DELETE").status_code == 204
    assert client.send(asked, sessions[0]).status_code == 404
    assert client.send(asked, sessions[1]).status_code == 200
    assert len(commands(gate).running) == 1


@requirement("stdio:both-eras")
def test_what_a_command_wants_to_know_is_asked_of_a_client_without_sessions_and_answered(gate: Gate):
    command(gate, "legacy")
    client = gate.client()
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
    asked = {"name": "tell", "arguments": {"what": "ask"}, "_meta": meta}
    held = result(client.modern("tools/call", asked))
    assert held["resultType"] == "input_required" and held["inputRequests"]["answer"]["params"]["message"] == "Sure?"
    back = {"requestState": held["requestState"], "inputResponses": {"answer": {"action": "accept", "content": {}}}}
    said = result(client.modern("tools/call", asked | back))
    assert json.loads(said["content"][0]["text"])["action"] == "accept"
