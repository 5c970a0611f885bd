"""How both databases drive an operation: send it its rows, collect what it announces, check what it says."""

from collections.abc import Callable, Generator
from typing import Any, cast

import msgspec

from gatelodge.core.operation import Change, Deferred, Operation, Repeated, Row, Statement, Value

ADVANCE_FEED = Statement("UPDATE feed SET seq = seq + 1 WHERE id = 1 RETURNING seq", {})
INSERT_CHANGE = "INSERT INTO changes (seq, position, org_id, kind, key) VALUES (:seq, :position, :org_id, :kind, :key)"
SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""Of a BIGINT. Not a range: whether it holds a number of a class of its own (HTTPStatus) is found out by counting."""


def check_values(values: dict[str, Value]) -> None:
    """The two databases disagree on these values, so neither is shown them (the web refuses them earlier).

    Raises ``ValueError``.
    """
    for name, value in values.items():
        if isinstance(value, str):
            if "\x00" in value:
                raise ValueError(f"the value {name!r} contains the character NUL")
            if not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise ValueError(f"the value {name!r} contains half a surrogate pair") from None
        elif isinstance(value, int) and not SMALLEST <= value <= LARGEST:
            raise ValueError(f"the value {name!r} is larger than a BIGINT")


def check_rows(rows: list[dict[str, Value]]) -> None:
    """The same for many rows, which are looked at one by one only where something in them is out of the ordinary.

    Raises ``ValueError``.
    """
    values = [value for row in rows for value in row.values()]
    texts = "".join([value for value in values if isinstance(value, str)])
    numbers = [value for value in values if isinstance(value, int)]
    if not texts.isascii() or "\x00" in texts or (numbers and (min(numbers) < SMALLEST or max(numbers) > LARGEST)):
        for row in rows:
            check_values(row)


class Collected(msgspec.Struct):
    """What an operation leaves for the end of its transaction: what it deferred, by who writes it, and its changes."""

    deferred: dict[Callable[[list[Any]], Operation[None]], list[Any]] = {}
    changes: list[Change] = []

    def take(self, step: Change | Deferred) -> None:
        """Keep one."""
        if isinstance(step, Change):
            self.changes.append(step)
        else:
            self.deferred.setdefault(step.write, []).append(step.given)

    def endings(self) -> list[Operation[None]]:
        """What is to be run before the feed is written."""
        return [write(given) for write, given in self.deferred.items()]


def refuse_changes(collected: Collected) -> None:
    """A reading operation has nothing to announce and nothing to write down: it would never reach a row.

    Raises ``AssertionError``: the caller meant ``run``.
    """
    if collected.changes or collected.deferred:
        what = repr(collected.changes[0].kind) if collected.changes else "what it writes down"
        raise AssertionError(f"an operation that announces {what} must be run, not read")


def feed_statements(seq: int, changes: list[Change]) -> list[Statement]:
    """What is written at the end of a transaction that nodes must see."""
    return [
        Statement(
            INSERT_CHANGE,
            {"seq": seq, "position": position, "org_id": change.org_id, "kind": change.kind, "key": change.key},
        )
        for position, change in enumerate(changes)
    ]


Answer = Callable[[Statement | Repeated], list[Row]]


def drive(
    steps: Generator[Statement | Repeated | Change | Deferred, list[Row], object], answer: Answer
) -> tuple[object, Collected]:
    """Run an operation to its end against a database that answers at once."""
    collected = Collected()
    rows: list[Row] = []
    try:
        step = next(steps)
        while True:
            if isinstance(step, (Statement, Repeated)):
                rows = answer(step)
            else:
                collected.take(step)
                rows = []
            step = steps.send(rows)
    except StopIteration as stop:
        return cast("object", stop.value), collected
