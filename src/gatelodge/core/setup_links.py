"""One-time links to Setup: how a production org without an administrator gets its first one."""

from gatelodge.core.operation import Operation, execute, number, one, text

LIFETIME = 1800
"""Seconds that a link is good for."""


def create(org_id: str, digest: str, now: int) -> Operation[None]:
    """Keep a link; links whose time is over are removed."""
    yield from execute("DELETE FROM setup_links WHERE expires_at <= :now", now=now)
    yield from execute(
        "INSERT INTO setup_links (digest, org_id, expires_at) VALUES (:digest, :org_id, :expires_at)",
        digest=digest,
        org_id=org_id,
        expires_at=now + LIFETIME,
    )


def drop(org_id: str, before: int) -> Operation[None]:
    """Forget every link made before this time (epoch seconds)."""
    yield from execute(
        "DELETE FROM setup_links WHERE org_id = :org_id AND expires_at < :until",
        org_id=org_id,
        until=before + LIFETIME,
    )


def is_open(org_id: str, digest: str, now: int) -> Operation[bool]:
    """Whether this link still leads in; looking uses nothing up."""
    found = yield from one(
        "SELECT 1 AS n FROM setup_links WHERE org_id = :org_id AND digest = :digest AND used_at IS NULL"
        " AND expires_at > :now",
        number,
        org_id=org_id,
        digest=digest,
        now=now,
    )
    return found is not None


def use(org_id: str, digest: str, now: int) -> Operation[bool]:
    """Use the link up. True for exactly one caller."""
    used = yield from one(
        "UPDATE setup_links SET used_at = :now WHERE org_id = :org_id AND digest = :digest AND used_at IS NULL"
        " AND expires_at > :now RETURNING digest AS value",
        text,
        org_id=org_id,
        digest=digest,
        now=now,
    )
    return used is not None
