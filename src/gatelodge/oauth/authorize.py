"""The authorization endpoint (RFC 6749 §4.1.1): checks in order, then the request waits for its user.

GET uses nothing up and may be repeated: link scanners, preflights and the back button cost nobody anything.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import authorizations, connections, secrets
from gatelodge.core.authorizations import Authorization
from gatelodge.core.connections import Code, Connection
from gatelodge.core.errors import Refused
from gatelodge.core.ids import AUTHORIZATION, CONNECTION
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import Access
from gatelodge.core.sessions import Session
from gatelodge.oauth import messages, requests
from gatelodge.oauth.errors import NO_STORE, OAuthError, ToldToTheUser
from gatelodge.oauth.requests import Asked, AuthorizeRequest, Held
from gatelodge.oauth.steps import Arrival, Issue, Step, next_step, refusal_without_pages
from gatelodge.oauth.way_back import back, back_with_refusal
from gatelodge.web import browser, forms
from gatelodge.web.addresses import client_address
from gatelodge.web.site import Site


async def authorize(site: Site, org: Org, request: Request) -> Response:
    """Answer a client's request to have a user signed in and asked."""
    asked_for = requests.parse(forms.parse(request.scope["query_string"]))
    site.limits.check(org.id, asked_for.client_id, client_address(request, site.config), site.clock.now_ms())
    try:
        asked = await check_client(site, org, asked_for)
    except ToldToTheUser as refused:
        return await messages.refusal_page(site, org, request, refused)
    try:
        for check in requests.TOLD_TO_THE_CLIENT:
            check(asked)
        return await _begin(site, org, request, asked)
    except OAuthError as refused:
        return back_with_refusal(site, request, asked, refused)


async def check_client(site: Site, org: Org, request: AuthorizeRequest) -> Asked:
    """The client and its way back. Raises ``ToldToTheUser``: before this nothing may be sent anywhere."""
    client = await site.live.client(org.id, request.client_id)
    waits = 0 if client else await site.live.seconds_until_live(org.id, request.client_id)
    for check in requests.TOLD_TO_THE_USER:
        check(request, client, waits)
    assert client is not None  # client_is_live has passed
    scopes, adds_refresh = requests.granted_scopes(request, client)
    return Asked(
        request=request,
        client=client,
        redirect_uri=requests.way_back(request, client),
        scopes=scopes,
        adds_refresh=adds_refresh,
        org=org,
        servers=await site.live.servers(org.id),
    )


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request stands: who is signed in, what they agreed to before, and the next step."""

    session: Session | None
    authorization: Authorization | None
    step: Step


async def standing(site: Site, org: Org, request: Request, asked: Asked, came: Arrival | None = None) -> Standing:
    """Look again at everything that decides the next page. ``came`` None: the request comes just now."""
    session, authorization, access = await browser.session_of(site, org, request), None, Access()
    if session is not None:
        authorization = await site.store.read(authorizations.find_live, org.id, session.user.id, asked.client.app_id)
        live_user = await site.live.user(org.id, session.user.id)
        access = live_user.access if live_user else Access()
    arrival = came or Arrival(site.clock.now(), session.digest if session else "")
    step = next_step(asked, session, access, authorization, arrival)
    return Standing(session=session, authorization=authorization, step=step)


async def _begin(site: Site, org: Org, request: Request, asked: Asked) -> Response:
    stands = await standing(site, org, request, asked)
    if isinstance(stands.step, Issue):
        return await issue(site, request, asked, stands)
    if "none" in asked.request.prompt:
        refused = refusal_without_pages(stands.step)
        assert refused is not None  # only Issue owes no refusal
        raise refused
    return await _hold(site, org, request, asked, stands.session)


async def _hold(site: Site, org: Org, request: Request, asked: Asked, session: Session | None) -> Response:
    """Keep the request, bound to this browser, and go to the page that asks what is owed."""
    request_id, tie = secrets.new_token(), browser.browser_of(site, org, request) or secrets.new_token()
    try:
        await site.store.run(
            authorizations.hold,
            digest=secrets.digest(request_id),
            org_id=org.id,
            client_id=asked.client.client_id,
            browser=secrets.digest(tie),
            address=client_address(request, site.config),
            request=msgspec.json.encode(
                Held(request=asked.request, session=session.digest if session else "")
            ).decode(),
            now=site.clock.now(),
        )
    except Refused as refused:
        raise OAuthError("temporarily_unavailable", refused.message) from None
    response = RedirectResponse(f"{org.issuer}/flow?request={request_id}", 303, headers=NO_STORE)
    browser.set_cookie(site, org, response, browser.BROWSER, tie)
    return response


async def issue(site: Site, request: Request, asked: Asked, stands: Standing) -> Response:
    """A fresh code for a user who owes no answer."""
    assert stands.authorization is not None  # the step was Issue
    value, code = new_code(asked, stands, site.clock.now())
    await site.store.run(connections.issue_code, code, site.clock.now())
    return back(site, request, asked, {"code": value})


def new_code(asked: Asked, stands: Standing, now: int) -> tuple[str, Code]:
    """A code's text for the client and what is kept of it."""
    assert stands.session is not None  # every step after SignIn has one
    value = secrets.new_token()
    known = stands.authorization
    return value, Code(
        digest=secrets.digest(value),
        connection=Connection(
            id=secrets.new_id(CONNECTION),
            org_id=asked.org.id,
            authorization_id=known.id if known else secrets.new_id(AUTHORIZATION),
            user_id=stands.session.user.id,
            app_id=asked.client.app_id,
            client_id=asked.client.client_id,
            scopes=asked.scopes,
            resource=asked.resource,
            signed_in_at=stands.session.signed_in_at,
            level=stands.session.level,
            methods=stands.session.methods,
            dpop_jkt=asked.request.dpop_jkt,
        ),
        redirect_uri=asked.redirect_uri,
        code_challenge=asked.request.code_challenge,
        nonce=asked.request.nonce,
        expires_at=now + connections.CODE_LIFETIME,
    )
