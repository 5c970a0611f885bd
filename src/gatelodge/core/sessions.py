"""Browser sessions of signed-in people: a row holds the org, and the cookie's value is stored only as its digest."""

import msgspec

from gatelodge.core import users
from gatelodge.core.operation import Operation, execute, one

LIFETIME = 12 * 3600
"""Seconds from sign-in to the end of a session."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One signed-in browser. ``digest`` names the row; ``signed_in_at`` is OpenID's ``auth_time``."""

    digest: str
    user: users.User
    signed_in_at: int


class Row(msgspec.Struct, frozen=True):
    """A session as it is stored."""

    user_id: str
    signed_in_at: int


def begin(digest: str, *, org_id: str, user_id: str, now: int) -> Operation[None]:
    """A person signed in: a new row, so that nothing a stranger planted before becomes theirs (session fixation)."""
    yield from execute(
        "INSERT INTO sessions (digest, org_id, user_id, signed_in_at, expires_at)"
        " VALUES (:digest, :org_id, :user_id, :now, :expires_at)",
        digest=digest,
        org_id=org_id,
        user_id=user_id,
        now=now,
        expires_at=now + LIFETIME,
    )
    yield from execute("DELETE FROM sessions WHERE expires_at <= :now", now=now)


def find(org_id: str, digest: str, now: int) -> Operation[Session | None]:
    """The live session of an active user with this cookie; a cookie of another org finds nothing."""
    row = yield from one(
        "SELECT user_id, signed_in_at FROM sessions WHERE digest = :digest AND org_id = :org_id AND expires_at > :now",
        Row,
        digest=digest,
        org_id=org_id,
        now=now,
    )
    user = (yield from users.find(org_id, row.user_id)) if row else None
    if row is None or user is None or not user.is_active:
        return None
    return Session(digest=digest, user=user, signed_in_at=row.signed_in_at)


def end(org_id: str, digest: str) -> Operation[None]:
    """Sign this browser out."""
    yield from execute("DELETE FROM sessions WHERE org_id = :org_id AND digest = :digest", org_id=org_id, digest=digest)
