"""What a user may not see is answered exactly as what doesn't exist: in every clause, by every tool, to the byte."""

import json
import re

import pytest

from gatelodge.core import permissions
from gatelodge.core.permissions import ObjectGrant, PermissionSet
from gatelodge.core.secrets import new_id
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.requirements import requirement

FIELD_CLAUSES = [
    "SELECT {} FROM Opportunity",
    "SELECT Id, {} FROM Opportunity",
    "SELECT Opportunity.{} FROM Opportunity",
    "SELECT o.{} FROM Opportunity o",
    "SELECT {}.Name FROM Opportunity",
    "SELECT Id FROM Opportunity WHERE {} > 5",
    "SELECT Id FROM Opportunity WHERE {} > 'text'",
    "SELECT Id FROM Opportunity WHERE {} LIKE '5%'",
    "SELECT Id FROM Opportunity WHERE {} = null",
    "SELECT Id FROM Opportunity WHERE {} = TODAY",
    "SELECT Id FROM Opportunity WHERE {} IN (1, 2)",
    "SELECT Id FROM Opportunity WHERE NOT {} NOT IN (1, 2)",
    "SELECT Id FROM Opportunity WHERE Id = 'x' AND ({} = 1 OR Name = 'x')",
    "SELECT Id FROM Opportunity WHERE {} IN (SELECT Id FROM Account)",
    "SELECT Id FROM Opportunity ORDER BY {}",
    "SELECT Id FROM Opportunity ORDER BY Name, {} DESC NULLS LAST",
    "SELECT {} FROM Opportunity GROUP BY {}",
    "SELECT COUNT(Id) FROM Opportunity GROUP BY {}",
    "SELECT COUNT({}) FROM Opportunity",
    "SELECT SUM({}) s FROM Opportunity",
    "SELECT MIN({}) FROM Opportunity GROUP BY Type",
    "SELECT Type FROM Opportunity GROUP BY Type HAVING SUM({}) > 5",
    "SELECT Type FROM Opportunity GROUP BY Type HAVING {} > 5",
    "SELECT Type FROM Opportunity GROUP BY Type ORDER BY MAX({})",
    "SELECT Id FROM Opportunity WHERE COUNT({}) > 5",
    "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Opportunity WHERE {} > 5)",
    "SELECT Id FROM Account WHERE Id IN (SELECT {} FROM Opportunity)",
    "SELECT Id, (SELECT {} FROM Opportunities) FROM Account",
    "SELECT Id, (SELECT Id FROM Opportunities WHERE {} > 5) FROM Account",
    "SELECT Id, (SELECT Id FROM Opportunities ORDER BY {}) FROM Account",
    "FIND {{renewal}} RETURNING Opportunity(Id, {})",
    "FIND {{renewal}} RETURNING Opportunity({} WHERE Name != null)",
    "FIND {{renewal}} RETURNING Opportunity(Id WHERE {} > 5)",
    "FIND {{renewal}} RETURNING Opportunity(Id ORDER BY {} LIMIT 1)",
]
OBJECT_CLAUSES = [
    "SELECT Id FROM {}",
    "SELECT COUNT() FROM {}",
    "SELECT {}.Id FROM {}",
    "SELECT FIELDS(ALL) FROM {} LIMIT 1",
    "SELECT COUNT(Id) FROM {} GROUP BY Name",
    "SELECT Id FROM User WHERE Id IN (SELECT OwnerId FROM {})",
    "SELECT Id FROM User WHERE Id NOT IN (SELECT OwnerId FROM {} WHERE Nothing = 1)",
    "SELECT Id, (SELECT Id FROM {}) FROM User",
    "SELECT Id, (SELECT Id FROM Owned{}s) FROM User",
    "SELECT {}.Name FROM Task",
    "FIND {{wa}} RETURNING {}",
    "FIND {{wa}} RETURNING {}(Id)",
    "FIND {{wa}} RETURNING Account, {}(Id WHERE Nothing = 1)",
]


def _told(client: Client, clause: str, name: str) -> str:
    """The refusal of a clause with this name in it, the name taken out again."""
    tool = "find" if clause.startswith("FIND") else "soqlQuery"
    found = client.refusal(clause.format(*[name] * clause.count("{}")), tool)
    return json.dumps(found).replace(name, "?").replace(name.upper(), "?")


@pytest.mark.parametrize("clause", FIELD_CLAUSES)
@requirement("records:hidden-is-missing")
def test_a_hidden_field_is_answered_as_one_that_there_is_not(sam: Client, robin: Client, clause: str):
    hidden, missing = _told(sam, clause, "Amount"), _told(sam, clause, "Wealth")
    assert hidden == missing and "INVALID_FIELD" in hidden
    for name in ("amount", "AMOUNT"):
        assert re.sub("amount|wealth", "?", _told(sam, clause, name), flags=re.IGNORECASE) == re.sub(
            "amount|wealth",
            "?",
            _told(sam, clause, name.replace("amount", "wealth").replace("AMOUNT", "WEALTH")),
            flags=re.IGNORECASE,
        )


@pytest.mark.parametrize("clause", OBJECT_CLAUSES)
@requirement("records:hidden-is-missing")
def test_a_hidden_object_is_answered_as_one_that_there_is_not(sam: Client, clause: str):
    hidden, missing = _told(sam, clause, "Lead"), _told(sam, clause, "Ladd")
    assert hidden == missing and "INVALID_" in hidden


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("getObjectSchema", {"sobject-name": "{}"}),
        ("getObjectSchema", {"sobject-name": ["Account", "{}"]}),
        ("listRecentSobjectRecords", {"sobject-name": "{}"}),
        ("listRecentSobjectRecords", {"sobject-name": "{}", "limit": 3}),
        ("getRelatedRecords", {"sobject-name": "{}", "id": "00Q000000000000AAA", "relationship-path": "Owner"}),
        ("getRelatedRecords", {"sobject-name": "User", "id": "USER", "relationship-path": "Owned{}s"}),
        ("getRelatedRecords", {"sobject-name": "Account", "id": "ACCOUNT", "relationship-path": "Owner/Owned{}s"}),
        (
            "getRelatedRecords",
            {"sobject-name": "Account", "id": "ACCOUNT", "relationship-path": "Owner/Owned{}s/Owner"},
        ),
    ],
)
@requirement("records:hidden-is-missing")
def test_the_other_tools_answer_alike_too(sam: Client, sql, tool: str, arguments: dict):
    ids = {"USER": sql("SELECT Id FROM User LIMIT 1")[0][0], "ACCOUNT": sql("SELECT Id FROM Account LIMIT 1")[0][0]}

    def told(name: str) -> str:
        sent = json.dumps(arguments).replace("{}", name)
        for word, real in ids.items():
            sent = sent.replace(word, real)
        found, is_error = sam.call_with(tool, json.loads(sent))
        assert is_error
        return json.dumps(found).replace(name, "?")

    assert told("Lead") == told("Ladd")


@requirement("records:hidden-is-left-out")
def test_what_is_hidden_is_in_no_schema(sam: Client, robin: Client):
    assert {"Lead"} == _objects(robin) - _objects(sam)
    seen, all_fields = _schema(sam, "Opportunity"), _schema(robin, "Opportunity")
    assert [f for f in all_fields["fields"] if f not in seen["fields"]] == [
        {"name": "Amount", "label": "Amount", "type": "currency"}
    ]
    relations = {r["relationshipName"] for r in _schema(robin, "User")["childRelationships"]}
    assert relations - {r["relationshipName"] for r in _schema(sam, "User")["childRelationships"]} == {"OwnedLeads"}
    whole, _ = sam.call_with("getObjectSchema", {"sobject-name": sorted(_objects(sam))})
    assert not re.search(r"\"Leads?\"|OwnedLeads|Amount", json.dumps(whole))


def _objects(client: Client) -> set[str]:
    return {each["name"] for each in client.call("getObjectSchema")[0]["sobjects"]}


def _schema(client: Client, name: str) -> dict:
    return client.call_with("getObjectSchema", {"sobject-name": name})[0]


@requirement("records:hidden-is-left-out")
def test_what_is_hidden_is_in_no_answer_that_names_no_fields(sam: Client, robin: Client, sql):
    assert "Amount" in robin.query("SELECT FIELDS(ALL) FROM Opportunity LIMIT 5")["records"][0]
    for answer in (
        sam.query("SELECT FIELDS(ALL) FROM Opportunity LIMIT 200"),
        sam.call_with("listRecentSobjectRecords", {"sobject-name": "Opportunity", "limit": 2000})[0],
        sam.call_with("getRelatedRecords", {
            "sobject-name": "Account", "id": sql("SELECT AccountId FROM Opportunity LIMIT 1")[0][0],
            "relationship-path": "Opportunities",
        })[0],
        sam.call("find", q="renewal")[0],
    ):  # fmt: skip
        assert answer and "Amount" not in json.dumps(answer)


@requirement("records:hidden-is-left-out")
def test_find_looks_only_into_what_the_user_may_see(sam: Client, robin: Client, sql):
    ((company,),) = sql("SELECT Company FROM Lead LIMIT 1")
    word = f'"{company}"'
    assert {r["attributes"]["type"] for r in robin.call("find", q=word)[0]["searchRecords"]} == {"Lead"}
    assert sam.call("find", q=word)[0] == {"searchRecords": []}


@requirement("records:hidden-is-left-out")
def test_a_field_that_is_hidden_is_not_searched_not_even_by_its_value(house: House):
    narrow = PermissionSet(
        api_name="Narrow", label="Narrow", system=(permissions.USE_MCP_SERVERS,),
        objects={
            "Contact": ObjectGrant(without=("Email", "AccountId", "LastModifiedDate", "Name")),
            "Opportunity": ObjectGrant(),
        },
    )  # fmt: skip
    house.write(permissions.create, house.org.id, new_id("0PS"), narrow)
    noor = Client(house, token(house, 2))
    found = next(user for user in house.told.users if user["username"].startswith("noor"))
    assert found["role"] == "no access to MCP servers" and noor.modern("tools/list").status_code == 403
    from tests.gateway.speaking import claims

    house.write(permissions.assign, house.org.id, claims(house, 2).sub, "Narrow")
    house.catch_up()
    robin = Client(house, token(house))
    person = robin.query("SELECT Email, Name, FirstName, Id FROM Contact ORDER BY Id LIMIT 1")["records"][0]
    for word in (
        person["Email"],
        f"FIND {{{person['Email']}}} IN EMAIL FIELDS",
        f'FIND {{"{person["Email"]}"}} RETURNING Contact',
    ):
        assert robin.call("find", q=word)[0]["searchRecords"]
        assert noor.call("find", q=word)[0] == {"searchRecords": []}
    shown = noor.call("find", q=f"FIND {{{person['FirstName']}}} RETURNING Contact")[0]["searchRecords"]
    assert shown and all(set(record) == {"attributes", "Id"} for record in shown), "its Name is hidden"
    recent, is_error = noor.call_with("listRecentSobjectRecords", {"sobject-name": "Contact", "limit": 3})
    assert not is_error and len(recent["recentItems"]) == 3 and "LastModifiedDate" not in recent["recentItems"][0]
    _not_joined(noor, person["Id"])


def _not_joined(noor: Client, contact: str) -> None:
    """A reference that is hidden, or leads to a hidden object, leads nowhere; an alias named like it changes nothing."""
    for soql in ("SELECT Account.Name FROM Contact", "SELECT Account.Name FROM Opportunity",
                 "SELECT Id FROM Contact WHERE Account.Name = 'x'", "SELECT Id FROM Opportunity ORDER BY Account.Name",
                 "SELECT Account.Account.Name FROM Contact Account"):  # fmt: skip
        assert "Account" in noor.refusal(soql)["message"] and noor.refusal(soql)["errorCode"] == "INVALID_FIELD"
    assert noor.query("SELECT Account.Title FROM Contact Account LIMIT 1")["records"][0].keys() == {
        "attributes",
        "Title",
    }
    assert (
        "No such column 'Industry' on entity 'Contact'"
        in noor.refusal("SELECT Account.Industry FROM Contact Account")["message"]
    )
    for path in ("Account", "Account/Contacts", "Account/Owner"):
        found, is_error = noor.call_with(
            "getRelatedRecords", {"sobject-name": "Contact", "id": contact, "relationship-path": path}
        )
        assert is_error and found[0]["errorCode"] == "INVALID_FIELD"
    described = _schema(noor, "Opportunity")["fields"]
    reference = next(field for field in described if field["name"] == "AccountId")
    assert reference["type"] == "reference" and "referenceTo" not in reference and "relationshipName" not in reference
