"""Importing a Connected App's name and key: from its metadata file, believed as little as any file from elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from gatelodge.cli import connected_app_file
from gatelodge.cli.verbs import perform
from gatelodge.core import connected_apps
from gatelodge.core.errors import Refused
from tests.house import House
from tests.requirements import requirement

Gatelodge = Callable[..., "CompletedProcess[str]"]
KEY = "3MVG9" + "AbCdEfGh1." * 8
FILE = f"""<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata">
    <contactEmail>admin@acme.example</contactEmail>
    <label>Sales &amp; Co</label>
    <oauthConfig>
        <callbackUrl>https://client.example/callback</callbackUrl>
        <consumerKey>{KEY}</consumerKey>
        <scopes>Api</scopes>
    </oauthConfig>
    <plugin><label>not this one</label></plugin>
</ConnectedApp>
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "Sales.connectedApp-meta.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@requirement("import-connected:file")
@pytest.mark.slow
def test_the_command_reads_name_and_key_from_the_file_and_the_org_knows_them(tmp_path: Path, gatelodge: Gatelodge):
    data = tmp_path / "data"
    with House(data) as house:
        house.later(0)
    done = gatelodge("app", "import-connected", str(written(tmp_path, FILE)), "--data", str(data), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"name": "Sales & Co", "consumer_key": KEY}
    with House(data) as house:
        found = house.run(house.site.live.connected_app(house.org.id, KEY))
        assert found is not None and found.name == "Sales & Co"
        assert house.run(house.site.live.client(house.org.id, KEY)) is None
        page = house.client().get(f"/services/oauth2/authorize?client_id={KEY}&response_type=code")
        assert page.status_code == 400


@requirement("import-connected:typed")
@pytest.mark.slow
def test_what_is_typed_wins_over_the_file_and_stands_without_one(tmp_path: Path, gatelodge: Gatelodge):
    with House(tmp_path / "data") as house:
        house.later(0)
    data = ("--data", str(tmp_path / "data"), "--json")
    named = gatelodge("app", "import-connected", str(written(tmp_path, FILE)), "--name", "Sales (old)", *data)
    assert json.loads(named.stdout) == {"name": "Sales (old)", "consumer_key": KEY}
    other = KEY[:-1] + "x"
    typed = gatelodge("app", "import-connected", "--name", "Typed", "--consumer-key", other, *data)
    assert json.loads(typed.stdout) == {"name": "Typed", "consumer_key": other}
    for given, missing in ((("--name", "Typed"), "--consumer-key"), (("--consumer-key", KEY), "--name")):
        refused = gatelodge("app", "import-connected", *given, *data)
        assert refused.returncode == 1 and missing in refused.stderr


@requirement("import-connected:typed")
def test_the_same_key_again_renames_it_and_another_shape_is_refused(house_on: House):
    def told(name: str, key: str) -> object:
        asked = {"org": "", "name": name, "consumer_key": key}
        return house_on.run(perform(house_on.site, "app import-connected", asked))

    told("First", KEY)
    told("Second", KEY)
    found = house_on.read(connected_apps.find, house_on.org.id, KEY)
    assert found.name == "Second"
    for name, key in (("x", "nonsense"), ("x", KEY + "!"), ("x", "3MVG9"), ("", KEY), ("a\nb", KEY), ("x" * 256, KEY)):
        with pytest.raises(Refused):
            told(name, key)


@requirement("import-connected:hostile-file")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>" + FILE.partition("?>")[2], "document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd">' + FILE.partition("?>")[2], "document type"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>', "document type"),
        (FILE.replace("ConnectedApp", "ExternalClientApplication"), "not of a ConnectedApp"),
        (FILE.replace("2006/04", "2007/04"), "not of a ConnectedApp"),
        (FILE[:200], "no XML"),
        ("", "no XML"),
        (b"\xff\xfe\x00", "no XML"),
        ("<" * 1000, "no XML"),
        (" " * (1 << 20) + FILE, "larger than"),
    ],
)
def test_a_file_that_is_something_else_is_refused_with_the_reason(tmp_path: Path, text: str | bytes, why: str):
    with pytest.raises(Refused, match=why):
        connected_app_file.read(written(tmp_path, text))


@requirement("import-connected:hostile-file")
def test_a_deep_file_and_a_missing_one_are_refused(tmp_path: Path):
    with pytest.raises(Refused, match="can't be read"):
        connected_app_file.read(tmp_path / "missing.xml")
    deep = FILE.replace("<label>Sales &amp; Co</label>", "<a>" * 5000 + "</a>" * 5000)
    assert connected_app_file.read(written(tmp_path, deep)) == {"consumer_key": KEY}
