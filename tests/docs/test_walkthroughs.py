"""What the documents tell the reader to do, done."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gatelodge.cli.arguments import parser
from gatelodge.cli.operating import in_words
from gatelodge.cli.verbs import perform
from tests.docs.reference import ROOT
from tests.house import House
from tests.people import OAuthClient, Person, tools_list
from tests.requirements import requirement
from tests.running import environment

CALLBACK = "https://oauth.pstmn.io/v1/callback"


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text("utf-8"), re.DOTALL)


def apply(diff: str, folder: Path) -> None:
    """Make the changes of a unified diff: each hunk's old lines must stand in the file once."""
    name = re.findall(r"^\+\+\+ b/(.+)$", diff, re.MULTILINE)[0]
    text = (folder / name).read_text("utf-8")
    for hunk in re.split(r"^@@.*@@\n", diff, flags=re.MULTILINE)[1:]:
        lines = [line or " " for line in hunk.splitlines()]
        old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] != sign) for sign in "+-")
        assert text.count(old) == 1, f"{name} has changed where CONTRIBUTING.md changes it:\n{old}"
        text = text.replace(old, new)
    (folder / name).write_text(text, "utf-8")


@pytest.mark.slow
@requirement("docs:worked-example")
def test_the_worked_example_of_contributing_applies_and_its_test_passes(tmp_path: Path):
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for diff in blocks("CONTRIBUTING.md", "diff"):
        apply(diff, tmp_path)
    with (tmp_path / "tests/manifest/authorize.toml").open("a") as manifest:
        manifest.write("\n" + blocks("CONTRIBUTING.md", "toml")[0])
    (tmp_path / "tests/oauth/test_ask_every_time.py").write_text(blocks("CONTRIBUTING.md", "python")[0])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/oauth/test_ask_every_time.py"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path / "src")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def a_connected_client(house: House) -> tuple[OAuthClient, dict[str, str]]:
    """A client whose user has just allowed it, with its tokens."""
    robin = house.told.users[0]
    key = next(app["consumer_key"] for app in house.told.apps if app["preset"] == "postman")
    client = client_of(house, key)
    back = Person(house.client(), robin["username"], robin["password"]).allow(client.authorize_url())
    return client, client.redeem(back["code"]).json()


def client_of(house: House, key: str) -> OAuthClient:
    return OAuthClient(front=house.client(), issuer=house.issuer, client_id=key, redirect_uri=CALLBACK)


def script_of(document: str) -> str:
    """What a how-to pipes into Python."""
    return re.findall(r"<<'END'\n(.*?)END\n", "".join(blocks(document, "sh")), re.DOTALL)[0]


@requirement("docs:key-rotation")
def test_tokens_of_before_work_after_the_master_key_was_rotated_as_the_how_to_says(tmp_path: Path):
    data = tmp_path / "data"
    with House(data) as house:
        before, tokens = a_connected_client(house)
    script = script_of("docs/how-to/rotate-the-master-key.md")
    subprocess.run([sys.executable, "-c", script, str(data / "master.key"), "k2027"], check=True)
    with House(data) as house:
        client = client_of(house, before.client_id)
        url = house.told.mcp_servers[0]["url"]
        assert tools_list(client.front, url, tokens["access_token"]).status_code == 200
        after = client.refresh(tokens["refresh_token"]).json()
        assert after["refresh_token"].startswith("k2027.")
        assert client.refresh(after["refresh_token"]).status_code == 200


@pytest.mark.slow
@requirement("docs:back-up")
def test_a_backup_made_beside_a_running_server_is_restored_as_the_how_to_says(tmp_path: Path):
    running, restored, copy = tmp_path / "running", tmp_path / "restored", tmp_path / "copy"
    create, verify, restore, revoke = commands_of("docs/how-to/back-up.md")[:4]
    with House(running) as house:
        kept, tokens_kept = a_connected_client(house)
        rotating, tokens_rotating = a_connected_client(house)
        do(create, copy, running)
        do(verify, copy)
        ahead = rotating.refresh(tokens_rotating["refresh_token"]).json()
    do(restore, copy, restored)
    with House(restored) as house:
        assert client_of(house, kept.client_id).refresh(tokens_kept["refresh_token"]).status_code == 200
        refused = client_of(house, kept.client_id).refresh(ahead["refresh_token"])
        assert refused.status_code == 400 and refused.json()["error"] == "invalid_grant"
        again = client_of(house, kept.client_id).refresh(tokens_rotating["refresh_token"])
        assert again.status_code == 400
        client, before = a_connected_client(house)
        house.later(60)
        asked = vars(parser().parse_args(revoke)) | {"before": in_words(house.site.clock.now())}
        house.run(perform(house.site, "revoke", asked))
        house.catch_up()
        again = client.refresh(before["refresh_token"])
        assert again.status_code == 400 and again.json()["error"] == "invalid_grant"


def commands_of(document: str) -> list[list[str]]:
    """The program's own commands in a document, in order, as words."""
    lines = "".join(blocks(document, "sh")).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("gatelodge ")]


def do(command: list[str], copy: Path, data: Path | None = None) -> None:
    """Run a documented command, with our folders in the place of its own."""
    words = [str(copy) if word.startswith("/") else word for word in command] + (["--data", str(data)] if data else [])
    done = subprocess.run(
        [sys.executable, "-m", "gatelodge", *words], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
