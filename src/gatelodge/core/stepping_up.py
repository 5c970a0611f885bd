"""What a connection may do grows: its user allows more scopes, on the connection and on the authorization above it."""

from collections.abc import Sequence

from gatelodge.core import audit, authorizations, connections
from gatelodge.core.connections import Connection
from gatelodge.core.operation import Operation


def allow(held: Connection, scopes: Sequence[str], *, now_ms: int) -> Operation[bool]:
    """The connection's user allows these scopes too. False: it has ended meanwhile. The next refresh brings them."""
    now = now_ms // 1000
    widened = yield from connections.widen(held.org_id, held.id, tuple(dict.fromkeys((*held.scopes, *scopes))))
    if not widened:
        return False
    _ = yield from authorizations.consent(
        id=held.authorization_id,
        org_id=held.org_id,
        user_id=held.user_id,
        app_id=held.app_id,
        scopes=tuple(scopes),
        resource=held.resource,
        now=now,
    )
    said: dict[str, object] = {"scopes": list(scopes), "app": held.app_id}
    yield from audit.record(held.org_id, now_ms, held.user_id, "connection:scopes:allow", held.id, said)
    return True
