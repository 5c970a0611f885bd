"""One-time links by which a user sets a new password. An administrator makes one, and hands it over."""

from gatelodge.core import audit, sessions, users
from gatelodge.core.operation import Operation, execute, one, text

LIFETIME = 1800
"""Seconds that a link is good for."""


def create(org_id: str, user_id: str, digest: str, *, actor: str, now: int) -> Operation[None]:
    """Keep a link; the user's earlier ones, and those whose time is over, lead nowhere any more."""
    yield from execute(
        "DELETE FROM password_links WHERE (org_id = :org_id AND user_id = :user_id) OR expires_at <= :now",
        org_id=org_id,
        user_id=user_id,
        now=now,
    )
    yield from execute(
        "INSERT INTO password_links (digest, org_id, user_id, expires_at)"
        " VALUES (:digest, :org_id, :user_id, :expires_at)",
        digest=digest,
        org_id=org_id,
        user_id=user_id,
        expires_at=now + LIFETIME,
    )
    yield from audit.record(org_id, now * 1000, actor, "setup:password_link:create", user_id, {})


def find(org_id: str, digest: str, now: int) -> Operation[users.User | None]:
    """The active user whom this link leads to; looking uses nothing up."""
    user_id = yield from one(
        "SELECT user_id AS value FROM password_links WHERE org_id = :org_id AND digest = :digest AND used_at IS NULL"
        " AND expires_at > :now",
        text,
        org_id=org_id,
        digest=digest,
        now=now,
    )
    user = (yield from users.find(org_id, user_id)) if user_id else None
    return user if user is not None and user.is_active else None


def use(org_id: str, digest: str, password_hash: str, now: int) -> Operation[users.User | None]:
    """Use the link up: the new password counts and every session of the user ends, in one transaction.

    What apps were allowed stays. The user for exactly one caller, None for everybody else.
    """
    if (yield from find(org_id, digest, now)) is None:
        return None
    user_id = yield from one(
        "UPDATE password_links SET used_at = :now WHERE org_id = :org_id AND digest = :digest AND used_at IS NULL"
        " AND expires_at > :now RETURNING user_id AS value",
        text,
        org_id=org_id,
        digest=digest,
        now=now,
    )
    if user_id is None:
        return None
    yield from users.set_password(org_id, user_id, password_hash)
    yield from sessions.end_all(org_id, user_id)
    yield from audit.record(org_id, now * 1000, user_id, "user:password:reset", user_id, {})
    return (yield from users.find(org_id, user_id))


def forget(org_id: str, user_id: str) -> Operation[None]:
    """The user's links lead nowhere any more: their owner has chosen a password."""
    yield from execute(
        "DELETE FROM password_links WHERE org_id = :org_id AND user_id = :user_id", org_id=org_id, user_id=user_id
    )


def drop(org_id: str, before: int) -> Operation[None]:
    """Forget every link made before this time (epoch seconds)."""
    yield from execute(
        "DELETE FROM password_links WHERE org_id = :org_id AND expires_at < :until",
        org_id=org_id,
        until=before + LIFETIME,
    )
