"""A user leaves: everything that works in their name ends in the same transaction, and stays ended if they return."""

from gatelodge.core import audit, codes, connections, device_codes, sessions, upstream_grants, users
from gatelodge.core.operation import Operation
from gatelodge.words import mark


def deactivate(org_id: str, user_id: str, *, actor: str, now_ms: int) -> Operation[None]:
    """Nobody signs in as this user, and their connections, codes and sessions end at once, on every node.

    What they agreed to is kept: it opens nothing by itself.
    """
    yield from users.set_active(org_id, user_id, is_active=False)
    ended = yield from _end_all(org_id, user_id, now_ms // 1000, mark("user deactivated"))
    yield from audit.record(org_id, now_ms, actor, "user:account:deactivate", user_id, {"connections": ended})


def activate(org_id: str, user_id: str, *, actor: str, now_ms: int) -> Operation[None]:
    """The user may sign in again. What ended stays ended."""
    yield from users.set_active(org_id, user_id, is_active=True)
    yield from audit.record(org_id, now_ms, actor, "user:account:activate", user_id, {})


def delete(org_id: str, user_id: str, *, actor: str, now_ms: int) -> Operation[bool]:
    """Remove a user for good. What was written down of them stays. False: the org has no such user."""
    ended = yield from _end_all(org_id, user_id, now_ms // 1000, mark("user deleted"))
    if not (yield from users.remove(org_id, user_id)):
        return False
    yield from audit.record(org_id, now_ms, actor, "user:account:delete", user_id, {"connections": ended})
    return True


def _end_all(org_id: str, user_id: str, now: int, why: str) -> Operation[int]:
    yield from sessions.end_all(org_id, user_id)
    yield from upstream_grants.end_all_of_user(org_id, user_id)
    yield from device_codes.drop_allowed_by(org_id, user_id)  # first: what a device fetches now is a connection below
    yield from codes.drop_of_user(org_id, user_id)
    return (yield from connections.end_all_of_user(org_id, user_id, now, why))
