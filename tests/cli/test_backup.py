"""Backups of a deployment on SQLite: made beside its server, checked, and put in its place."""

import json
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from gatelodge.cli.operating import in_words
from gatelodge.store import backup as copies
from tests.house import House
from tests.oauth.scenes import add_app, connect, opens, person, refused
from tests.people import OAuthClient
from tests.requirements import requirement

Gatelodge = Callable[..., "CompletedProcess[str]"]
pytestmark = pytest.mark.slow


def of(house: House, client: OAuthClient) -> OAuthClient:
    """The same client at another house."""
    return OAuthClient(
        front=house.client(), issuer=house.issuer, client_id=client.client_id, redirect_uri=client.redirect_uri
    )


def said(done: "CompletedProcess[str]", code: int = 0) -> str:
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stderr if code else done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of a fresh development org."""
    with House(tmp_path / "data") as house:
        copies.create(Path(house.config.database_name), house.config.master_key_path, tmp_path / "copy", version="1.2")
    return tmp_path / "copy"


@requirement("backup:create", "backup:restore")
def test_a_copy_made_beside_a_running_server_is_the_same_org_elsewhere(tmp_path: Path, gatelodge: Gatelodge):
    folder = tmp_path / "copies" / "monday"
    with House(tmp_path / "data") as house:
        client = add_app(house)
        tokens = connect(person(house), client)
        made = json.loads(said(gatelodge("backup", "create", str(folder), "--data", str(tmp_path / "data"), "--json")))
        keys = house.client().get("/id/keys").json()
    assert [org["label"] for org in made["orgs"]] == ["Acme"] and made["schema_version"] >= 1
    assert set(made["files"]) == {"gatelodge.db", "master.key"} and made["made_at"].endswith("Z")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert json.loads(said(gatelodge("backup", "verify", str(folder), "--json"))) == made
    told = said(gatelodge("backup", "restore", str(folder), "--data", str(tmp_path / "new")))
    assert "gatelodge revoke --every-org --before" in told
    with House(tmp_path / "new") as house:
        assert house.client().get("/id/keys").json() == keys
        here = of(house, client)
        assert opens(here, tokens["access_token"]) and here.refresh(tokens["refresh_token"]).status_code == 200


@requirement("backup:create")
def test_a_copy_made_under_writes_is_whole(tmp_path: Path, gatelodge: Gatelodge):
    with House(tmp_path / "data") as house:
        client = add_app(house)
        who, done = person(house), threading.Event()
        held = connect(who, client)

        def write() -> None:
            while not done.is_set():
                held.update(client.refresh(held["refresh_token"]).json())

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for n in range(3):
                said(gatelodge("backup", "create", str(tmp_path / f"copy{n}"), "--data", str(tmp_path / "data")))
                said(gatelodge("backup", "verify", str(tmp_path / f"copy{n}")))
        finally:
            done.set()
            writer.join()
        assert opens(client, held["access_token"])


@requirement("backup:create")
def test_nothing_is_written_over_and_nothing_half_made_stays(tmp_path: Path, copy: Path, gatelodge: Gatelodge):
    data = ("--data", str(tmp_path / "data"))
    assert "exists already" in said(gatelodge("backup", "create", str(copy), *data), 1)
    nowhere = gatelodge("backup", "create", str(tmp_path / "other"), "--data", str(tmp_path / "nothing"))
    assert "there is no database" in said(nowhere, 1)
    (tmp_path / "data" / "master.key").unlink()
    assert "master key" in said(gatelodge("backup", "create", str(tmp_path / "other"), *data), 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "data"]


@requirement("backup:verify")
@pytest.mark.parametrize("name", ["gatelodge.db", "master.key"])
def test_a_file_that_was_changed_or_cut_or_lost_is_noticed(copy: Path, gatelodge: Gatelodge, name: str):
    whole = (copy / name).read_bytes()
    for content in (whole[:-1], whole + b"x", bytes([whole[0] ^ 1]) + whole[1:], b""):
        (copy / name).write_bytes(content)
        assert name in said(gatelodge("backup", "verify", str(copy)), 1)
    (copy / name).unlink()
    assert name in said(gatelodge("backup", "verify", str(copy)), 1)


def with_manifest(copy: Path, **changes: object) -> None:
    """The manifest, made to fit the files as they are now."""
    manifest = json.loads((copy / "manifest.json").read_text())
    for name in manifest["files"]:
        found = copies._file(copy / name)
        manifest["files"][name] = {"bytes": found.bytes, "sha256": found.sha256}
    (copy / "manifest.json").write_text(json.dumps(manifest | changes))


@requirement("backup:verify")
def test_what_a_digest_can_not_notice_is_noticed_by_opening(tmp_path: Path, copy: Path, gatelodge: Gatelodge):
    kept = {path: path.read_bytes() for path in copy.iterdir()}

    def refused_as(*, fits: bool = True, **changes: object) -> str:
        if fits:
            with_manifest(copy, **changes)
        told = said(gatelodge("backup", "verify", str(copy)), 1)
        for path, content in kept.items():
            path.write_bytes(content)
            path.chmod(0o600)
        return told

    with House(tmp_path / "another"):
        shutil.copy(tmp_path / "another" / "master.key", copy / "master.key")
    assert "isn't the master key of this database" in refused_as()
    raw = bytearray(kept[copy / "gatelodge.db"])
    raw[20_000:60_000] = b"\xff" * 40_000
    (copy / "gatelodge.db").write_bytes(raw)
    assert "gatelodge.db" in refused_as()
    (copy / "gatelodge.db").write_bytes(b"no database at all, however long it may be" * 100)
    assert "gatelodge.db" in refused_as()
    with sqlite3.connect(copy / "gatelodge.db") as made:
        made.execute("UPDATE schema_version SET digest = 'x' WHERE version = 1")
    made.close()
    assert "was edited" in refused_as()
    assert "schema version 99" in refused_as(schema_version=99)
    assert "format 2" in refused_as(format=2)
    (copy / "master.key").chmod(0o644)
    assert "chmod 600" in refused_as()
    (copy / "manifest.json").write_text("{}")
    assert "manifest" in refused_as(fits=False)
    said(gatelodge("backup", "verify", str(copy)))


@requirement("backup:restore")
def test_a_deployment_that_runs_or_exists_is_not_replaced_unasked(tmp_path: Path, copy: Path, gatelodge: Gatelodge):
    data = ("--data", str(tmp_path / "data"))
    with House(tmp_path / "data") as house:
        add_app(house, label="Made after the copy")
        for force in ((), ("--force",)):
            assert "in use by process" in said(gatelodge("backup", "restore", str(copy), *data, *force), 1)
    before = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.name != "lock"}
    told = said(gatelodge("backup", "restore", str(copy), *data), 1)
    assert "--force" in told and "gatelodge.db" in told and "master.key" in told
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.name != "lock"} == before
    said(gatelodge("backup", "restore", str(copy), *data, "--force"))
    assert "Made after the copy" not in said(gatelodge("app", "list", *data))
    # The old one can still be opened, under its own name, with its own key.
    (tmp_path / "data" / "gatelodge.db.replaced").rename(tmp_path / "old.db")
    old = ("--database", str(tmp_path / "old.db"), "--master-key-file", str(tmp_path / "data" / "master.key.replaced"))
    assert "Made after the copy" in said(gatelodge("app", "list", *old))


@requirement("backup:restore")
def test_a_log_left_by_a_killed_server_is_not_played_into_the_restored_database(
    tmp_path: Path, copy: Path, gatelodge: Gatelodge
):
    data = tmp_path / "data"
    shutil.rmtree(data)
    with House(data) as house:
        add_app(house, label="Only in the log")
        left = tmp_path / "left"
        shutil.copytree(data, left)  # as a killed server leaves it: the log has not been played in
    assert (left / "gatelodge.db-wal").stat().st_size > 0
    said(gatelodge("backup", "restore", str(copy), "--data", str(left), "--force"))
    assert "Only in the log" not in said(gatelodge("app", "list", "--data", str(left)))
    assert (left / "gatelodge.db.replaced-wal").stat().st_size > 0


@requirement("backup:restore")
def test_a_copy_that_does_not_verify_replaces_nothing(tmp_path: Path, copy: Path, gatelodge: Gatelodge):
    raw = (copy / "gatelodge.db").read_bytes()
    (copy / "gatelodge.db").write_bytes(raw[:-1])
    said(gatelodge("backup", "restore", str(copy), "--data", str(tmp_path / "new")), 1)
    assert not (tmp_path / "new" / "gatelodge.db").exists()


@requirement("backup:postgresql")
def test_for_postgresql_the_recipe_is_told_and_the_command_does_not_claim_to_have_copied(gatelodge: Gatelodge):
    url = ("--database", "postgresql://gatelodge:hunter22@127.0.0.1/gatelodge", "--master-key-file", "/etc/gl.key")
    for verb, word in (("create", "pg_dump"), ("restore", "pg_restore")):
        told = said(gatelodge("backup", verb, "somewhere", *url), 1)
        assert word in told and "/etc/gl.key" in told and "hunter22" not in told
    assert not Path("somewhere").exists()


@requirement("backup:revoke-before")
def test_what_was_revoked_after_the_copy_is_live_again_until_all_before_is_revoked(
    tmp_path: Path, gatelodge: Gatelodge
):
    with House(tmp_path / "data") as house:
        client, who = add_app(house), person(house)
        tokens = connect(who, client)
        said(gatelodge("backup", "create", str(tmp_path / "copy"), "--data", str(tmp_path / "data")))
        sent = {"token": tokens["refresh_token"], "client_id": client.client_id}
        assert client.front.post("/services/oauth2/revoke", data=sent).status_code == 200
        assert not opens(client, tokens["access_token"])
        began = house.time
    said(gatelodge("backup", "restore", str(tmp_path / "copy"), "--data", str(tmp_path / "data"), "--force"))
    with House(tmp_path / "data") as house:
        assert opens(of(house, client), tokens["access_token"])  # the copy knows of no revocation
    # A command's own clock is the machine's, not the house's: this moment lies after the house's and before now.
    before = in_words(int(began) + 3600)
    told = said(gatelodge("revoke", "--every-org", "--before", before, "--data", str(tmp_path / "data")))
    assert before in told
    with House(tmp_path / "data") as house:
        here = of(house, client)
        assert not opens(here, tokens["access_token"])
        refused(here.refresh(tokens["refresh_token"]), "invalid_grant")
