"""The client credentials grant (RFC 6749 §4.4). Here every token is a user's: the one that Policies name as Run As."""

from gatelodge.core import scopes as scope_words
from gatelodge.core import users
from gatelodge.core.errors import Denied
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import OPENID, REFRESH_TOKEN
from gatelodge.oauth import audience
from gatelodge.oauth.errors import OAuthError
from gatelodge.oauth.grants import admitting
from gatelodge.oauth.grants.granted import Exchange, Granted
from gatelodge.web.site import Site

GRANT_TYPE = "client_credentials"
NOT_FOR_IT = (REFRESH_TOKEN, OPENID)
"""Nobody signed in, so there is no one to identify, and the client can come back by itself (RFC 6749 §4.4.3)."""
NOBODY = Denied("invalid_grant", "no client credentials user enabled: Policies must name an active Run As user")


async def exchange(site: Site, org: Org, asked: Exchange) -> Granted | Denied:
    """An access token of the Run As user, with what that user may do."""
    client = asked.client
    scopes = wanted(client, asked.form)
    resource = audience.decide(
        asked.form.get("resource"), org=org, client=client, scopes=scopes, active=await site.live.servers(org.id)
    )
    runs_as = await site.store.read(users.find_by_username, org.id, client.policies.run_as)
    live_user = await site.live.user(org.id, runs_as.id) if runs_as else None
    if live_user is None:
        return NOBODY
    refusal = admitting.refusal_without_a_person(org, asked, live_user, scopes)
    if refusal:
        return refusal
    connection = await admitting.standing(site, client, live_user.user, scopes, resource, grant_type=GRANT_TYPE)
    return Granted(connection=connection, scopes=scopes, audience=resource)


def wanted(client: LiveClient, form: dict[str, str]) -> tuple[str, ...]:
    """The scopes of the token: the app's, or those of them that are asked for. Raises ``OAuthError``."""
    ours = tuple(scope for scope in client.scopes if scope not in NOT_FOR_IT)
    asked_for = scope_words.parse(form["scope"]) if "scope" in form else ours
    if refused := [scope for scope in asked_for if scope in NOT_FOR_IT]:
        raise OAuthError("invalid_scope", f"this flow gives no {' and no '.join(refused)}: nobody signs in")
    granted = tuple(scope for scope in ours if scope in asked_for)
    if not granted:
        raise OAuthError("invalid_scope", f"of the scopes asked for the app has none; it has: {' '.join(ours)}")
    return granted
