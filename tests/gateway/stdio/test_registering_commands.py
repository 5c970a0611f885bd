"""A local command becomes an MCP server: by Setup's form and by the command line, where the operator allows its program."""

import json
import sys
from pathlib import Path

import msgspec
import pytest

from gatelodge.cli import verbs
from gatelodge.cli.arguments import parse
from gatelodge.config import Config, ConfigRefused, check
from gatelodge.core import mcp_servers, server_items
from gatelodge.core.errors import Refused
from gatelodge.web import looking
from tests.gateway.relay.standing import Gate
from tests.gateway.stdio.commanding import command, commands, error, source, tell
from tests.house import House
from tests.requirements import requirement
from tests.running import eventually
from tests.servers import test_commands
from tests.servers.offering import item, server
from tests.setup.offices import administrator, errors, send, words

NEW = "/setup/mcp-servers/new"


@requirement("stdio:end-to-end")
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_command_is_added_in_setup_read_turned_on_and_called(gate: Gate, era: str):
    robin = administrator(gate.house)
    answer = send(robin, f"{NEW}?kind=stdio", source=source(era), label="Local")
    assert answer.status_code == 303, errors(answer)
    assert answer.headers["location"].endswith("/setup/mcp-servers/local/items")
    made = server(gate.house, "local")
    assert not made.is_active and not item(gate.house, made, "tell").is_on
    assert eventually(lambda: not commands(gate).running, 10)
    assert send(robin, "/setup/mcp-servers/local/items", **{"on-0": "on"}).status_code == 303
    assert send(robin, "/setup/mcp-servers/local", act="activate").status_code == 303
    assert tell(gate.client("local"), "hello") == "done: hello"
    page = words(robin.front.get("/setup/mcp-servers/local/settings"))
    assert "Seconds for a whole call" in page and "Send a signed identity header" not in page


@requirement("stdio:end-to-end")
def test_a_command_is_added_from_the_command_line(gate: Gate):
    house = gate.house
    made = test_commands.tell(house, "create", "local", "--kind", "stdio", "--source", source("legacy"))
    assert made["new"] == ["tell"] and made["is_active"] is False
    assert test_commands.tell(house, "tools", "local", "--on", "tell")[0]["state"] == "on"
    assert test_commands.tell(house, "refresh", "local")["held"] == []
    assert test_commands.tell(house, "activate", "local")["is_active"] is True
    house.catch_up()
    assert tell(gate.client("local"), "hello") == "done: hello"


@requirement("stdio:end-to-end")
def test_a_definition_that_changed_is_held_back_as_for_any_server(gate: Gate):
    made = command(gate, "legacy")
    offered = server_items.Offered("tool", "tell", '{"name":"tell","description":"Another.","inputSchema":{}}')
    told = {"actor": "a test", "now_ms": gate.house.site.clock.now_ms()}
    known = server(gate.house, made.name)
    gate.house.write(server_items.read_in, known, server_items.Catalogue(offered=(offered,)), **told)
    gate.house.catch_up()
    client = gate.client()
    assert client.modern("tools/list").json()["result"]["tools"] == []
    answer = client.modern("tools/call", {"name": "tell", "arguments": {"what": "hello"}})
    assert "Unknown tool" in error(answer)


@requirement("stdio:named-by-the-operator")
def test_a_program_that_the_operator_did_not_name_is_refused_with_the_reason(gate: Gate):
    other = '["/bin/cat", "x"]'
    answer = send(administrator(gate.house), f"{NEW}?kind=stdio", source=other, label="Other")
    assert answer.status_code == 422
    assert "'/bin/cat' is no program that the operator of this org allows" in errors(answer)["source"]
    with pytest.raises(Refused, match="--allow-command /bin/cat"):
        test_commands.tell(gate.house, "create", "other", "--kind", "stdio", "--source", other)
    command(gate, "legacy")
    with pytest.raises(Refused, match="--allow-command /bin/cat"):
        test_commands.tell(gate.house, "set", "upstream", f"source={other}")
    gate.register(other, "other", "stdio")
    answer = gate.client("other").modern("tools/list")
    assert answer.status_code == 503 and "is not run" in error(answer)


@requirement("stdio:named-by-the-operator")
def test_a_production_org_runs_no_commands(house: House, tmp_path: Path):
    serving = Config(public_url="https://gate.example", data=str(tmp_path))
    with pytest.raises(ConfigRefused, match="gatelodge dev alone"):
        check(msgspec.structs.replace(serving, allow_command=(sys.executable,)))
    site = msgspec.structs.replace(house.site, config=serving)
    words = ("server", "create", "local", "--kind", "stdio", "--source", source("legacy"))
    with pytest.raises(Refused, match="development orgs alone"):
        house.run(verbs.perform(site, "server create", vars(parse(list(words)))))


@requirement("servers:health")
def test_an_active_command_is_looked_at_by_the_clock_and_its_health_is_shown(gate: Gate):
    house, robin = gate.house, administrator(gate.house)
    made = command(gate, "legacy")
    house.run(looking.look_at_all(house.site))
    assert "Well" in words(robin.front.get("/setup/mcp-servers"))
    assert eventually(lambda: not commands(gate).running, 10), "the child that was looked at is gone"
    gone = msgspec.structs.replace(server(house, made.name), source=json.dumps([sys.executable, "/nowhere/at/all.py"]))
    told = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
    house.write(mcp_servers.change, server(house, made.name), gone, **told)
    house.catch_up()
    house.later(60)
    house.run(looking.look_at_all(house.site))
    assert "Well" in words(robin.front.get("/setup/mcp-servers")), "a process a minute would be too many"
    house.later(600)
    house.run(looking.look_at_all(house.site))
    page = words(robin.front.get("/setup/mcp-servers/upstream"))
    assert "Doesn't answer" in page and "the command of upstream ended before it answered" in page
    assert "doesn't answer" in words(robin.front.get("/setup"))
