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
from gatelodge.oauth.grants.granted import Granted
from gatelodge.web.site import Site

UNKNOWN = Denied(
    "invalid_grant", "expired access/refresh token: it is not one of this org's, or its connection has ended"
)


async def exchange(site: Site, org: Org, client: LiveClient, form: dict[str, str]) -> Granted | Denied:
    """Exchange a refresh token for a fresh access token and the family's newest refresh token."""
    if "refresh_token" not in form:
        raise OAuthError("invalid_request", "refresh_token is missing")
    presented = refresh.parse(form["refresh_token"])
    held = await site.store.read(refresh.find_live, org.id, presented.family) if presented else None
    if presented is None or held is None or not refresh.is_ours(site.ring, presented, held.family):
        return UNKNOWN
    if REFRESH_TOKEN not in client.scopes:
        return Denied("invalid_grant", "the app no longer has the scope refresh_token")
    if held.connection.client_id != client.client_id:
        return UNKNOWN
    # Everything that may refuse without a mark comes before the rotation.
    granted = _narrowed(held.connection, client, form)
    answer = await site.store.run(
        refresh.rotate, held, presented.n, window=_window(site, org), now_ms=site.clock.now_ms()
    )
    if isinstance(answer, Denied):
        return answer
    return Granted(connection=answer.connection, scopes=granted, family=answer.family)


def _narrowed(connection: Connection, client: LiveClient, form: dict[str, str]) -> tuple[str, ...]:
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
