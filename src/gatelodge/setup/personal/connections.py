"""My Connections: the apps that one lets act, what each may do, and taking it back."""

from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from gatelodge.core import authorizations, connections, mcp_servers, upstream_grants
from gatelodge.core.apps import registry
from gatelodge.core.connections import Shown
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.scopes import described
from gatelodge.core.upstream_grants import Grant
from gatelodge.setup.frame import Visit
from gatelodge.setup.personal import upstreams
from gatelodge.web import moments
from gatelodge.web.errors import BadRequest
from gatelodge.words import _


async def show(visit: Visit) -> Response:
    """What one allowed, and one's own accounts at upstreams."""
    store, org, user_id = visit.site.store, visit.org, visit.session.user.id
    accounts = await store.read(upstream_grants.of_user, org.id, user_id)
    by_id = {server.id: server for server in await store.read(mcp_servers.of_org, org.id)}
    return visit.page(
        "personal/connections.html",
        title=_("My Connections"),
        rows=await rows_of(visit, user_id),
        accounts=[_account(each, by_id[each.server_id]) for each in accounts if each.server_id in by_id],
    )


async def rows_of(visit: Visit, user_id: str) -> list[dict[str, Any]]:
    """What a user allowed, app by app, with the connections under it."""
    store, org = visit.site.store, visit.org
    allowed = await store.read(authorizations.of_user, org.id, user_id)
    begun = await store.read(connections.of_user, org.id, user_id)
    servers = await store.read(mcp_servers.of_org, org.id)
    labels = {mcp_servers.resource(org, server.name): server.label for server in servers}
    rows = []
    for each in allowed:
        app = await store.read(registry.find, org.id, each.app_id)
        under = [row for row in begun if row.authorization_id == each.id]
        rows.append(
            {
                "id": each.id,
                "name": app.settings.label if app else _("An app that was removed"),
                "scopes": [_(described(name, org.custom_scopes).label) for name in each.scopes],
                "servers": [labels.get(url, url) for url in each.resources if url != org.issuer],
                "since": moments.in_full(each.created_at),
                "since_at": each.created_at,
                "used": moments.in_full(_used(each.created_at, under)),
                "used_at": _used(each.created_at, under),
                "connections": [_connection(row, labels) for row in under],
            }
        )
    return rows


async def change(visit: Visit) -> Response:
    """Revoke an app with everything under it, or end one connection: everywhere, within a second."""
    store, org_id, user_id, now = visit.site.store, visit.org.id, visit.session.user.id, visit.site.clock.now()
    match visit.field("act"):
        case "revoke":
            was_there = await store.run(authorizations.end_own, org_id, user_id, visit.field("id"), now)
        case "end":
            was_there = await store.run(connections.end_own, org_id, user_id, visit.field("id"), now)
        case "disconnect":
            was_there = await upstreams.disconnect(visit, visit.field("id"))
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with connections").format(other=other))
    if not was_there:
        raise BadRequest(_("you have no such connection; it may have ended already"), 404)
    return visit.go("/setup/connections")


def _used(since: int, under: list[Shown]) -> int:
    return max((row.used_at for row in under), default=since)


def _account(held: Grant, server: McpServer) -> dict[str, Any]:
    return {
        "id": server.id,
        "server": server.label,
        "host": urlsplit(held.place.url).netloc,
        "since": held.created_at,
        "refreshed": held.refreshed_at,
    }


def _connection(row: Shown, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "server": labels.get(row.resource, row.resource),
        "since": moments.in_full(row.created_at),
        "since_at": row.created_at,
        "used": moments.in_full(row.used_at),
        "used_at": row.used_at,
    }
