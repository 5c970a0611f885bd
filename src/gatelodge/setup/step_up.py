"""The way through for clients that never step up: the user allows more scopes on a connection that stands, and an
administrator lets its app ask for them.
"""

from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import connections, mcp_servers, propagation, scopes, stepping_up
from gatelodge.core.apps import registry
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.connections import Connection
from gatelodge.core.permissions import MANAGE_APPS
from gatelodge.setup.frame import Visit
from gatelodge.web import forms
from gatelodge.web.errors import BadRequest
from gatelodge.words import _


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the link asks for: scopes that something of this server needs, for one connection and its app."""

    connection: Connection
    app: ExternalClientApp
    server: str
    scopes: tuple[str, ...]

    @property
    def link(self) -> dict[str, str]:
        """The same as fields of a form."""
        return {"connection": self.connection.id, "server": self.server, "scope": " ".join(self.scopes)}

    @property
    def of_app(self) -> tuple[str, ...]:
        """Those that the app can't ask for yet."""
        return tuple(each for each in self.scopes if each not in self.app.settings.scopes)


async def show(visit: Visit) -> Response:
    """GET /setup/step-up: which app wants what, at which server."""
    return _page(visit, await _wanted(visit, forms.once(forms.parse(visit.request.scope["query_string"]))))


async def allow(visit: Visit) -> Response:
    """POST: the user allows the scopes, or an administrator gives them to the app."""
    wanted, site = await _wanted(visit, visit.once()), visit.site
    if visit.field("act") == "app":
        await _give_to_app(visit, wanted)
        return _page(visit, await _wanted(visit, visit.once()))
    if wanted.connection.user_id != visit.session.user.id:
        raise BadRequest(
            _("this connection is somebody else's: they allow it, and you may let the app ask for it"), 403
        )
    if wanted.of_app:
        raise BadRequest(_("the app may not ask for these scopes yet: an administrator gives them to it first"), 403)
    if not await site.store.run(stepping_up.allow, wanted.connection, wanted.scopes, now_ms=site.clock.now_ms()):
        raise BadRequest(_("the connection has ended meanwhile; connect again from the app"), 404)
    return _page(visit, wanted, is_done=True)


async def _give_to_app(visit: Visit, wanted: Wanted) -> None:
    if not visit.access.may(MANAGE_APPS):
        raise BadRequest(_("only who may edit External Client Apps gives scopes to one"), 403)
    app, site = wanted.app, visit.site
    grown = msgspec.structs.replace(app.settings, scopes=(*app.settings.scopes, *wanted.of_app))
    _app = await site.store.run(
        propagation.change_app,
        app,
        revision=app.revision,
        settings=grown,
        policies=app.policies,
        actor=visit.session.user.id,
        now_ms=site.clock.now_ms(),
        delay=site.config.delay,
    )
    await site.live.catch_up()


async def _wanted(visit: Visit, asked: dict[str, str]) -> Wanted:
    """What is asked for, for the connection's user and for who may edit apps. For others there is no such connection."""
    org, store = visit.org, visit.site.store
    held = await store.read(connections.find, org.id, asked.get("connection", ""))
    live = (await visit.site.live.servers(org.id)).get(asked.get("server", ""))
    is_theirs = held is not None and (held.user_id == visit.session.user.id or visit.access.may(MANAGE_APPS))
    ended = held is not None and await visit.site.live.has_ended(held.id, held.authorization_id)
    is_there = live is not None and held is not None and held.resource == mcp_servers.resource(org, live.server.name)
    app = await store.read(registry.find, org.id, held.app_id) if held else None
    if held is None or live is None or app is None or not is_theirs or ended or not is_there:
        raise BadRequest(_("there is no such connection of yours; it may have ended: connect again from the app"), 404)
    names = tuple(dict.fromkeys(asked.get("scope", "").split()))
    needed = {name for item in live.items.all for name in item.scopes}
    if not names or not set(names) <= needed:
        raise BadRequest(_("nothing that {server} offers needs these scopes").format(server=live.server.label))
    return Wanted(connection=held, app=app, server=live.server.name, scopes=names)


def _page(visit: Visit, wanted: Wanted, *, is_done: bool = False) -> Response:
    own = visit.org.custom_scopes
    shown: list[dict[str, Any]] = [
        {"scope": scopes.described(name, own), "is_lacking": name in wanted.of_app} for name in wanted.scopes
    ]
    return visit.page(
        "step_up.html",
        title=_("Allow more"),
        app_name=wanted.app.settings.label,
        server=wanted.server,
        shown=shown,
        link=wanted.link,
        is_own=wanted.connection.user_id == visit.session.user.id,
        is_lacking=bool(wanted.of_app),
        may_give=visit.access.may(MANAGE_APPS),
        is_done=is_done,
        minutes=wanted.app.policies.access_token_minutes,
    )
