"""A child is ended, by the feed, when nobody who has called it would be let in any more; another caller's goes on."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gatelodge.core import mcp_servers, server_items
from gatelodge.core.operation import Operation, announce
from tests.gateway.relay.standing import ACTOR, Gate
from tests.gateway.relay.test_endings import deactivate_the_user, end_the_authorization, end_the_connection
from tests.gateway.relay.test_ends_by_the_feed import (
    delete_the_app,
    disable_the_app,
    forbid_the_server,
    keep_the_server_for_others,
    shrink_the_permission_sets,
)
from tests.gateway.speaking import Client
from tests.gateway.stdio.commanding import command, commands, is_there, result, tell
from tests.requirements import requirement
from tests.running import eventually

OTHER = {"authorization_id": "0uA000000000002AAA", "connection_id": "0uC000000000002AAA"}
OF_ONE = (end_the_authorization, end_the_connection, deactivate_the_user)
OF_ALL = (
    disable_the_app, delete_the_app, forbid_the_server, keep_the_server_for_others, shrink_the_permission_sets,
)  # fmt: skip


def begun(of: Client) -> Callable[[str], str]:
    """A session of the older era: what its tool says."""
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}
    session = of.legacy("initialize", about).headers["mcp-session-id"]
    headers = {"MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": session}

    def say(what: str) -> str:
        params = {"name": "tell", "arguments": {"what": what}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return str(result(of.send(body, headers))["content"][0]["text"])

    return say


def modern(of: Client) -> Callable[[str], str]:
    return lambda what: tell(of, what)


def pid(say: Callable[[str], str]) -> int:
    return int(json.loads(say("who"))["pid"])


@pytest.mark.parametrize("speak", [modern, begun])
@pytest.mark.parametrize("end", OF_ONE + OF_ALL)
@requirement("stdio:gone-with-its-callers")
def test_an_idle_child_is_gone_when_its_caller_would_not_be_let_in_any_more(
    gate: Gate, speak: Callable[[Client], Callable[[str], str]], end: Callable[[Gate], None]
):
    command(gate, "modern" if speak is modern else "legacy")
    own, other = speak(gate.client(n=1)), speak(gate.client(n=0, **OTHER))
    its, others = pid(own), pid(other)
    assert its != others and is_there(its) and is_there(others)
    end(gate)
    assert eventually(lambda: not is_there(its), 15)
    if end in OF_ALL:
        assert eventually(lambda: not is_there(others), 15) and not commands(gate).running
    else:
        assert pid(other) == others, "somebody else's goes on, with what it knows"


def connection_ends(gate: Gate, connection: str) -> None:
    def ended() -> Operation[None]:
        yield from announce(gate.house.org.id, "connection", connection)

    gate.house.write(ended)
    gate.house.catch_up()


@requirement("stdio:gone-with-its-callers")
def test_a_child_of_two_connections_lives_as_long_as_one_of_them(gate: Gate):
    command(gate, "modern")
    first = modern(gate.client(n=1))
    second = modern(gate.client(n=1, connection_id=OTHER["connection_id"]))
    its = pid(first)
    assert pid(second) == its, "one user and one app"
    connection_ends(gate, "0uC000000000001AAA")
    gate.house.run(_looked(gate))
    assert pid(second) == its
    connection_ends(gate, OTHER["connection_id"])
    assert eventually(lambda: not is_there(its), 15)


async def _looked(gate: Gate) -> None:
    """Until the node has held what is under way against the last change."""
    looking: Any = gate.house.app._gateway.relaying._looking
    await looking


@requirement("stdio:gone-with-its-callers")
def test_a_change_that_takes_nothing_from_a_caller_leaves_its_child(gate: Gate):
    server = command(gate, "legacy")
    say = begun(gate.client(n=1))
    its = pid(say)
    known = gate.house.read(mcp_servers.find, server.org_id, server.name)
    item = gate.house.read(server_items.of_server, known).of_kind("tool")[0]
    told: dict[str, Any] = {"actor": ACTOR, "now_ms": 1}
    assert gate.house.write(server_items.change, item, known, is_on=True, mark="read", **told)
    gate.house.catch_up()
    gate.house.run(_looked(gate))
    assert pid(say) == its
