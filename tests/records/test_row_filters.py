"""Row filters and hidden fields, on three makes of database: nothing is shown that one permission set doesn't admit whole."""

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.permissions import ObjectGrant, PermissionSet
from gatelodge.gateway.records.soql.sight import problem
from tests.generated import MANY
from tests.records import foreign
from tests.records.foreign import KINDS, Records, granted, serving
from tests.requirements import requirement

EVERYTHING = ObjectGrant()


@pytest.fixture(scope="module", params=KINDS)
def records(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    database = foreign.made(request.param, tmp_path_factory.mktemp("filtered"), request)
    with serving(database.source, "sobject-reads") as made:
        yield made


@requirement("records:row-filters")
def test_a_row_filter_is_applied_wherever_records_are_read(records: Records):
    own = granted(accounts=ObjectGrant(rows="owner = $user.username"), contacts=EVERYTHING)
    assert records.query("SELECT Id FROM accounts", own) == [{"Id": "1"}]
    assert records.query("SELECT Id FROM accounts ORDER BY Id", own, username="bob") == [{"Id": "2"}, {"Id": "3"}]
    assert records.ask("soqlQuery", own, q="SELECT COUNT() FROM accounts")["totalSize"] == 1
    assert records.query("SELECT region, COUNT(Id) n FROM accounts GROUP BY region", own) == [
        {"region": "north", "n": 1}
    ]
    assert records.query("SELECT Id FROM contacts WHERE account_id IN (SELECT Id FROM accounts) ORDER BY Id", own) == [
        {"Id": "1"},
        {"Id": "2"},
    ]
    assert [r["attributes"]["type"] for r in records.ask("find", own, q="birch")["searchRecords"]] == []
    assert len(records.ask("listRecentSobjectRecords", own, sobject_name="accounts")["recentItems"]) == 1
    hidden = records.refused("getRelatedRecords", own, sobject_name="accounts", id="2", relationship_path="contacts")
    missing = records.refused("getRelatedRecords", own, sobject_name="accounts", id="9", relationship_path="contacts")
    assert hidden[0]["message"].replace("2", "9") == missing[0]["message"]


@requirement("records:row-filters")
def test_a_parent_that_is_not_seen_reads_as_none(records: Records):
    own = granted(accounts=ObjectGrant(rows="owner = $user.username"), contacts=EVERYTHING)
    assert records.query("SELECT Id, account.name FROM contacts ORDER BY Id", own) == [
        {"Id": "1", "account": {"name": "Alder"}},
        {"Id": "2", "account": {"name": "Alder"}},
        {"Id": "3", "account": None},
        {"Id": "4", "account": None},
    ]
    assert records.query("SELECT Id FROM contacts WHERE account.name = 'birch'", own) == []
    assert records.query("SELECT Id FROM contacts WHERE account.name = null ORDER BY Id", own) == [
        {"Id": "3"},
        {"Id": "4"},
    ]
    assert records.refused("getRelatedRecords", own, sobject_name="contacts", id="3", relationship_path="account")


@requirement("records:row-filters")
def test_a_filter_may_look_at_parents_and_children_that_the_user_does_not_see(records: Records):
    through = granted(contacts=ObjectGrant(rows="account.owner = $user.username"))
    assert records.query("SELECT Id FROM contacts ORDER BY Id", through) == [{"Id": "1"}, {"Id": "2"}]
    down = granted(accounts=ObjectGrant(rows="Id IN (SELECT account_id FROM contacts WHERE email = $user.email)"))
    assert records.query("SELECT Id FROM accounts", down, username="cy") == [{"Id": "2"}]
    below = granted(contacts=EVERYTHING, accounts=ObjectGrant(rows="owner = 'bob'"))
    assert records.query("SELECT Id, (SELECT Id FROM contacts ORDER BY Id) FROM accounts ORDER BY Id", below) == [
        {"Id": "2", "contacts": [{"Id": "3"}]},
        {"Id": "3", "contacts": [{"Id": "4"}]},
    ]


@requirement("records:row-filters")
def test_a_value_is_shown_only_where_one_set_admits_its_row_and_its_field(records: Records):
    north = granted("North", accounts=ObjectGrant(rows="region = 'north'"))
    rest = granted("Rest", accounts=ObjectGrant(without=("secret", "amount"), rows="region != 'north'"))
    assert records.query("SELECT Id, secret FROM accounts ORDER BY Id", north, rest) == [
        {"Id": "1", "secret": "s-1"}, {"Id": "2", "secret": None}, {"Id": "3", "secret": "s-3"}, {"Id": "4", "secret": None},
    ]  # fmt: skip
    assert records.query("SELECT Id FROM accounts WHERE secret = 's-2'", north, rest) == []
    assert records.query("SELECT SUM(amount) s FROM accounts", north, rest) == [{"s": 310.25}]
    assert records.query("SELECT secret, COUNT(Id) n FROM accounts GROUP BY secret ORDER BY secret", north, rest) == [
        {"secret": None, "n": 2}, {"secret": "s-1", "n": 1}, {"secret": "s-3", "n": 1},
    ]  # fmt: skip
    assert records.ask("find", north, rest, q="FIND {s-2} RETURNING accounts(Id)")["searchRecords"] == []


@requirement("records:row-filters")
@pytest.mark.parametrize(
    "text", ["nothing = 1", "owner =", "owner = $user.password", "name > ", "' OR 1 = 1", "account.owner = 'x'"]
)
def test_a_filter_that_cannot_be_applied_admits_nothing(records: Records, text: str):
    broken = granted(accounts=ObjectGrant(rows=text))
    assert records.query("SELECT Id FROM accounts", broken) == []


@requirement("records:row-filters")
@pytest.mark.parametrize(
    "name", ["x' OR '1' = '1", "%", "ann\\", "'; DROP TABLE accounts; --", "ann%00", "a" * 5000, "\u202eann"]
)
def test_what_a_user_is_called_is_data_and_nothing_else(records: Records, name: str):
    own = granted(accounts=ObjectGrant(rows="owner = $user.username OR owner LIKE 'zz%'"))
    assert records.query("SELECT Id FROM accounts", own, username=name) == []


@requirement("records:row-filters")
def test_a_filter_is_looked_at_before_it_is_saved_and_stands_in_no_query(records: Records):
    assert not problem("") and not problem("OwnerId = $user.id AND Account.Name != null")
    assert "$user.secret" in problem("OwnerId = $user.secret") and "unexpected" in problem("OwnerId = = 1")
    (error,) = records.refused("soqlQuery", q="SELECT Id FROM accounts WHERE owner = $user.username")
    assert error["errorCode"] == "MALFORMED_QUERY" and "row filters alone" in error["message"]


# What the three databases hold, and a filter on it, in plain Python.
ACCOUNTS = (
    {"Id": "1", "name": "Alder", "region": "north", "owner": "ann", "secret": "s-1", "score": 1},
    {"Id": "2", "name": "birch", "region": "south", "owner": "bob", "secret": "s-2", "score": 2},
    {"Id": "3", "name": "Cédar", "region": "north", "owner": "bob", "secret": "s-3", "score": None},
    {"Id": "4", "name": "Delta", "region": None, "owner": None, "secret": None, "score": 4},
)
CONTACTS = (
    {"Id": "1", "account_id": "1", "name": "Ada", "owner": "ann", "secret": "c-1"},
    {"Id": "2", "account_id": "1", "name": "Bo", "owner": "bob", "secret": "c-2"},
    {"Id": "3", "account_id": "2", "name": "Cy", "owner": "ann", "secret": "c-3"},
    {"Id": "4", "account_id": "3", "name": "Di", "owner": "bob", "secret": None},
)
TEXTS = ("name", "owner", "secret")
BY = {"=": operator.eq, "<": operator.lt, ">=": operator.ge}

texts = st.sampled_from(["ann", "bob", "north", "south", "s-1", "S-2", "c-1", "c-3", "Ada", "zz", "x' OR '1'='1"])


@st.composite
def conditions(draw: st.DrawFn, fields: tuple[str, ...] = TEXTS, depth: int = 2) -> tuple[str, Any]:
    """A condition as SOQL has it, and the same over a row in Python; null is neither true nor false but in = and !=."""
    kind = draw(st.sampled_from(["=", "!=", "null", "in", "not in"] + (["and", "or", "not"] if depth else [])))
    if kind in ("and", "or"):
        (left, a), (right, b) = draw(conditions(fields, depth - 1)), draw(conditions(fields, depth - 1))
        join = all if kind == "and" else any
        return f"({left} {kind.upper()} {right})", lambda row: join((a(row), b(row)))
    if kind == "not":
        text, inner = draw(conditions(fields, depth - 1))
        return f"(NOT {text})", lambda row: not inner(row)
    field, value = draw(st.sampled_from(fields)), draw(texts)
    quoted = "'" + value.replace("'", "\\'") + "'"

    def same(row: Any) -> bool:
        return row[field] is not None and row[field].lower() == value.lower()

    match kind:
        case "null":
            return f"{field} = null", lambda row: row[field] is None
        case "=":
            return f"{field} = {quoted}", same
        case "!=":
            return f"{field} != {quoted}", lambda row: not same(row)
        case "in":
            return f"{field} IN ({quoted}, 'nobody')", same
    return f"{field} NOT IN ({quoted})", lambda row: not same(row)


grants = st.lists(
    st.tuples(st.none() | conditions(), st.sets(st.sampled_from([*TEXTS, "region", "account_id"]))),
    min_size=1,
    max_size=3,
)


def sets_of(accounts: Any, contacts: Any) -> list[PermissionSet]:
    made = [
        granted(f"A{n}", accounts=ObjectGrant(rows=rows[0] if rows else "", without=tuple(without)))
        for n, (rows, without) in enumerate(accounts)
    ]
    return made + [
        granted(f"C{n}", contacts=ObjectGrant(rows=rows[0] if rows else "", without=tuple(without)))
        for n, (rows, without) in enumerate(contacts)
    ]


def seen(row: dict[str, Any], granted_to: Any) -> dict[str, Any] | None:
    """A row as the permission sets show it; None for one that isn't seen."""
    admitting = [without for rows, without in granted_to if rows is None or rows[1](row)]
    if not admitting:
        return None
    return {name: value if any(name not in without for without in admitting) else None for name, value in row.items()}


def is_readable(field: str, granted_to: Any) -> bool:
    return any(field not in without for _, without in granted_to)


@requirement("records:nothing-hidden-is-shown")
@MANY
@given(accounts=grants, contacts=grants, asked=conditions(), data=st.data())
def test_whatever_is_granted_and_asked_a_query_shows_what_plain_python_would(
    records: Records, accounts, contacts, asked, data
):
    sets = sets_of(accounts, contacts)
    fields = [name for name in ("name", "owner", "secret", "region") if is_readable(name, accounts)]
    text, holds = asked
    visible = [row for each in ACCOUNTS if (row := seen(each, accounts)) is not None]
    used = {name for name in TEXTS if f"{name} " in text}
    selected = ", ".join(["Id", *fields])
    if any(not is_readable(name, accounts) for name in used):
        assert records.refused("soqlQuery", *sets, q=f"SELECT {selected} FROM accounts WHERE {text}")
        text, holds = "Id != null", lambda row: True
    expected = [row for row in visible if holds(row)]
    found = records.query(f"SELECT {selected} FROM accounts WHERE {text} ORDER BY Id", *sets)
    assert found == [{name: row[name] for name in ("Id", *fields)} for row in expected]
    counted = records.ask("soqlQuery", *sets, q=f"SELECT COUNT() FROM accounts WHERE {text}")
    assert counted["totalSize"] == len(expected)
    by_id = {row["Id"]: row for row in visible}
    children = [row for each in CONTACTS if (row := seen(each, contacts)) is not None]
    if is_readable("account_id", contacts) and is_readable("secret", accounts):
        up = records.query("SELECT Id, account.secret FROM contacts ORDER BY Id", *sets)
        parents = [by_id.get(row["account_id"]) if row["account_id"] else None for row in children]
        assert [record["account"] for record in up] == [parent and {"secret": parent["secret"]} for parent in parents]
    if is_readable("account_id", contacts):
        down = records.query("SELECT Id, (SELECT Id FROM contacts ORDER BY Id) FROM accounts ORDER BY Id", *sets)
        hanging = {key: [{"Id": row["Id"]} for row in children if row["account_id"] == key] or None for key in by_id}
        assert {record["Id"]: record["contacts"] for record in down} == hanging
    words = data.draw(st.sampled_from(["s-1", "s-2", "c-1", "ann", "birch"]))
    answer = records.ask("find", *sets, q=f"FIND {{{words}}} RETURNING accounts(Id)")["searchRecords"]
    there = [row["Id"] for row in visible if any(words in (row[name] or "").lower() for name in fields)]
    assert [record["Id"] for record in answer] == there
