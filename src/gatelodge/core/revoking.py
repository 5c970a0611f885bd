"""Everything before a moment is revoked: what a restored backup brought back to life, or what an attacker may have."""

from gatelodge.core import (
    audit,
    authorizations,
    codes,
    connections,
    device_codes,
    password_links,
    pushed_requests,
    sessions,
    setup_links,
    upstream_grants,
)
from gatelodge.core.operation import Operation


def revoke_app(org_id: str, app_id: str, *, users: int, actor: str, now_ms: int) -> Operation[bool]:
    """End what everybody lets an app do, a page at a time; ``users``: how many they were. True: call again, there may be
    more; False: done, and written down.
    """
    if (yield from authorizations.end_of_app(org_id, app_id, now_ms // 1000)):
        return True
    yield from audit.record(org_id, now_ms, actor, "app:usage:revoke_all", app_id, {"users": users})
    return False


def revoke_before(org_id: str, before: int, *, actor: str, now_ms: int) -> Operation[bool]:
    """End what the org let in before this time (epoch seconds): sessions, waiting requests, codes, connections with
    their tokens, and what users agreed to with no later connection. A page at a time. True: call again, there may be
    more; False: done, and written down.
    """
    yield from sessions.end_before(org_id, before)
    yield from authorizations.drop_held(org_id, before)
    yield from pushed_requests.drop(org_id, before)
    yield from device_codes.drop(org_id, before)
    yield from setup_links.drop(org_id, before)
    yield from password_links.drop(org_id, before)
    yield from codes.drop_before(org_id, before)
    yield from upstream_grants.end_before(org_id, before)
    if (yield from connections.end_before(org_id, before, now_ms // 1000)):
        return True
    yield from audit.record(org_id, now_ms, actor, "org:access:revoke", org_id, {"before": before})
    return False
