"""Databases of three makes as objects: what their tables, keys and types become, and that the same query is answered alike."""

from pathlib import Path

import pytest

from gatelodge.core.errors import Refused
from gatelodge.gateway.records import mapping
from gatelodge.gateway.records.desk import Desk
from gatelodge.gateway.records.mapping import Mapping
from gatelodge.gateway.records.sources import NotReached, parse
from tests.records import foreign
from tests.records.foreign import KINDS, Database, Records, serving
from tests.requirements import requirement


@pytest.fixture(scope="module", params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Database:
    return foreign.made(request.param, tmp_path_factory.mktemp("foreign"), request)


@pytest.fixture(scope="module")
def records(database: Database):
    with serving(database.source, "sobject-reads") as made:
        yield made


@requirement("records:reflected")
def test_tables_and_views_are_objects_and_foreign_keys_relationships(records: Records):
    names = {each["name"] for each in records.ask("getObjectSchema")["sobjects"]}
    assert names == {"accounts", "contacts", "notes", "order_lines", "large"}, "what has no key isn't shown"
    contacts = records.ask("getObjectSchema", sobject_name="contacts")
    fields = {each["name"]: each for each in contacts["fields"]}
    assert fields["Id"]["type"] == "id" and fields["name"]["nameField"] and fields["email"]["length"] == 80
    assert (fields["account_id"]["referenceTo"], fields["account_id"]["relationshipName"]) == (["accounts"], "account")
    accounts = records.ask("getObjectSchema", sobject_name="accounts")
    types = {each["name"]: each["type"] for each in accounts["fields"]}
    assert types == {
        "Id": "id", "name": "string", "region": "picklist", "owner": "string", "secret": "string", "amount": "double",
        "score": "int", "is_active": "boolean", "opened": "date", "updated_at": "datetime",
    }  # fmt: skip
    region = next(each for each in accounts["fields"] if each["name"] == "region")
    assert region["picklistValues"] == ["north", "south"]
    assert {each["relationshipName"] for each in accounts["childRelationships"]} == {"contacts", "notes"}


@requirement("records:reflected")
@pytest.mark.parametrize(
    ("soql", "expected"),
    [
        ("SELECT Id, name FROM accounts ORDER BY name", [("1", "Alder"), ("2", "birch"), ("3", "Cédar"), ("4", "Delta")]),
        ("SELECT Id FROM accounts WHERE name = 'BIRCH'", [("2",)]),
        ("SELECT Id FROM accounts WHERE name LIKE '%ÉD%'", [("3",)]),
        ("SELECT Id FROM accounts WHERE Id = '3'", [("3",)]),
        ("SELECT Id FROM accounts WHERE Id = 'x'", []),
        ("SELECT Id FROM accounts WHERE Id IN ('1', 'x', '4') ORDER BY Id", [("1",), ("4",)]),
        ("SELECT Id FROM accounts WHERE Id != '1' ORDER BY Id", [("2",), ("3",), ("4",)]),
        ("SELECT Id, score FROM accounts ORDER BY score", [("3", None), ("1", 1), ("2", 2), ("4", 4)]),
        ("SELECT Id FROM accounts ORDER BY score DESC NULLS LAST", [("4",), ("2",), ("1",), ("3",)]),
        ("SELECT amount FROM accounts WHERE amount > 10.2 ORDER BY amount", [(10.25,), (200,), (300,)]),
        ("SELECT opened, updated_at FROM accounts WHERE Id = '1'", [("2026-01-02", "2026-01-02T03:04:05.000+0000")]),
        ("SELECT Id FROM accounts WHERE updated_at > 2026-02-01T00:00:00Z ORDER BY Id", [("2",), ("4",)]),
        ("SELECT Id FROM accounts WHERE opened = 2026-02-02", [("2",)]),
        ("SELECT Id FROM accounts WHERE is_active = true ORDER BY Id", [("1",), ("4",)]),
        ("SELECT is_active FROM accounts ORDER BY Id", [(True,), (False,), (None,), (True,)]),
        ("SELECT name, account.name FROM contacts WHERE account.region = 'south'", [("Cy", {"name": "birch"})]),
        ("SELECT Id FROM contacts ORDER BY account.name DESC, Id", [("4",), ("3",), ("1",), ("2",)]),
        ("SELECT name, (SELECT name FROM contacts ORDER BY name DESC) FROM accounts WHERE Id IN ('1', '4') ORDER BY Id",
         [("Alder", [{"name": "Bo"}, {"name": "Ada"}]), ("Delta", None)]),
        ("SELECT Id FROM accounts WHERE Id IN (SELECT account_id FROM contacts WHERE owner = 'ann') ORDER BY Id", [("1",), ("2",)]),
        ("SELECT Id FROM accounts WHERE Id NOT IN (SELECT account_id FROM contacts)", [("4",)]),
        ("SELECT region, COUNT(Id) n, SUM(amount) s FROM accounts GROUP BY region ORDER BY region",
         [(None, 1, None), ("north", 2, 310.25), ("south", 1, 200)]),
        ("SELECT region, MAX(score) FROM accounts GROUP BY region HAVING COUNT(Id) > 1", [("north", 1)]),
        ("SELECT Id, item FROM order_lines ORDER BY item", [("1:a", "bolt"), ("2:a", "nail"), ("1:b~1c", "nut")]),
        ("SELECT item FROM order_lines WHERE Id = '1:b~1c'", [("nut",)]),
        ("SELECT item FROM order_lines WHERE order_no = 1 ORDER BY Id DESC", [("nut",), ("bolt",)]),
        ("SELECT Id, name FROM large ORDER BY Id", [("2", "birch"), ("3", "Cédar")]),
        ("SELECT Id FROM accounts ORDER BY Id LIMIT 2 OFFSET 1", [("2",), ("3",)]),
    ],
)  # fmt: skip
def test_a_query_is_answered_alike_by_each_make_of_database(records: Records, soql: str, expected: list):
    assert [tuple(record.values()) for record in records.query(soql)] == expected


@requirement("records:reflected")
def test_words_are_found_and_relationships_followed(records: Records):
    def found(q: str) -> list:
        return [each["attributes"]["url"].split("sobjects/")[1] for each in records.ask("find", q=q)["searchRecords"]]

    assert found("cédar") == ["accounts/3", "large/3"] and found("CY") == ["contacts/3"]
    assert found("FIND {100%} RETURNING accounts") == [] and found("FIND {a note} RETURNING notes") == ["notes/1"]
    up = records.ask("getRelatedRecords", sobject_name="contacts", id="3", relationship_path="account")
    assert up["name"] == "birch"
    down = records.ask("getRelatedRecords", sobject_name="accounts", id="1", relationship_path="contacts")
    assert [each["name"] for each in down["records"]] == ["Ada", "Bo"]
    assert (
        records.refused("getRelatedRecords", sobject_name="accounts", id="9", relationship_path="contacts")[0][
            "errorCode"
        ]
        == "NOT_FOUND"
    )


@requirement("records:read-only")
def test_a_reading_server_can_write_nothing_whatever_it_is_asked(database: Database, records: Records):
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    for statement in (
        "DELETE FROM contacts",
        "UPDATE accounts SET name = 'x'",
        "DROP TABLE notes",
        "CREATE TABLE t (a INT)",
    ):
        with records.server.desk._reader.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(text(statement))
    assert len(database.sql("SELECT id FROM contacts")) == 4


@requirement("records:time-limit")
def test_a_statement_that_takes_too_long_is_ended_by_the_database(database: Database):
    slow = {
        "sqlite": "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n",
        "postgresql": "SELECT pg_sleep(30)",
        "mysql": "SELECT SLEEP(30)",
    }[database.kind]
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    from gatelodge.gateway.records.database import limit, was_interrupted

    desk = Desk(database.source, Mapping(), connections=1, seconds=0.2, allows_private=True, now=lambda: 0.0)
    with desk._reader.connect() as connection:
        limit(connection, 0.2)
        try:
            found = connection.execute(text(slow)).scalar_one()
        except DBAPIError as error:
            assert was_interrupted(error)
        else:
            assert (database.kind, found) == ("mysql", 1), "MariaDB ends the sleep rather than the statement"
    desk.close()


@requirement("records:mapping")
def test_labels_and_api_names_can_be_set(database: Database):
    words = mapping.parse(
        """
        [objects.accounts]
        name = "Account"
        label = "Customer"
        plural = "Customers"
        [objects.accounts.fields.name]
        name = "Name"
        label = "Customer Name"
        [objects.accounts.fields.secret]
        hidden = true
        [objects.loose]
        name = "Loose"
        key = ["a"]
        [objects.notes]
        hidden = true
        """
    )
    with serving(database.source, "sobject-reads", words) as records:
        names = {each["name"] for each in records.ask("getObjectSchema")["sobjects"]}
        assert names == {"Account", "contacts", "order_lines", "large", "Loose"}
        account = records.ask("getObjectSchema", sobject_name="account")
        assert (account["label"], account["labelPlural"]) == ("Customer", "Customers")
        assert (
            "secret" not in str(account)
            and {"name": "Name", "label": "Customer Name"}.items() <= account["fields"][1].items()
        )
        assert records.query("SELECT Name FROM Account WHERE Id = '1'") == [{"Name": "Alder"}]
        assert records.query("SELECT account.Name FROM contacts WHERE Id = '3'") == [{"account": {"Name": "birch"}}]


@requirement("records:mapping")
@pytest.mark.parametrize("text", ["[objects", '{"objects": 1}', '[objects.a]\nname = "1a"', '[objects.a]\nname = "from"',
                                  '[objects.a]\nnom = "x"', '[objects.a.fields.b]\nname = "a-b"'])  # fmt: skip
def test_a_mapping_that_cannot_be_used_is_refused_with_its_place(text: str):
    with pytest.raises(Refused) as refused:
        mapping.parse(text)
    assert refused.value.field == "mapping" and len(refused.value.message) > 20


@requirement("records:schema-changes")
def test_a_changed_schema_is_noticed(request: pytest.FixtureRequest, tmp_path):
    for kind in KINDS:
        database = foreign.made(kind, tmp_path / kind, request)
        with serving(database.source, "sobject-reads") as records:
            assert records.query("SELECT name FROM accounts WHERE Id = '1'") == [{"name": "Alder"}]
            database.sql("ALTER TABLE accounts RENAME COLUMN owner TO keeper")
            database.sql("CREATE TABLE fresh (id BIGINT PRIMARY KEY, word VARCHAR(10))")
            # The whole record names a column that is gone, which tells that all is to be read again.
            recent = records.ask("listRecentSobjectRecords", sobject_name="accounts")["recentItems"]
            assert recent[0]["keeper"] and "owner" not in recent[0]
            assert records.query("SELECT Id FROM fresh") == []


@requirement("records:sources")
@pytest.mark.parametrize(
    "url",
    ["sqlite:////etc/passwd", "sqlite:///../gatelodge.db", "sqlite:///", "sqlite:///a?mode=rwc", "sqlite://host/x", "oracle://h/x",
     "postgresql:///x", "postgresql://h", "postgresql://h:x/d", "postgresql://h/d?host=/tmp", "postgresql://h/d?sslmode=no",
     "mysql://h/d?unix_socket=/x", "mysql://h/d#x", "mysql://h/d%00", "", "file:///etc/passwd"],
)  # fmt: skip
def test_a_source_that_may_not_be_read_is_refused(url: str, tmp_path):
    with pytest.raises(Refused) as refused:
        parse(url, tmp_path / "records")
    assert refused.value.field == "source"


@requirement("records:sources")
def test_a_link_out_of_the_folder_leads_nowhere(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "outside.db").write_bytes(b"")
    (tmp_path / "records" / "in.db").symlink_to(tmp_path / "outside.db")
    with pytest.raises(Refused, match="outside of the folder"):
        parse("sqlite:///in.db", tmp_path / "records")


@requirement("records:sources")
def test_a_password_is_in_nothing_that_is_shown():
    source = parse("mysql://u:p%40zz@db.example:1/x?sslmode=require", Path("/x"))
    assert source.shown == "mysql://u@db.example:1/x?sslmode=require" and source.password == "p@zz"
    assert "zz" not in repr(source)


@requirement("records:sources")
def test_a_database_in_a_private_network_is_not_asked_unless_that_is_allowed(database: Database):
    if database.kind == "sqlite":
        return
    records = Records(database.source, "sobject-reads")
    records.server.desk.close()
    records.server.desk = Desk(
        database.source, Mapping(), connections=1, seconds=5, allows_private=False, now=lambda: 0.0
    )
    records.runner.run(records.server.start())
    (error,) = records.refused("soqlQuery", q="SELECT Id FROM accounts")
    assert error["errorCode"] == "SERVER_UNAVAILABLE" and "can't be reached" in error["message"]
    assert "127.0.0.1" not in error["message"], "where it is and why is for administrators"
    with pytest.raises(NotReached, match="no public address"):
        records.server.desk.look()
    records.runner.run(records.server.stop())
    records.runner.close()


@requirement("records:reflected")
def test_what_soql_has_no_type_for_goes_as_text(request: pytest.FixtureRequest, tmp_path):
    database = foreign.empty("postgresql", tmp_path, request)
    database.sql("CREATE TYPE mood AS ENUM ('calm', 'cross')")
    database.sql(
        "CREATE TABLE things (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), mood mood, doc JSONB, raw BYTEA, at TIME,"
        " parent UUID REFERENCES things (id))"
    )
    with serving(database.source) as records:
        first = records.ask("createSobjectRecord", sobject_name="things", body={
            "mood": "calm", "doc": '{"a": 1}', "raw": "aGk=", "at": "09:30:00",
        })["id"]  # fmt: skip
        second = records.ask("createSobjectRecord", sobject_name="things", body={"mood": "cross", "parent": first})[
            "id"
        ]
        assert records.query(f"SELECT mood, doc, raw, at FROM things WHERE Id = '{first.upper()}'") == [
            {"mood": "calm", "doc": '{"a": 1}', "raw": "aGk=", "at": "09:30:00"}
        ]
        assert records.query("SELECT Id, parent__r.mood FROM things WHERE mood = 'CROSS'") == [
            {"Id": second, "parent__r": {"mood": "calm"}}
        ]
        assert records.query("SELECT Id FROM things WHERE Id = 'no-uuid' OR Id IN ('x')") == []
        (error,) = records.refused("updateSobjectRecord", sobject_name="things", id=first, body={"mood": "glad"})
        assert error["errorCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
        (error,) = records.refused("updateSobjectRecord", sobject_name="things", id=first, body={"doc": "{"})
        assert error["errorCode"] == "INVALID_TYPE_ON_FIELD_IN_RECORD"
