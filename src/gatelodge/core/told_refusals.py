"""What was told to people who were refused, kept for a day: whoever helps them opens it by the trace id they were given."""

import msgspec

from gatelodge.core.operation import Operation, execute, one, remove_some
from gatelodge.words import Reason, here

KEPT = 86_400
"""Seconds."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal as it was told. ``what`` happened, the value that was ``asked``, those ``allowed``, and the ``fix``;
    ``path`` is where, ``app_id`` and ``username`` whom it is about ("" for none). Never a secret.
    """

    code: str
    title: Reason | str
    what: Reason | str
    fix: Reason | str
    asked: str = ""
    allowed: tuple[str, ...] = ()
    path: str = ""
    app_id: str = ""
    username: str = ""

    def here(self) -> "Told":
        """The same in the reader's language, as far as its sentences were not made for another reader."""
        return msgspec.structs.replace(self, title=here(self.title), what=here(self.what), fix=here(self.fix))


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What stands under a trace id. ``at`` is in epoch seconds."""

    trace_id: str
    at: int
    told: Told


def trace(trace_id: str, at: int, told: str) -> Trace:
    """A ``Trace`` from its row."""
    return Trace(trace_id=trace_id, at=at, told=msgspec.json.decode(told, type=Told))


def keep(org_id: str, trace_id: str, told: Told, now: int) -> Operation[None]:
    """Write down what was told."""
    yield from execute(
        "INSERT INTO told_refusals (trace_id, org_id, code, at, expires_at, told)"
        " VALUES (:trace_id, :org_id, :code, :now, :expires_at, :told)",
        trace_id=trace_id,
        org_id=org_id,
        code=told.code,
        now=now,
        expires_at=now + KEPT,
        told=msgspec.json.encode(told).decode(),
    )


def find(org_id: str, trace_id: str, now: int) -> Operation[Trace | None]:
    """What stands under this trace id; another org's is not found."""
    return (
        yield from one(
            "SELECT trace_id, at, told FROM told_refusals"
            " WHERE org_id = :org_id AND trace_id = :trace_id AND expires_at > :now",
            trace,
            org_id=org_id,
            trace_id=trace_id,
            now=now,
        )
    )


def forget_old(now: int) -> Operation[bool]:
    """Remove some of those whose day is over. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM told_refusals WHERE trace_id IN (SELECT trace_id FROM told_refusals WHERE expires_at <= :now"
            " ORDER BY expires_at LIMIT :limit) RETURNING trace_id",
            now=now,
        )
    )
