"""How both databases drive an operation: send it its rows, collect what it announces, check what it says."""

from collections.abc import Callable, Generator

from gatelodge.core.operation import Change, Row, Statement, Value

ADVANCE_FEED = Statement("UPDATE feed SET seq = seq + 1 WHERE id = 1 RETURNING seq", {})
INSERT_CHANGE = "INSERT INTO changes (seq, position, org_id, kind, key) VALUES (:seq, :position, :org_id, :kind, :key)"
BIGINT = range(-(2**63), 2**63)


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
        elif isinstance(value, int) and value not in BIGINT:
            raise ValueError(f"the value {name!r} is larger than a BIGINT")


def refuse_changes(changes: list[Change]) -> None:
    """A reading operation has nothing to announce: what it changed would never reach the feed.

    Raises ``AssertionError``: the caller meant ``run``.
    """
    if changes:
        raise AssertionError(f"an operation that announces {changes[0].kind!r} must be run, not read")


def feed_statements(seq: int, changes: list[Change]) -> list[Statement]:
    """What is written at the end of a transaction that nodes must see."""
    return [
        Statement(
            INSERT_CHANGE,
            {"seq": seq, "position": position, "org_id": change.org_id, "kind": change.kind, "key": change.key},
        )
        for position, change in enumerate(changes)
    ]


Answer = Callable[[Statement], list[Row]]


def drive(steps: Generator[Statement | Change, list[Row], object], answer: Answer) -> tuple[object, list[Change]]:
    """Run an operation to its end against a database that answers at once."""
    changes: list[Change] = []
    rows: list[Row] = []
    try:
        step = next(steps)
        while True:
            if isinstance(step, Change):
                changes.append(step)
                rows = []
            else:
                rows = answer(step)
            step = steps.send(rows)
    except StopIteration as stop:
        return stop.value, changes
