"""Who we are at an upstream's authorization server, in MCP's order: who an administrator registered us as, else our own
Client ID Metadata Document, else who we register ourselves as (RFC 7591).
"""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gatelodge.core import upstream_clients, upstream_secrets
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.upstream_clients import UpstreamClient
from gatelodge.web.outbound import NotFetched
from gatelodge.web.site import Site
from gatelodge.web.upstream_oauth.discovery import Issuer, NotConnected
from gatelodge.words import reason, verbatim

CREATED = (200, 201)
"""RFC 7591 §3.2.1 says 201; some answer 200."""
NONE = "none"
BASIC = "client_secret_basic"
POST = "client_secret_post"
METHODS = (BASIC, POST, NONE)
CACHED = {"Cache-Control": "public, max-age=300"}


class OurClient(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are there, and how we prove it."""

    client_id: str
    auth_method: str
    secret: str = ""

    def __repr__(self) -> str:
        return f"OurClient({self.client_id}, {self.auth_method})"


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of RFC 7591 §3.2.1."""

    client_id: str
    client_secret: str = ""
    client_secret_expires_at: int = 0
    token_endpoint_auth_method: str = ""


def callback_url(org: Org, server: McpServer) -> str:
    """Where the upstream sends its users back to. Each server has its own, so that no answer can be taken for another
    server's (RFC 9700 §4.4.2.2).
    """
    return f"{org.issuer}/setup/upstreams/{server.name}/callback"


def document_url(org: Org, server: McpServer) -> str:
    """Our client_id where documents are taken."""
    return f"{org.issuer}/oauth/client-metadata/{server.name}"


def document(org: Org, server: McpServer) -> dict[str, Any]:
    """What we say of ourselves, as a document and when we register."""
    return {
        "client_name": f"{org.label} (Gatelodge)",
        "client_uri": org.issuer,
        "redirect_uris": [callback_url(org, server)],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": NONE,
        "application_type": "web",
    }


async def metadata(site: Site, org: Org, request: Request) -> Response:
    """GET /oauth/client-metadata/{server}: our Client ID Metadata Document for one server."""
    live = (await site.live.servers(org.id)).get(request.path_params["server"])
    if live is None or live.server.terms.credential != "user_grant":
        return PlainTextResponse("This org has no such client\n", 404)
    body = msgspec.json.encode({"client_id": document_url(org, live.server), **document(org, live.server)})
    return Response(body, headers=CACHED, media_type="application/json")


async def our_client(site: Site, org: Org, server: McpServer, issuer: Issuer) -> OurClient:
    """Who we are at this issuer, registered now if need be. Raises ``NotConnected``."""
    if server.terms.client_id:
        return await pre_registered(site, server, issuer.auth_methods)
    if issuer.takes_documents and org.issuer.startswith("https://"):
        return OurClient(client_id=document_url(org, server), auth_method=NONE)
    known = await site.store.read(upstream_clients.find, org.id, server.id, issuer.issuer, site.clock.now())
    if known is None and issuer.registration_url:
        known = await _register(site, org, server, issuer)
    if known is None:
        raise NotConnected(
            reason(
                "{issuer} knows us under no name: an administrator registers this org there, with the redirect URI"
                " {callback}, and enters the client ID here",
                issuer=issuer.issuer or issuer.token_url,
                callback=verbatim(callback_url(org, server)),  # whole: it is copied from here
            )
        )
    return _opened(site, known)


async def pre_registered(site: Site, server: McpServer, auth_methods: tuple[str, ...] = ()) -> OurClient:
    """Who the administrator registered us as, with the secret that was entered."""
    kept = await site.store.read(upstream_secrets.find, server.org_id, server.id, upstream_secrets.CLIENT_SECRET)
    if kept is None:
        return OurClient(client_id=server.terms.client_id, auth_method=NONE)
    is_basic = not auth_methods or BASIC in auth_methods
    return OurClient(
        client_id=server.terms.client_id,
        auth_method=BASIC if is_basic else POST,
        secret=upstream_secrets.opened(site.ring, kept),
    )


async def client_of_grant(site: Site, server: McpServer, issuer: str, client_id: str, auth_method: str) -> OurClient:
    """Who we were when a user agreed. Raises ``NotConnected`` when we are somebody else by now."""
    if auth_method == NONE:
        return OurClient(client_id=client_id, auth_method=NONE)
    if server.terms.client_id == client_id:
        return msgspec.structs.replace(await pre_registered(site, server), auth_method=auth_method)
    known = await site.store.read(upstream_clients.find, server.org_id, server.id, issuer, site.clock.now())
    if known is None or known.client_id != client_id:
        raise NotConnected(reason("this org's registration at the server's issuer has changed"))
    return _opened(site, known)


async def _register(site: Site, org: Org, server: McpServer, issuer: Issuer) -> UpstreamClient:
    """Register this org (RFC 7591 §3), with ``application_type`` (MCP: Dynamic Client Registration)."""
    said = document(org, server) | ({"scope": issuer.scope} if issuer.scope else {})
    if NONE not in issuer.auth_methods:
        said["token_endpoint_auth_method"] = BASIC if BASIC in issuer.auth_methods else POST
    try:
        fetched = await site.outbound.fetch(
            issuer.registration_url,
            method="POST",
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(said),
            allows_private=server.terms.allows_private,
        )
        if fetched.status not in CREATED:
            why = reason("{issuer} registers nobody: status {status}", issuer=issuer.issuer, status=fetched.status)
            raise NotConnected(why)
        made = msgspec.json.decode(fetched.body, type=Registered)
    except NotFetched as error:
        raise NotConnected(error.reason) from None
    except (msgspec.MsgspecError, ValueError) as error:
        why = reason("what {issuer} registered can't be read: {error}", issuer=issuer.issuer, error=error)
        raise NotConnected(why) from None
    method = made.token_endpoint_auth_method or (said["token_endpoint_auth_method"] if made.client_secret else NONE)
    if method not in METHODS or not made.client_id.isascii() or not made.client_id.isprintable():
        why = reason("{issuer} registered us for {method!r}, which we don't do", issuer=issuer.issuer, method=method)
        raise NotConnected(why)
    now, row = site.clock.now(), upstream_clients.row_name(org.id, server.id, issuer.issuer)
    kept = UpstreamClient(
        org_id=org.id,
        server_id=server.id,
        issuer=issuer.issuer,
        client_id=made.client_id,
        sealed=site.ring.seal(upstream_clients.PURPOSE, made.client_secret.encode(), row),
        auth_method=method,
        registered_at=now,
        expires_at=made.client_secret_expires_at,
    )
    return await site.store.run(upstream_clients.keep, kept, now)


def _opened(site: Site, known: UpstreamClient) -> OurClient:
    return OurClient(
        client_id=known.client_id,
        auth_method=known.auth_method,
        secret=upstream_clients.secret_of(site.ring, known),
    )
