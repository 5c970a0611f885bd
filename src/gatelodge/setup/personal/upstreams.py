"""A user's own account at an upstream MCP server: what is about to be connected, and to whom; then there and back."""

from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.responses import RedirectResponse, Response

from gatelodge.core import upstream_grants
from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.upstream_grants import Grant
from gatelodge.setup.frame import Visit
from gatelodge.web import forms
from gatelodge.web.addresses import client_address
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site
from gatelodge.web.upstream_oauth import connecting, tokens
from gatelodge.web.upstream_oauth.clients import client_of_grant
from gatelodge.web.upstream_oauth.connecting import Way
from gatelodge.web.upstream_oauth.discovery import NotConnected
from gatelodge.words import _

log = structlog.get_logger()


async def show(visit: Visit) -> Response:
    """GET /setup/upstreams/{server}: asked before anything leads to the upstream (MCP: Confused Deputy Problem)."""
    server = await _server(visit)
    held = await visit.site.store.read(upstream_grants.find, visit.org.id, server.id, visit.session.user.id)
    if held is not None and held.place.url == server.source and not _asks_again(visit):
        return _page(visit, server, held=held)
    try:
        return _page(visit, server, way=await _found_out(visit, server))
    except NotConnected as error:
        return _failed(visit, server, error)


async def connect(visit: Visit) -> Response:
    """POST: the user agreed here; on to the upstream's own page."""
    server = await _server(visit)
    try:
        way = await _found_out(visit, server)
    except NotConnected as error:
        return _failed(visit, server, error)
    url = connecting.authorize_url(visit.site, visit.org, visit.request, server, way, visit.session.user.id)
    return RedirectResponse(url, 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


async def come_back(visit: Visit) -> Response:
    """GET /setup/upstreams/{server}/callback: the issuer's answer, once, in this browser and for this user."""
    server, request = await _server(visit), visit.request
    returned = forms.once(forms.parse(request.scope["query_string"]))
    _limit(visit, server)
    try:
        await connecting.connected(visit.site, visit.org, request, server, visit.session.user.id, returned)
    except (NotConnected, Refused) as error:
        return _failed(visit, server, error)
    await visit.site.live.catch_up()
    # The answer's code leaves the address bar.
    return visit.go(f"/setup/upstreams/{server.name}")


async def disconnect(visit: Visit, server_id: str) -> bool:
    """End the visitor's grant at once, and have the issuer revoke it as far as it does. False: there was none."""
    site, user = visit.site, visit.session.user
    ended = await site.store.run(
        upstream_grants.disconnect, visit.org.id, server_id, user.id, actor=user.id, now_ms=site.clock.now_ms()
    )
    if ended is None:
        return False
    await site.live.catch_up()
    found = (each.server for each in (await site.live.servers(visit.org.id)).values())
    server = next((each for each in found if each.id == server_id), None)
    if server is not None and ended.place.url == server.source and ended.place.revocation_url:
        await _revoke(site, server, ended)
    return True


async def _revoke(site: Site, server: McpServer, ended: Grant) -> None:
    place, held = ended.place, upstream_grants.opened(site.ring, ended)
    try:
        client = await client_of_grant(site, server, ended.issuer, place.client_id, place.auth_method)
    except NotConnected:
        return
    await tokens.revoke(site, server, place.revocation_url, client, held.refresh or held.access)


async def _server(visit: Visit) -> McpServer:
    name = visit.request.path_params["server"]
    live = (await visit.site.live.servers(visit.org.id)).get(name)
    server = live.server if live else None
    is_theirs = server is not None and (not server.permission_sets or visit.access.has_any(server.permission_sets))
    if server is None or not is_theirs or server.terms.credential != "user_grant":
        raise BadRequest(
            _("this org has no MCP server {name!r:.60} at which you could connect an account").format(name=name), 404
        )
    return server


def _asks_again(visit: Visit) -> bool:
    return "again" in dict(forms.parse(visit.request.scope["query_string"]))


async def _found_out(visit: Visit, server: McpServer) -> Way:
    _limit(visit, server)
    return await connecting.found_out(visit.site, visit.org, server)


def _limit(visit: Visit, server: McpServer) -> None:
    """Each look asks others for their metadata. Raises ``TooMany``."""
    site, address = visit.site, client_address(visit.request, visit.site.config)
    site.limits.check(visit.org.id, f"upstream {server.name}", address, site.clock.now_ms())


def _failed(visit: Visit, server: McpServer, error: NotConnected | Refused) -> Response:
    log.warning("upstream.not_connected", org=visit.org.id, server=server.name, reason=str(error))
    why = error.message if isinstance(error, Refused) else error.reason.here()
    return _page(visit, server, status=400, why=why)


def _page(
    visit: Visit, server: McpServer, *, way: Way | None = None, held: Grant | None = None, why: str = "",
    status: int = 200,
) -> Response:  # fmt: skip
    context: dict[str, Any] = {"server": server, "host": urlsplit(server.source).netloc, "why": why}
    target = way.issuer.authorize_url if way else ""
    parts = urlsplit(target)
    return visit.page(
        "personal/upstream.html",
        title=_("Connect {server}").format(server=server.label),
        status=status,
        form_action=(f"{parts.scheme}://{parts.netloc}",) if way else (),
        to=parts.netloc,
        scopes=way.issuer.scope.split() if way else (),
        held={"since": held.created_at, "scopes": held.scope.split()} if held else None,
        **context,
    )
