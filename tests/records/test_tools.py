"""The six tools: what each answers, the names that its arguments go by, and what it refuses."""

import json
from typing import Any

import pytest

from gatelodge.core import ids
from gatelodge.gateway.records.tools import BY_NAME, TOOLS
from tests.gateway.speaking import Client, claims
from tests.house import House
from tests.requirements import requirement

ALIASES = {
    "getObjectSchema": ("object-name", "objects", "sobject", "object", "sObject", "sobjectName"),
    "soqlQuery": ("query", "soql"),
    "find": ("search", "query", "sosl"),
    "getUserInfo": (),
    "listRecentSobjectRecords": ("object-name", "objects", "sobject", "object", "sObject", "sobjectName"),
    "getRelatedRecords": ("object-name", "objects", "sobject", "object", "sObject", "sobjectName", "relationshipPath",
                          "relationship", "recordId", "record-id"),
}  # fmt: skip


def good(tool: str, sql) -> dict[str, Any]:
    """Arguments that the tool takes, under their own names."""
    ((account,),) = sql("SELECT AccountId FROM Contact ORDER BY Id LIMIT 1")
    return {
        "getObjectSchema": {"sobject-name": "Account"},
        "soqlQuery": {"q": "SELECT Id FROM Account LIMIT 1"},
        "find": {"q": "alder"},
        "getUserInfo": {},
        "listRecentSobjectRecords": {"sobject-name": "Account", "limit": 2},
        "getRelatedRecords": {"sobject-name": "Account", "id": account, "relationship-path": "Contacts"},
    }[tool]


@pytest.mark.parametrize("tool", BY_NAME)
@requirement("records:aliases")
def test_each_argument_is_taken_under_each_of_its_names(robin: Client, sql, tool: str):
    arguments = good(tool, sql)
    expected = robin.call_with(tool, arguments)
    assert expected[1] is False and set(BY_NAME[tool].aliases) == set(ALIASES[tool])
    for alias in ALIASES[tool]:
        own = BY_NAME[tool].aliases[alias]
        renamed = {alias if name == own else name: value for name, value in arguments.items()}
        assert robin.call_with(tool, renamed) == expected


@pytest.mark.parametrize("tool", BY_NAME)
@requirement("records:arguments-are-checked")
def test_arguments_of_another_kind_missing_twice_or_unknown_are_refused(robin: Client, sql, tool: str):
    arguments = good(tool, sql)
    bad: list[dict[str, Any]] = [arguments | {"verbose": True}, arguments | {"": ""}]
    for name in arguments:
        bad += [arguments | {name: value} for value in (7.5, True, {}, [1], [["Account"]], "a\0b", ["a\0b"])]
        if name in BY_NAME[tool].required:
            bad += [{k: v for k, v in arguments.items() if k != name}, arguments | {name: ""}, arguments | {name: None}]
    bad += [arguments | {alias: "x"} for alias, own in BY_NAME[tool].aliases.items() if own in arguments]
    for sent in bad:
        found, is_error = robin.call_with(tool, sent)
        assert is_error and found[0]["errorCode"] == "INVALID_ARGUMENT", (sent, found)


@pytest.mark.parametrize("limit", [0, -1, 2001, 1.0, "5", True, [5]])
@requirement("records:arguments-are-checked")
def test_a_limit_is_a_number_from_1_to_2000(robin: Client, limit: Any):
    found, is_error = robin.call_with("listRecentSobjectRecords", {"sobject-name": "Account", "limit": limit})
    assert is_error and "from 1 to 2000" in found[0]["message"]


@requirement("records:schemas")
def test_each_schema_names_its_arguments_and_what_is_required(robin: Client):
    listed = {tool["name"]: tool["inputSchema"] for tool in robin.modern("tools/list").json()["result"]["tools"]}
    assert list(listed) == [tool.name for tool in TOOLS]
    for tool in TOOLS:
        schema = listed[tool.name]
        assert set(schema["properties"]) == set(tool.arguments) and schema["required"] == list(tool.required)
        assert all(argument["description"] for argument in schema["properties"].values())
    assert set(listed["soqlQuery"]["properties"]) == {"q"} == set(listed["find"]["properties"])
    assert listed["getRelatedRecords"]["required"] == ["sobject-name", "id", "relationship-path"]


@requirement("records:object-schema")
def test_the_schema_lists_objects_and_the_fields_and_relationships_of_one(robin: Client, sql):
    objects, _ = robin.call("getObjectSchema")
    names = {name for (name,) in sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {each["name"] for each in objects["sobjects"]} == names
    for name in names:
        one, _ = robin.call_with("getObjectSchema", {"sobject-name": name.lower()})
        columns = [column for _, column, *_ in sql(f'PRAGMA table_info("{name}")')]
        assert [field["name"] for field in one["fields"]] == columns and one["name"] == name
        assert sum(field.get("nameField", False) for field in one["fields"]) == 1
    contact, _ = robin.call_with("getObjectSchema", {"sobject-name": "Contact"})
    reference = next(field for field in contact["fields"] if field["name"] == "AccountId")
    assert reference["referenceTo"] == ["Account"] and reference["relationshipName"] == "Account"
    assert {"childSObject": "Task", "field": "WhoId", "relationshipName": "Tasks"} in contact["childRelationships"]
    several, _ = robin.call_with("getObjectSchema", {"sobject-name": ["Contact", "Account"]})
    assert [each["name"] for each in several["sobjects"]] == ["Contact", "Account"]


@requirement("records:object-schema")
def test_every_field_and_relationship_of_the_schema_can_be_queried(robin: Client):
    for each in robin.call("getObjectSchema")[0]["sobjects"]:
        one, _ = robin.call_with("getObjectSchema", {"sobject-name": each["name"]})
        parents = [f"{f['relationshipName']}.Id" for f in one["fields"] if "relationshipName" in f]
        children = [f"(SELECT Id FROM {r['relationshipName']} LIMIT 1)" for r in one["childRelationships"]]
        selected = [*(f["name"] for f in one["fields"]), *parents, *children]
        record = robin.query(f"SELECT {', '.join(selected)} FROM {each['name']} LIMIT 1")["records"][0]
        assert len(record) == 1 + len(selected)


@requirement("records:user-info")
def test_user_info_is_about_the_one_whose_token_it_is(org: House, robin: Client, sam: Client):
    mine, _ = robin.call("getUserInfo")
    assert mine["username"] == "robin@acme.example" and mine["name"] == "Robin Okafor"
    assert mine["id"] == claims(org, 0).sub and mine["organizationId"] == org.org.id
    assert mine["permissionSets"] == ["Administrator"] and mine["timeZone"] == "UTC"
    assert mine["utcTime"] == "2026-09-21T14:13:20.000+0000", "the org's clock"
    assert sam.call("getUserInfo")[0]["permissionSets"] == ["Standard User"]
    assert "token" not in json.dumps(mine).lower()


@pytest.mark.parametrize("limit", [None, 1, 50, 2000])
@requirement("records:list-recent")
def test_the_records_that_changed_last_come_first(robin: Client, sql, limit: int | None):
    found, _ = robin.call_with("listRecentSobjectRecords", {"sobject-name": "case", "limit": limit})
    expected = sql('SELECT Id FROM "Case" ORDER BY LastModifiedDate DESC, Id LIMIT ?', limit or 50)
    assert [record["Id"] for record in found["recentItems"]] == [each for (each,) in expected]
    assert found["objectDescribe"]["name"] == "Case" and "Subject" in found["recentItems"][0]


@requirement("records:related")
def test_related_records_are_children_parents_and_the_parents_of_parents(robin: Client, sql):
    ((contact, account, owner),) = sql(
        "SELECT c.Id, c.AccountId, a.OwnerId FROM Contact c JOIN Account a ON a.Id = c.AccountId WHERE c.Id IN"
        " (SELECT WhoId FROM Task) ORDER BY c.Id LIMIT 1"
    )

    def follow(path: str, id: str = contact) -> Any:
        found, is_error = robin.call_with(
            "getRelatedRecords", {"sobject-name": "Contact", "id": id, "relationship-path": path}
        )
        assert not is_error, found
        return found

    assert follow("Account")["Id"] == account and follow("account", contact[:15])["Id"] == account
    for path in ("Account/Owner", "Account.Owner", "/Account/Owner/"):
        assert follow(path)["Id"] == owner
    tasks = sql("SELECT Id FROM Task WHERE WhoId = ? ORDER BY Id", contact)
    assert [(r["Id"],) for r in follow("Tasks")["records"]] == tasks
    siblings = sql("SELECT Id FROM Contact WHERE AccountId = ? ORDER BY Id", account)
    assert [(r["Id"],) for r in follow("Account/Contacts")["records"]] == siblings
    owned = sql("SELECT Id FROM Account WHERE OwnerId = ? ORDER BY Id", owner)
    answer = follow("Account/Owner/OwnedAccounts")
    assert [(r["Id"],) for r in answer["records"]] == owned and answer["totalSize"] == len(owned) and answer["done"]


@pytest.mark.parametrize(
    ("id", "path", "code"),
    [
        ("003000000000000AAA", "Account", "NOT_FOUND"), ("' OR 1=1 --", "Account", "NOT_FOUND"), ("%", "Account", "NOT_FOUND"),
        ("é" * 15, "Account", "NOT_FOUND"), ("GOOD", "Nothing", "INVALID_FIELD"), ("GOOD", "Tasks/Owner", "INVALID_FIELD"),
        ("GOOD", "AccountId", "INVALID_FIELD"), ("GOOD", "/", "INVALID_ARGUMENT"), ("GOOD", "Account/" * 6, "INVALID_ARGUMENT"),
    ],
)  # fmt: skip
@requirement("records:related")
def test_a_way_that_leads_nowhere_is_said_so(robin: Client, sql, id: str, path: str, code: str):
    record = sql("SELECT Id FROM Contact LIMIT 1")[0][0] if id == "GOOD" else id
    found, is_error = robin.call_with(
        "getRelatedRecords", {"sobject-name": "Contact", "id": record, "relationship-path": path}
    )
    assert is_error and found[0]["errorCode"] == code


@requirement("records:sample")
def test_ids_have_the_shape_that_clients_parse(sql):
    prefixes = {
        "Account": "001",
        "Contact": "003",
        "Opportunity": "006",
        "Case": "500",
        "Lead": "00Q",
        "Task": "00T",
        "User": "005",
    }
    for name, prefix in prefixes.items():
        found = [each for (each,) in sql(f'SELECT Id FROM "{name}"')]
        assert len(found) == len(set(found)) and all(ids.is_id(each, prefix) for each in found)
