"""The verbs for what is kept beside a server: secrets, databases, approvals, and the org's own scopes."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gatelodge.cli import verbs
from gatelodge.cli.arguments import parse
from gatelodge.cli.verb import NotFound
from gatelodge.core import record_databases, upstream_secrets
from gatelodge.core.errors import Refused
from tests.house import House
from tests.requirements import requirement
from tests.running import environment, running_dev
from tests.servers.offering import add_upstream, item, server

OF_ALL = ("command", "verb", "json", "data", "config", "database", "master_key_file")
SECRET = "Bearer sk-live-0123456789abcdef"


def tell(house: House, *words: str, **more: Any) -> Any:
    """What a command answers, as the running server performs it."""
    arguments = {name: value for name, value in vars(parse([*words])).items() if name not in OF_ALL}
    answer = house.run(verbs.perform(house.site, f"{words[0]} {words[1]}", arguments | more))
    house.catch_up()
    return answer


@requirement("servers:commands-beside")
def test_secrets_of_an_upstream_are_kept_and_forgotten_and_never_printed(house_on: House):
    made = add_upstream(house_on)
    told = tell(house_on, "server", "set-secret", "weather", secret=SECRET)
    assert told == {"name": "weather", "kept": ["header"]}
    [kept] = house_on.read(upstream_secrets.of_server, made.org_id, made.id)
    assert upstream_secrets.opened(house_on.site.ring, kept) == SECRET
    with pytest.raises(Refused, match="printable ASCII"):
        tell(house_on, "server", "set-secret", "weather", secret="a\nb")
    assert tell(house_on, "server", "set-secret", "weather", "--remove", secret=None)["kept"] == []
    with pytest.raises(NotFound):
        tell(house_on, "server", "set-secret", "weather", "--remove", secret=None)


@requirement("servers:commands-beside")
def test_who_is_asked_and_which_scopes_a_tool_needs_is_decided_from_the_command_line(house_on: House):
    tell(house_on, "scope", "create", "crm.read", "--label", "Read CRM", "--meaning", "Read the CRM")
    assert [each["name"] for each in tell(house_on, "scope", "list")] == ["crm.read"]
    about = ("server", "tools", "sobject-reads", "--ask-first", "find", "--scopes", "find=crm.read")
    found = next(each for each in tell(house_on, *about) if each["name"] == "find")
    assert found["asks_first"] and found["scopes"] == ["crm.read"]
    with pytest.raises(Refused, match="scope list"):
        tell(house_on, "server", "tools", "sobject-reads", "--scopes", "find=nothing")
    told = tell(house_on, "server", "approval", "sobject-reads", "--approvers", "anyone", "--minutes", "5")
    assert told == [{"tool": "*", "approvers": "anyone", "four_eyes": True, "minutes": 5}]
    one = ("server", "approval", "sobject-reads", "--tool", "find")
    assert tell(house_on, *one, "--no-four-eyes")[1]["four_eyes"] is False
    assert len(tell(house_on, *one, "--remove")) == 1
    with pytest.raises(NotFound):
        tell(house_on, "server", "approval", "sobject-reads", "--tool", "nothing")
    with pytest.raises(Refused, match="choose 60 to"):
        tell(house_on, "server", "approval", "sobject-reads", "--minutes", "0")
    assert tell(house_on, "scope", "delete", "crm.read")["is_deleted"]
    assert item(house_on, server(house_on, "sobject-reads"), "find").scopes == ("crm.read",)


@requirement("servers:commands-beside")
def test_a_database_is_named_and_moved_from_the_command_line_and_its_old_password_forgotten(
    house: House, tmp_path: Path
):
    folder = Path(house.config.data) / "records"
    folder.mkdir()
    for name in ("one.db", "two.db"):
        with sqlite3.connect(folder / name) as made:
            made.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        made.close()
    tell(house, "server", "create", "crm", "--kind", "records", "--source", "sqlite:///one.db")
    names = tmp_path / "names.toml"
    names.write_text('[objects.accounts]\nname = "Customer"')
    assert tell(house, "server", "set-mapping", "crm", "--file", str(names))["objects"] == ["Customer"]
    assert tell(house, "server", "set-password", "crm", secret="s3cret")["has_password"]
    kept = server(house, "crm")
    assert house.read(record_databases.of_server, kept.org_id, kept.id).password(house.site.ring) == "s3cret"
    with pytest.raises(Refused, match=r"none\.db"):
        tell(house, "server", "set", "crm", "source=sqlite:///none.db")
    assert tell(house, "server", "set", "crm", "source=sqlite:///two.db")["source"].endswith("/two.db")
    after = house.read(record_databases.of_server, kept.org_id, kept.id)
    assert after.sealed_password is None and "Customer" in after.mapping


@requirement("servers:commands-beside")
def test_a_secret_is_read_from_the_standard_input_beside_a_running_server(tmp_path: Path):
    with running_dev(tmp_path / "data") as dev:
        program = (sys.executable, "-m", "gatelodge")
        deployment = ("--data", str(tmp_path / "data"), "--json")

        def run(*words: str, given: str = "") -> Any:
            done = subprocess.run(
                [*program, *words, *deployment], input=given, capture_output=True, text=True, check=True,
                env=environment(),
            )  # fmt: skip
            assert SECRET not in done.stdout + done.stderr
            return json.loads(done.stdout)

        assert dev.issuer
        run("server", "create", "tickets", "--source", "https://mcp.invalid/mcp")
        assert run("server", "set-secret", "tickets", given=f"{SECRET}\n")["kept"] == ["header"]
