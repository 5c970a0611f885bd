"""PostgreSQL: a transaction for each operation that changes something, started again after a deadlock or a serialization
failure. What only reads needs none: each of its statements sees what is committed by then, in a transaction too.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

import asyncpg
import structlog

from gatelodge.core.errors import Unavailable
from gatelodge.core.operation import Change, Operation, Repeated, Row, Statement
from gatelodge.store import migrations
from gatelodge.store.driving import (
    ADVANCE_FEED,
    Collected,
    check_rows,
    check_values,
    feed_statements,
    refuse_changes,
)
from gatelodge.store.opening import StoreRefused

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

CHANNEL = "gatelodge_feed"
RESTARTS = 3
"""How often an operation is started again after a deadlock, a serialization failure or a neighbour's migration."""
STATEMENT_SECONDS = 5
CONNECT_SECONDS = 5
RECONNECT_SECONDS = 1.0
MOST_CONNECTIONS = 20
READY_SECONDS = 60.0
"""How long a connection may lie ready before it is made anew: a firewall may have forgotten it."""
MOST_WAITING = 10_000
"""Operations that wait for a connection: the next one answers 503, so that no queue grows without bound."""
LOCK = 0x6761_7465  # the advisory lock of migrations: "gate"
NAMED = re.compile(r"'(?:[^']|'')*'|::|:([A-Za-z_][A-Za-z0-9_]*)")
AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.InvalidCachedStatementError)
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
)
Answer = Callable[[Any, Statement | Repeated], Awaitable[list[Row]]]
Once = Callable[[Any, Operation[Any]], Awaitable[tuple[Any, Collected]]]


class Connection(asyncpg.Connection):  # type: ignore[type-arg] - asyncpg's own generics
    """A pooled connection that sends nothing when it is released: our transactions leave nothing behind."""

    def get_reset_query(self) -> str:
        """No query."""
        return ""


@lru_cache(maxsize=4096)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """``:named`` values as PostgreSQL's ``$1``: the text, and the names in order. One name is one number."""
    names: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}" if found[1] else found[0]

    return NAMED.sub(number, sql), tuple(names)


class PostgresStore:
    """A pool of connections, and one that listens. Made by ``open``."""

    def __init__(self, pool: asyncpg.Pool, url: str) -> None:
        self._pool, self._url = pool, url
        self._ready: list[tuple[Any, float]] = []
        self._callbacks: list[Callable[[], None]] = []
        self._waiting = 0
        self._is_closing = False
        self._listening = asyncio.create_task(self._listen(), name="postgres-listener")

    @classmethod
    async def open(cls, url: str) -> "PostgresStore":
        """Connect, and bring the schema up to date. Raises ``StoreRefused``."""
        try:
            connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
            try:
                await _migrate(connection)
            finally:
                await connection.close()
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=MOST_CONNECTIONS,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                connection_class=Connection,
                statement_cache_size=512,
                max_cached_statement_lifetime=0,
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise StoreRefused(f"the PostgreSQL database can't be opened: {why}") from None
        return cls(pool, url)

    async def run(self, operation: Callable[P, Operation[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See ``Store.run``."""
        try:
            value, collected = await self._again(lambda: operation(*args, **kwargs), _change)
        except asyncpg.ReadOnlySQLTransactionError:
            raise Unavailable("the database is a standby, which takes no changes") from None
        if collected.changes:
            self._changed()
        return value

    async def read(self, operation: Callable[P, Operation[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See ``Store.read``."""
        value, collected = await self._again(lambda: operation(*args, **kwargs), _look)
        refuse_changes(collected)
        return value

    async def _again(self, make: Callable[[], Operation[T]], once: Once) -> tuple[T, Collected]:
        """Run an operation, and a fresh one again while the database asks for that."""
        for restarts in range(RESTARTS + 1):
            try:
                return await self._with_connection(once, make())
            except AGAIN:
                if restarts == RESTARTS:
                    raise Unavailable("the database is too busy with this change") from None
        raise AssertionError("unreachable: the loop returns or raises")

    async def database_time(self) -> float | None:
        """See ``Store.database_time``."""
        return await self._with_connection(_time, None)

    def on_change(self, callback: Callable[[], None]) -> None:
        """See ``Store.on_change``."""
        self._callbacks.append(callback)

    async def close(self) -> None:
        """See ``Store.close``."""
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening
        self._is_closing = True
        while self._ready:
            await self._pool.release(self._ready.pop()[0])
        try:
            await asyncio.wait_for(self._pool.close(), STATEMENT_SECONDS)
        except TimeoutError:
            self._pool.terminate()

    async def _with_connection(self, work: Callable[[Any, Any], Awaitable[Any]], given: Any) -> Any:
        """Do this work on a connection. Raises ``Unavailable`` while the database is away, and reconnects by itself."""
        try:
            connection = await self._take()
            try:
                done = await work(connection, given)
            except BaseException:
                await self._pool.release(connection)  # which looks at what state it is in
                raise
            await self._put_back(connection)
        except AWAY as error:
            raise Unavailable(f"the database is away: {type(error).__name__}") from error
        return done

    async def _take(self) -> Any:
        """The connection that was used last and lies ready, or one of the pool's: its way in and out makes two tasks,
        which cost more than most statements.
        """
        while self._ready:
            connection, since = self._ready.pop()
            if asyncio.get_running_loop().time() - since < READY_SECONDS and not connection.is_closed():
                return connection
            connection.terminate()
            await self._pool.release(connection)
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many operations are waiting for the database")
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=CONNECT_SECONDS)
        finally:
            self._waiting -= 1

    async def _put_back(self, connection: Any) -> None:
        """Keep it ready, unless somebody waits for it at the pool."""
        if self._waiting or self._is_closing or connection.is_closed() or connection.is_in_transaction():
            await self._pool.release(connection)
        else:
            self._ready.append((connection, asyncio.get_running_loop().time()))

    def _changed(self) -> None:
        for callback in self._callbacks:
            callback()

    async def _listen(self) -> None:
        """Be woken by other nodes' commits, on a connection of its own; the poll is the floor while it is lost."""
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=CONNECT_SECONDS)
                try:
                    await self._hear(connection)
                finally:
                    if not connection.is_closed():
                        await connection.close(timeout=1)
            except (*AWAY, asyncpg.PostgresError) as error:
                log.warning("listener.lost", reason=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear(self, connection: Any) -> None:
        """Pass on what this connection hears, until it is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, lambda *_: self._changed())
        self._changed()  # what was committed while nobody listened
        await lost.wait()


async def _change(connection: Any, steps: Operation[Any]) -> tuple[Any, Collected]:
    """Run an operation to its end in a transaction, the feed last."""
    async with connection.transaction():
        value, collected = await _drive(connection, steps, _fetch)
        for ending in collected.endings():
            await _drive(connection, ending, _fetch)
        if collected.changes:
            await _feed(connection, collected.changes)
    return value, collected


async def _look(connection: Any, steps: Operation[Any]) -> tuple[Any, Collected]:
    """Run an operation that changes nothing to its end."""
    return await _drive(connection, steps, _select)


async def _time(connection: Any, _: None) -> float:
    return await connection.fetchval("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)")


async def _drive(connection: Any, steps: Operation[Any], answer: Answer) -> tuple[Any, Collected]:
    """Run an operation to its end, one statement after another."""
    collected = Collected()
    rows: list[Row] = []
    try:
        step = next(steps)
        while True:
            if isinstance(step, (Statement, Repeated)):
                rows = await answer(connection, step)
            else:
                collected.take(step)
                rows = []
            step = steps.send(rows)
    except StopIteration as stop:
        return stop.value, collected


async def _select(connection: Any, statement: Statement | Repeated) -> list[Row]:
    # Without a transaction there is none to be read-only; both databases share no other statement that only reads.
    if isinstance(statement, Repeated) or not statement.sql.startswith("SELECT "):
        raise AssertionError(
            f"an operation that is read is read-only, and this statement may change something: {statement.sql}"
        )
    return await _fetch(connection, statement)


async def _fetch(connection: Any, statement: Statement | Repeated) -> list[Row]:
    sql, names = numbered(statement.sql)
    if isinstance(statement, Repeated):
        check_rows(statement.rows)
        await connection.executemany(sql, [tuple(row[name] for name in names) for row in statement.rows])
        return []
    check_values(statement.values)
    return [dict(row) for row in await connection.fetch(sql, *(statement.values[name] for name in names))]


async def _feed(connection: Any, changes: list[Change]) -> None:
    """The row's lock makes the order of numbers the order of commits; NOTIFY goes out with the commit."""
    seq = (await _fetch(connection, ADVANCE_FEED))[0]["seq"]
    assert isinstance(seq, int)  # a BIGINT
    for statement in feed_statements(seq, changes):
        _ = await _fetch(connection, statement)
    await connection.execute(f"NOTIFY {CHANNEL}")


async def _migrate(connection: Any) -> None:
    known = migrations.all_migrations()
    async with connection.transaction():
        # Of two nodes that start at once one applies, the other waits here and finds it done.
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        await connection.execute(migrations.RECEIPTS)
        applied = [tuple(row.values()) for row in await connection.fetch(migrations.APPLIED)]
        for migration in migrations.missing(applied, known):
            for statement in migration.statements:
                await connection.execute(re.sub(r"\bBLOB\b", "BYTEA", statement))
            await connection.execute(
                "INSERT INTO schema_version (version, name, digest) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.digest,
            )
