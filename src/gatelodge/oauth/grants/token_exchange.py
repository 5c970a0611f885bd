"""Token exchange (RFC 8693): an app swaps a user's access token for one with fewer scopes, or for another MCP server
that the user let it use. Never for more, and never for longer.
"""

from gatelodge.core import authorizations, connections
from gatelodge.core import scopes as scope_words
from gatelodge.core.apps.policies import APPROVED
from gatelodge.core.connections import Connection
from gatelodge.core.errors import Denied
from gatelodge.core.mcp_servers import canonical
from gatelodge.core.orgs import Org
from gatelodge.core.scopes import REFRESH_TOKEN
from gatelodge.core.tokens import Claims
from gatelodge.oauth import audience
from gatelodge.oauth.errors import OAuthError
from gatelodge.oauth.grants import admitting
from gatelodge.oauth.grants.granted import Exchange, Granted
from gatelodge.web.access_tokens import NotAccepted
from gatelodge.web.site import Site

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


async def exchange(site: Site, org: Org, asked: Exchange) -> Granted | Denied:
    """A narrower access token under the same connection."""
    _check_request(asked)
    claims = await _subject(site, org, asked)
    connection = await site.store.read(connections.find, org.id, claims.connection_id)
    if connection is None:
        raise unacceptable("the user's authorization of this app has ended")
    if refusal := await admitting.refusal(site, org, asked, connection):
        return refusal
    bound = claims.cnf.jkt if claims.cnf else ""
    if bound and bound != asked.dpop_jkt:
        raise OAuthError("invalid_dpop_proof", "the subject_token is bound to a key: send a proof made with that key")
    scopes = narrowed(claims, asked)
    target = await _target(site, org, asked, claims, connection, scopes)
    return Granted(
        connection=connection,
        scopes=scopes,
        audience=target,
        ends_at=claims.exp,
        issued_token_type=asked.form.get("requested_token_type", ACCESS_TOKEN),
    )


def unacceptable(why: str) -> OAuthError:
    """RFC 8693 §2.2.2: a subject token that can't be taken is an invalid request."""
    return OAuthError("invalid_request", f"the subject_token is not accepted: {why}")


def _check_request(asked: Exchange) -> None:
    form, is_jwt = asked.form, asked.client.settings.jwt_access_tokens
    types = (ACCESS_TOKEN, JWT) if is_jwt else (ACCESS_TOKEN,)
    if "subject_token" not in form:
        raise OAuthError("invalid_request", "subject_token is missing")
    if form.get("subject_token_type") not in (ACCESS_TOKEN, JWT):
        raise OAuthError("invalid_request", f"subject_token_type must be {ACCESS_TOKEN}")
    if form.get("requested_token_type", ACCESS_TOKEN) not in types:
        raise OAuthError("invalid_request", f"requested_token_type must be one of: {' '.join(types)}")
    if "actor_token" in form or "actor_token_type" in form:
        raise OAuthError("invalid_request", "actor_token is not supported: a token here is the user's own")


async def _subject(site: Site, org: Org, asked: Exchange) -> Claims:
    """What the subject token says: a live one of this org, issued to this very app. Raises ``OAuthError``."""
    claims = await site.access.read(org, asked.form["subject_token"])
    if claims is None:
        raise unacceptable("it is no live access token of this org")
    try:
        accepted = await site.access.still_there(org, claims)
    except NotAccepted as error:
        raise unacceptable(error.why) from None
    if accepted.client.app_id != asked.client.app_id:
        raise unacceptable("it was issued to another app")
    return claims


def narrowed(claims: Claims, asked: Exchange) -> tuple[str, ...]:
    """The scopes of the new token: some of the subject's, and of the app's. Raises ``OAuthError`` (invalid_scope)."""
    still = tuple(s for s in claims.scope.split() if s in asked.client.scopes and s != REFRESH_TOKEN)
    wanted = scope_words.parse(asked.form["scope"]) if "scope" in asked.form else still
    beyond = [scope for scope in wanted if scope not in still]
    if beyond or not wanted:
        raise OAuthError(
            "invalid_scope", f"the subject_token does not have: {' '.join(beyond):.200}; it has: {' '.join(still)}"
        )
    return wanted


async def _target(
    site: Site, org: Org, asked: Exchange, claims: Claims, connection: Connection, scopes: tuple[str, ...]
) -> str:
    """The audience of the new token. Raises ``OAuthError`` (invalid_target)."""
    named = {canonical(asked.form[name]) for name in ("resource", "audience") if name in asked.form}
    if len(named) > 1:
        raise OAuthError("invalid_target", "resource and audience name two servers; a token here opens one")
    if not named or named == {claims.aud}:
        return claims.aud
    client = asked.client
    target = audience.decide(
        next(iter(named)), org=org, client=client, scopes=scopes, active=await site.live.servers(org.id)
    )
    agreed = await site.store.read(authorizations.find_live, org.id, connection.user_id, client.app_id)
    is_theirs = agreed is not None and agreed.id == connection.authorization_id and target in agreed.resources
    if is_theirs or client.policies.permitted_users == APPROVED:
        return target
    raise OAuthError(
        "invalid_target", f"user hasn't approved this consumer for {target}: connect it for that server once"
    )
