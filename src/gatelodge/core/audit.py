"""What is written down: who did what to which record. Each event's tag reads source:subject:action.

An event is written with the change that it tells of, in one transaction, and chained to the one before it (decision
0039). The chain's head is taken at the transaction's end, after every other row but the feed's.
"""

import itertools
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from gatelodge.core import chains
from gatelodge.core.operation import BATCH, Operation, Value, defer, execute, many, one

T = TypeVar("T")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. ``at`` is epoch milliseconds; ``actor`` a user's id or "the command line"; ``subject`` the record;
    ``details`` JSON text that holds no secret; ``kind`` is the tag's first word.
    """

    org_id: str
    at: int
    actor: str
    tag: str
    subject: str
    details: str
    kind: str


class Recorded(Event, frozen=True, kw_only=True):
    """An event as its row keeps it; ``hash`` is "" for one of before there was a chain."""

    seq: int
    hash: str

    def told(self) -> dict[str, Any]:
        """The details, read."""
        return msgspec.json.decode(self.details, type=dict[str, Any])


COLUMNS = "org_id, seq, at, actor, tag, subject, details, kind, hash"


def record(org_id: str, now_ms: int, actor: str, tag: str, subject: str, details: dict[str, object]) -> Operation[None]:
    """Write an event beside the change it tells of, in the same transaction. ``details`` never hold a secret."""
    event = Event(
        org_id=org_id,
        at=now_ms,
        actor=actor,
        tag=tag,
        subject=subject,
        details=msgspec.json.encode(details).decode(),
        kind=tag.partition(":")[0],
    )
    yield from defer(write, event)


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """What a change made of what, by field: ``{"label": {"from": "Old", "to": "New"}}``."""
    return {
        name: {"from": before.get(name), "to": after.get(name)}
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    }


def beside(
    work: Operation[T], org_id: str, now_ms: int, actor: str, tag: str, subject: str, **details: object
) -> Operation[T]:
    """An operation with its event, for one that knows nobody who does it. One that changes nothing (False) has none."""
    done: T = yield from work
    is_nothing: object = done
    if is_nothing is not False:
        yield from record(org_id, now_ms, actor, tag, subject, details)
    return done


def write(events: list[Event]) -> Operation[None]:
    """Add a transaction's events to the chains of their orgs, in the order of orgs."""
    for org_id in sorted({event.org_id for event in events}):
        head = yield from chains.take(org_id, chains.AUDIT)
        seq, link = head.seq, head.hash
        for event in events:
            if event.org_id == org_id:
                seq += 1
                link = chains.link(link, linked(event, seq))
                yield from execute(
                    f"INSERT INTO audit_events ({COLUMNS}) VALUES"
                    " (:org_id, :seq, :at, :actor, :tag, :subject, :details, :kind, :hash)",
                    seq=seq,
                    hash=link,
                    **msgspec.structs.asdict(event),
                )
        yield from chains.move(head, seq, link)


def linked(event: Event, seq: int) -> tuple[Value, ...]:
    """What an event's hash is made of, in its order."""
    return (seq, event.org_id, event.at, event.actor, event.tag, event.subject, event.details)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: by who did it, of which kind, about which record, and between which times (epoch ms). "", () and 0
    ask for all. ``actors`` are the names that one person goes by: their id, and their username where Setup wrote that.
    """

    actors: tuple[str, ...] = ()
    kind: str = ""
    subject: str = ""
    since: int = 0
    until: int = 0


def page(org_id: str, asked: Filter, *, before: int = 0, limit: int) -> Operation[list[Recorded]]:
    """Events of an org, the newest first; ``before``: the number of the last one of the page before, 0: the first."""
    found: list[Recorded] = []
    for actor in asked.actors or ("",):  # each by its index; together they would be sorted
        found += yield from _page(org_id, asked, actor, before=before, limit=limit)
    return sorted(found, key=lambda each: -each.seq)[:limit]


def _page(org_id: str, asked: Filter, actor: str, *, before: int, limit: int) -> Operation[list[Recorded]]:
    of: dict[str, Value] = {"actor": actor, "kind": asked.kind, "subject": asked.subject}
    named = {name: value for name, value in of.items() if value}
    where = "".join(f" AND {name} = :{name}" for name in named)
    if asked.since:
        where, named = f"{where} AND at >= :since", {**named, "since": asked.since}
    if asked.until:
        where, named = f"{where} AND at < :until", {**named, "until": asked.until}
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM audit_events WHERE org_id = :org_id{where} AND seq < :before"
            " ORDER BY org_id DESC, seq DESC LIMIT :limit",
            Recorded,
            org_id=org_id,
            before=before or 1 << 62,
            limit=limit,
            **named,
        )
    )


def after(org_id: str, seq: int, limit: int = BATCH) -> Operation[list[Recorded]]:
    """Events of an org in their order, from the one after ``seq``."""
    sql = f"SELECT {COLUMNS} FROM audit_events WHERE org_id = :org_id AND seq > :seq ORDER BY seq LIMIT :limit"
    return (yield from many(sql, Recorded, org_id=org_id, seq=seq, limit=limit))


def check(walk: chains.Check, org_id: str) -> Operation[bool]:
    """Take a walk along the org's chain one batch further. True: there may be more."""
    found = yield from after(org_id, walk.seq)
    for each in found:
        if each.seq > walk.until:
            return False
        walk.add(each.seq, each.hash, linked(each, each.seq))
        if each.kind != each.tag.partition(":")[0]:
            walk.found(f"row {each.seq} of the audit stands under {each.kind!r:.40} and is a {each.tag!r:.60}")
    return len(found) == BATCH


def purge(org_id: str, before: int) -> Operation[tuple[int, int, str]]:
    """Remove a batch of the events before this time (epoch ms). How many went, the number of the last and its hash:
    where the chain begins from now on.
    """
    head = yield from chains.take(org_id, chains.AUDIT)
    kept = yield from after(org_id, 0)
    old = list(itertools.takewhile(lambda each: each.at < before, kept))
    if not old:
        return 0, head.first_seq, head.first_hash
    last = old[-1]
    yield from execute("DELETE FROM audit_events WHERE org_id = :org_id AND seq <= :seq", org_id=org_id, seq=last.seq)
    if last.seq > head.first_seq:
        yield from chains.cut(head, last.seq, last.hash)
    return len(old), last.seq, last.hash


def newest(org_id: str, tag: str, subject: str) -> Operation[Recorded | None]:
    """The last event with this tag about this record."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM audit_events WHERE org_id = :org_id AND subject = :subject AND tag = :tag"
            " ORDER BY seq DESC LIMIT 1",
            Recorded,
            org_id=org_id,
            subject=subject,
            tag=tag,
        )
    )
