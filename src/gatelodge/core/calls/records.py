"""One row for each call of an MCP client, chained by org (decision 0039), written many at once.

A call that writes is noted in ``begun_calls`` before it is made and leaves that table with its row, so that a node that
dies in between leaves word of it (decision 0040).
"""

import itertools
from functools import lru_cache

import msgspec

from gatelodge.core import chains
from gatelodge.core.calls import counts
from gatelodge.core.operation import BATCH, Operation, Value, execute, many, number, one

OUTCOMES = (
    "ok", "tool_error", "refused", "needs_approval", "needs_scope", "upstream_error", "timeout", "cancelled",
    "too_large", "error", "unknown",
)  # fmt: skip
"""How a call ended. "unknown": its node died before it could say so."""
UNKNOWN = "unknown"
NO_ERRORS = ("ok", "needs_approval", "needs_scope", "cancelled")
LOST_BY_CRASH = 100
"""Milliseconds before a crash whose reading calls may be missing."""
SIZES = (8, 1)
"""Rows of one statement: SQLite looks for each name among all of a statement, so that more cost more."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call. ``at`` is its beginning in epoch milliseconds, ``duration_us`` in microseconds, sizes in bytes;
    ``name`` is that of the tool or prompt, or the URI of the resource; ``status`` that of the HTTP answer.

    ``arguments`` is JSON text where the server records it, and ``arguments_digest`` stands for them where it doesn't.
    """

    org_id: str
    at: int
    app_id: str
    client_id: str
    user_id: str
    connection_id: str
    server: str
    method: str
    name: str = ""
    outcome: str = UNKNOWN
    status: int = 0
    duration_us: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    rows: int = 0
    approval_id: str = ""
    trace_id: str = ""
    arguments_digest: str = ""
    arguments: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it ended other than its client hoped; questions that were asked back are none."""
        return self.outcome not in NO_ERRORS


class Recorded(Call, frozen=True, kw_only=True):
    """A call as its row keeps it: its place in the org's chain, and its hash."""

    seq: int
    hash: str


class Batch(msgspec.Struct):
    """What a node has to write of one org: calls in their order, the ids of those that were begun, and sign-ins by
    ``(app_id, hour)``.
    """

    calls: list[Call] = []
    begun: list[str] = []
    sign_ins: dict[tuple[str, int], int] = {}


FIELDS = ("seq", *(name for name in Call.__struct_fields__ if name != "org_id"), "hash")
COLUMNS = ", ".join(("org_id", *FIELDS))
WIDTH = len(Call.__struct_fields__)


def linked(call: Call, seq: int) -> tuple[Value, ...]:
    """What a call's hash is made of: its number, its org, and its other fields in their order."""
    return (seq, *msgspec.structs.astuple(call)[:WIDTH])


@lru_cache
def inserting(rows: int) -> tuple[str, tuple[str, ...]]:
    """The statement that inserts so many rows, and the names of its values in order."""
    names = tuple(f"{name}_{n}" for n in range(rows) for name in FIELDS)
    width = len(FIELDS)
    tuples = (
        "(:org_id, " + ", ".join(f":{name}" for name in names[n * width : n * width + width]) + ")" for n in range(rows)
    )
    return f"INSERT INTO calls ({COLUMNS}) VALUES {', '.join(tuples)}", names


def write(org_id: str, batch: Batch) -> Operation[None]:
    """Add these calls to the org's chain and to its counters, in one transaction."""
    if batch.calls:
        head = yield from chains.take(org_id, chains.CALLS)
        rows: list[Value] = []
        seq, link = head.seq, head.hash
        for call in batch.calls:
            seq += 1
            columns = linked(call, seq)
            link = chains.link(link, columns)
            rows += (seq, *columns[2:], link)
        yield from _insert(org_id, rows)
        yield from chains.move(head, seq, link)
    yield from counts.add(org_id, batch.calls, batch.sign_ins)
    for begun in batch.begun:
        yield from execute("DELETE FROM begun_calls WHERE id = :id AND org_id = :org_id", id=begun, org_id=org_id)


def _insert(org_id: str, values: list[Value]) -> Operation[None]:
    width, done = len(FIELDS), 0
    for size in SIZES:
        sql, names = inserting(size)
        step = size * width
        while len(values) - done >= step:
            yield from execute(sql, org_id=org_id, **dict(zip(names, values[done : done + step], strict=True)))
            done += step


def begin(id: str, node_id: str, call: Call) -> Operation[None]:
    """Keep that this call is about to be made: how it ends is unknown until its row says so."""
    yield from execute(
        "INSERT INTO begun_calls (id, org_id, node_id, document) VALUES (:id, :org_id, :node_id, :document)",
        id=id,
        org_id=call.org_id,
        node_id=node_id,
        document=msgspec.json.encode(msgspec.structs.replace(call, outcome=UNKNOWN)).decode(),
    )


def leftover(node_id: str) -> Operation[list[Call]]:
    """A batch of the calls that this node began and never told the end of, taken away by exactly one caller."""
    return (
        yield from many(
            "DELETE FROM begun_calls WHERE id IN (SELECT id FROM begun_calls WHERE node_id = :node_id ORDER BY id"
            " LIMIT :limit) RETURNING document",
            _begun,
            node_id=node_id,
            limit=BATCH,
        )
    )


def _begun(document: str) -> Call:
    return msgspec.json.decode(document, type=Call)


def page(
    org_id: str, *, before: int = 0, limit: int, app_id: str = "", server: str = "", user_id: str = ""
) -> Operation[list[Recorded]]:
    """Calls of an org, of one app, of one server or of one user, the newest first; ``before``: the number of the last
    one of the page before, 0 for the first page.
    """
    of = {"app_id": app_id, "server": server, "user_id": user_id}
    named = {name: value for name, value in of.items() if value}
    where = "".join(f" AND {name} = :{name}" for name in named)
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM calls WHERE org_id = :org_id{where} AND seq < :before"
            " ORDER BY org_id DESC, seq DESC LIMIT :limit",
            Recorded,
            org_id=org_id,
            before=before or 1 << 62,
            limit=limit,
            **named,
        )
    )


def after(org_id: str, seq: int, limit: int = BATCH) -> Operation[list[Recorded]]:
    """Calls of an org in their order, from the one after ``seq``."""
    sql = f"SELECT {COLUMNS} FROM calls WHERE org_id = :org_id AND seq > :seq ORDER BY seq LIMIT :limit"
    return (yield from many(sql, Recorded, org_id=org_id, seq=seq, limit=limit))


def check(walk: chains.Check, org_id: str) -> Operation[bool]:
    """Take a walk along the org's chain one batch further. True: there may be more."""
    found = yield from after(org_id, walk.seq)
    for each in found:
        if each.seq > walk.until:
            return False
        walk.add(each.seq, each.hash, linked(each, each.seq))
    return len(found) == BATCH


def purge(org_id: str, before: int) -> Operation[tuple[int, int, str]]:
    """Remove a batch of the calls before this time (epoch ms). How many went, the number of the last and its hash:
    where the chain begins from now on.
    """
    head = yield from chains.take(org_id, chains.CALLS)
    kept = yield from after(org_id, head.first_seq)
    old = list(itertools.takewhile(lambda each: each.at < before, kept))
    if not old:
        return 0, head.first_seq, head.first_hash
    last = old[-1]
    yield from execute("DELETE FROM calls WHERE org_id = :org_id AND seq <= :seq", org_id=org_id, seq=last.seq)
    yield from chains.cut(head, last.seq, last.hash)
    return len(old), last.seq, last.hash


def count(org_id: str) -> Operation[int]:
    """How many calls of the org are kept."""
    sql = "SELECT COUNT(*) AS n FROM calls WHERE org_id = :org_id"
    return (yield from one(sql, number, org_id=org_id)) or 0
