"""The database behind a records server, opened so that a reader can't write and nothing goes on for ever."""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError

from gatelodge.gateway.records.sources import Source, connector

STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""
DEADLINE = "gatelodge.deadline"
TIMED_OUT = {"57014", "55P03", "40P01", 1969, 3024, 1205, 1213, 2013}
"""Codes of PostgreSQL, MySQL and MariaDB for a statement that took too long, or waited too long for a lock."""
CHANGED = {"42P01", "42703", "42883", "42804", 1054, 1146}
"""Codes for a table or column that is no longer there, or is another."""


class TimeIsUp(Exception):
    """The call's time has passed between two of its statements."""


def opened(path: Path, *, connections: int, seconds: float, is_writing: bool = False) -> sa.Engine:
    """An engine over this file, which waits so many seconds for others to let go of it. A reader can't write: by the file's
    mode, and by SQLite's own switch behind it.
    """
    mode = "rw" if is_writing else "ro"
    url = sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query={"mode": mode, "uri": "true"})
    # Values stay out of error texts, and so out of logs.
    engine = sa.create_engine(url, pool_size=connections, max_overflow=0, hide_parameters=True)
    event.listen(engine, "connect", functools.partial(_prepare, seconds=seconds, is_writing=is_writing))
    event.listen(engine, "checkout", lambda _, record, __: _same_file(path, record))
    event.listen(engine, "begin", _begin_writing if is_writing else _begin)
    return engine


def engine_of(source: Source, *, connections: int, seconds: float, allows_private: bool, is_writing: bool) -> sa.Engine:
    """An engine over a database. Nothing is connected yet."""
    if source.dialect == "sqlite":
        return opened(Path(source.path), connections=connections, seconds=seconds, is_writing=is_writing)
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[source.dialect]
    engine = sa.create_engine(
        f"{driver}://",
        creator=connector(source, allows_private=allows_private, seconds=seconds, is_writing=is_writing),
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        pool_recycle=300,
        hide_parameters=True,
    )
    event.listen(engine, "before_cursor_execute", _in_time)
    return engine


def _prepare(driver: Any, record: Any, *, seconds: float, is_writing: bool) -> None:
    driver.create_function("gatelodge_lower", 1, _lower, deterministic=True)
    driver.execute("PRAGMA trusted_schema = OFF")
    driver.execute(f"PRAGMA busy_timeout = {max(1, int(seconds * 1000))}")
    driver.execute("PRAGMA foreign_keys = ON" if is_writing else "PRAGMA query_only = ON")
    driver.isolation_level = None  # transactions are begun below alone
    (_, _, name) = driver.execute("PRAGMA database_list").fetchone()
    record.info["file"] = _identity(Path(name))


def _begin(connection: sa.Connection) -> None:
    # So that all statements of a call see one moment.
    connection.exec_driver_sql("BEGIN")


def _begin_writing(connection: sa.Connection) -> None:
    # At once for writing: two that read first and write then would refuse each other.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _same_file(path: Path, record: Any) -> None:
    """A file that another has taken the place of is opened anew."""
    if record.info.get("file") != _identity(path):
        raise DisconnectionError


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - at each call, and twice as fast
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def limit(connection: sa.Connection, seconds: float) -> None:
    """Give what is asked on this connection so many seconds in all. The next call on it sets its own."""
    deadline = time.monotonic() + seconds
    if connection.dialect.name == "sqlite":
        interrupt(connection, lambda: time.monotonic() > deadline)
    else:
        connection.info[DEADLINE] = deadline  # each statement has the driver's limit besides


def _in_time(connection: sa.Connection, *_: Any) -> None:
    if time.monotonic() > connection.info.get(DEADLINE, float("inf")):
        raise TimeIsUp


def interrupt(connection: sa.Connection, is_time: Callable[[], bool]) -> None:
    """Have SQLite ask every so often whether it is time to give up. The next call on the connection asks its own."""
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(is_time, STEPS)


def code_of(error: DBAPIError) -> Any:
    """The database's own code of an error: SQLSTATE of PostgreSQL, a number of MySQL, a name of SQLite."""
    cause: Any = error.orig
    first = cause.args[0] if cause is not None and cause.args else None
    if isinstance(first, int):
        return first
    return getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)


def was_interrupted(error: DBAPIError) -> bool:
    """Whether the statement took too long, or waited too long for another."""
    return code_of(error) in TIMED_OUT or str(error.orig) == "interrupted" or code_of(error) == "SQLITE_BUSY"


def shows_a_change(error: DBAPIError) -> bool:
    """Whether the schema isn't what we took it for."""
    return code_of(error) in CHANGED or "no such column" in str(error.orig) or "no such table" in str(error.orig)
