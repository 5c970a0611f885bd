"""An app's Connect tab, and the page for its users that a link leads to (decision 0044)."""

import hmac
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import audit, mcp_servers
from gatelodge.core.apps import connecting, presets, registry
from gatelodge.core.apps.connecting import Guide, Place
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.setup.app_form import preset_of
from gatelodge.setup.apps import app_page
from gatelodge.setup.frame import Visit
from gatelodge.web import forms, pages
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site
from gatelodge.words import _

PURPOSE = "connect-page"


class OfServer(msgspec.Struct, frozen=True):
    """How the chosen client is connected to one MCP server."""

    name: str
    label: str
    guide: Guide


async def show(visit: Visit, app: ExternalClientApp) -> Response:
    """The tab: for a client that the app lets in, step by step."""
    chosen = _chosen(app, dict(forms.parse(visit.request.scope["query_string"])).get("client", ""))
    return await app_page(
        visit,
        app,
        "app_connect.html",
        tab="connect",
        clients=connecting.fitting(app.settings.callback_urls),
        chosen=chosen,
        servers=await _servers(visit.site, visit.org, app, chosen),
        link=_link(visit.site, visit.org, app) if app.has_page else "",
    )


async def change(visit: Visit, app: ExternalClientApp) -> Response:
    """Make a link to the page for the app's users, replace it by another one, or switch it off."""
    act = visit.field("act")
    if act not in ("make", "replace", "off"):
        raise BadRequest(_("{act!r:.40} can't be done with the page for users").format(act=act))
    await visit.site.store.run(_set_link, app, act, visit.session.user.id, visit.site.clock.now_ms())
    return visit.go(f"/setup/apps/{app.id}/connect#share")


def _set_link(app: ExternalClientApp, act: str, actor: str, now_ms: int) -> Operation[None]:
    """Links are counted, so that one that was switched off or replaced is never good again."""
    if (act == "off") != app.has_page and act != "replace":
        return  # somebody else was faster, and it is as it was wanted
    n = abs(app.page_link)
    yield from registry.set_page_link(app.org_id, app.id, -n if act == "off" else n + 1)
    yield from audit.record(app.org_id, now_ms, actor, f"app:page:{act}", app.id, {})


async def show_to_users(site: Site, org: Org, request: Request) -> Response:
    """The page for an app's users: how a client is connected, for whoever has the link. It holds no secret, and what it
    names opens nothing to whoever can't sign in.
    """
    app_id, _dot, code = request.path_params["token"].partition(".")
    app = await site.store.read(registry.find, org.id, app_id)
    expected = _code(site, org, app) if app is not None and app.has_page else ""
    if app is None or not expected or not hmac.compare_digest(code.encode(), expected.encode()):
        return _rendered(site, org, request, "connect_gone.html", status=404, is_flow=True)
    chosen = _chosen(app, dict(forms.parse(request.scope["query_string"])).get("client", ""))
    return _rendered(
        site,
        org,
        request,
        "connect_page.html",
        app=app,
        is_off=not app.policies.is_enabled or not app.settings.oauth_enabled,
        clients=connecting.fitting(app.settings.callback_urls),
        chosen=chosen,
        servers=await _servers(site, org, app, chosen),
        at=f"{org.path}/connect/{app_id}.{expected}",
    )


def _rendered(
    site: Site, org: Org, request: Request, template: str, *, status: int = 200, is_flow: bool = False, **context: Any
) -> Response:
    response = pages.render(site, org, request, f"setup/{template}", status=status, is_flow=is_flow, **context)
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


def _chosen(app: ExternalClientApp, name: str) -> presets.Preset:
    """The client that was asked for, else the one that the app was made for."""
    return presets.BY_NAME.get(name) or preset_of(app)


async def _servers(site: Site, org: Org, app: ExternalClientApp, client: presets.Preset) -> list[OfServer]:
    """The active MCP servers that the app may use, with how this client is connected to each."""
    allowed = app.policies.mcp_servers
    found: list[OfServer] = []
    for name, live in (await site.live.servers(org.id)).items():
        if allowed is None or name in allowed:
            url = mcp_servers.resource(org, name)
            place = Place(name=f"gatelodge-{name}", url=url, key=app.consumer_key, issuer=org.issuer)
            found.append(OfServer(name, live.server.label, connecting.guide(client, place)))
    return found


def _code(site: Site, org: Org, app: ExternalClientApp) -> str:
    """What makes this link one that nobody guesses; made again to compare, and kept nowhere."""
    made = site.ring.mac(PURPOSE, org.id, app.id, str(app.page_link))
    assert made is not None  # the current key is on the ring
    return made


def _link(site: Site, org: Org, app: ExternalClientApp) -> str:
    return f"{org.issuer}/connect/{app.id}.{_code(site, org, app)}"
