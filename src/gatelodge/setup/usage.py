"""OAuth Usage: which apps act for how many users, and taking it back: one connection, one user, everybody, or the app."""

from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import authorizations, connections, mcp_servers, propagation, refresh, revoking, users
from gatelodge.core.apps import registry
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.permissions import EDIT_POLICIES
from gatelodge.setup.apps import app_page
from gatelodge.setup.frame import Visit
from gatelodge.setup.paging import A_PAGE, link, moment_of, query_of
from gatelodge.web.errors import BadRequest
from gatelodge.words import _

LONGEST_SHOWN = 80


async def show_list(visit: Visit) -> Response:
    """GET /setup/oauth-usage: a page of the org's apps by API Name, each with its users and connections."""
    query = query_of(visit)
    store, org_id = visit.site.store, visit.org.id
    found = await store.read(registry.in_order, org_id, after=query.get("after", ""), limit=A_PAGE + 1)
    apps = found[:A_PAGE]
    ids = tuple(each.id for each in apps)
    counts = await store.read(authorizations.count_by_app, org_id, ids)
    used = await store.read(connections.usage, org_id, ids)
    base = f"{visit.org.path}/setup/oauth-usage"
    return visit.page(
        "usage.html",
        title=_("OAuth Usage"),
        rows=[{"app": each, "users": counts.get(each.id, 0), "used": used.get(each.id)} for each in apps],
        next_page=link(base, {}, after=apps[-1].settings.api_name) if len(found) > A_PAGE else "",
        first_page=base if query.get("after") else "",
    )


async def show(visit: Visit, app: ExternalClientApp) -> Response:
    """GET /setup/apps/{app_id}/usage: who lets this app act, the newest first, with the connections of each."""
    return await _page(visit, app)


async def change(visit: Visit, app: ExternalClientApp) -> Response:
    """End one connection, what one user allowed, or what everybody did; block the app, or let it in again."""
    store, org_id, now = visit.site.store, visit.org.id, visit.site.clock.now()
    actor = visit.session.user.id
    match visit.field("act"):
        case "end":
            ended = await store.run(
                connections.end_by_administrator, org_id, visit.field("user"), visit.field("id"), actor=actor, now=now
            )
        case "revoke":
            ended = await store.run(
                authorizations.end_by_administrator,
                org_id,
                visit.field("user"),
                visit.field("id"),
                actor=actor,
                now=now,
            )
        case "revoke-all":
            return await _revoke_all(visit, app)
        case "block" | "unblock":
            return await _set_enabled(visit, app, is_enabled=visit.field("act") == "unblock")
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with an app's usage").format(other=other))
    if not ended:
        raise BadRequest(_("there is no such connection; it may have ended already"), 404)
    return _back(visit, app)


async def _revoke_all(visit: Visit, app: ExternalClientApp) -> Response:
    """Batch after batch, each a transaction of its own, so that nobody waits long behind one."""
    if visit.field("confirm").strip() != app.settings.api_name:
        error = _("Type the API Name {name} to sign everybody out of it.").format(name=app.settings.api_name)
        return await _page(visit, app, {"confirm": error})
    store, org_id = visit.site.store, visit.org.id
    told = {"actor": visit.session.user.id, "now_ms": visit.site.clock.now_ms()}
    before = (await store.read(authorizations.count_by_app, org_id, (app.id,))).get(app.id, 0)
    while await store.run(revoking.revoke_app, org_id, app.id, users=before, **told):
        pass
    return _back(visit, app)


async def _set_enabled(visit: Visit, app: ExternalClientApp, *, is_enabled: bool) -> Response:
    try:
        await visit.site.store.run(
            propagation.change_app,
            app,
            revision=app.revision,
            settings=app.settings,
            policies=msgspec.structs.replace(app.policies, is_enabled=is_enabled),
            actor=visit.session.user.id,
            now_ms=visit.site.clock.now_ms(),
            delay=visit.site.config.delay,
        )
    except (Refused, Invalid) as refused:
        return await _page(visit, app, {"": str(refused)})
    return _back(visit, app)


def _back(visit: Visit, app: ExternalClientApp) -> Response:
    return visit.go(f"/setup/apps/{app.id}/usage")


async def _page(visit: Visit, app: ExternalClientApp, errors: dict[str, str] | None = None) -> Response:
    query = query_of(visit)
    store, org_id = visit.site.store, visit.org.id
    asked = query.get("q", "")
    person = await store.read(users.find_by_username, org_id, asked) if asked else None
    after = moment_of(query)
    found: list[authorizations.OfApp] = []
    if person is not None or not asked:
        user_id = person.id if person else ""
        found = await store.read(authorizations.of_app, org_id, app.id, user_id=user_id, after=after, limit=A_PAGE + 1)
    counts = await store.read(authorizations.count_by_app, org_id, (app.id,))
    used = await store.read(connections.usage, org_id, (app.id,))
    base = f"{visit.org.path}/setup/apps/{app.id}/usage"
    last = found[A_PAGE - 1] if len(found) > A_PAGE else None
    next_page = link(base, query, after=str(last.created_at), after_id=last.id) if last else ""
    return await app_page(
        visit,
        app,
        "app_usage.html",
        tab="usage",
        status=422 if errors else 200,
        errors=errors or {},
        asked=asked[:LONGEST_SHOWN],
        rows=await _rows(visit, found[:A_PAGE]),
        people=counts.get(app.id, 0),
        used=used.get(app.id),
        may_revoke=visit.access.may(EDIT_POLICIES),
        next_page=next_page,
        first_page=link(base, query) if after else "",
    )


async def _rows(visit: Visit, found: list[authorizations.OfApp]) -> list[dict[str, Any]]:
    store, org = visit.site.store, visit.org
    people = await store.read(users.by_id, org.id, tuple({each.user_id for each in found}))
    under = await store.read(connections.under, org.id, tuple(each.id for each in found))
    refreshed = await store.read(refresh.uses, org.id, tuple(each.id for each in under))
    servers = await store.read(mcp_servers.of_org, org.id)
    labels = {mcp_servers.resource(org, server.name): server.label for server in servers}
    rows: list[dict[str, Any]] = []
    for each in found:
        own = [row for row in under if row.authorization_id == each.id]
        rows.append(
            {
                "id": each.id,
                "user": people.get(each.user_id),
                "user_id": each.user_id,
                "scopes": each.scopes,
                "since": each.created_at,
                "used": max((row.used_at for row in own), default=each.updated_at),
                "refreshed": sum(refreshed.get(row.id, 0) for row in own),
                "connections": [
                    {
                        "row": row,
                        "server": labels.get(row.resource, row.resource),
                        "refreshed": refreshed.get(row.id, 0),
                    }
                    for row in own
                ],
            }
        )
    return rows
