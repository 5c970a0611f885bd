"""How children begin and end: bounded, and without anything left of them."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatelodge.core import mcp_servers
from gatelodge.core.mcp_servers import McpServer
from gatelodge.gateway.stdio import child
from tests.gateway.relay.standing import ACTOR, Gate
from tests.gateway.stdio.commanding import command, commands, error, is_there, source, tell
from tests.requirements import requirement
from tests.running import eventually


@pytest.fixture(autouse=True)
def impatient(monkeypatch: Any) -> None:
    """Children that ignore SIGTERM have a second."""
    monkeypatch.setattr(child, "GRACE", 1)


def told(gate: Gate) -> dict[str, Any]:
    return {"actor": ACTOR, "now_ms": gate.house.site.clock.now_ms()}


def deactivate(gate: Gate, server: McpServer) -> None:
    gate.house.write(mcp_servers.set_active, server.org_id, server.name, is_active=False, **told(gate))


def change(gate: Gate, server: McpServer) -> None:
    known = gate.house.read(mcp_servers.find, server.org_id, server.name)
    gate.house.write(
        mcp_servers.change, known, msgspec.structs.replace(known, source=source("modern", "x")), **told(gate)
    )


def remove(gate: Gate, server: McpServer) -> None:
    gate.house.write(mcp_servers.remove, server.org_id, server.id, **told(gate))


@requirement("stdio:no-orphans")
@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("ending", [deactivate, change, remove])
def test_children_that_ignore_being_ended_are_gone_with_their_server(gate: Gate, era: str, ending: Any):
    server = command(gate, era)
    family = json.loads(tell(gate.client(), "family"))
    assert len(family) == 3 and all(is_there(pid) for pid in family)
    ending(gate, server)
    gate.house.catch_up()
    assert eventually(lambda: not any(is_there(pid) for pid in family), 20)
    assert eventually(lambda: not list(folder(gate, server).glob("run-*")), 20)
    assert not commands(gate).running


def folder(gate: Gate, server: McpServer) -> Path:
    return Path(gate.house.config.data).resolve() / "stdio" / server.id


@requirement("stdio:no-orphans")
def test_a_stop_waits_until_nothing_is_left(gate: Gate):
    command(gate, "modern")
    family = json.loads(tell(gate.client(), "family"))
    gate.house.run(commands(gate).stop())
    assert not any(is_there(pid) for pid in family)
    answer = gate.client().modern("tools/list")
    assert answer.status_code == 503, answer.text


@requirement("stdio:no-orphans")
def test_nothing_is_left_when_the_gateway_is_killed(tmp_path: Path):
    script = f"""
import asyncio, os, signal
from pathlib import Path
from gatelodge.gateway.stdio.child import Child
async def main():
    command = ({sys.executable!r}, "-u", {str(Path(__file__).parent / "command.py")!r}, "modern")
    child = await Child.started("killed", command, Path({str(tmp_path)!r}))
    arguments = b'{{"what":"family"}}'
    await child.tell(b'{{"id":1,"method":"tools/call","params":{{"name":"tell","arguments":' + arguments + b'}}}}')
    await child.listen(lambda line: (print(line.decode(), flush=True), os.kill(os.getpid(), signal.SIGKILL)), 10000)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    family = json.loads(json.loads(done.stdout)["result"]["content"][0]["text"])
    assert len(family) == 3 and eventually(lambda: not any(is_there(pid) for pid in family), 20)


@requirement("stdio:bounded")
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_child_that_nobody_waits_for_makes_way_and_one_that_works_does_not(gate: Gate, era: str):
    command(gate, era, most_connections=1)
    first = json.loads(tell(gate.client(n=0), "who"))["pid"]
    second = json.loads(tell(gate.client(n=1), "who"))["pid"]
    assert first != second and eventually(lambda: not is_there(first), 10)
    [talk] = commands(gate).running
    gate.house.run(_ask(talk))
    answer = gate.client(n=0).modern("tools/list")
    assert answer.status_code == 503 and "runs as often as it may" in error(answer), answer.text


async def _ask(talk: Any) -> None:
    params = msgspec.Raw(b'{"name":"tell","arguments":{"what":"hang"}}')
    await talk.ask(
        {
            "jsonrpc": msgspec.Raw(b'"2.0"'),
            "id": msgspec.Raw(b"5"),
            "method": msgspec.Raw(b'"tools/call"'),
            "params": params,
        }
    )


@requirement("stdio:bounded")
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_idle_children_are_ended_and_the_next_call_begins_another(gate: Gate, era: str):
    command(gate, era)
    first = json.loads(tell(gate.client(), "who"))["pid"]

    async def end_idle(seconds: float) -> None:
        commands(gate).end_idle(seconds)

    gate.house.run(end_idle(3600))
    assert is_there(first)
    gate.house.run(end_idle(0))
    assert eventually(lambda: not is_there(first), 10)
    assert json.loads(tell(gate.client(), "who"))["pid"] != first
