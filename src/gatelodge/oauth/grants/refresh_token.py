"""The refresh grant (RFC 6749 §6) with rotation that punishes theft and forgives races (decision 0006)."""

from gatelodge.core import refresh
from gatelodge.core import scopes as scope_words
from gatelodge.core.connections import Connection
from gatelodge.core.errors import Denied
from gatelodge.core.mcp_servers import canonical
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import REFRESH_TOKEN
from gatelodge.oauth.errors import OAuthError
from gatelodge.oauth.grants import admitting
from gatelodge.oauth.grants.granted import Exchange, Granted
from gatelodge.web.site import Site

UNKNOWN = Denied(
    "invalid_grant", "expired access/refresh token: it is not one of this org's, or its connection has ended"
)


async def exchange(site: Site, org: Org, asked: Exchange) -> Granted | Denied:
    """Exchange a refresh token for a fresh access token and the family's newest refresh token."""
    form, client = asked.form, asked.client
    if "refresh_token" not in form:
        raise OAuthError("invalid_request", "refresh_token is missing")
    presented = refresh.parse(form["refresh_token"])
    held = await site.store.read(refresh.find_live, org.id, presented.family) if presented else None
    if presented is None or held is None or not refresh.is_ours(site.ring, presented, held.family):
        return UNKNOWN
    connection = held.connection
    if REFRESH_TOKEN not in client.scopes:
        return Denied("invalid_grant", "the app no longer has the scope refresh_token")
    if connection.app_id != client.app_id:
        return UNKNOWN
    # Everything that may refuse without a mark comes before the rotation.
    if refusal := _wrong_key(connection, asked):
        return refusal
    if refusal := await admitting.refusal(site, org, asked, connection, is_refreshing=True):
        return refusal
    granted = narrowed(connection, client, form)
    terms = refresh.Terms(
        policies=client.policies, rotates=client.settings.refresh_token_rotation, window=_window(site, org)
    )
    answer = await site.store.run(refresh.rotate, held, presented.n, terms=terms, now_ms=site.clock.now_ms())
    if isinstance(answer, Denied):
        return answer
    return Granted(
        connection=answer.connection,
        scopes=granted,
        audience=answer.connection.resource,
        family=answer.family,
        has_id_token=True,
    )


def _wrong_key(connection: Connection, asked: Exchange) -> Denied | None:
    """A public client's refresh token is bound to its DPoP key; a client that proves who it is may change the key, and
    never goes back to bearer tokens (RFC 9449 §5).
    """
    if not connection.dpop_jkt or asked.dpop_jkt == connection.dpop_jkt or (asked.is_proven and asked.dpop_jkt):
        return None
    return Denied("invalid_grant", "this refresh token is bound to a DPoP key, and the proof has another or is missing")


def narrowed(connection: Connection, client: LiveClient, form: dict[str, str]) -> tuple[str, ...]:
    """The scopes of this one access token: never more than was authorized, nor than the app has now (RFC 6749 §6)."""
    if "resource" in form and canonical(form["resource"]) != connection.resource:
        raise OAuthError("invalid_target", f"the user authorized the resource {connection.resource} and no other")
    still = tuple(scope for scope in connection.scopes if scope in client.scopes)
    wanted = scope_words.parse(form["scope"]) if "scope" in form else still
    granted = tuple(scope for scope in still if scope in wanted)
    if not granted:
        raise OAuthError("invalid_scope", f"of the scopes asked for the user authorized none; {' '.join(still)} remain")
    return granted


def _window(site: Site, org: Org) -> int:
    return org.refresh_window if site.config.refresh_window is None else site.config.refresh_window
