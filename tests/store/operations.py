"""Small operations that the tests of the store run, on a table of the house."""

import contextlib
from collections.abc import AsyncIterator

from gatelodge.core import orgs, secrets
from gatelodge.core.errors import Denied, Refused
from gatelodge.core.ids import ORG
from gatelodge.core.operation import Operation, announce, execute, many, one, text
from gatelodge.store import Store, open_store
from gatelodge.store.opening import is_postgres


@contextlib.asynccontextmanager
async def opened(database: str) -> AsyncIterator[Store]:
    store = await open_store(database)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def two_nodes(database: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two nodes on PostgreSQL. A SQLite file is one process's, so there both are one."""
    async with opened(database) as one:
        if is_postgres(database):
            async with opened(database) as two:
                yield one, two
        else:
            yield one, one


def add(name: str) -> Operation[None]:
    """An org, with the change that tells nodes of it."""
    made = orgs.make("http://localhost")(
        id=secrets.new_id(ORG),
        name=name,
        label=name,
        kind=orgs.PRODUCTION,
        refresh_window=30,
        trusted_ranges="",
        preferences="{}",
        app_rules="{}",
        custom_scopes="[]",
    )
    yield from orgs.create(made, 1)


def add_then_raise(name: str) -> Operation[None]:
    yield from add(name)
    raise Refused("after the fact")


def add_then_return(name: str) -> Operation[Denied]:
    yield from add(name)
    return Denied("invalid_grant", "and the mark stays")


def label(name: str, value: str | int) -> Operation[None]:
    yield from execute("UPDATE orgs SET label = :value WHERE name = :name", name=name, value=value)


def label_of(name: str) -> Operation[str | None]:
    return (yield from one("SELECT label AS value FROM orgs WHERE name = :name", text, name=name))


def names() -> Operation[list[str]]:
    return (yield from many("SELECT name AS value FROM orgs ORDER BY name LIMIT :limit", text, limit=10_000))


def everything() -> Operation[int]:
    """How many orgs there are, by a statement whose columns a migration may change."""
    return len((yield from many("SELECT * FROM orgs LIMIT :limit", dict, limit=10)))


def shout(key: str) -> Operation[None]:
    """Nothing but a change."""
    yield from announce("00D", "test", key)


def raw(sql: str, **values: str | int) -> Operation[None]:
    yield from execute(sql, **values)
