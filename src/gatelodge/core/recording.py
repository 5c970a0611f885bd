"""How an org writes down: for how long, and what goes on while it can't. And which nodes are recording now."""

import msgspec

from gatelodge.core import audit
from gatelodge.core.errors import Invalid
from gatelodge.core.operation import Operation, execute, many, one, text
from gatelodge.words import _

CALLS_DAYS = 90
AUDIT_DAYS = 400
MOST_DAYS = 3650
GONE_AFTER = 60
"""Seconds without a sign of life after which a recorder is taken for dead."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """An org's rules. ``reads_wait``: calls that only read are refused while they can't be written down, as those that
    write always are; else they go on, and what was lost is counted.
    """

    org_id: str
    calls_days: int = CALLS_DAYS
    audit_days: int = AUDIT_DAYS
    reads_wait: bool = True


def rules_of(org_id: str) -> Operation[Rules]:
    """The org's rules, those of the house where it has none of its own."""
    sql = "SELECT org_id, calls_days, audit_days, reads_wait FROM recording_rules WHERE org_id = :org_id"
    return (yield from one(sql, _rules, org_id=org_id)) or Rules(org_id=org_id)


def all_rules() -> Operation[list[Rules]]:
    """The rules of every org that has its own."""
    sql = "SELECT org_id, calls_days, audit_days, reads_wait FROM recording_rules ORDER BY org_id LIMIT :limit"
    return (yield from many(sql, _rules, limit=1000))


def _rules(*, reads_wait: int, **columns: object) -> Rules:
    return msgspec.convert({**columns, "reads_wait": bool(reads_wait)}, Rules)


def change_rules(changed: Rules, *, actor: str, now_ms: int) -> Operation[None]:
    """Set an org's rules. Raises ``Invalid``."""
    errors = {
        name: _("Write a whole number of days, 1 to {most_days}.").format(most_days=MOST_DAYS)
        for name in ("calls_days", "audit_days")
        if not 1 <= getattr(changed, name) <= MOST_DAYS
    }
    if errors:
        raise Invalid(errors)
    before = yield from rules_of(changed.org_id)
    yield from execute(
        "INSERT INTO recording_rules (org_id, calls_days, audit_days, reads_wait)"
        " VALUES (:org_id, :calls_days, :audit_days, :reads_wait) ON CONFLICT (org_id) DO UPDATE SET"
        " calls_days = excluded.calls_days, audit_days = excluded.audit_days, reads_wait = excluded.reads_wait",
        org_id=changed.org_id,
        calls_days=changed.calls_days,
        audit_days=changed.audit_days,
        reads_wait=int(changed.reads_wait),
    )
    said = audit.changes(msgspec.structs.asdict(before), msgspec.structs.asdict(changed))
    if said:
        yield from audit.record(changed.org_id, now_ms, actor, "org:recording:change", changed.org_id, said)


def begin(node_id: str, name: str, now: int) -> Operation[None]:
    """A node records calls from now on, or still does."""
    yield from execute(
        "INSERT INTO recorders (node_id, name, seen_at) VALUES (:node_id, :name, :now)"
        " ON CONFLICT (node_id) DO UPDATE SET seen_at = excluded.seen_at",
        node_id=node_id,
        name=name,
        now=now,
    )


def end(node_id: str) -> Operation[bool]:
    """A node that has written all, or whose loss was written, is no recorder any more. True for exactly one caller."""
    sql = "DELETE FROM recorders WHERE node_id = :node_id RETURNING node_id AS value"
    return (yield from one(sql, text, node_id=node_id)) is not None


class Recorder(msgspec.Struct, frozen=True):
    """A node that records calls."""

    node_id: str
    name: str
    seen_at: int


def gone(node_id: str, now: int, *, is_alone: bool) -> Operation[list[Recorder]]:
    """The recorders that ended without a word; ``is_alone``: this node has the database for itself, so all others."""
    return (
        yield from many(
            "SELECT node_id, name, seen_at FROM recorders WHERE node_id <> :node_id AND seen_at < :then"
            " ORDER BY node_id LIMIT :limit",
            Recorder,
            node_id=node_id,
            then=1 << 62 if is_alone else now - GONE_AFTER,
            limit=100,
        )
    )
