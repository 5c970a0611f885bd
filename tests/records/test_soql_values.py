"""Every feature of the SOQL subset, its values compared with plain SQL on the same database."""

import datetime as dt
from typing import Any

import pytest

from gatelodge.gateway.records.soql import dates
from gatelodge.gateway.records.soql.compiling import AGGREGATES
from gatelodge.gateway.records.soql.tree import DateLiteral
from tests.gateway.speaking import Client
from tests.house import House
from tests.requirements import requirement


def rows(client: Client, soql: str, *names: str) -> list[tuple[Any, ...]]:
    """The values of these fields (``Owner.Name`` goes into the parent) of every record of the answer."""
    found = client.query(soql)
    assert found["done"] is True and found["totalSize"] == len(found["records"])
    return [tuple(_at(record, name) for name in names) for record in found["records"]]


def _at(record: Any, path: str) -> Any:
    for part in path.split("."):
        record = None if record is None else record[part]
    return record


def today(org: House) -> dt.date:
    return dt.datetime.fromtimestamp(org.time, dt.UTC).date()


@requirement("soql:fields")
def test_fields_come_under_their_own_names_whatever_case_was_written(robin: Client, sql):
    found = robin.query("select id, NAME, annualrevenue, numberofEmployees from ACCOUNT order by Name limit 3")
    expected = sql("SELECT Id, Name, AnnualRevenue, NumberOfEmployees FROM Account ORDER BY lower(Name), Id LIMIT 3")
    assert [tuple(r.values())[1:] for r in found["records"]] == expected
    assert found["records"][0]["attributes"] == {
        "type": "Account", "url": f"/services/data/v67.0/sobjects/Account/{expected[0][0]}",
    }  # fmt: skip
    assert list(found["records"][0]) == ["attributes", "Id", "Name", "AnnualRevenue", "NumberOfEmployees"]


@requirement("soql:fields")
def test_values_have_the_types_of_json(robin: Client, sql):
    found = robin.query("SELECT IsWon, CloseDate, CreatedDate, Amount, NextStep FROM Opportunity ORDER BY Id LIMIT 20")
    expected = sql("SELECT IsWon, CloseDate, CreatedDate, Amount, NextStep FROM Opportunity ORDER BY Id LIMIT 20")
    for record, (is_won, close, created, amount, step) in zip(found["records"], expected, strict=True):
        assert record["IsWon"] is bool(is_won) and record["CloseDate"] == close and record["NextStep"] == step
        assert record["CreatedDate"] == created[:10] + "T" + created[11:19] + ".000+0000"
        assert record["Amount"] == amount and isinstance(record["Amount"], float)


@pytest.mark.parametrize("limit", [1, 7, 200])
@requirement("soql:fields-all")
def test_fields_all_stands_for_every_field(robin: Client, sql, limit: int):
    for kind in ("ALL", "STANDARD", "all"):
        found = robin.query(f"SELECT FIELDS({kind}) FROM Contact ORDER BY Id LIMIT {limit}")
        assert [r["Id"] for r in found["records"]] == [
            i for (i,) in sql("SELECT Id FROM Contact ORDER BY Id LIMIT ?", limit)
        ]
        columns = [name for _, name, *_ in sql("PRAGMA table_info(Contact)")]
        assert list(found["records"][0])[1:] == columns


@requirement("soql:parent-paths")
def test_a_path_goes_one_relationship_up(robin: Client, sql):
    found = rows(
        robin, "SELECT Name, Account.Name, Owner.Email FROM Contact WHERE Account.Industry = 'Energy' ORDER BY Account.Name, Id",
        "Name", "Account.Name", "Owner.Email",
    )  # fmt: skip
    assert found == sql(
        "SELECT c.Name, a.Name, u.Email FROM Contact c JOIN Account a ON a.Id = c.AccountId JOIN User u ON u.Id = c.OwnerId"
        " WHERE a.Industry = 'Energy' ORDER BY lower(a.Name), c.Id"
    )
    parent = robin.query("SELECT Account.Name, Account.Id FROM Contact LIMIT 1")["records"][0]["Account"]
    assert parent["attributes"] == {"type": "Account", "url": f"/services/data/v67.0/sobjects/Account/{parent['Id']}"}


@pytest.mark.parametrize("name", ["c", "Contact", "CONTACT", "C"])
@requirement("soql:aliases")
def test_the_object_may_be_named_before_a_field_by_its_alias_or_itself(robin: Client, sql, name: str):
    found = rows(robin, f"SELECT {name}.Name, {name}.Account.Name FROM Contact c WHERE {name}.Title = 'CFO' ORDER BY {name}.Id",
                 "Name", "Account.Name")  # fmt: skip
    assert found == sql(
        "SELECT c.Name, a.Name FROM Contact c JOIN Account a ON a.Id = c.AccountId WHERE c.Title = 'CFO' ORDER BY c.Id"
    )


@requirement("soql:child-subqueries")
def test_a_subquery_brings_the_children_of_each_record(robin: Client, sql):
    found = robin.query(
        "SELECT Name, (SELECT Name, Owner.Name FROM Contacts WHERE Title != 'Owner' ORDER BY Name DESC LIMIT 2),"
        " (SELECT Id FROM Cases) FROM Account ORDER BY Id"
    )
    assert found["totalSize"] == 400
    for record in found["records"]:
        account = record["attributes"]["url"].rpartition("/")[2]
        contacts = sql(
            "SELECT c.Name, u.Name FROM Contact c JOIN User u ON u.Id = c.OwnerId WHERE c.AccountId = ? AND c.Title <> 'Owner'"
            " ORDER BY lower(c.Name) DESC, c.Id LIMIT 2",
            account,
        )
        inner = record["Contacts"] or {"records": [], "totalSize": 0, "done": True}
        assert [(r["Name"], r["Owner"]["Name"]) for r in inner["records"]] == contacts
        assert inner["totalSize"] == len(contacts) and inner["done"] is True
        cases = sql('SELECT Id FROM "Case" WHERE AccountId = ? ORDER BY Id', account)
        assert [(r["Id"],) for r in (record["Cases"] or {"records": []})["records"]] == cases
        assert (record["Cases"] is None) == (not cases)


CONDITIONS = [
    ("Account", "Industry = 'Energy'", "Industry = 'Energy'"),
    ("Account", "industry = 'ENERGY'", "Industry = 'Energy'"),
    ("Account", "Industry != 'Energy'", "Industry <> 'Energy'"),
    ("Account", "Industry <> 'Energy'", "Industry <> 'Energy'"),
    ("Account", "NumberOfEmployees > 4000 AND NumberOfEmployees <= 5000", "NumberOfEmployees BETWEEN 4001 AND 5000"),
    ("Account", "AnnualRevenue >= 45000000.0", "AnnualRevenue >= 45000000"),
    ("Account", "AnnualRevenue < +1000000", "AnnualRevenue < 1000000"),
    ("Account", "NumberOfEmployees > -1", "1"),
    ("Account", "Name < 'B'", "lower(Name) < 'b'"),
    ("Account", "Rating = null", "Rating IS NULL"),
    ("Account", "Rating != NULL", "Rating IS NOT NULL"),
    ("Account", "Rating != 'Hot'", "Rating IS NULL OR Rating <> 'Hot'"),
    ("Account", "NOT Rating = 'Hot'", "Rating IS NULL OR Rating <> 'Hot'"),
    ("Account", "NOT (Rating = 'Hot' OR Type = 'Partner')", "(Rating IS NULL OR Rating <> 'Hot') AND Type <> 'Partner'"),
    ("Account", "NOT NOT Rating = 'Hot'", "Rating = 'Hot'"),
    ("Account", "NOT NOT NOT Rating = 'Hot'", "Rating IS NULL OR Rating <> 'Hot'"),
    ("Account", "Rating IN ('Hot', 'Cold')", "Rating IN ('Hot', 'Cold')"),
    ("Account", "Rating IN ('hot', null)", "Rating = 'Hot' OR Rating IS NULL"),
    ("Account", "Rating NOT IN ('Hot', 'Cold')", "Rating IS NULL OR Rating = 'Warm'"),
    ("Account", "Rating NOT IN ('Hot', null)", "Rating IN ('Cold', 'Warm')"),
    ("Account", "NumberOfEmployees IN (1, 2, 3, 500)", "NumberOfEmployees IN (1, 2, 3, 500)"),
    ("Account", "Type = 'Partner' OR Type = 'Customer' AND Rating = 'Hot'", "Type = 'Partner' OR (Type = 'Customer' AND Rating = 'Hot')"),
    ("Account", "(Type = 'Partner' OR Type = 'Customer') AND Rating = 'Hot'", "Type IN ('Partner', 'Customer') AND Rating = 'Hot'"),
    ("Account", "Name LIKE 'alder%'", "Name LIKE 'Alder%'"),
    ("Account", "Name LIKE '%FOODS%'", "Name LIKE '%Foods%'"),
    ("Account", "Name LIKE '_idal %'", "Name LIKE '_idal %'"),
    ("Account", "NOT Name LIKE '%e%'", "Name NOT LIKE '%e%'"),
    ("Account", r"Name LIKE '%\%%'", "0"),
    ("Account", r"Name LIKE '\_idal%'", "0"),
    ("User", "IsActive = true", "IsActive = 1"),
    ("User", "IsActive = FALSE", "IsActive = 0"),
    ("User", "IsActive != true", "IsActive = 0"),
    ("Opportunity", "CloseDate = 2026-09-01", "CloseDate = '2026-09-01'"),
    ("Opportunity", "CloseDate > 2026-09-01 AND IsClosed = false", "CloseDate > '2026-09-01' AND IsClosed = 0"),
    ("Opportunity", "CreatedDate >= 2026-01-01T00:00:00Z", "CreatedDate >= '2026-01-01'"),
    ("Opportunity", "CreatedDate < 2026-01-01T02:00:00+02:00", "CreatedDate < '2026-01-01'"),
    ("Opportunity", "CreatedDate < 2025-12-31T19:00:00.000-0500", "CreatedDate < '2026-01-01'"),
    ("Contact", "Account.Industry = 'Media' AND Owner.IsActive = true",
     "AccountId IN (SELECT Id FROM Account WHERE Industry = 'Media') AND OwnerId IN (SELECT Id FROM User WHERE IsActive = 1)"),
    ("Account", "Id IN (SELECT AccountId FROM Contact WHERE Title = 'CFO')",
     "Id IN (SELECT AccountId FROM Contact WHERE Title = 'CFO')"),
    ("Account", "Id NOT IN (SELECT AccountId FROM Contact)", "Id NOT IN (SELECT AccountId FROM Contact)"),
    ("Account", "Id IN (SELECT AccountId FROM Contact WHERE Id IN (SELECT WhoId FROM Task WHERE Priority = 'High'))",
     "Id IN (SELECT AccountId FROM Contact WHERE Id IN (SELECT WhoId FROM Task WHERE Priority = 'High'))"),
    ("Contact", "AccountId IN (SELECT Id FROM Account WHERE Name LIKE 'Birch%')",
     "AccountId IN (SELECT Id FROM Account WHERE Name LIKE 'Birch%')"),
    ("Task", "WhoId IN (SELECT Id FROM Contact WHERE Account.Type = 'Partner')",
     "WhoId IN (SELECT c.Id FROM Contact c JOIN Account a ON a.Id = c.AccountId WHERE a.Type = 'Partner')"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "where", "plain"), CONDITIONS, ids=str)
@requirement("soql:where")
def test_a_condition_finds_what_plain_sql_finds(robin: Client, sql, source: str, where: str, plain: str):
    found = rows(robin, f"SELECT Id FROM {source} WHERE {where} ORDER BY Id", "Id")
    assert found == sql(f'SELECT Id FROM "{source}" WHERE {plain} ORDER BY Id')


@requirement("soql:where")
def test_an_id_of_fifteen_characters_is_the_same_as_one_of_eighteen(robin: Client, sql):
    ((whole,),) = sql("SELECT Id FROM Account ORDER BY Id LIMIT 1")
    for written in (whole, whole[:15]):
        assert rows(robin, f"SELECT Id FROM Account WHERE Id = '{written}'", "Id") == [(whole,)]
        assert rows(robin, f"SELECT Id FROM Account WHERE Id IN ('{written}')", "Id") == [(whole,)]
    assert rows(robin, f"SELECT Id FROM Account WHERE Id = '{whole.swapcase()}'", "Id") == []


@pytest.mark.parametrize("by", ["=", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize(
    "literal", [*dates.NAMED, *dates.NINETY, *(f"{name}:{n}" for name in (*dates.COUNTED, *dates.AGO) for n in (1, 3))]
)
@requirement("soql:date-literals")
def test_a_date_literal_is_a_range_of_days(robin: Client, sql, org: House, literal: str, by: str):
    name, _, n = literal.partition(":")
    first, after = dates.days_of(DateLiteral(name, int(n) if n else None), today(org))
    plain = {
        "=": "{0} >= ? AND {0} < ?", "!=": "({0} < ? OR {0} >= ?)", "<": "{0} < ? AND ? IS NOT NULL",
        "<=": "? IS NOT NULL AND {0} < ?", ">": "? IS NOT NULL AND {0} >= ?", ">=": "{0} >= ? AND ? IS NOT NULL",
    }[by]  # fmt: skip
    for source, field in (("Task", "ActivityDate"), ("Case", "CreatedDate")):
        expected = sql(f'SELECT count(*) FROM "{source}" WHERE ' + plain.format(field), str(first), str(after))
        assert robin.query(f"SELECT COUNT() FROM {source} WHERE {field} {by} {literal}")["totalSize"] == expected[0][0]


THE_DAY = dt.date(2026, 8, 19)  # a Wednesday in the third quarter
RANGES = {
    "TODAY": ("2026-08-19", "2026-08-20"), "YESTERDAY": ("2026-08-18", "2026-08-19"), "TOMORROW": ("2026-08-20", "2026-08-21"),
    "LAST_WEEK": ("2026-08-09", "2026-08-16"), "THIS_WEEK": ("2026-08-16", "2026-08-23"), "NEXT_WEEK": ("2026-08-23", "2026-08-30"),
    "LAST_MONTH": ("2026-07-01", "2026-08-01"), "THIS_MONTH": ("2026-08-01", "2026-09-01"), "NEXT_MONTH": ("2026-09-01", "2026-10-01"),
    "LAST_QUARTER": ("2026-04-01", "2026-07-01"), "THIS_QUARTER": ("2026-07-01", "2026-10-01"),
    "NEXT_QUARTER": ("2026-10-01", "2027-01-01"), "LAST_YEAR": ("2025-01-01", "2026-01-01"),
    "THIS_YEAR": ("2026-01-01", "2027-01-01"), "NEXT_YEAR": ("2027-01-01", "2028-01-01"),
    "LAST_90_DAYS": ("2026-05-21", "2026-08-20"), "NEXT_90_DAYS": ("2026-08-20", "2026-11-18"),
    "LAST_N_DAYS:7": ("2026-08-12", "2026-08-20"), "NEXT_N_DAYS:7": ("2026-08-20", "2026-08-27"),
    "LAST_N_WEEKS:2": ("2026-08-02", "2026-08-16"), "NEXT_N_WEEKS:2": ("2026-08-23", "2026-09-06"),
    "LAST_N_MONTHS:8": ("2025-12-01", "2026-08-01"), "NEXT_N_MONTHS:5": ("2026-09-01", "2027-02-01"),
    "LAST_N_QUARTERS:3": ("2025-10-01", "2026-07-01"), "NEXT_N_QUARTERS:2": ("2026-10-01", "2027-04-01"),
    "LAST_N_YEARS:2": ("2024-01-01", "2026-01-01"), "NEXT_N_YEARS:2": ("2027-01-01", "2029-01-01"),
    "N_DAYS_AGO:3": ("2026-08-16", "2026-08-17"), "N_WEEKS_AGO:1": ("2026-08-09", "2026-08-16"),
    "N_MONTHS_AGO:8": ("2025-12-01", "2026-01-01"), "N_QUARTERS_AGO:2": ("2026-01-01", "2026-04-01"),
    "N_YEARS_AGO:1": ("2025-01-01", "2026-01-01"),
}  # fmt: skip


@pytest.mark.parametrize("literal", RANGES)
@requirement("soql:date-literals")
def test_a_date_literal_covers_the_days_of_the_calendar(literal: str):
    name, _, n = literal.partition(":")
    found = dates.days_of(DateLiteral(name, int(n) if n else None), THE_DAY)
    assert tuple(map(str, found)) == RANGES[literal]


@requirement("soql:date-literals")
def test_every_date_literal_that_there_is_was_looked_up_in_the_calendar():
    assert {literal.partition(":")[0] for literal in RANGES} == {
        *dates.NAMED,
        *dates.NINETY,
        *dates.COUNTED,
        *dates.AGO,
    }


ORDERS = [
    ("Rating", "Rating IS NOT NULL, lower(Rating), Id"),
    ("Rating NULLS FIRST", "Rating IS NOT NULL, lower(Rating), Id"),
    ("Rating NULLS LAST", "Rating IS NULL, lower(Rating), Id"),
    ("Rating DESC", "Rating IS NOT NULL, lower(Rating) DESC, Id"),
    ("Rating DESC NULLS LAST", "Rating IS NULL, lower(Rating) DESC, Id"),
    ("rating asc nulls last, AnnualRevenue DESC", "Rating IS NULL, lower(Rating), AnnualRevenue DESC, Id"),
    ("CreatedDate DESC", "CreatedDate DESC, Id"),
    ("NumberOfEmployees", "NumberOfEmployees, Id"),
]


@pytest.mark.parametrize(("order", "plain"), ORDERS)
@requirement("soql:order-by")
def test_records_come_in_the_order_asked_for_and_nulls_where_they_were_put(robin: Client, sql, order: str, plain: str):
    assert rows(robin, f"SELECT Id FROM Account ORDER BY {order}", "Id") == sql(
        f"SELECT Id FROM Account ORDER BY {plain}"
    )


@requirement("soql:order-by")
def test_records_are_ordered_by_a_field_of_a_parent(robin: Client, sql):
    found = rows(robin, "SELECT Id FROM Contact ORDER BY Account.AnnualRevenue DESC, Name", "Id")
    assert found == sql(
        "SELECT c.Id FROM Contact c JOIN Account a ON a.Id = c.AccountId ORDER BY a.AnnualRevenue DESC, lower(c.Name), c.Id"
    )


@pytest.mark.parametrize(
    ("limit", "offset"), [(0, 0), (1, 0), (10, 395), (10, 400), (2000, 0), (5, 2000), (999999999, 0)]
)
@requirement("soql:limit-offset")
def test_limit_and_offset_cut_a_page(robin: Client, sql, limit: int, offset: int):
    found = rows(robin, f"SELECT Id FROM Account ORDER BY Name LIMIT {limit} OFFSET {offset}", "Id")
    assert found == sql("SELECT Id FROM Account ORDER BY lower(Name), Id LIMIT ? OFFSET ?", limit, offset)


@requirement("soql:limit-offset")
def test_pages_by_offset_show_every_record_once(robin: Client, sql):
    pages = [rows(robin, f"SELECT Id FROM Lead ORDER BY Status LIMIT 100 OFFSET {n}", "Id") for n in range(0, 600, 100)]
    assert sorted(record for page in pages for record in page) == sorted(sql("SELECT Id FROM Lead"))


@requirement("soql:count")
def test_count_alone_is_a_number_and_no_records(robin: Client, sql):
    ((expected,),) = sql("SELECT count(*) FROM Contact WHERE Title = 'CFO'")
    assert robin.query("SELECT COUNT() FROM Contact WHERE Title = 'CFO'") == {
        "totalSize": expected,
        "done": True,
        "records": [],
    }
    assert robin.query("SELECT count() FROM Contact c WHERE c.Account.Type = 'Partner' LIMIT 5")["totalSize"] == 5
    assert robin.query("SELECT COUNT() FROM Contact WHERE Title = 'nobody'")["totalSize"] == 0


AGGREGATE_SQL = {
    "COUNT": "count({})", "COUNT_DISTINCT": "count(DISTINCT {})", "SUM": "sum({})", "AVG": "avg({})", "MIN": "min({})",
    "MAX": "max({})",
}  # fmt: skip


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("field", ["Amount", "Probability", "NextStep", "CloseDate", "IsWon", "AccountId"])
@requirement("soql:aggregates")
def test_an_aggregate_is_of_all_records_that_match(robin: Client, sql, name: str, field: str):
    soql = f"SELECT {name}({field}) FROM Opportunity WHERE StageName LIKE 'Closed%'"
    has_none = name in ("SUM", "AVG") and field not in ("Amount", "Probability")
    if has_none or (name in ("MIN", "MAX") and field == "IsWon"):
        assert robin.refusal(soql)["errorCode"] == "INVALID_FIELD"
        return
    ((expected,),) = sql(f"SELECT {AGGREGATE_SQL[name].format(field)} FROM Opportunity WHERE StageName LIKE 'Closed%'")
    ((found,),) = rows(robin, soql, "expr0")
    assert found == (pytest.approx(expected) if name == "AVG" else expected)


@requirement("soql:aggregates")
def test_every_aggregate_function_was_compared():
    assert set(AGGREGATE_SQL) == set(AGGREGATES)


@requirement("soql:aggregates")
def test_aggregates_have_their_aliases_or_are_numbered(robin: Client, sql):
    found = robin.query("SELECT COUNT(Id), MIN(Amount) least, MAX(Amount), SUM(Amount) FROM Opportunity")["records"]
    ((n, low, high, total),) = sql("SELECT count(Id), min(Amount), max(Amount), sum(Amount) FROM Opportunity")
    attributes = {"type": "AggregateResult"}
    assert found == [{"attributes": attributes, "expr0": n, "least": low, "expr1": high, "expr2": total}]


@requirement("soql:aggregates")
def test_an_aggregate_of_nothing_is_null(robin: Client):
    found = robin.query("SELECT COUNT(Id) n, SUM(Amount) s, MAX(Name) m FROM Opportunity WHERE Name = 'nothing'")[
        "records"
    ]
    assert found == [{"attributes": {"type": "AggregateResult"}, "n": 0, "s": None, "m": None}]


GROUPED = [
    ("SELECT StageName, COUNT(Id) n, SUM(Amount) s FROM Opportunity GROUP BY StageName",
     "SELECT StageName, count(Id), sum(Amount) FROM Opportunity GROUP BY StageName ORDER BY StageName", ("StageName", "n", "s")),
    ("SELECT StageName stage, Type FROM Opportunity GROUP BY StageName, Type ORDER BY Type DESC, StageName",
     "SELECT StageName, Type FROM Opportunity GROUP BY 1, 2 ORDER BY 2 DESC, 1", ("stage", "Type")),
    ("SELECT Rating, COUNT(Id) n FROM Account GROUP BY Rating ORDER BY Rating NULLS LAST",
     "SELECT Rating, count(Id) FROM Account GROUP BY 1 ORDER BY Rating IS NULL, Rating", ("Rating", "n")),
    ("SELECT Account.Industry, COUNT(Id) n FROM Contact GROUP BY Account.Industry ORDER BY COUNT(Id) DESC, Account.Industry",
     "SELECT a.Industry, count(*) FROM Contact c JOIN Account a ON a.Id = c.AccountId GROUP BY 1 ORDER BY 2 DESC, 1", ("Industry", "n")),
    ("SELECT AccountId, COUNT(Id) n FROM Contact GROUP BY AccountId HAVING COUNT(Id) > 4 AND AccountId != null",
     "SELECT AccountId, count(*) FROM Contact GROUP BY 1 HAVING count(*) > 4 ORDER BY 1", ("AccountId", "n")),
    ("SELECT Type t, AVG(AnnualRevenue) a FROM Account WHERE Rating = 'Hot' GROUP BY Type HAVING AVG(AnnualRevenue) > 1 OR Type LIKE 'P%'",
     "SELECT Type, avg(AnnualRevenue) FROM Account WHERE Rating = 'Hot' GROUP BY 1 ORDER BY 1", ("t", "a")),
    ("SELECT Industry FROM Account GROUP BY Industry HAVING NOT COUNT(Id) <= 50 LIMIT 3 OFFSET 1",
     "SELECT Industry FROM Account GROUP BY 1 HAVING count(*) > 50 ORDER BY 1 LIMIT 3 OFFSET 1", ("Industry",)),
    ("SELECT COUNT(Id) n FROM Account GROUP BY Industry ORDER BY MAX(AnnualRevenue)",
     "SELECT count(*) FROM Account GROUP BY Industry ORDER BY max(AnnualRevenue)", ("n",)),
    ("SELECT a.Type FROM Account a GROUP BY Account.Type", "SELECT Type FROM Account GROUP BY 1 ORDER BY 1", ("Type",)),
]  # fmt: skip


@pytest.mark.parametrize(("soql", "plain", "names"), GROUPED, ids=[g[0] for g in GROUPED])
@requirement("soql:group-by")
def test_groups_are_what_plain_sql_makes_of_them(robin: Client, sql, soql: str, plain: str, names: tuple[str, ...]):
    assert rows(robin, soql, *names) == [
        tuple(pytest.approx(v) if isinstance(v, float) else v for v in row) for row in sql(plain)
    ]


@requirement("soql:null-parent")
def test_a_record_whose_parent_is_missing_stays_and_its_parent_is_null(org: House, tmp_path):
    import shutil
    import sqlite3
    from pathlib import Path

    from tests.records.hosting import hosted

    copy = tmp_path / "with an odd ? # % name.db"
    shutil.copy(Path(org.config.data) / "sample.db", copy)
    with sqlite3.connect(copy) as database:
        database.execute("UPDATE Contact SET AccountId = NULL WHERE Title = 'CFO'")
        database.execute("UPDATE Contact SET AccountId = '001000000000000AAA' WHERE Title = 'Buyer'")
        database.execute("UPDATE Account SET Name = 'ÉCLAIR Straße' WHERE Id = (SELECT min(Id) FROM Account)")
    database.close()
    with hosted(org, copy) as ask:
        found = ask("SELECT Title, Account.Name FROM Contact WHERE Title IN ('CFO', 'Buyer', 'Owner') LIMIT 500")
        assert {r["Title"] for r in found["records"] if r["Account"] is None} == {"CFO", "Buyer"}
        assert all(r["Account"]["Name"] for r in found["records"] if r["Title"] == "Owner")
        orphans = ask("SELECT COUNT() FROM Contact WHERE Account.Name = null")["totalSize"]
        assert orphans == ask("SELECT COUNT() FROM Contact WHERE Title IN ('CFO', 'Buyer')")["totalSize"] > 0
        for written in ("ÉCLAIR Straße", "éclair straße", "Éclair STRAßE"):
            assert ask(f"SELECT COUNT() FROM Account WHERE Name = '{written}'")["totalSize"] == 1
        assert ask("SELECT COUNT() FROM Account WHERE Name LIKE 'é%'")["totalSize"] == 1
