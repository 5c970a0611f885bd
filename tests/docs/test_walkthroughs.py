"""What the documents tell the reader to do, done."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.reference import ROOT
from tests.house import House
from tests.people import OAuthClient, Person, tools_list
from tests.requirements import requirement

CALLBACK = "https://oauth.pstmn.io/v1/callback"


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text("utf-8"), re.DOTALL)


@pytest.mark.slow
@requirement("docs:worked-example")
def test_the_worked_example_of_contributing_applies_and_its_test_passes(tmp_path: Path):
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    subprocess.run(
        ["git", "apply", "-C1", "--unsafe-paths", "-"],
        input="".join(blocks("CONTRIBUTING.md", "diff")), text=True, cwd=tmp_path, check=True,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
    )  # fmt: skip
    with (tmp_path / "tests/manifest/authorize.toml").open("a") as manifest:
        manifest.write("\n" + blocks("CONTRIBUTING.md", "toml")[0])
    (tmp_path / "tests/oauth/test_ask_every_time.py").write_text(blocks("CONTRIBUTING.md", "python")[0])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/oauth/test_ask_every_time.py"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path / "src")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@requirement("docs:key-rotation")
def test_tokens_of_before_work_after_the_master_key_was_rotated_as_the_how_to_says(tmp_path: Path):
    data = tmp_path / "data"
    with House(data) as house:
        robin = house.told.users[0]
        key = next(app["consumer_key"] for app in house.told.apps if app["preset"] == "postman")
        client = OAuthClient(front=house.client(), issuer=house.issuer, client_id=key, redirect_uri=CALLBACK)
        back = Person(house.client(), robin["username"], robin["password"]).allow(client.authorize_url())
        before = client.redeem(back["code"]).json()
    (script,) = re.findall(r"<<'END'\n(.*?)END\n", blocks("docs/how-to/rotate-the-master-key.md", "sh")[0], re.DOTALL)
    subprocess.run([sys.executable, "-c", script, str(data / "master.key"), "k2027"], check=True)
    with House(data) as house:
        client = OAuthClient(front=house.client(), issuer=house.issuer, client_id=key, redirect_uri=CALLBACK)
        url = house.told.mcp_servers[0]["url"]
        assert tools_list(client.front, url, before["access_token"]).status_code == 200
        after = client.refresh(before["refresh_token"]).json()
        assert after["refresh_token"].startswith("k2027.")
        assert client.refresh(after["refresh_token"]).status_code == 200
