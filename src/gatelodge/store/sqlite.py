"""SQLite: operations that wait are run one after another in one transaction, and answered after its COMMIT.

Group commit makes a durable commit (synchronous=FULL) as cheap as the cheapest: one sync for all who wait. Statements
run on the event loop, where they cost microseconds; what waits for the disk or for a lock has a thread.
"""

import asyncio
import contextvars
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from gatelodge.core.errors import Unavailable
from gatelodge.core.operation import Change, Operation, Repeated, Row, Statement
from gatelodge.store import migrations
from gatelodge.store.driving import ADVANCE_FEED, check_rows, check_values, drive, feed_statements, refuse_changes
from gatelodge.store.lock import make_folder
from gatelodge.store.opening import StoreRefused

P = ParamSpec("P")
T = TypeVar("T")

MOST_WAITING = 10_000
MOST_IN_A_BATCH = 256
"""Operations of one transaction: between two of them the event loop answers others."""
BUSY_SECONDS = 5.0
"""How long a program beside us (a backup) may hold the file before an operation answers 503."""
AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""Errors that say something of the disk or the file. All others are mistakes of ours, and are not told as a 503."""

Waiting = tuple[contextvars.Context, Callable[[], Operation[Any]], "asyncio.Future[Any]"]
Answer = tuple["asyncio.Future[Any]", object, Exception | None]


class SqliteStore:
    """One database file, one process. Made by ``open``."""

    def __init__(self, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._writer, self._reader = writer, reader
        self._waiting: deque[Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._callbacks: list[Callable[[], None]] = []
        self._is_closed = False

    @classmethod
    def open(cls, path: Path) -> "SqliteStore":
        """Open the file, made and migrated where needed. Raises ``StoreRefused``."""
        make_folder(path.parent)
        opened: list[sqlite3.Connection] = []
        try:
            opened.append(_connect(f"{path.resolve().as_uri()}?mode=rwc"))
            migrations.apply_to_sqlite(opened[0])
            opened.append(_connect(f"{path.resolve().as_uri()}?mode=ro"))
        except (sqlite3.Error, StoreRefused) as error:
            for connection in opened:
                connection.close()
            if isinstance(error, StoreRefused):
                raise
            raise StoreRefused(f"{path} can't be opened as a database: {error}") from error
        writer, reader = opened
        # The event loop never waits for a lock: whoever finds the file held goes to the thread (``_begin``).
        writer.execute("PRAGMA busy_timeout = 0").close()
        return cls(writer, reader)

    async def run(self, operation: Callable[P, Operation[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See ``Store.run``."""
        if self._is_closed or len(self._waiting) >= MOST_WAITING:
            raise Unavailable("the database is closing" if self._is_closed else "too many changes are waiting")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        # In its caller's context, so that a rule speaks the reader's language (decision 0041).
        self._waiting.append((contextvars.copy_context(), lambda: operation(*args, **kwargs), future))
        if self._worker is None:
            self._worker = loop.create_task(self._work(), name="sqlite-writer")
        return await future

    async def read(self, operation: Callable[P, Operation[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See ``Store.read``. On the event loop: a point read costs less than the way to a thread."""
        if self._is_closed:
            raise Unavailable("the database is closing")
        try:
            value, collected = drive(operation(*args, **kwargs), self._reading)
        except sqlite3.Error as error:
            if _code(error) in AWAY - {sqlite3.SQLITE_READONLY}:
                raise Unavailable(f"the database can't be read: {error}") from error
            raise
        refuse_changes(collected)
        return cast("T", value)

    async def database_time(self) -> None:
        """The file has no clock but ours."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """See ``Store.on_change``."""
        self._callbacks.append(callback)

    async def close(self) -> None:
        """See ``Store.close``."""
        self._is_closed = True
        if self._worker is not None:
            await self._worker
        self._committer.shutdown()
        self._reader.close()
        self._writer.close()

    # --- the writer -------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while self._waiting:
                size = min(len(self._waiting), MOST_IN_A_BATCH)
                await self._batch([self._waiting.popleft() for _ in range(size)])
        finally:
            # No await between the last look at the queue and this line: a waiter can't be missed.
            self._worker = None

    async def _batch(self, batch: list[Waiting]) -> None:
        answers: list[Answer] = []
        has_changes = False
        try:
            await self._begin()
            for context, make, future in batch:
                value, error, changed = context.run(self._one, make)
                answers.append((future, value, error))
                has_changes = has_changes or changed
            await asyncio.get_running_loop().run_in_executor(self._committer, self._writer.commit)
        except sqlite3.Error as error:
            # SQLITE_FULL and its like end the whole transaction: nobody of the batch may be told of success.
            self._roll_back()
            for _, _, future in batch:
                _refuse(future, Unavailable(f"the database can't be written: {error}"))
            return
        _tell(answers)
        if has_changes:
            for callback in self._callbacks:
                callback()

    async def _begin(self) -> None:
        """Take the file for one transaction; where another program holds it, wait for it in the thread."""
        try:
            self._writer.execute("BEGIN IMMEDIATE").close()
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY:
                raise
            await asyncio.get_running_loop().run_in_executor(self._committer, self._begin_patiently)

    def _begin_patiently(self) -> None:
        self._writer.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}").close()
        try:
            self._writer.execute("BEGIN IMMEDIATE").close()
        finally:
            self._writer.execute("PRAGMA busy_timeout = 0").close()

    def _one(self, make: Callable[[], Operation[Any]]) -> tuple[object, Exception | None, bool]:
        """One operation in its savepoint. Raises ``sqlite3.Error`` when the transaction around it is gone."""
        self._writer.execute("SAVEPOINT operation").close()
        try:
            value, collected = drive(make(), self._writing)
            for ending in collected.endings():
                drive(ending, self._writing)
            if collected.changes:
                self._feed(collected.changes)
            self._writer.execute("RELEASE operation").close()
        except Exception as error:
            if not self._writer.in_transaction:
                raise sqlite3.OperationalError(f"the transaction was lost: {error}") from error
            self._writer.execute("ROLLBACK TO operation").close()
            self._writer.execute("RELEASE operation").close()
            if isinstance(error, sqlite3.Error) and _code(error) in AWAY:
                return None, Unavailable(f"the database can't be written: {error}"), False
            return None, error, False
        return value, None, bool(collected.changes)

    def _feed(self, changes: list[Change]) -> None:
        seq = self._writing(ADVANCE_FEED)[0]["seq"]
        for statement in feed_statements(cast("int", seq), changes):
            self._writing(statement)

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            self._writer.rollback()

    def _writing(self, statement: Statement | Repeated) -> list[Row]:
        return _rows(self._writer, statement)

    def _reading(self, statement: Statement | Repeated) -> list[Row]:
        return _rows(self._reader, statement)


def _rows(connection: sqlite3.Connection, statement: Statement | Repeated) -> list[Row]:
    if isinstance(statement, Repeated):
        check_rows(statement.rows)
        connection.executemany(statement.sql, statement.rows).close()
        return []
    check_values(statement.values)
    return connection.execute(statement.sql, statement.values).fetchall()


def _tell(answers: list[Answer]) -> None:
    for future, value, error in answers:
        if error is not None:
            _refuse(future, error)
        elif not future.done():  # a caller may have gone away; its change stays
            future.set_result(value)


def _refuse(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error that Python made itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=BUSY_SECONDS
    )
    connection.row_factory = _as_dict
    reads_only = "mode=ro" in uri
    journal = ("query_only = ON",) if reads_only else ("journal_mode = WAL",)
    for pragma in (*journal, "synchronous = FULL", "foreign_keys = ON", "cache_size = -4096"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return dict(zip([column[0] for column in cursor.description], row, strict=True))
