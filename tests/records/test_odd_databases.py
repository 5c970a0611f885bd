"""Databases as they really are: names and types of every sort, values at the edge, and others at work in them."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from tests import mariadb
from tests.records import foreign
from tests.records.foreign import IDS, KINDS, Database, Records, serving
from tests.requirements import requirement

QUOTED = {
    "sqlite": lambda name: '"' + name.replace('"', '""') + '"',
    "postgresql": lambda name: '"' + name.replace('"', '""') + '"',
    "mysql": lambda name: "`" + name.replace("`", "``") + "`",
}
ODD = ("unit price", "naïve", "select", "a'b", 'd"q', "back`tick", "x%y", "semi;--", "колонка", "c:d", "1st", "(e)")
EVIL = "o'x\"; DROP TABLE odd; -- %_\\ \N{PARTY POPPER}"


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return foreign.empty(request.param, tmp_path / "records", request)


@contextlib.contextmanager
def elsewhere(database: Database) -> Iterator[Any]:
    """A connection of somebody else's, in a transaction; committed at the end."""
    if database.kind == "sqlite":
        import sqlite3

        with contextlib.closing(sqlite3.connect(database.source.path, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other
            other.execute("COMMIT")
        return
    other: Any
    if database.kind == "postgresql":
        other = psycopg.connect(database.url)
    else:
        at = database.source
        other = pymysql.connect(
            host="127.0.0.1", port=at.port, user=mariadb.USER, password=mariadb.PASSWORD, database=at.database
        )  # fmt: skip
    with contextlib.closing(other), other.cursor() as cursor:
        yield cursor
        other.commit()


def refused(records: Records, q: str) -> dict[str, Any]:
    return records.refused("soqlQuery", q=q)[0]


@requirement("records:odd-names")
def test_whatever_tables_and_columns_are_called_they_are_read_written_and_searched(database: Database):
    quote = QUOTED[database.kind]
    columns = ", ".join(f"{quote(name)} VARCHAR(80)" for name in ODD)
    database.sql(f"CREATE TABLE {quote(chr(34) + 'odd; --' + chr(39))} (id {IDS[database.kind]}, {columns})")
    database.sql("CREATE TABLE odd (id BIGINT PRIMARY KEY)")
    with serving(database.source) as records:
        first, second = [each["name"] for each in records.ask("getObjectSchema")["sobjects"]]
        of = first if first != "odd" else second
        fields = [each["name"] for each in records.ask("getObjectSchema", sobject_name=of)["fields"]][1:]
        assert len(fields) == len({each.lower() for each in fields}) == len(ODD)
        made = records.ask("createSobjectRecord", sobject_name=of, body=dict.fromkeys(fields, EVIL))["id"]
        [found] = records.query(f"SELECT {', '.join(fields)} FROM {of}")
        assert found == dict.fromkeys(fields, EVIL)
        written = EVIL.replace("\\", "\\\\").replace("'", "\\'")
        for field in fields:
            assert records.query(f"SELECT Id FROM {of} WHERE {field} = '{written}' ORDER BY {field}") == [{"Id": made}]
            like = "SELECT COUNT(Id) n FROM {} WHERE {} LIKE '%{}%'"
            assert records.query(like.format(of, field, "\\%\\_")) == [{"n": 1}]
            assert records.query(like.format(of, field, "\\_\\%")) == [{"n": 0}]
        records.ask("updateSobjectRecord", sobject_name=of, id=made, body={fields[0]: "New words"})
        assert [bare["Id"] for bare in map(foreign.bare, records.ask("find", q="new words")["searchRecords"])] == [made]
        records.ask("deleteSobjectRecord", sobject_name=of, id=made)
        assert records.query(f"SELECT Id FROM {of}") == [] and records.query("SELECT Id FROM odd") == []


@requirement("records:odd-names")
def test_what_is_no_field_and_no_object_reaches_no_statement(database: Database):
    database.sql(f"CREATE TABLE odd (id {IDS[database.kind]}, name VARCHAR(20))")
    with serving(database.source) as records:
        for q in (
            "SELECT Id FROM odd; DROP TABLE odd", "SELECT Id FROM odd -- x", "SELECT Id FROM odd /* x */",
            "SELECT * FROM odd", "SELECT Id FROM odd UNION SELECT Id FROM odd", "SELECT Id FROM sqlite_master",
            "SELECT Id FROM pg_catalog.pg_user", "SELECT Id FROM information_schema", "SELECT version() FROM odd",
            "SELECT Id FROM odd WHERE name = 'a' OR 1 = 1", "SELECT Id FROM odd WHERE name = 'a' || 'b'",
            "SELECT Id FROM odd ORDER BY 1", "SELECT Id FROM odd WHERE name = 'a", "SELECT COUNT(Id) FROM odd GROUP BY 1",
            'SELECT "name" FROM odd', "SELECT name FROM odd WHERE name LIKE 'a' ESCAPE '!'",
            "SELECT Id FROM odd LIMIT 1, 2", "SELECT rowid FROM odd", "SELECT Id FROM odd LIMIT 18446744073709551616",
        ):  # fmt: skip
            assert refused(records, q)["errorCode"] in ("MALFORMED_QUERY", "INVALID_TYPE", "INVALID_FIELD"), q
        records.ask("createSobjectRecord", sobject_name="odd", body={"name": "kept"})
        for wrong in (
            "1 OR 1=1",
            "1'--",
            "1e0",
            "01",
            " 1",
            "+1",
            "\N{FULLWIDTH DIGIT ONE}",
            "1\n",
            "0x1",
            "1.0",
            "9" * 30,
            "",
        ):
            (error,) = records.refused("deleteSobjectRecord", sobject_name="odd", id=wrong)
            assert error["errorCode"] in ("NOT_FOUND", "INVALID_ARGUMENT"), wrong
        assert len(database.sql("SELECT id FROM odd")) == 1


KEPT: dict[str, list[tuple[str, Any, Any]]] = {
    "sqlite": [
        ("NUMERIC(20, 6)", 1234567890.123456, 1234567890.123456), ("BLOB", "AAECgP8=", "AAECgP8="),
        ("BIGINT", -(2**63) + 1, -(2**63) + 1), ("DATE", "0001-01-01", "0001-01-01"), ("BOOLEAN", False, False),
        ("TIMESTAMP", "2026-03-29T02:30:00.123+02:00", "2026-03-29T00:30:00.123+0000"), ("TEXT", "", ""),
    ],
    "postgresql": [
        ("NUMERIC(20, 6)", 1234567890.123456, 1234567890.123456), ("NUMERIC", 0.1, 0.1), ("BYTEA", "AAECgP8=", "AAECgP8="),
        ("TIMESTAMPTZ", "2026-03-29T02:30:00.123+02:00", "2026-03-29T00:30:00.123+0000"), ("DATE", "9999-12-31", "9999-12-31"),
        ("TIMESTAMP", "2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00.000+0000"), ("BOOLEAN", False, False),
        ("INT[]", "{1,2}", "{1,2}"), ("INTERVAL", "1 day", "1 day"), ("INET", "10.0.0.1/8", "10.0.0.1/8"), ("XML", "<a/>", "<a/>"),
        ("JSONB", '{"a": [1]}', '{"a": [1]}'), ("POINT", "(1,2)", "(1,2)"), ("INT4RANGE", "[1,5)", "[1,5)"), ("TEXT", "", ""),
        ("BIT(3)", "101", "101"), ("BIGINT", 2**63 - 1, 2**63 - 1),
    ],
    "mysql": [
        ("DECIMAL(20, 6)", 1234567890.123456, 1234567890.123456), ("VARBINARY(10)", "AAECgP8=", "AAECgP8="),
        ("BLOB", "AAECgP8=", "AAECgP8="), ("BIT(1)", True, True), ("BIT(8)", 5, 5), ("YEAR", 2026, 2026), ("TINYINT(1)", False, False),
        ("SET('x', 'y')", "x,y", "x,y"), ("ENUM('a', 'b''c')", "b'c", "b'c"), ("BIGINT UNSIGNED", 2**63 - 1, 2**63 - 1),
        ("TIMESTAMP NULL", "2026-03-29T02:30:00+02:00", "2026-03-29T00:30:00.000+0000"), ("TIME", "25:00:00", "25:00:00"),
        ("DATETIME(6)", "2026-10-25T02:30:00.123+02:00", "2026-10-25T00:30:00.123+0000"), ("JSON", '{"a": 1}', '{"a": 1}'),
        ("TEXT", "", ""),
    ],
}  # fmt: skip


@requirement("records:odd-types")
def test_a_value_of_each_type_is_read_as_it_was_written_and_every_clause_answers(database: Database):
    kept = KEPT[database.kind]
    columns = ", ".join(f"c{n} {native}" for n, (native, _, _) in enumerate(kept))
    database.sql(f"CREATE TABLE odd (id {IDS[database.kind]}, {columns})")
    with serving(database.source) as records:
        body = {f"c{n}": value for n, (_, value, _) in enumerate(kept)}
        made = records.ask("createSobjectRecord", sobject_name="odd", body=body)["id"]
        records.ask("createSobjectRecord", sobject_name="odd", body=dict.fromkeys(body))
        [found, none] = records.query(f"SELECT {', '.join(body)} FROM odd ORDER BY Id")
        assert found == {f"c{n}": value for n, (_, _, value) in enumerate(kept)}
        assert none == dict.fromkeys(body)
        for name in body:
            assert records.query(f"SELECT Id FROM odd WHERE {name} != null") == [{"Id": made}], name
            for clause in (
                f"SELECT Id FROM odd ORDER BY {name} DESC NULLS LAST", f"SELECT {name} x FROM odd GROUP BY {name}",
                f"SELECT MIN({name}), MAX({name}) FROM odd", f"SELECT COUNT_DISTINCT({name}) FROM odd",
                f"SELECT Id FROM odd WHERE {name} > 1", f"SELECT Id FROM odd WHERE {name} = 'x'",
                f"SELECT Id FROM odd WHERE {name} LIKE '_'", f"SELECT Id FROM odd WHERE {name} IN (true, null)",
                f"SELECT SUM({name}) FROM odd", f"SELECT Id FROM odd WHERE {name} = LAST_WEEK",
            ):  # fmt: skip
                answer, is_error = records.runner.run(records.call("soqlQuery", {"q": clause}, records.caller()))
                assert not is_error or answer[0]["errorCode"] in ("INVALID_FIELD", "MALFORMED_QUERY"), (clause, answer)


@requirement("records:odd-types")
def test_decimals_are_compared_by_their_digits(database: Database):
    database.sql(f"CREATE TABLE odd (id {IDS[database.kind]}, price NUMERIC(12, 2))")
    database.sql("INSERT INTO odd (price) VALUES (0.10), (0.30), (1234567890.12)")
    with serving(database.source) as records:
        for text in ("0.1", "0.10", "0.3", "1234567890.12"):
            assert len(records.query(f"SELECT Id FROM odd WHERE price = {text}")) == 1, text
            assert len(records.query(f"SELECT Id FROM odd WHERE price IN ({text}, 7)")) == 1, text
        assert records.query("SELECT SUM(price) s FROM odd WHERE price < 1") == [{"s": pytest.approx(0.4)}]


UNFIT: dict[str, list[tuple[str, Any]]] = {
    "sqlite": [("INTEGER CHECK (v > 5)", 1)],
    "postgresql": [
        ("NUMERIC(5, 2)", 1000), ("SMALLINT", 32768), ("INTEGER", -(2**31) - 1), ("REAL", 1e300), ("TIME", "25:00"), ("JSON", "{"),
        ("INT[]", "1,2"), ("INET", "10.0.0"), ("XML", "<a"), ("POINT", "here"), ("INTEGER CHECK (v > 5)", 1),
    ],
    "mysql": [
        ("DECIMAL(5, 2)", 1000), ("SMALLINT", 32768), ("TINYINT UNSIGNED", -1), ("MEDIUMINT", 2**23), ("TIME", "soon"), ("YEAR", 99999),
        ("TIMESTAMP NULL", "1900-01-01T00:00:00Z"), ("TEXT", "x" * 70_000), ("BIT(3)", 9), ("INTEGER CHECK (v > 5)", 1),
        ("SET('x', 'y')", "z"), ("JSON", "{"),
    ],
}  # fmt: skip


@requirement("records:validation")
def test_what_only_the_database_refuses_is_told_by_its_field_too(database: Database):
    for n, (native, _value) in enumerate(UNFIT[database.kind]):
        database.sql(f"CREATE TABLE odd{n} (id {IDS[database.kind]}, v {native}, other VARCHAR(9))")
    with serving(database.source) as records:
        for n, (native, value) in enumerate(UNFIT[database.kind]):
            body = {"other": "fits", "v": value}
            (error,) = records.refused("createSobjectRecord", sobject_name=f"odd{n}", body=body)
            assert error["fields"] == ["v"] and error["expected"] and error["fix"], (native, error)
            assert records.query(f"SELECT Id FROM odd{n}") == []


@requirement("records:reflected")
def test_comments_are_descriptions_and_materialized_views_are_objects(database: Database):
    words = "What it is; of 'things'"
    comment = words.replace("'", "''")
    if database.kind == "mysql":
        database.sql(f"CREATE TABLE odd (id BIGINT PRIMARY KEY, n INT COMMENT '{comment}') COMMENT '{comment}'")
    else:
        database.sql("CREATE TABLE odd (id BIGINT PRIMARY KEY, n INT)")
    if database.kind == "postgresql":
        database.sql(f"COMMENT ON TABLE odd IS '{comment}'")
        database.sql(f"COMMENT ON COLUMN odd.n IS '{comment}'")
        database.sql("CREATE MATERIALIZED VIEW kept AS SELECT id, n FROM odd")
    with serving(database.source) as records:
        found = records.ask("getObjectSchema", sobject_name="odd")
        told = words if database.kind != "sqlite" else None  # which has no comments
        assert found.get("description") == told and found["fields"][1].get("description") == told
        if database.kind == "postgresql":
            assert records.query("SELECT n FROM kept") == []
            (error,) = records.refused("createSobjectRecord", sobject_name="kept", body={"n": 1})
            assert error["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"


@requirement("records:odd-types")
def test_lists_of_thousands_and_answers_of_thousands_are_bounded_alike(database: Database):
    database.sql(f"CREATE TABLE odd (id {IDS[database.kind]}, name VARCHAR(20))")
    rows = ", ".join(f"('n{n}')" for n in range(2500))
    database.sql(f"INSERT INTO odd (name) VALUES {rows}")
    with serving(database.source) as records:
        ids, names = (",".join(f"'{each}{n}'" for n in range(1, 1801)) for each in ("", "N"))
        assert records.ask("soqlQuery", q=f"SELECT COUNT() FROM odd WHERE Id IN ({ids})")["totalSize"] == 1800
        assert records.ask("soqlQuery", q=f"SELECT COUNT() FROM odd WHERE name IN ({names})")["totalSize"] == 1800
        assert records.ask("soqlQuery", q=f"SELECT COUNT() FROM odd WHERE name NOT IN ({names})")["totalSize"] == 700
        answer = records.ask("soqlQuery", q="SELECT name FROM odd ORDER BY name DESC")
        assert (answer["totalSize"], answer["done"], len(answer["records"])) == (2500, False, 2000)
        assert "Only the first 2000" in answer["note"]


@requirement("records:time-limit")
def test_a_write_that_waits_for_somebody_elses_is_given_up_in_time_and_made_when_they_are_done(database: Database):
    database.sql(f"CREATE TABLE odd (id {IDS[database.kind]}, name VARCHAR(20))")
    database.sql("INSERT INTO odd (name) VALUES ('before')")
    with serving(database.source, seconds=1.0) as records:
        with elsewhere(database) as other:
            other.execute("UPDATE odd SET name = 'theirs'")
            (error,) = records.refused("updateSobjectRecord", sobject_name="odd", id="1", body={"name": "ours"})
            assert error["errorCode"] == "QUERY_TIMEOUT" and records.noted.outcome == "timeout"
        assert records.query("SELECT name FROM odd") == [{"name": "theirs"}]
        records.ask("updateSobjectRecord", sobject_name="odd", id="1", body={"name": "ours"})
        assert records.query("SELECT name FROM odd") == [{"name": "ours"}]


@requirement("records:one-moment")
def test_a_query_and_its_children_are_of_one_moment_while_others_write(database: Database):
    database.sql(f"CREATE TABLE odd (id {IDS[database.kind]}, n BIGINT)")
    database.sql(f"CREATE TABLE part (id {IDS[database.kind]}, odd_id BIGINT REFERENCES odd (id))"
                 if database.kind != "mysql" else
                 f"CREATE TABLE part (id {IDS[database.kind]}, odd_id BIGINT, FOREIGN KEY (odd_id) REFERENCES odd (id))")  # fmt: skip
    database.sql("INSERT INTO odd (n) VALUES (0)")
    stopped = threading.Event()

    def write() -> None:
        while not stopped.is_set():
            with elsewhere(database) as other:
                other.execute("INSERT INTO part (odd_id) VALUES (1)")
                other.execute("UPDATE odd SET n = n + 1")

    writing = threading.Thread(target=write)
    with serving(database.source) as records:
        writing.start()
        try:
            for _ in range(60):
                [found] = records.query("SELECT n, (SELECT Id FROM parts LIMIT 200) FROM odd")
                assert min(found["n"], 200) == len(found["parts"] or []), found["n"]
        finally:
            stopped.set()
            writing.join(30)
