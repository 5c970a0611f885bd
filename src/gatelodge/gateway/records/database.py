"""The database behind a records server, opened so that nothing can be written and no read goes on for ever."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""


def opened(path: Path, *, connections: int) -> sa.Engine:
    """An engine over this file, read-only: by the file's mode, and by SQLite's own switch behind it."""
    url = sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})
    # Values stay out of error texts, and so out of logs.
    engine = sa.create_engine(url, pool_size=connections, max_overflow=0, hide_parameters=True)
    event.listen(engine, "connect", _prepare)
    return engine


def folded(text: Any, *compared_with: object) -> Any:
    """A text without its case, to be found equal to these values, or (none given) to be sorted.

    SQLite's own lower() knows only ASCII. That is enough for values of ASCII alone, and much faster.
    """
    is_ascii = all(isinstance(value, str) and value.isascii() for value in compared_with)
    return sa.func.lower(text) if compared_with and is_ascii else sa.func.gatelodge_lower(text)


def _prepare(driver: Any, _: Any) -> None:
    driver.create_function("gatelodge_lower", 1, _lower, deterministic=True)
    driver.execute("PRAGMA query_only = ON")
    driver.execute("PRAGMA trusted_schema = OFF")


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def interrupt(connection: sa.Connection, is_time: Callable[[], bool]) -> None:
    """Have SQLite ask every so often whether it is time to give up. The next call on the connection asks its own."""
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(is_time, STEPS)


def was_interrupted(error: OperationalError) -> bool:
    """Whether this is what ``interrupt`` leads to."""
    return str(error.orig) == "interrupted"
