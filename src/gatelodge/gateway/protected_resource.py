"""The checks in front of every MCP server: what a client must bring, and what it is told when it doesn't (RFC 9728).

In order: Origin, the server, the token, what it stands for, the method, the policies. A token is checked before a method
is refused, since clients find the authorization server by a GET without one.
"""

import re

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core.mcp_servers import McpServer, resource
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import USE_MCP_SERVERS
from gatelodge.core.scopes import MCP_API
from gatelodge.gateway.caller import Caller
from gatelodge.web import routes
from gatelodge.web.access_tokens import Accepted, NotAccepted, challenges
from gatelodge.web.site import Site

MOST_LISTED = 10
PARAMETER_HEADER = re.compile(r"mcp-param-[a-z0-9-]{1,64}")


class Turned(NotAccepted):
    """The caller is turned away: ``status``, the OAuth code (RFC 6750 §3.1, "" for none) and why."""


async def check(site: Site, org: Org, request: Request, server: str) -> Caller:
    """The caller of this request, whose Origin was checked before. Raises ``NotAccepted``."""
    if server not in await site.live.servers(org.id):
        raise Turned(404, "", f"this org has no active MCP server named {server:.60}; see MCP Servers in Setup")
    accepted = await site.access.check(org, request, audience=resource(org, server))
    if request.method != "POST":
        raise Turned(405, "", "send POST: this server needs no session and opens no stream of its own")
    return _admitted(org, server, accepted)


def _admitted(org: Org, server: str, accepted: Accepted) -> Caller:
    """The caller, if the scopes, the app's policies and the user's permission sets allow this server."""
    client, live_user = accepted.client, accepted.user
    if MCP_API not in accepted.scopes:
        raise Turned(403, "insufficient_scope", f"this server needs the scope {MCP_API}")
    if client.policies.mcp_servers is not None and server not in client.policies.mcp_servers:
        raise Turned(403, "", f"the policies of {client.api_name} do not allow the MCP server {server}")
    if not live_user.access.may(USE_MCP_SERVERS):
        raise Turned(403, "", f"{live_user.user.username} has no permission set that allows MCP servers")
    return Caller(
        org_id=org.id,
        user_id=live_user.user.id,
        username=live_user.user.username,
        user_label=live_user.user.name,
        email=live_user.user.email,
        time_zone=live_user.user.time_zone,
        client_id=client.client_id,
        app_id=client.app_id,
        connection_id=accepted.claims.connection_id,
        scopes=accepted.scopes,
        server=server,
        access=live_user.access,
    )


def check_origin(org: Org, server: McpServer | None, request: Request) -> str:
    """The origin of the web page that calls, "" for a program. Pages of the server's own origin and of those listed
    for it may; any other is turned away, or a name that is made to point here would lead in (MCP: DNS rebinding).

    Raises ``NotAccepted`` (403).
    """
    allowed = (_origin(org), *(server.allowed_origins if server else ()))
    origins = request.headers.getlist("origin")
    for origin in origins:
        if origin not in allowed:
            listed = " ".join(allowed[:MOST_LISTED])
            raise Turned(403, "", f"a page of the Origin {origin:.100} may not call this server, only one of {listed}")
    return origins[0] if origins else ""


def preflight(request: Request, origin: str) -> Response | None:
    """The answer to a browser that asks whether an allowed page may send its request; None for any other request.

    ``Mcp-Param-*`` are headers that a tool's schema names (MCP: Custom Headers), so that they can't be listed.
    """
    if request.method != "OPTIONS" or not origin or "access-control-request-method" not in request.headers:
        return None
    wanted = request.headers.get("access-control-request-headers", "").split(",")
    named = tuple(name for word in wanted if PARAMETER_HEADER.fullmatch(name := word.strip().lower()))
    return routes.preflight(origin, ("POST",), named)


def turned_away(org: Org, server: str, turned: NotAccepted) -> Response:
    """The refusal with its challenge: where to get a token, and which scopes (RFC 9728 §5.1, RFC 6750 §3)."""
    headers = {"Cache-Control": "no-store"}
    if turned.status == 401 or turned.error:  # noqa: PLR2004 - what a client can mend with another token
        where = f'resource_metadata="{metadata_url(org, server)}", scope="{MCP_API}"'
        headers["WWW-Authenticate"] = challenges(turned, where)
    if turned.status == 405:  # noqa: PLR2004
        headers["Allow"] = "POST"
    body = {"error": turned.error or "refused", "error_description": turned.why}
    return Response(msgspec.json.encode(body), turned.status, headers, media_type="application/json")


def metadata_url(org: Org, server: str) -> str:
    """Where the metadata of a server is: its path behind the well-known part (RFC 9728 §3.1)."""
    return f"{_origin(org)}/.well-known/oauth-protected-resource{org.path}/mcp/{server}"


def _origin(org: Org) -> str:
    """Scheme and host of the org's URL."""
    return org.issuer[: len(org.issuer) - len(org.path)]


def document(org: Org, uri: str, name: str, scopes: list[str]) -> bytes:
    """Protected resource metadata (RFC 9728 §2). It lists no offline_access (MCP: Refresh Tokens)."""
    said: dict[str, str | list[str]] = {
        "resource": uri,
        "authorization_servers": [org.issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": name,
    }
    if scopes:  # RFC 9728 §3.2: what has no values is left out
        said["scopes_supported"] = scopes
    return msgspec.json.encode(said)
