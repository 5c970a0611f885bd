"""A database of one's own, registered from the command line: its password is sealed, and clients reach its records."""

from pathlib import Path

import pytest

from gatelodge.cli.servers import server_create
from gatelodge.core import mcp_servers, record_databases
from gatelodge.core.errors import Invalid, Refused
from gatelodge.gateway.records import mapping
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.records import foreign
from tests.requirements import requirement
from tests.servers.offering import server
from tests.setup.offices import administrator, audited, send


def arguments(source: str, name: str = "crm") -> dict:
    return {
        "kind": "records", "name": name, "label": "CRM", "source": source, "variant": "sobject-all",
        "allow_private_addresses": True, "document": "",
    }  # fmt: skip


@requirement("records:registering")
def test_a_database_with_a_password_is_registered_and_its_password_is_in_no_row(
    house: House, request: pytest.FixtureRequest
):
    database = foreign.made("mysql", Path(house.config.data) / "records", request)
    told = house.run(server_create(house.site, house.org, arguments(database.url)))
    assert "accounts" in told["objects"] and any("loose" in each for each in told["problems"])
    assert "s3cret" not in str(told)
    server = next(each for each in house.read(mcp_servers.of_org, house.org.id) if each.name == "crm")
    kept = house.read(record_databases.of_server, house.org.id, server.id)
    assert (
        "s3cret" not in server.source and "s3cret" not in repr(kept) and b"s3cret" not in (kept.sealed_password or b"")
    )
    assert kept.password(house.site.ring) == database.source.password
    for file in Path(house.config.data).glob("gatelodge.db*"):
        assert b"s3cret" not in file.read_bytes()
    house.write(mcp_servers.set_active, house.org.id, "crm", is_active=True, actor="x", now_ms=0)
    house.catch_up()
    client = Client(house, token(house, aud=f"{house.org.issuer}/mcp/crm"), "crm")
    assert [each["name"] for each in client.query("SELECT name FROM accounts ORDER BY Id LIMIT 2")["records"]] == [
        "Alder",
        "birch",
    ]
    words = mapping.written(mapping.parse('[objects.accounts]\nname = "Account"'))
    house.write(record_databases.set_mapping, server, words, actor="x", now_ms=0)
    house.catch_up()
    assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 4


@requirement("records:registering", "records:password")
def test_a_password_is_in_no_page_answer_row_audit_or_line_of_the_log_whatever_happens(
    house: House, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
):
    database = foreign.made("mysql", Path(house.config.data) / "records", request)
    robin, wrong = administrator(house), database.url.replace("s3cret", "wr0ng")
    seen: list[str] = []
    with pytest.raises(Refused) as refused:
        house.run(server_create(house.site, house.org, arguments(wrong)))
    seen += [str(refused.value), str(house.run(server_create(house.site, house.org, arguments(database.url))))]
    house.write(mcp_servers.set_active, house.org.id, "crm", is_active=True, actor="x", now_ms=0)
    house.catch_up()
    client = Client(house, token(house, aud=f"{house.org.issuer}/mcp/crm"), "crm")
    query = {"name": "soqlQuery", "arguments": {"q": "SELECT name FROM accounts"}}
    seen.append(client.modern("tools/call", query).text)
    seen.append(
        send(robin, "/setup/mcp-servers/new?kind=records", source=wrong, label="Other", allows_private="on").text
    )
    database.sql(f"DROP DATABASE {database.source.database}")
    house.app._gateway._records.started.popitem()[1].server.desk.close()  # no connection is left that was open before
    unreachable = client.modern("tools/call", query)
    assert "can't be reached" in unreachable.text or "SERVER_UNAVAILABLE" in unreachable.text, unreachable.text
    seen.append(unreachable.text)
    for page in ("", "/settings", "/database", "/database?look=1"):
        seen.append(robin.front.get(f"/setup/mcp-servers/crm{page}").text)
    seen += [robin.front.get("/setup/audit").text, str(audited(house, server(house, "crm").id))]
    seen += capfd.readouterr()
    seen += [file.read_bytes().decode("latin-1") for file in Path(house.config.data).glob("gatelodge.db*")]
    for each in seen:
        assert "s3cret" not in each
        assert "wr0ng" not in each or 'value="mysql://' in each, (
            "what was typed stands in its own form again, and nowhere else"
        )
    assert any("records.unreachable" in each for each in seen), "an operator finds why in the log"


@requirement("records:registering")
def test_a_database_that_cannot_be_read_is_not_registered(house: House):
    for source in (
        "sqlite:///missing.db",
        "sqlite:////etc/passwd",
        "postgresql://nobody@127.0.0.1:1/x",
        "oracle://x/y",
    ):
        with pytest.raises(Refused) as refused:
            house.run(server_create(house.site, house.org, arguments(source)))
        assert refused.value.field == "source"
    made = mcp_servers.McpServer(
        id="1g1000000000009AAA", org_id=house.org.id, name="crm", label="CRM", kind="records", variant="sobject-all",
        source="mysql://u:secret@h/d", is_active=False,
    )  # fmt: skip
    with pytest.raises(Invalid, match="seals it"):
        house.write(mcp_servers.register, made, actor="x", now_ms=0)
    assert "crm" not in {each.name for each in house.read(mcp_servers.of_org, house.org.id)}
