"""Records written through the tools on three makes of database: what is kept, what is refused and how, and races."""

import asyncio
import json

import pytest

from gatelodge.core.apps.policies import Policies
from gatelodge.core.permissions import ObjectGrant
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.records import foreign
from tests.records.foreign import KINDS, Database, Records, granted, serving
from tests.requirements import requirement


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path) -> Database:
    return foreign.made(request.param, tmp_path / "own", request)


@pytest.fixture
def records(database: Database):
    with serving(database.source) as made:
        yield made


def texts(rows: list[tuple]) -> list[tuple[str, ...]]:
    return [tuple("" if value is None else str(value) for value in row) for row in rows]


@requirement("records:writes")
def test_a_record_is_made_changed_and_deleted(records: Records, database: Database):
    made = records.ask("createSobjectRecord", sobject_name="accounts", body={
        "name": "Fjord ünd 'Söhne' -- ;", "region": "south", "amount": 12.5, "score": 7, "is_active": True,
        "opened": "2026-07-28",
    })  # fmt: skip
    assert made["success"] and made["errors"] == [] and records.noted.rows == 1
    (found,) = records.query(
        f"SELECT name, amount, is_active, opened, updated_at FROM accounts WHERE Id = '{made['id']}'"
    )
    assert found == {
        "name": "Fjord ünd 'Söhne' -- ;", "amount": 12.5, "is_active": True, "opened": "2026-07-28",
        "updated_at": "2026-09-21T14:13:20.000+0000",
    }  # fmt: skip
    records.ask("updateSobjectRecord", sobject_name="Accounts", id=made["id"], body={"NAME": "Other", "region": None})
    assert texts(database.sql(f"SELECT name, score FROM accounts WHERE id = {made['id']} AND region IS NULL")) == [
        ("Other", "7")
    ]
    records.ask("deleteSobjectRecord", sobject_name="accounts", id=made["id"])
    assert database.sql(f"SELECT id FROM accounts WHERE id = {made['id']}") == []
    again = records.refused("deleteSobjectRecord", sobject_name="accounts", id=made["id"])
    assert again[0]["errorCode"] == "NOT_FOUND" and records.noted.rows == 0


@requirement("records:writes")
def test_a_record_with_a_key_of_several_columns_and_a_related_one_are_written(records: Records, database: Database):
    made = records.ask(
        "createSobjectRecord", sobject_name="order_lines", body={"order_no": 9, "line": "x:~y", "item": "peg"}
    )
    assert made["id"] == "9:x~1~0y"
    records.ask("updateSobjectRecord", sobject_name="order_lines", id=made["id"], body={"item": "pin"})
    assert records.query("SELECT item FROM order_lines WHERE order_no = 9") == [{"item": "pin"}]
    records.ask("deleteSobjectRecord", sobject_name="order_lines", id=made["id"])
    records.ask(
        "updateRelatedRecord", sobject_name="contacts", id="3", relationship_path="account", body={"name": "Led to"}
    )
    assert texts(database.sql("SELECT name FROM accounts WHERE id = 2")) == [("Led to",)]
    records.ask("createSobjectRecord", sobject_name="notes", body={"account_id": "2", "body": "n"})
    assert (
        "many records"
        in records.refused("deleteRelatedRecord", sobject_name="accounts", id="2", relationship_path="contacts")[0][
            "message"
        ]
    )


@requirement("records:validation")
@pytest.mark.parametrize(
    ("body", "code", "field", "expected"),
    [
        ({"name": 5}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "name", "a text"),
        ({"name": "x" * 41}, "STRING_TOO_LONG", "name", "at most 40"),
        ({"name": None}, "REQUIRED_FIELD_MISSING", "name", "a value"),
        ({"name": "nul\0"}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "name", "without NUL"),
        ({"region": "west"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "region", "north, south"),
        ({"amount": "12"}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "amount", "a number"),
        ({"amount": 1e300}, "NUMBER_OUTSIDE_VALID_RANGE", "amount", "from -9999999999.99 to 9999999999.99"),
        ({"score": 1.5}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "score", "a whole number"),
        ({"score": 2**63}, "NUMBER_OUTSIDE_VALID_RANGE", "score", "at most"),
        ({"is_active": "yes"}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "is_active", "true or false"),
        ({"opened": "28.7.2026"}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "opened", "a date"),
        ({"Id": "9"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Id", "that you may set"),
        ({"updated_at": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "updated_at", "that you may set"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_told_by_field_value_expectation_and_fix(
    records: Records, database: Database, body: dict, code: str, field: str, expected: str
):
    if database.kind == "sqlite" and body == {"amount": 1e300}:
        return  # a column of SQLite takes any number
    (error,) = records.refused("updateSobjectRecord", sobject_name="accounts", id="1", body=body)
    assert (error["errorCode"], error["fields"]) == (code, [field] if field else [])
    assert expected in error["expected"] and error["fix"] and error["expected"] in error["message"]
    assert texts(database.sql("SELECT name, region, score FROM accounts WHERE id = 1")) == [("Alder", "north", "1")]


@requirement("records:validation")
def test_every_problem_of_a_record_is_told_at_once_and_nothing_is_written(records: Records, database: Database):
    errors = records.refused(
        "createSobjectRecord", sobject_name="contacts", body={"name": 1, "account_id": "77", "email": True}
    )
    assert {(each["errorCode"], *each["fields"]) for each in errors} == {
        ("INVALID_TYPE_ON_FIELD_IN_RECORD", "name"), ("INVALID_CROSS_REFERENCE_KEY", "account_id"),
        ("INVALID_TYPE_ON_FIELD_IN_RECORD", "email"),
    }  # fmt: skip
    (error,) = records.refused("createSobjectRecord", sobject_name="contacts", body={"name": "No account"})
    assert (error["errorCode"], error["fields"]) == ("REQUIRED_FIELD_MISSING", ["account_id"])
    (error,) = records.refused(
        "createSobjectRecord", sobject_name="contacts", body={"account_id": "1", "email": "ada@x.example"}
    )
    assert error["errorCode"] == "DUPLICATE_VALUE"
    assert len(database.sql("SELECT id FROM contacts")) == 4


@requirement("records:writes")
def test_a_record_that_others_hang_on_is_not_deleted_with_them(records: Records, database: Database):
    for account in ("1", "4"):  # contacts point at one, notes would be deleted along with the other
        (error,) = records.refused("deleteSobjectRecord", sobject_name="accounts", id=account)
        assert error["errorCode"] == "DELETE_FAILED"
    assert len(database.sql("SELECT id FROM accounts")) == 4 and len(database.sql("SELECT id FROM notes")) == 1
    (error,) = records.refused("updateSobjectRecord", sobject_name="large", id="2", body={"name": "x"})
    assert error["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY" and "view" in error["message"]


@requirement("records:write-permissions")
def test_one_set_must_admit_the_row_the_verb_and_the_field(records: Records, database: Database):
    north = granted("North", accounts=ObjectGrant(edit=True, rows="region = 'north'", read_only=("score",)))
    south = granted("South", accounts=ObjectGrant(edit=True, rows="region = 'south'", without=("secret",)))
    look = granted("Look", accounts=ObjectGrant())

    def code(account: str, body: dict, *sets) -> str:
        return records.refused("updateSobjectRecord", *sets, sobject_name="accounts", id=account, body=body)[0][
            "errorCode"
        ]

    records.ask("updateSobjectRecord", north, south, sobject_name="accounts", id="1", body={"secret": "new"})
    records.ask("updateSobjectRecord", north, south, sobject_name="accounts", id="2", body={"score": 5})
    assert code("2", {"secret": "x"}, north, south) == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert code("1", {"score": 9}, north, south) == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert code("1", {"name": "x"}, look) == "INSUFFICIENT_ACCESS_OR_READONLY"
    assert code("4", {"name": "x"}, north) == "NOT_FOUND"
    assert code("4", {"name": "x"}, north, look) == "INSUFFICIENT_ACCESS_OR_READONLY"
    assert code("1", {"secret": "x"}, granted(accounts=ObjectGrant(edit=True, without=("secret",)))) == "INVALID_FIELD"
    assert code("1", {"region": "south"}, north) == "INSUFFICIENT_ACCESS_OR_READONLY", (
        "it would be out of one's own sight"
    )
    assert code("1", {"region": "south"}, north, south) == "INSUFFICIENT_ACCESS_OR_READONLY", "no one set admits both"
    make = granted("Make", accounts=ObjectGrant(create=True, rows="owner = $user.username"))
    assert records.refused("createSobjectRecord", make, sobject_name="accounts", body={"name": "x", "owner": "bob"})
    records.ask("createSobjectRecord", make, sobject_name="accounts", body={"name": "x", "owner": "ann"})
    assert records.refused("deleteSobjectRecord", make, sobject_name="accounts", id="1")
    assert texts(database.sql("SELECT region, secret, score FROM accounts WHERE id IN (1, 2) ORDER BY id")) == [
        ("north", "new", "1"), ("south", "s-2", "5"),
    ]  # fmt: skip
    assert len(database.sql("SELECT id FROM accounts")) == 5


@requirement("records:write-permissions")
def test_a_reference_to_a_record_that_is_not_seen_is_refused_as_one_to_none(records: Records):
    own = granted("Own", accounts=ObjectGrant(rows="owner = $user.username"), contacts=ObjectGrant(create=True))
    hidden = records.refused("createSobjectRecord", own, sobject_name="contacts", body={"account_id": "2", "name": "x"})
    missing = records.refused(
        "createSobjectRecord", own, sobject_name="contacts", body={"account_id": "9", "name": "x"}
    )
    assert json.dumps(hidden).replace('"2"', '"9"') == json.dumps(missing)
    records.ask("createSobjectRecord", own, sobject_name="contacts", body={"account_id": "1", "name": "x"})


@requirement("records:unmodified-since")
def test_a_record_is_changed_only_as_it_was_read(records: Records):
    def since(value: str, name: str):
        return {"sobject_name": "accounts", "id": "1", "body": {"name": name}, "if_unmodified_since": value}

    (read,) = records.query("SELECT updated_at FROM accounts WHERE Id = '1'")
    records.ask("updateSobjectRecord", **since(read["updated_at"], "First"))
    (error,) = records.refused("updateSobjectRecord", **since(read["updated_at"], "Second"))
    assert error["errorCode"] == "PRECONDITION_FAILED" and "2026-09-21T14:13:20.000+0000" in error["message"]
    assert records.query("SELECT name FROM accounts WHERE Id = '1'") == [{"name": "First"}]


@requirement("records:unmodified-since")
def test_of_16_callers_who_read_the_same_record_one_changes_it(records: Records, database: Database):
    (read,) = records.query("SELECT updated_at FROM accounts WHERE Id = '1'")

    async def race() -> list[bool]:
        calls = [
            records.call("updateSobjectRecord", {
                "sobject-name": "accounts", "id": "1", "body": {"name": f"Caller {n}"},
                "if-unmodified-since": read["updated_at"],
            }, records.caller())
            for n in range(16)
        ]  # fmt: skip
        return [not is_error for _, is_error in await asyncio.gather(*calls)]

    won = records.runner.run(race())
    assert won.count(True) == 1
    assert texts(database.sql("SELECT name FROM accounts WHERE id = 1")) == [(f"Caller {won.index(True)}",)]


@requirement("records:writes")
def test_16_callers_at_once_each_make_one_record_and_take_one_unique_value_once(records: Records, database: Database):
    async def race(bodies: list[dict]) -> list[bool]:
        calls = [
            records.call("createSobjectRecord", {"sobject-name": "contacts", "body": body}, records.caller())
            for body in bodies
        ]
        return [not is_error for _, is_error in await asyncio.gather(*calls)]

    assert all(records.runner.run(race([{"account_id": "1", "name": f"n{n}"} for n in range(16)])))
    assert len(database.sql("SELECT id FROM contacts")) == 20
    once = records.runner.run(race([{"account_id": "1", "email": "one@x.example"} for _ in range(16)]))
    assert once.count(True) == 1 and len(database.sql("SELECT id FROM contacts WHERE email = 'one@x.example'")) == 1


HOSTILE = [
    "'; DROP TABLE accounts; --",
    "\\",
    "%s %(x)s {0} :name ?",
    "\u202e\u0000x",
    "🦊" * 10,
    "a\r\nb",
    "\ud800",
    "'" * 40,
    "NULL",
]


@requirement("records:writes")
@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_kept_as_it_was_sent_or_refused(records: Records, text: str):
    found, is_error = records.runner.run(
        records.call("createSobjectRecord", {"sobject-name": "accounts", "body": {"name": text}}, records.caller())
    )
    if is_error:
        assert "\0" in text or "\ud800" in text
    else:
        assert records.query(f"SELECT name FROM accounts WHERE Id = '{found['id']}'") == [{"name": text}]
    for name in (text, f"accounts{text}"):
        assert records.refused("updateSobjectRecord", sobject_name=name, id="1", body={"name": "x"})
        assert records.refused("updateSobjectRecord", sobject_name="accounts", id=f"9{name}", body={"name": "x"})
        assert records.refused("updateSobjectRecord", sobject_name="accounts", id="1", body={f"x{name}": "x"})
    assert len(records.query("SELECT Id FROM accounts WHERE Id IN ('1', '2', '3', '4')")) == 4


@requirement("records:variants")
@pytest.mark.parametrize(("variant", "tools", "prompts"), [("sobject-reads", 6, 0), ("sobject-mutations", 9, 0),
                                                           ("sobject-deletes", 8, 0), ("sobject-all", 11, 2)])  # fmt: skip
def test_each_variant_lists_its_tools_with_hints_and_calls_no_other(tmp_path, variant: str, tools: int, prompts: int):
    database = foreign.made("sqlite", tmp_path, None)
    with serving(database.source, variant) as records:
        listed = records.runner.run(records.rpc("tools/list", {}, records.caller()))["result"]["tools"]
        hints = {each["name"]: each["annotations"] for each in listed}
        assert len(listed) == tools
        for name, hint in hints.items():
            assert hint["readOnlyHint"] == name.startswith(("get", "soql", "find", "list"))
            assert hint["destructiveHint"] == name.startswith("delete")
        for name in {"createSobjectRecord", "updateSobjectRecord", "deleteSobjectRecord", "deleteRelatedRecord"} - set(
            hints
        ):
            answer = records.runner.run(records.rpc("tools/call", {"name": name, "arguments": {}}, records.caller()))
            assert answer["error"]["code"] == -32602
        if prompts:
            found = records.runner.run(records.rpc("prompts/list", {}, records.caller()))["result"]["prompts"]
            assert len(found) == prompts
            arguments = {"sobject-name": "accounts", "id": "1' ignore"}
            got = records.runner.run(
                records.rpc("prompts/get", {"name": "recordReview", "arguments": arguments}, records.caller())
            )
            assert '"1\' ignore"' in got["result"]["messages"][0]["content"]["text"]


@requirement("records:variants")
def test_a_tool_that_the_policies_take_away_is_neither_listed_nor_called(tmp_path):
    database = foreign.made("sqlite", tmp_path, None)
    with serving(database.source) as records:
        reader = records.caller(policies=Policies(mcp_read_only=True))
        listed = records.runner.run(records.rpc("tools/list", {}, reader))["result"]["tools"]
        assert len(listed) == 6
        call = {"name": "deleteSobjectRecord", "arguments": {"sobject-name": "contacts", "id": "1"}}
        answer = records.runner.run(records.rpc("tools/call", call, reader))
        assert "read only" in answer["error"]["message"] and records.noted.outcome == "refused"
        assert len(database.sql("SELECT id FROM contacts")) == 4


@requirement("records:variants")
def test_a_development_org_has_the_four_servers_over_one_sample(house: House):
    from gatelodge.core import mcp_servers

    servers = {each.name: each for each in house.read(mcp_servers.of_org, house.org.id)}
    assert {name: each.is_active for name, each in servers.items()} == {
        "sobject-reads": True, "sobject-mutations": False, "sobject-deletes": False, "sobject-all": False,
    }  # fmt: skip
    house.write(mcp_servers.set_active, house.org.id, "sobject-all", is_active=True, actor="x", now_ms=0)
    house.catch_up()
    url = f"{house.org.issuer}/mcp/sobject-all"
    robin, reader = Client(house, token(house, aud=url), "sobject-all"), Client(house, token(house))
    made, is_error = robin.call_with("createSobjectRecord", {"sobject-name": "Account", "body": {"Name": "Made here"}})
    assert not is_error and made["id"].startswith("001") and len(made["id"]) == 18
    (found,) = reader.query(f"SELECT Name, CreatedDate, LastModifiedDate FROM Account WHERE Id = '{made['id']}'")[
        "records"
    ]
    assert found["Name"] == "Made here" and found["CreatedDate"] == found["LastModifiedDate"]
    (sample,) = (path for path in (servers["sobject-all"].source.removeprefix("sample:"),))
    import pathlib

    pathlib.Path(sample).unlink()
    assert reader.query("SELECT COUNT() FROM Account")["totalSize"] == 400, "a sample that was taken away is made again"
