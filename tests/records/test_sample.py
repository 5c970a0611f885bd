"""The sample database: believable, whole, the same for everybody, and laid around the day on which it was made."""

import datetime as dt
import sqlite3
from pathlib import Path

import pytest

from gatelodge.gateway.records import sample
from tests.house import House
from tests.requirements import requirement

ROWS = {"User": 12, "Account": 400, "Contact": 900, "Opportunity": 700, "Case": 600, "Lead": 500, "Task": 900}


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as database:
        return list(database.iterdump())


@requirement("records:sample")
def test_the_sample_has_a_few_thousand_rows(sql):
    assert {name: sql(f'SELECT count(*) FROM "{name}"')[0][0] for name in ROWS} == ROWS


@requirement("records:sample-is-the-same")
def test_the_same_day_makes_the_same_sample_and_another_day_moves_only_its_dates(tmp_path: Path):
    days = [dt.date(2026, 9, 21), dt.date(2026, 9, 21), dt.date(2026, 12, 1)]
    for n, day in enumerate(days):
        sample.make_sample(tmp_path / f"{n}.db", day)
    first, again, later = (dump(tmp_path / f"{n}.db") for n in range(3))
    assert first == again != later
    with sqlite3.connect(tmp_path / "0.db") as one:
        one.execute("ATTACH ? AS later", (str(tmp_path / "2.db"),))
        moved = one.execute(
            "SELECT DISTINCT round(julianday(b.CreatedDate) - julianday(a.CreatedDate), 3) FROM Account a"
            " JOIN later.Account b ON a.Id = b.Id AND a.Name = b.Name"
        ).fetchall()
        assert moved == [(71.0,)]
    one.close()


@pytest.mark.parametrize("source", ROWS)
@requirement("records:sample")
def test_every_reference_leads_somewhere(sql, source: str):
    described = next(each for each in sample.OBJECTS if each.name == source)
    for field in described.fields:
        if field.parent:
            lost = sql(
                f'SELECT count(*) FROM "{source}" WHERE {field.name} IS NULL OR {field.name} NOT IN (SELECT Id FROM "{field.parent}")'
            )
            assert lost == [(0,)], field.name


ORDERED = [
    ("Contact", "Account", "AccountId"), ("Opportunity", "Account", "AccountId"), ("Case", "Contact", "ContactId"),
    ("Case", "Account", "AccountId"), ("Task", "Contact", "WhoId"), *((name, "User", "OwnerId") for name in ROWS if name != "User"),
]  # fmt: skip


@pytest.mark.parametrize(("child", "parent", "field"), ORDERED)
@requirement("records:sample-in-time")
def test_nothing_is_older_than_what_it_belongs_to(sql, child: str, parent: str, field: str):
    assert sql(
        f'SELECT count(*) FROM "{child}" c JOIN "{parent}" p ON p.Id = c.{field} WHERE c.CreatedDate < p.CreatedDate'
    ) == [(0,)]


@requirement("records:sample-in-time")
def test_nothing_has_happened_tomorrow_and_much_has_happened_lately(sql, org: House):
    now = dt.datetime.fromtimestamp(org.time, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    for name in ROWS:
        late = sql(
            f'SELECT count(*) FROM "{name}" WHERE CreatedDate > ? OR LastModifiedDate > ? OR LastModifiedDate < CreatedDate',
            now,
            now,
        )
        assert late == [(0,)], name
    assert sql(
        "SELECT count(*) FROM \"Case\" WHERE IsClosed <> (Status = 'Closed') OR (ClosedDate IS NULL) = IsClosed"
    ) == [(0,)]
    assert sql("SELECT count(*) FROM Opportunity WHERE IsClosed AND CloseDate < date(CreatedDate)") == [(0,)]
    assert sql(
        "SELECT count(*) FROM Opportunity WHERE IsClosed <> (StageName LIKE 'Closed%') OR IsWon <> (StageName = 'Closed Won')"
    ) == [(0,)]
    assert sql("SELECT count(*) > 50 FROM Opportunity WHERE NOT IsClosed AND CloseDate > ?", now) == [(1,)]
    assert sql("SELECT count(*) > 10 FROM Account WHERE LastModifiedDate > datetime(?, '-14 days')", now) == [(1,)]
    numbers = [n for (n,) in sql('SELECT CaseNumber FROM "Case" ORDER BY CreatedDate, CaseNumber')]
    assert numbers == sorted(numbers) and len(set(numbers)) == ROWS["Case"]
    for column in ("Name", "Website"):
        assert sql(f"SELECT count(DISTINCT {column}) FROM Account") == [(ROWS["Account"],)]
