"""An administrator shows a database of their own as records, in Setup."""

import re
import sqlite3
from pathlib import Path

import pytest

from gatelodge.core import record_databases
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.people import form
from tests.records import foreign
from tests.requirements import requirement
from tests.servers.offering import server
from tests.setup.offices import administrator, audited, errors, send, words

NEW = "/setup/mcp-servers/new?kind=records"
PAGE = "/setup/mcp-servers/crm/database"
NAMES = '[objects.accounts]\nname = "Customer"\n[objects.accounts.fields.secret]\nhidden = true'


def database(house: House, name: str = "crm.db") -> str:
    """A SQLite file in the folder for them, and its URL."""
    folder = Path(house.config.data) / "records"
    folder.mkdir(exist_ok=True)
    with sqlite3.connect(folder / name) as made:
        made.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, secret TEXT)")
        made.execute("CREATE TABLE loose (what TEXT)")
        made.execute("INSERT INTO accounts VALUES (1, 'Alder', 'hush')")
    made.close()
    return f"sqlite:///{name}"


@requirement("records:setup")
def test_a_database_is_looked_at_registered_named_and_queried(house_on: House):
    robin = administrator(house_on)
    made = send(robin, NEW, source=database(house_on), label="CRM")
    assert made.headers["location"].endswith(f"{PAGE}?look=1"), errors(made)
    shown = words(robin.front.get(f"{PAGE}?look=1"))
    assert "1 object was found. accounts" in shown and "loose" in shown
    tried = send(robin, PAGE, mapping=NAMES, act="check")
    assert tried.status_code == 200 and "Customer" in words(tried)
    assert house_on.read(record_databases.of_server, house_on.org.id, server(house_on, "crm").id).mapping == "{}"
    assert send(robin, PAGE, mapping=NAMES, act="save").status_code == 303
    send(robin, "/setup/mcp-servers", name="crm", act="activate")
    house_on.catch_up()
    client = Client(house_on, token(house_on, aud=f"{house_on.org.issuer}/mcp/crm"), "crm")
    assert client.query("SELECT name FROM Customer")["records"][0]["name"] == "Alder"
    tags = [tag for _, tag, _ in audited(house_on, server(house_on, "crm").id)]
    assert tags == ["server:register", "server:database:mapping", "server:activate"]


@requirement("records:setup")
@pytest.mark.parametrize("mapping", ["[objects", "{", '[objects.accounts]\nname = "1"', '[objects.x]\ncolour = "red"'])
def test_a_mapping_that_cannot_be_read_is_refused_beside_its_field_and_kept_as_typed(house: House, mapping: str):
    robin = administrator(house)
    send(robin, NEW, source=database(house), label="CRM")
    answer = send(robin, PAGE, mapping=mapping, act="save")
    assert answer.status_code == 422 and "mapping" in errors(answer) and mapping.splitlines()[0] in words(answer)


@requirement("records:setup")
def test_a_mapping_that_somebody_else_changed_meanwhile_is_not_overwritten(house: House):
    robin = administrator(house)
    send(robin, NEW, source=database(house), label="CRM")
    old = form(robin.front.get(PAGE), "/database") | {"act": "save"}
    assert robin.front.post(PAGE, data=old | {"mapping": NAMES}).status_code == 303
    late = robin.front.post(PAGE, data=old | {"mapping": ""})
    assert late.status_code == 422 and "changed by somebody else" in errors(late)["mapping"]


@requirement("records:setup")
@pytest.mark.parametrize(
    "source", ["sqlite:///none.db", "sqlite:////etc/passwd", "postgresql://me:s3cret@127.0.0.1:1/x"]
)
def test_a_database_that_cannot_be_read_is_not_registered_and_its_password_not_shown(house: House, source: str):
    answer = send(administrator(house), NEW, source=source, label="CRM", password="s3cret2", allows_private="on")
    assert answer.status_code == 422 and "source" in errors(answer)
    assert "s3cret" not in answer.text and house.run(house.site.live.servers(house.org.id)).get("crm") is None


@requirement("records:setup", "records:password")
def test_a_password_is_sealed_replaced_by_who_verified_themselves_and_shown_never_again(
    house: House, request: pytest.FixtureRequest
):
    made = foreign.made("mysql", Path(house.config.data) / "records", request)
    robin = administrator(house)
    bare = re.sub(r":[^:/]*@", "@", made.url)
    assert send(robin, NEW, source=bare, label="CRM", allows_private="on").status_code == 422
    given = {"label": "CRM", "allows_private": "on", "password": made.source.password}
    assert send(robin, NEW, source=bare, **given).status_code == 303
    kept = house.read(record_databases.of_server, house.org.id, server(house, "crm").id)
    assert kept.password(house.site.ring) == made.source.password
    for page in (PAGE, f"{PAGE}?look=1", "/setup/mcp-servers/crm", "/setup/mcp-servers/crm/settings"):
        assert made.source.password not in robin.front.get(page).text, page
    fields = form(robin.front.get(PAGE), "/password")
    refused = robin.front.post(f"{PAGE}/password", data=fields | {"act": "set", "password": "wrong"})
    assert refused.status_code == 422 and "password" in errors(refused) and "wrong" not in refused.text
    assert robin.front.post(f"{PAGE}/password", data=fields | {"act": "remove"}).status_code == 303
    assert house.read(record_databases.of_server, house.org.id, kept.server_id).sealed_password is None
    again = fields | {"act": "set", "password": made.source.password}
    assert robin.front.post(f"{PAGE}/password", data=again).status_code == 303
    house.later(601)
    house.catch_up()
    assert "/setup/verify" in robin.front.post(f"{PAGE}/password", data=again).headers["location"]


@requirement("records:setup")
def test_another_database_is_looked_at_before_it_is_kept_and_gets_no_old_password(house: House):
    robin, settings = administrator(house), "/setup/mcp-servers/crm/settings"
    send(robin, NEW, source=database(house), label="CRM")
    made = server(house, "crm")
    sealed = record_databases.sealed(house.site.ring, made.org_id, made.id, "old password")
    house.write(record_databases.set_password, made, sealed, actor="a test", now_ms=0)
    refused = send(robin, settings, source="sqlite:///none.db")
    assert refused.status_code == 422 and "source" in errors(refused)
    database(house, "other.db")
    assert send(robin, settings, source="sqlite:///other.db").status_code == 303
    assert re.search(r"/other\.db$", server(house, "crm").source)
    assert house.read(record_databases.of_server, made.org_id, made.id).sealed_password is None
