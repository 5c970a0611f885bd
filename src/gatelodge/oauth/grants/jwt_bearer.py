"""The JWT bearer grant (RFC 7523 §2.1): an app signs for which user it asks, and that user has agreed before."""

from gatelodge.core import authorizations, users
from gatelodge.core import scopes as scope_words
from gatelodge.core.apps import admission
from gatelodge.core.apps.policies import APPROVED
from gatelodge.core.authorizations import Authorization
from gatelodge.core.errors import Denied
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import Access
from gatelodge.core.propagation import LiveClient
from gatelodge.oauth import assertions, audience
from gatelodge.oauth.assertions import Unproven
from gatelodge.oauth.errors import OAuthError
from gatelodge.oauth.grants import admitting
from gatelodge.oauth.grants.client_credentials import NOT_FOR_IT
from gatelodge.oauth.grants.granted import Exchange, Granted
from gatelodge.web.site import Site

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LONGEST_USERNAME = 256
NOT_APPROVED = Denied(
    "invalid_grant",
    "user hasn't approved this consumer: the user must connect through the app once and allow these scopes and this"
    " resource, or an administrator pre-authorize them",
)


async def exchange(site: Site, org: Org, asked: Exchange) -> Granted | Denied:
    """An access token for the user that the app names. No refresh token: the app can sign again."""
    form, client = asked.form, asked.client
    if "assertion" not in form:
        raise OAuthError("invalid_request", "assertion is missing")
    try:
        statement = await assertions.read(site, org, client, form["assertion"])
    except Unproven as error:
        return Denied("invalid_grant", str(error))
    found = await site.store.read(users.find_by_username, org.id, statement.sub[:LONGEST_USERNAME])
    live_user = await site.live.user(org.id, found.id) if found else None
    # An unknown user is told what one is told who hasn't approved: the app learns of nobody who is here.
    if not_admitted := admission.check_user(client.policies, live_user.access if live_user else Access()):
        return Denied("invalid_grant", admitting.in_words(not_admitted))
    agreed = (
        await site.store.read(authorizations.find_live, org.id, live_user.user.id, client.app_id) if live_user else None
    )
    scopes = wanted(client, agreed, form)
    if not scopes:
        return NOT_APPROVED
    resource = audience.decide(
        form.get("resource"), org=org, client=client, scopes=scopes, active=await site.live.servers(org.id)
    )
    if live_user is None or not is_approved(client, agreed, scopes, resource):
        return NOT_APPROVED
    refusal = admitting.refusal_without_a_person(org, asked, live_user, scopes)
    if refusal:
        return refusal
    connection = await admitting.standing(site, client, live_user.user, scopes, resource, grant_type=GRANT_TYPE)
    return Granted(connection=connection, scopes=scopes, audience=resource)


def wanted(client: LiveClient, agreed: Authorization | None, form: dict[str, str]) -> tuple[str, ...]:
    """The scopes asked for that the app has; none sent: those of the app that the user agreed to. Raises
    ``OAuthError``.
    """
    ours = tuple(scope for scope in client.scopes if scope not in NOT_FOR_IT)
    if "scope" in form:
        granted = tuple(scope for scope in scope_words.parse(form["scope"]) if scope in ours)
        if not granted:
            raise OAuthError(
                "invalid_scope", f"of the scopes asked for this flow gives none; it gives: {' '.join(ours)}"
            )
        return granted
    if client.policies.permitted_users == APPROVED:
        return ours
    return tuple(scope for scope in ours if agreed is not None and scope in agreed.scopes)


def is_approved(client: LiveClient, agreed: Authorization | None, scopes: tuple[str, ...], resource: str) -> bool:
    """Whether the user agreed to this before, or an administrator did so for them."""
    if client.policies.permitted_users == APPROVED:
        return True
    return agreed is not None and agreed.covers(scopes, resource)
