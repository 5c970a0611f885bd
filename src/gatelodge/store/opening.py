"""What a store does for the rest of the house, and how one is opened."""

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from gatelodge.core.operation import Operation

P = ParamSpec("P")
T = TypeVar("T")


class StoreRefused(Exception):
    """The database can't be used: it is newer than the program, in use by another process, or was tampered with."""


class Store(Protocol):
    """Runs operations, each in one transaction: on SQLite or on PostgreSQL."""

    async def run(self, operation: Callable[P, Operation[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The operation's answer, once its transaction is durable. An exception of the operation undoes it.

        Raises ``Unavailable`` when the database is.
        """
        ...

    async def read(self, operation: Callable[P, Operation[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of an operation that changes nothing. Raises ``Unavailable`` when the database is."""
        ...

    async def database_time(self) -> float | None:
        """Epoch seconds on the database's clock; None when that is the node's own."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back on the event loop when the feed may have grown."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the database."""
        ...


def is_postgres(database: str) -> bool:
    """Whether this names a PostgreSQL database rather than a file."""
    return database.startswith(("postgresql://", "postgres://"))


async def open_store(database: str) -> Store:
    """Open the database, brought up to the program's schema. Raises ``StoreRefused``."""
    if is_postgres(database):
        from gatelodge.store.postgres import PostgresStore  # noqa: PLC0415 - asyncpg is loaded where it is used

        return await PostgresStore.open(database)
    from gatelodge.store.sqlite import SqliteStore  # noqa: PLC0415 - the same

    return SqliteStore.open(Path(database))
