"""The verbs of MCP servers, in a process of their own and beside a running server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gatelodge.cli import verbs
from gatelodge.cli.arguments import parse
from gatelodge.core.errors import Invalid, Refused
from tests.house import House
from tests.requirements import requirement
from tests.running import environment, running_dev
from tests.servers.offering import item, server
from tests.servers.upstreams import Upstream, tool


def tell(house: House, *words: str) -> Any:
    """What a command answers, as the running server performs it."""
    arguments = vars(parse(["server", *words]))
    asked = {name: value for name, value in arguments.items() if name not in ("command", "verb", "json", "data")}
    asked = {name: value for name, value in asked.items() if name not in ("config", "database", "master_key_file")}
    return house.run(verbs.perform(house.site, f"server {words[0]}", asked))


@requirement("servers:command-line")
def test_a_server_is_made_looked_at_decided_about_and_removed_from_the_command_line(house_on: House):
    upstream = Upstream(tool("forecast"), tool("send_alert", reads=False))
    with upstream.running() as url:
        made = tell(house_on, "create", "weather", "--source", url, "--allow-private-addresses")
        assert made["new"] == ["forecast", "send_alert"] and made["is_active"] is False
        shown = tell(house_on, "tools", "weather", "--on", "forecast", "--mark", "send_alert=write")
        assert [(each["name"], each["state"], each["mark"]) for each in shown] == [
            ("forecast", "on", "read"), ("send_alert", "off", "write"),
        ]  # fmt: skip
        upstream.tools[0] = tool("forecast", "Something else.")
        assert tell(house_on, "refresh", "weather")["held"] == ["forecast"]
        whole = tell(house_on, "tools", "weather", "--definitions")
        assert whole[0]["held"]["description"] == "Something else."
        assert tell(house_on, "tools", "weather", "--accept", "forecast")[0]["state"] == "on"
    assert item(house_on, server(house_on, "weather"), "forecast").definition.count("Something else.") == 1
    assert tell(house_on, "activate", "weather")["is_active"] is True
    changed = tell(house_on, "set", "weather", "label=The weather", "era=modern", "permission_sets=Administrator")
    assert (changed["label"], changed["terms"]["era"], changed["revision"]) == ("The weather", "modern", 2)
    assert list(changed["decided"]["permission_sets"]) == ["Administrator"] and changed["offers"] == {"tool": 2}
    assert tell(house_on, "deactivate", "weather")["is_active"] is False
    assert tell(house_on, "delete", "weather") == {"name": "weather", "is_deleted": True}
    assert "weather" not in [each["name"] for each in tell(house_on, "list")]


@requirement("servers:command-line")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("create", "weather", "--source", "http://mcp.example/mcp"), "must be https"),
        (("create", "sobject-reads", "--source", "https://mcp.example/mcp"), "already"),
        (("create", "local", "--kind", "stdio", "--source", "not a list"), "JSON list"),
        (("create", "records", "--kind", "records", "--source", "oracle://db"), "is no database that can be read"),
        (("create", "records", "--kind", "records", "--source", "sample:a", "--variant", "x"), "not a choice of tools"),
        (("display", "nothing"), "no MCP server named 'nothing'"),
        (("refresh", "sobject-reads"), "hosted here"),
        (("tools", "sobject-reads", "--on", "nothing"), "has no tool 'nothing'"),
        (("tools", "sobject-reads", "--mark", "find=good"), "the marks are read, write, destructive"),
        (("tools", "sobject-reads", "--accept", "find"), "nothing is held back"),
        (("tools", "sobject-reads", "--kind", "thing"), "must be one of"),
        (("set", "sobject-reads", "nothing=1"), "the names are label, source, permission_sets"),
        (("set", "sobject-reads", "connect_seconds=0"), "choose 1 to 60"),
        (("set", "sobject-reads", "credential=client_credentials"), "is needed for this credential"),
        (("set", "sobject-reads", "header_name=Content-Length"), "is not a header that a credential may be sent in"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(house: House, words: tuple[str, ...], why: str):
    with pytest.raises((Refused, Invalid), match=why.replace("(", r"\(")):
        tell(house, *words)


@pytest.mark.slow
@requirement("servers:command-line")
def test_the_same_command_works_with_and_without_a_running_server(tmp_path: Path):
    def alone(*words: str) -> Any:
        command = [sys.executable, "-m", "gatelodge", "server", *words, "--json", "--data", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    upstream = Upstream(tool("forecast"))
    with upstream.running() as url:
        with running_dev(tmp_path) as dev:
            flags = ("--source", url, "--allow-private-addresses")
            assert dev.tell("server", "create", "weather", *flags)["new"] == ["forecast"]
        upstream.tools.append(tool("radar"))
        assert alone("refresh", "weather")["new"] == ["radar"]
        assert alone("tools", "weather", "--on", "radar")[1]["is_on"] is True
