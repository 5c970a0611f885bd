"""Token introspection (RFC 7662): what a token means now, for an app that proves who it is.

An app may ask about its own tokens; with *Introspect All Tokens* about every one of the org. Whatever is not live, or is
none of the caller's business, gets the same answer: ``{"active": false}`` and not a word more (§2.2).
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import credentials, mcp_servers
from gatelodge.core.apps import admission
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import REFRESH_TOKEN
from gatelodge.core.tokens import Claims, Confirmation
from gatelodge.live import LiveUser
from gatelodge.oauth import presented
from gatelodge.oauth.client_auth import Authenticated, authenticate, invalid
from gatelodge.oauth.errors import NO_STORE, OAuthError, as_json
from gatelodge.oauth.presented import Presented
from gatelodge.oauth.token import body_of
from gatelodge.web.access_tokens import NotAccepted
from gatelodge.web.site import Site

INACTIVE = b'{"active":false}'


class Active(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told of a live token (RFC 7662 §2.2). ``token_type`` is Bearer or DPoP for an access token and, as in the
    original, refresh_token for the other kind. A refresh token has no ``jti``, and no ``exp`` where nothing ends it.
    """

    active: bool
    scope: str
    client_id: str
    username: str
    token_type: str
    sub: str
    aud: str
    iss: str
    iat: int
    exp: int = 0
    jti: str = ""
    auth_time: int = 0
    acr: str = ""
    cnf: Confirmation | None = None
    custom_attributes: dict[str, str] = {}


async def introspect(site: Site, org: Org, request: Request) -> Response:
    """Say what a token means now."""
    try:
        form = await body_of(request)
        caller = await _caller(site, org, request, form)
        if "token" not in form:
            raise OAuthError("invalid_request", "token is missing")
        found = await _explain(site, org, caller.client, form["token"])
    except OAuthError as refused:
        return as_json(refused)
    body = msgspec.json.encode(found) if found else INACTIVE
    return Response(body, headers=NO_STORE, media_type="application/json")


async def _caller(site: Site, org: Org, request: Request, form: dict[str, str]) -> Authenticated:
    """Who asks; 401 for whoever has not proved it (RFC 7662 §2.3), however they tried."""
    challenge = f'Basic realm="{org.issuer}"'
    try:
        caller = await authenticate(site, org, request, form)
    except OAuthError as refused:
        if refused.error != "invalid_client":
            raise
        raise invalid(refused.description, challenge) from None
    if not caller.is_proven:
        raise invalid("invalid client credentials: send the app's secret, or sign an assertion, to ask here", challenge)
    return caller


async def _explain(site: Site, org: Org, caller: LiveClient, token: str) -> Active | None:
    shown = await presented.find(site, org, token)
    if shown is None or not (caller.settings.introspect_all_tokens or shown.belongs_to(caller)):
        return None
    client = await (site.live.client(org.id, shown.claims.client_id) if shown.claims else _holder(site, org, shown))
    user = await site.live.user(org.id, shown.connection.user_id)
    if client is None or not client.is_enabled or user is None:
        return None
    if admission.check_rules(org.app_rules, client.settings, client.policies):
        return None
    if admission.check_user(client.policies, user.access):
        return None
    if shown.claims is not None:
        return await _access_token(site, org, shown.claims, user)
    return _refresh_token(site, org, shown, client, user)


async def _holder(site: Site, org: Org, shown: Presented) -> LiveClient | None:
    """The app that can use a refresh token: with any of its keys, also when the one that it began with was replaced."""
    pairs = await site.store.read(credentials.of_app, org.id, shown.connection.app_id, site.clock.now())
    return await site.live.client(org.id, pairs[0].client_id) if pairs else None


async def _access_token(site: Site, org: Org, claims: Claims, user: LiveUser) -> Active | None:
    try:
        accepted = await site.access.still_there(org, claims)
    except NotAccepted:
        return None
    # A token for an MCP server that was deactivated, or is gone, opens nothing.
    active = (mcp_servers.resource(org, name) for name in await site.live.servers(org.id))
    if claims.aud not in (org.issuer, *active):
        return None
    return Active(
        active=True,
        scope=" ".join(accepted.scopes),
        client_id=claims.client_id,
        username=user.user.username,
        token_type="DPoP" if claims.cnf else "Bearer",
        sub=claims.sub,
        aud=claims.aud,
        iss=claims.iss,
        iat=claims.iat,
        exp=claims.exp,
        jti=claims.jti,
        auth_time=claims.auth_time,
        acr=claims.acr,
        cnf=claims.cnf,
        custom_attributes=claims.custom_attributes,
    )


def _refresh_token(site: Site, org: Org, shown: Presented, client: LiveClient, user: LiveUser) -> Active | None:
    """Only the family's newest token is called active: one before it leads to that for seconds at most."""
    family, connection = shown.family, shown.connection
    assert family is not None  # it is no access token
    ends_at = family.ends_at(client.policies)
    if family.n != shown.n or (ends_at is not None and ends_at <= site.clock.now()):
        return None
    if REFRESH_TOKEN not in client.scopes:
        return None
    return Active(
        active=True,
        scope=" ".join(scope for scope in connection.scopes if scope in client.scopes),
        client_id=connection.client_id,
        username=user.user.username,
        token_type="refresh_token",
        sub=connection.user_id,
        aud=org.issuer,
        iss=org.issuer,
        iat=family.used_at if client.settings.refresh_token_rotation else family.began_at,
        exp=ends_at or 0,
        auth_time=connection.signed_in_at,
        acr=connection.level,
        cnf=Confirmation(connection.dpop_jkt) if connection.dpop_jkt else None,
    )
