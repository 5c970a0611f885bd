"""What bounds a call: rows, time, and that nothing can be written."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from gatelodge.gateway.records import database
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.records.hosting import hosted
from tests.requirements import requirement


@pytest.fixture(scope="module")
def crowded(org: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with 7,200 tasks, 450 of them of one contact."""
    path = tmp_path_factory.mktemp("crowded") / "crowded.db"
    shutil.copy(Path(org.config.data) / "sample.db", path)
    with sqlite3.connect(path) as writing:
        columns = ", ".join(
            name for _, name, *_ in writing.execute("PRAGMA table_info(Task)") if name not in ("Id", "WhoId")
        )
        for n in range(3):
            writing.execute(
                f"INSERT INTO Task (Id, WhoId, {columns}) SELECT printf('00T{n}%014d', rowid), WhoId, {columns} FROM Task"
            )
        writing.execute(
            "UPDATE Task SET WhoId = (SELECT min(Id) FROM Contact) WHERE Id IN (SELECT Id FROM Task ORDER BY Id LIMIT 450)"
        )
    writing.close()
    return path


@requirement("records:row-limit")
def test_an_answer_has_at_most_2000_records_and_says_how_many_there_are(org: House, crowded: Path):
    with hosted(org, crowded) as ask:
        every = ask("SELECT Id FROM Task")
        assert every["totalSize"] == 7200 and every["done"] is False and len(every["records"]) == 2000
        assert "first 2000" in every["note"]
        for limit, total, done in ((1999, 1999, True), (2000, 2000, True), (2001, 2001, False), (5000, 5000, False)):
            found = ask(f"SELECT Id FROM Task LIMIT {limit}")
            assert (found["totalSize"], found["done"], len(found["records"])) == (total, done, min(limit, 2000))
            assert ("note" in found) is not done
        last = ask("SELECT Id FROM Task WHERE Priority != 'none' LIMIT 2001 OFFSET 2000")
        assert last["totalSize"] == 2001 and last["done"] is False
        assert ask("SELECT COUNT() FROM Task")["totalSize"] == 7200
        groups = ask("SELECT Id, COUNT(WhoId) FROM Task GROUP BY Id")
        assert groups["done"] is False and len(groups["records"]) == 2000 and "groups" in groups["note"]


@requirement("records:row-limit")
def test_a_child_relationship_brings_at_most_200_records_and_says_so(org: House, crowded: Path):
    with hosted(org, crowded) as ask:
        found = ask("SELECT Id, (SELECT Id FROM Tasks) FROM Contact ORDER BY Id LIMIT 2")["records"][0]["Tasks"]
        assert found["totalSize"] >= 450 and found["done"] is False and len(found["records"]) == 200
        some = ask("SELECT Id, (SELECT Id FROM Tasks LIMIT 3) FROM Contact ORDER BY Id LIMIT 1")["records"][0]["Tasks"]
        assert (some["totalSize"], some["done"], len(some["records"])) == (3, True, 3)


@requirement("records:row-limit")
def test_children_that_would_not_fit_are_refused_rather_than_left_out(org: House, crowded: Path, tmp_path: Path):
    path = tmp_path / "more.db"
    shutil.copy(crowded, path)
    with sqlite3.connect(path) as writing:
        columns = ", ".join(
            name for _, name, *_ in writing.execute("PRAGMA table_info(Task)") if name not in ("Id", "WhoId")
        )
        writing.execute(
            f"INSERT INTO Task (Id, WhoId, {columns}) SELECT printf('00T9%014d', rowid), WhoId, {columns} FROM Task"
        )
    writing.close()
    with hosted(org, path) as ask:
        (error,) = ask("SELECT Id, (SELECT Id FROM Tasks) FROM Contact")
        assert error["errorCode"] == "QUERY_TOO_COMPLICATED" and "LIMIT" in error["message"]
        assert len(ask("SELECT Id, (SELECT Id FROM Tasks LIMIT 5) FROM Contact")["records"]) == 900


@requirement("records:time-limit")
def test_a_query_that_takes_too_long_ends_and_the_next_one_is_served(org: House, crowded: Path):
    slow = "SELECT COUNT() FROM Task WHERE Subject LIKE '%a%b%c%' OR Description LIKE '%x%y%' OR Status LIKE '%q%'"
    with hosted(org, crowded, seconds=0.0) as ask:
        (error,) = ask(slow)
        assert error["errorCode"] == "QUERY_TIMEOUT" and "longer than 0 s" in error["message"]
        assert ask("SELECT COUNT() FROM User")["totalSize"] == 12, "it is over before anybody looks at the clock"
    with hosted(org, crowded) as ask:
        assert ask(slow)["totalSize"] == 0


@requirement("records:read-only")
def test_the_database_is_opened_so_that_nothing_can_be_written(org: House, tmp_path: Path):
    path = tmp_path / "it's 100% #mine?.db"
    shutil.copy(Path(org.config.data) / "sample.db", path)
    before = path.read_bytes()
    engine = database.opened(path, connections=1, seconds=5)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM Account")).scalar_one() == 400
        for statement in ("DELETE FROM Account", "UPDATE User SET Name = 'x'", "DROP TABLE Task", "CREATE TABLE t (a)",
                          "INSERT INTO User (Id) VALUES ('x')", "PRAGMA user_version = 9", "CREATE TABLE temp.t (a)"):  # fmt: skip
            with pytest.raises(OperationalError, match="readonly"):
                connection.execute(text(statement))
            connection.rollback()
    engine.dispose()
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == [path.name]


@requirement("records:read-only")
def test_a_database_that_is_missing_is_not_made(org: House, tmp_path: Path):
    with hosted(org, tmp_path / "missing.db") as ask:
        (error,) = ask("SELECT Id FROM Account")
        assert error["errorCode"] == "UNKNOWN_EXCEPTION" and "Incident" in error["message"]
        assert "missing.db" not in error["message"] and list(tmp_path.iterdir()) == []


@requirement("records:many-at-once")
def test_many_calls_at_once_of_two_users_each_get_their_own_answer(org: House):
    robin, sam = Client(org, token(org, 0)), Client(org, token(org, 1))

    def ask(n: int) -> bool:
        if n % 2:
            return robin.query(f"SELECT COUNT() FROM Lead WHERE Id != '{n}'")["totalSize"] == 500
        return sam.refusal(f"SELECT COUNT() FROM Lead WHERE Id != '{n}'")["errorCode"] == "INVALID_TYPE"

    with ThreadPoolExecutor(16) as crowd:
        assert all(crowd.map(ask, range(64)))
