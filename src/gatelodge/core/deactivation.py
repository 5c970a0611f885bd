"""A user leaves: nobody signs in as them any more, and everything that works in their name stops."""

from gatelodge.core import audit, sessions, users
from gatelodge.core.operation import Operation


def deactivate(org_id: str, user_id: str, *, actor: str, now_ms: int) -> Operation[None]:
    """Nobody signs in as this user, their sessions end at once, and their tokens are refused on every node."""
    yield from users.set_active(org_id, user_id, is_active=False)
    yield from sessions.end_all(org_id, user_id)
    yield from audit.record(org_id, now_ms, actor, "user:account:deactivate", user_id, {})


def activate(org_id: str, user_id: str, *, actor: str, now_ms: int) -> Operation[None]:
    """The user may sign in again."""
    yield from users.set_active(org_id, user_id, is_active=True)
    yield from audit.record(org_id, now_ms, actor, "user:account:activate", user_id, {})
