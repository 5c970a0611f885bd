"""The checks in front of every MCP server: what a client must bring, and what it is told when it doesn't (RFC 9728).

In order: Origin, the server, the token, what it stands for, the method, the policies. A token is checked before a method
is refused, since clients find the authorization server by a GET without one.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import secrets, tokens
from gatelodge.core.mcp_servers import resource
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import USE_MCP_SERVERS
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import MCP_API
from gatelodge.core.tokens import Claims, Unacceptable
from gatelodge.gateway.caller import Caller
from gatelodge.live import LiveUser, OrgKeys
from gatelodge.web.site import Site

MOST_VERIFIED = 10_000
LONGEST_REASON = 400


class Turned(Exception):
    """The caller is turned away: ``status``, the OAuth code (RFC 6750 §3.1, "" for none) and why."""

    def __init__(self, status: int, error: str, why: str) -> None:
        super().__init__(why)
        self.status, self.error, self.why = status, error, why


class Verified(msgspec.Struct, frozen=True):
    """A signature that was checked, and the org's keys as they were then."""

    claims: Claims
    keys: OrgKeys


class Gate:
    """Checks tokens. A verified signature is remembered by the token's digest for as long as the org's keys stay the
    same; all else is looked up at each call.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._verified: dict[tuple[str, str], Verified] = {}

    async def check(self, org: Org, request: Request, server: str) -> Caller:
        """The caller of this request. Raises ``Turned``."""
        _check_origin(org, request)
        if server not in await self._site.live.servers(org.id):
            raise Turned(404, "", f"this org has no active MCP server named {server:.60}; see MCP Servers in Setup")
        token = _bearer(request)
        claims = await self._claims(org, token, resource(org, server))
        client, user = await self._still_there(org, claims)
        if request.method != "POST":
            raise Turned(405, "", "send POST: this server needs no session and opens no stream of its own")
        return _admitted(org, server, claims, client, user)

    async def _claims(self, org: Org, token: str, audience: str) -> Claims:
        known = (secrets.digest(token), audience)
        now = self._site.clock.now()
        keys = await self._site.live.keys(org.id)
        verified = self._verified.get(known)
        if verified is None or verified.keys is not keys:
            try:
                claims = tokens.verify(token, keys.verifying, issuer=org.issuer, audience=audience, now=now)
            except Unacceptable as error:
                self._verified.pop(known, None)
                raise Turned(401, "invalid_token", f"the access token is refused: {error}") from None
            if len(self._verified) >= MOST_VERIFIED:
                self._verified.pop(next(iter(self._verified)))
            verified = self._verified[known] = Verified(claims, keys)
        if verified.claims.exp <= now:
            self._verified.pop(known, None)
            raise Turned(401, "invalid_token", "the access token is refused: it has expired")
        return verified.claims

    async def _still_there(self, org: Org, claims: Claims) -> tuple[LiveClient, LiveUser]:
        """The app and the user of a token, unless one of them, or what joins them, has ended since it was made."""
        live = self._site.live
        if await live.has_ended(claims.authorization_id, claims.connection_id):
            raise Turned(401, "invalid_token", "the user's authorization of this app has ended; connect again")
        client = await live.client(org.id, claims.client_id)
        if client is None or not client.is_enabled:
            raise Turned(401, "invalid_token", "the app was disabled or removed by an administrator")
        user = await live.user(org.id, claims.sub)
        if user is None:
            raise Turned(401, "invalid_token", "the user is inactive")
        return client, user


def _admitted(org: Org, server: str, claims: Claims, client: LiveClient, live_user: LiveUser) -> Caller:
    """The caller, if the scopes, the app's policies and the user's permission sets allow this server."""
    scopes = tuple(claims.scope.split())
    if MCP_API not in scopes:
        raise Turned(403, "insufficient_scope", f"this server needs the scope {MCP_API}")
    if client.mcp_servers is not None and server not in client.mcp_servers:
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
        scopes=scopes,
        server=server,
        access=live_user.access,
    )


def _check_origin(org: Org, request: Request) -> None:
    """A browser page of another origin may not call: DNS rebinding (MCP: Security Warning; a bad one is 403)."""
    own = _origin(org)
    for origin in request.headers.getlist("origin"):
        if origin != own:
            raise Turned(403, "", f"a page of the Origin {origin:.100} may not call this server, only one of {own}")


def _bearer(request: Request) -> str:
    """The token of the Authorization header: nowhere else is one read (RFC 6750 §2, MCP: Token Requirements)."""
    headers = request.headers.getlist("authorization")
    if not headers:
        raise Turned(401, "", "an access token is needed")
    if len(headers) > 1:  # RFC 6750 §3.1: two programs could read two different tokens
        raise Turned(400, "invalid_request", f"send one Authorization header, not {len(headers)}")
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():  # RFC 9110 §11.1: the scheme has no case
        raise Turned(401, "", "send Authorization: Bearer and an access token")
    return token.strip()


def turned_away(org: Org, server: str, turned: Turned) -> Response:
    """The refusal with its challenge: where to get a token, and which scopes (RFC 9728 §5.1, RFC 6750 §3)."""
    headers = {"Cache-Control": "no-store"}
    if turned.status == 401 or turned.error:  # noqa: PLR2004 - what a client can mend with another token
        # RFC 6750 §3: without a token in the request, no error code.
        error = f'error="{turned.error}", error_description="{_quoted(turned.why)}", ' if turned.error else ""
        headers["WWW-Authenticate"] = (
            f'Bearer {error}resource_metadata="{metadata_url(org, server)}", scope="{MCP_API}"'
        )
    if turned.status == 405:  # noqa: PLR2004
        headers["Allow"] = "POST"
    body = {"error": turned.error or "refused", "error_description": turned.why}
    return Response(msgspec.json.encode(body), turned.status, headers, media_type="application/json")


def _quoted(text: str) -> str:
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in text[:LONGEST_REASON])


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
