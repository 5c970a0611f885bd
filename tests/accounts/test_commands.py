"""What an operator types for people: a reset link, and the providers whose users may sign in."""

import json
from pathlib import Path

import pytest

from tests.house import House
from tests.requirements import requirement

pytestmark = pytest.mark.slow


@requirement("password:reset-cli", "upstream:operated")
def test_reset_links_and_providers_are_made_beside_a_database_that_nobody_holds(tmp_path: Path, gatelodge):
    with House(tmp_path):
        pass
    where = ("--data", str(tmp_path), "--json")
    nameless = gatelodge("user", "reset-link", "robin@acme.example", *where)
    assert nameless.returncode == 1 and "GATELODGE_PUBLIC_URL" in nameless.stderr
    config = tmp_path / "gatelodge.toml"
    config.write_text('public_url = "https://gate.example.com"\n')
    where = (*where, "--config", str(config))
    made = gatelodge("user", "reset-link", "robin@acme.example", *where)
    assert made.returncode == 0 and "https://gate.example.com/login/reset?token=" in json.loads(made.stdout)["link"], (
        made.stderr
    )
    assert gatelodge("user", "reset-link", "nobody@acme.example", *where).returncode == 3
    added = gatelodge(
        "identity-provider", "add", "--name", "corp", "--issuer", "https://idp.example", "--client-id", "gate",
        "--client-secret-stdin", "--map", "admins=Administrator", *where, stdin="a secret\n",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    told = json.loads(added.stdout)
    assert told["label"] == "corp" and told["mapping"] == ["admins=Administrator"] and "secret" not in added.stdout
    again = gatelodge(
        "identity-provider", "add", "--name", "corp", "--issuer", "http://x", "--client-id", "gate", *where
    )
    assert again.returncode == 1 and "must be an https URL" in again.stderr
    assert "https://idp.example" in gatelodge("identity-provider", "list", *where).stdout
    assert gatelodge("identity-provider", "remove", "corp", *where).returncode == 0
    assert gatelodge("identity-provider", "remove", "corp", *where).returncode == 3
