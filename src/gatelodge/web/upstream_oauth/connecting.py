"""A user connects their own account at an upstream: the authorization code flow with PKCE, at the upstream's issuer.

State is a ticket: once, ten minutes, for this browser, this user, and everything that was found out about the issuer
before the user agreed. The verifier is derived from it, so that nothing of a flow under way is stored.
"""

import hashlib
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request

from gatelodge.core import secrets, upstream_grants
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.upstream_grants import Grant, Place, Tokens
from gatelodge.web import tickets
from gatelodge.web.site import Site
from gatelodge.web.upstream_oauth import clients
from gatelodge.web.upstream_oauth.clients import OurClient
from gatelodge.web.upstream_oauth.discovery import OFFLINE_ACCESS, Issuer, NotConnected, issuer_of
from gatelodge.web.upstream_oauth.tokens import NotGiven, ask, ends_at
from gatelodge.words import reason

STATE = "upstream-grant"
LIFETIME = 600
"""Seconds that somebody may take at the issuer's pages."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """Where tokens come from, and who we are there."""

    issuer: Issuer
    client: OurClient


async def found_out(site: Site, org: Org, server: McpServer) -> Way:
    """What must be known before a user is sent anywhere. Raises ``NotConnected``."""
    issuer = await issuer_of(site, server)
    return Way(issuer=issuer, client=await clients.our_client(site, org, server, issuer))


def authorize_url(site: Site, org: Org, request: Request, server: McpServer, way: Way, user_id: str) -> str:
    """Where the browser goes, once the user has agreed here (MCP: Confused Deputy Problem)."""
    content = (server.id, user_id, _digest(server, way))
    state = tickets.issue(site, org, request, STATE, *content, lifetime=LIFETIME)
    challenge = secrets.base64url(hashlib.sha256(_verifier(site, state).encode()).digest())
    asked = {
        "response_type": "code",
        "client_id": way.client.client_id,
        "redirect_uri": clients.callback_url(org, server),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "resource": way.issuer.resource,
    }
    asked |= {"scope": way.issuer.scope} if way.issuer.scope else {}
    # OpenID Connect Core §11: a refresh token is given where the user was asked.
    asked |= {"prompt": "consent"} if OFFLINE_ACCESS in way.issuer.scope.split() else {}
    url, joint = way.issuer.authorize_url, "&" if "?" in way.issuer.authorize_url else "?"
    return f"{url}{joint}{urlencode(asked)}"


async def connected(
    site: Site, org: Org, request: Request, server: McpServer, user_id: str, returned: dict[str, str]
) -> None:
    """The issuer's answer becomes a grant. Raises ``NotConnected`` and ``Refused``."""
    state = returned.get("state", "")
    content = await tickets.use(site, org, request, STATE, state)
    if content is None or content[:2] != (server.id, user_id):
        raise NotConnected(
            reason(
                "this was begun in another browser or by another user, is older than 10 minutes, or came back before"
            )
        )
    way = await found_out(site, org, server)
    if content[2] != _digest(server, way):
        raise NotConnected(reason("what the server says about its issuer changed while you were there"))
    _check_issuer(way.issuer, returned)
    if "error" in returned:
        error, said = returned["error"][:80], returned.get("error_description", "")
        raise NotConnected(reason("the issuer answered {error!r} {description!r}", error=error, description=said))
    await _keep(site, org, server, user_id, way, returned.get("code", ""), _verifier(site, state))


def _check_issuer(issuer: Issuer, returned: dict[str, str]) -> None:
    """RFC 9207 §2.4, MCP: Authorization Response Validation. By bytes: no slash is forgiven. Where an administrator
    entered the URLs no issuer is known, and the redirect URI of this server alone tells answers apart.
    """
    if not issuer.issuer:
        return
    if "iss" not in returned and issuer.names_itself:
        raise NotConnected(reason("the answer doesn't name its issuer, as those of {issuer} do", issuer=issuer.issuer))
    if "iss" in returned and returned["iss"] != issuer.issuer:
        raise NotConnected(
            reason("the answer came from {named!r}, not from {issuer}", named=returned["iss"], issuer=issuer.issuer)
        )


async def _keep(
    site: Site, org: Org, server: McpServer, user_id: str, way: Way, code: str, verifier: str
) -> None:  # fmt: skip
    asked = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": clients.callback_url(org, server),
        "code_verifier": verifier,
        "resource": way.issuer.resource,
    }
    try:
        answered = await ask(site, server, way.issuer.token_url, way.client, asked)
    except NotGiven as error:
        raise NotConnected(error.reason) from None
    now = site.clock.now()
    made = Grant(
        org_id=org.id,
        server_id=server.id,
        user_id=user_id,
        issuer=way.issuer.issuer,
        place=Place(
            url=server.source,
            token_url=way.issuer.token_url,
            client_id=way.client.client_id,
            auth_method=way.client.auth_method,
            resource=way.issuer.resource,
            revocation_url=way.issuer.revocation_url,
        ),
        scope=answered.scope or way.issuer.scope,
        sealed=upstream_grants.seal(
            site.ring, Tokens(answered.access_token, answered.refresh_token), org.id, server.id, user_id
        ),
        expires_at=ends_at(answered, now),
        created_at=now,
        refreshed_at=now,
    )
    await site.store.run(upstream_grants.connect, made, now_ms=site.clock.now_ms())


def _digest(server: McpServer, way: Way) -> str:
    known = (server.source, way.issuer, way.client.client_id, way.client.auth_method)
    return secrets.digest(msgspec.json.encode(known).decode())


def _verifier(site: Site, state: str) -> str:
    verifier = site.ring.mac("upstream-grant", "verifier", state)
    assert verifier is not None  # the current key is on the ring
    return verifier
