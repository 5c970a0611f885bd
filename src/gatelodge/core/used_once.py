"""What may be shown once: the ``jti`` of client assertions, JWT bearer statements and DPoP proofs."""

from gatelodge.core.operation import Operation, one, remove_some, text

ASSERTION = "assertion"
DPOP = "dpop"


def use(org_id: str, kind: str, value: str, *, expires_at: int) -> Operation[bool]:
    """Use a value up until ``expires_at`` (epoch seconds), after which it is refused for its age anyway.

    True for exactly one caller. ``value`` is a digest of who made it and the jti, so that it is bounded.
    """
    fresh = yield from one(
        "INSERT INTO used_once (org_id, kind, value, expires_at) VALUES (:org_id, :kind, :value, :expires_at)"
        " ON CONFLICT (org_id, kind, value) DO NOTHING RETURNING value",
        text,
        org_id=org_id,
        kind=kind,
        value=value,
        expires_at=expires_at,
    )
    return fresh is not None


def forget_old(now: int) -> Operation[bool]:
    """Remove some of what is too old to be accepted again. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM used_once WHERE (org_id, kind, value) IN (SELECT org_id, kind, value FROM used_once"
            " WHERE expires_at < :now ORDER BY expires_at LIMIT :limit) RETURNING value",
            now=now,
        )
    )
