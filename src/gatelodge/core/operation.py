"""Rows live with rules: an operation is a generator that yields statements and is sent rows (decision 0001).

An operation does no I/O, so it composes with ``yield from``, reads top to bottom as the rule it is, and can be
started again by the store after a deadlock. This is the only module with a bare ``yield``.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

Value: TypeAlias = str | int | bytes | None
Row: TypeAlias = dict[str, Value]


class Statement(msgspec.Struct, frozen=True):
    """One SQL text in the subset that both databases share (decision 0002), with its ``:named`` values."""

    sql: str
    values: dict[str, Value]


class Repeated(msgspec.Struct, frozen=True):
    """One SQL text that is run for each of these rows of values, in their order: it is read once for all of them."""

    sql: str
    rows: list[dict[str, Value]]


class Change(msgspec.Struct, frozen=True):
    """Something that every node must see: the store writes it to the feed as the transaction's last statement.

    ``kind`` names what changed ("client", "connection", "authorization", "org", ...) and ``key`` which one.
    """

    org_id: str
    kind: str
    key: str


class Deferred(msgspec.Struct, frozen=True):
    """What is written at the end of the transaction, before the feed: ``write`` is given all that was deferred for it.

    Rows that every transaction of an org takes are taken last, so that nobody waits in a ring for them.
    """

    write: "Callable[[list[Any]], Operation[None]]"
    given: Any


Operation: TypeAlias = Generator[Statement | Repeated | Change | Deferred, list[Row], T]


def one(sql: str, make: Callable[..., T], /, **values: Value) -> Operation[T | None]:
    """The only row of the answer, made by ``make(**columns)``, or None."""
    rows = yield Statement(sql, values)
    if len(rows) > 1:
        raise AssertionError(f"expected at most one row, got {len(rows)}: {sql}")
    return make(**rows[0]) if rows else None


def many(sql: str, make: Callable[..., T], /, *, limit: int, **values: Value) -> Operation[list[T]]:
    """The rows of the answer, at most ``limit``: the text must end in ``LIMIT :limit``."""
    values["limit"] = limit
    rows = yield Statement(sql, values)
    return [make(**row) for row in rows]


def execute(sql: str, /, **values: Value) -> Operation[None]:
    """A statement whose answer does not matter."""
    yield Statement(sql, values)


def execute_each(sql: str, rows: list[dict[str, Value]]) -> Operation[None]:
    """A statement that is run for each of these rows of values, and whose answers do not matter."""
    yield Repeated(sql, rows)


BATCH = 1000
"""Rows that one cleaning transaction takes at most, so that nobody waits long behind it."""


def remove_some(sql: str, /, **values: Value) -> Operation[bool]:
    """A DELETE of the first ``:limit`` rows that ends in RETURNING. True: there may be more of them."""
    values["limit"] = BATCH
    rows = yield Statement(sql, values)
    return len(rows) == BATCH


def announce(org_id: str, kind: str, key: str) -> Operation[None]:
    """Tell every node, with this transaction, that ``key`` of ``kind`` changed (architecture: the feed)."""
    yield Change(org_id, kind, key)


def defer(write: "Callable[[list[Any]], Operation[None]]", given: Any) -> Operation[None]:
    """Have ``write`` called with this, and all else that was deferred for it, at the end of the transaction."""
    yield Deferred(write, given)


def number(n: int) -> int:
    """For ``one(..., number)`` on a statement whose single column is named ``n``."""
    return n


def text(value: str) -> str:
    """For ``one(..., text)`` on a statement whose single column is named ``value``."""
    return value
