"""The checks in front of every MCP server: what a client must bring, and what it is told when it doesn't (RFC 9728).

In order: Origin, the server, the token, what it stands for, the method, the scope, what the policies and the server allow
this user through this app (``core.permitting``), and how often. A token is checked before a method
is refused, since clients find the authorization server by a GET without one.
"""

import re

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core.apps import admission
from gatelodge.core.mcp_servers import McpServer, resource
from gatelodge.core.orgs import Org
from gatelodge.core.permitting import Permitted, Who
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import MCP_API, with_included
from gatelodge.core.server_kinds import RELAYED
from gatelodge.core.tokens import Claims
from gatelodge.gateway.caller import Caller
from gatelodge.live import LiveServer, LiveUser
from gatelodge.web import routes
from gatelodge.web.access_tokens import Accepted, NotAccepted, challenges
from gatelodge.web.errors import TooMany
from gatelodge.web.site import Site

MOST_LISTED = 10
MOST_KNOWN = 10_000
"""Callers whose permissions a node remembers; one more costs working them out anew."""
METHODS: dict[str, tuple[str, ...]] = dict.fromkeys(RELAYED, ("POST", "GET", "DELETE"))
"""What may be sent to each kind of server; POST alone to the others, which keep no sessions."""
PARAMETER_HEADER = re.compile(r"mcp-param-[a-z0-9-]{1,64}")


class Turned(NotAccepted):
    """The caller is turned away: ``status``, the OAuth code (RFC 6750 §3.1, "" for none) and why; ``retry_after`` are
    the seconds after which the same may pass (RFC 6585 §4).
    """

    def __init__(self, status: int, error: str, why: str, *, retry_after: int = 0) -> None:
        super().__init__(status, error, why)
        self.retry_after = retry_after


class Gate:
    """Lets callers through, or turns them away. What a caller may do is worked out once for as long as their app, their
    permissions, the server and their scopes stay the same.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[tuple[str, ...], Known] = {}
        self._let: dict[int, Let] = {}

    async def check(self, org: Org, request: Request, server: str, live: LiveServer | None) -> Caller:
        """The caller of this request to the server of this name, whose Origin was checked before. Raises
        ``NotAccepted``.
        """
        if live is None:
            raise Turned(404, "", f"this org has no active MCP server named {server:.60}; see MCP Servers in Setup")
        accepted = await self._site.access.check(org, request, audience=resource(org, server))
        if request.method not in methods_of(live.server):
            if live.server.kind in RELAYED:
                raise Turned(
                    405, "", "send POST; in a session also GET, which opens its stream, and DELETE, which ends it"
                )
            raise Turned(405, "", "send POST: this server needs no session and opens no stream of its own")
        caller = self._caller(org, accepted, live)
        self._count(org, accepted, caller.permitted.calls_per_minute)
        return caller

    def _caller(self, org: Org, accepted: Accepted, live: LiveServer) -> Caller:
        """The caller that an accepted token makes, the same one while the token's answer, the server and the org are.
        Raises ``Turned`` (403).
        """
        let = self._let.get(id(accepted))
        if let is not None and let.accepted is accepted and let.live is live and let.org is org:
            return let.caller
        if MCP_API not in accepted.scopes:
            raise Turned(403, "insufficient_scope", f"this server needs the scope {MCP_API}")
        permitted = self._permitted(org, accepted, live)
        if permitted.refusal:
            raise Turned(403, "", permitted.refusal)
        caller = _caller(org, live.server.name, accepted, permitted)
        if len(self._let) >= MOST_KNOWN:
            self._let.pop(next(iter(self._let)))
        self._let[id(accepted)] = Let(accepted, live, org, caller)
        return caller

    async def renewed(self, org: Org, caller: Caller) -> Caller | None:
        """The caller of what is still under way, as they are now; None: they would not be let in any more."""
        live = (await self._site.live.servers(org.id)).get(caller.server)
        if live is None:
            return None
        claims = Claims(
            iss=org.issuer, sub=caller.user_id, aud=resource(org, caller.server), client_id=caller.client_id,
            scope=" ".join(caller.scopes), iat=0, exp=0, jti="", auth_time=0, authorization_id=caller.authorization_id,
            connection_id=caller.connection_id, gty=caller.grant,
        )  # fmt: skip
        try:
            accepted = await self._site.access.still_there(org, claims)
        except NotAccepted:
            return None
        permitted = self._permitted(org, accepted, live)
        if MCP_API not in accepted.scopes or permitted.refusal:
            return None
        if admission.check_user(accepted.client.policies, accepted.user.access):
            return None
        return _caller(org, caller.server, accepted, permitted)

    def _permitted(self, org: Org, accepted: Accepted, live: LiveServer) -> Permitted:
        client, user, scopes = accepted.client, accepted.user, with_included(accepted.scopes, org.custom_scopes)
        key = (live.server.id, client.client_id, user.user.id, *scopes)
        known = self._known.get(key)
        if known is None or known.client is not client or known.user is not user or known.live is not live:
            who = Who(
                app=client.api_name,
                policies=client.policies,
                user=user.user.username,
                access=user.access,
                scopes=scopes,
            )
            known = Known(client, user, live, Permitted(who, live.server, live.items))
            if len(self._known) >= MOST_KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[key] = known
        return known.permitted

    def _count(self, org: Org, accepted: Accepted, per_minute: int) -> None:
        """Count one call of this user through this app. Raises ``Turned`` (429) for one too many."""
        key = (org.id, accepted.client.app_id, accepted.user.user.id)
        try:
            self._site.limits.check_calls(key, per_minute, self._site.clock.now_ms())
        except TooMany as error:
            why = (
                f"{accepted.user.user.username} has used up the {per_minute} calls a minute that the policies of"
                f" {accepted.client.api_name} allow; try again in {error.retry_after} s"
            )
            raise Turned(429, "", why, retry_after=error.retry_after) from None


class Known(msgspec.Struct, frozen=True):
    """What a caller may do, and what that was worked out from."""

    client: LiveClient
    user: LiveUser
    live: LiveServer
    permitted: Permitted


class Let(msgspec.Struct, frozen=True):
    """A caller who was let in, and what stands behind that. It holds what was accepted, whose ``id`` is its key."""

    accepted: Accepted
    live: LiveServer
    org: Org
    caller: Caller


def _caller(org: Org, server: str, accepted: Accepted, permitted: Permitted) -> Caller:
    client, live_user, claims = accepted.client, accepted.user, accepted.claims
    return Caller(
        org_id=org.id,
        user_id=live_user.user.id,
        username=live_user.user.username,
        user_label=live_user.user.name,
        email=live_user.user.email,
        time_zone=live_user.user.time_zone,
        client_id=client.client_id,
        app_id=client.app_id,
        authorization_id=claims.authorization_id,
        connection_id=claims.connection_id,
        scopes=accepted.scopes,
        server=server,
        access=live_user.access,
        permitted=permitted,
        grant=claims.gty,
    )


def methods_of(server: McpServer | None) -> tuple[str, ...]:
    """The HTTP methods that a server has."""
    return METHODS.get(server.kind if server else "", ("POST",))


def check_origin(org: Org, server: McpServer | None, request: Request) -> str:
    """The origin of the web page that calls, "" for a program. Pages of the server's own origin and of those listed
    for it may; any other is turned away, or a name that is made to point here would lead in (MCP: DNS rebinding).

    Raises ``NotAccepted`` (403).
    """
    origins = request.headers.getlist("origin")
    if not origins:
        return ""
    allowed = (_origin(org), *(server.allowed_origins if server else ()))
    for origin in origins:
        if origin not in allowed:
            listed = " ".join(allowed[:MOST_LISTED])
            raise Turned(403, "", f"a page of the Origin {origin:.100} may not call this server, only one of {listed}")
    return origins[0]


def preflight(request: Request, origin: str, methods: tuple[str, ...]) -> Response | None:
    """The answer to a browser that asks whether an allowed page may send its request; None for any other request.

    ``Mcp-Param-*`` are headers that a tool's schema names (MCP: Custom Headers), so that they can't be listed.
    """
    if request.method != "OPTIONS" or not origin or "access-control-request-method" not in request.headers:
        return None
    wanted = request.headers.get("access-control-request-headers", "").split(",")
    named = tuple(name for word in wanted if PARAMETER_HEADER.fullmatch(name := word.strip().lower()))
    return routes.preflight(origin, methods, named)


def turned_away(org: Org, server: str, turned: NotAccepted, methods: tuple[str, ...] = ("POST",)) -> Response:
    """The refusal with its challenge: where to get a token, and which scopes (RFC 9728 §5.1, RFC 6750 §3)."""
    headers = {"Cache-Control": "no-store"}
    if turned.status == 401 or turned.error:  # noqa: PLR2004 - what a client can mend with another token
        where = f'resource_metadata="{metadata_url(org, server)}", scope="{MCP_API}"'
        headers["WWW-Authenticate"] = challenges(turned, where)
    if isinstance(turned, Turned) and turned.retry_after:
        headers["Retry-After"] = str(turned.retry_after)
    if turned.status == 405:  # noqa: PLR2004
        headers["Allow"] = ", ".join(methods)
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
