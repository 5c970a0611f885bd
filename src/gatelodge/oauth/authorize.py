"""The authorization endpoint (RFC 6749 §4.1.1): checks in order, then the request waits for its user.

GET uses nothing up and may be repeated: link scanners, preflights and the back button cost nobody anything. A request
that was pushed leads to one answer.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge import words
from gatelodge.core import authorizations, pushed_requests, secrets
from gatelodge.core.authorizations import Authorization
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.sessions import Session
from gatelodge.oauth import answers, code_credentials, messages, references, requests
from gatelodge.oauth.errors import NO_STORE, OAuthError, ToldToTheUser
from gatelodge.oauth.registered import check_client
from gatelodge.oauth.requests import Asked, AuthorizeRequest, Held
from gatelodge.oauth.steps import Arrival, Issue, Step, Visitor, next_step, refusal_without_pages
from gatelodge.oauth.way_back import back_with_refusal
from gatelodge.web import browser, forms
from gatelodge.web.addresses import client_address, network_of
from gatelodge.web.site import Site


async def authorize(site: Site, org: Org, request: Request) -> Response:
    """GET: answer a client's request to have a user signed in and asked."""
    return await _answer(site, org, request, requests.parse(forms.parse(request.scope["query_string"])))


async def authorize_by_post(site: Site, org: Org, request: Request) -> Response:
    """POST: the same from a form (OpenID Core §3.1.2.1), or the Authorization Code and Credentials Flow."""
    if request.headers.get(code_credentials.HEADER) is not None:
        return await code_credentials.answer(site, org, request)
    fields = await forms.read_form(request)
    if ("response_type", code_credentials.RESPONSE_TYPE) in fields:
        return code_credentials.header_is_missing()
    return await _answer(site, org, request, requests.parse(fields))


async def _answer(site: Site, org: Org, request: Request, asked_for: AuthorizeRequest) -> Response:
    # What is refused here is told to a person; what a client is told has no words of pages in it.
    words.speak(words.language_of(request.headers.get("accept-language", "")))
    site.limits.check(org.id, asked_for.client_id, client_address(request, site.config), site.clock.now_ms())
    try:
        asked = await check_client(site, org, await references.resolved(site, org, request, asked_for))
        try:
            for check in requests.TOLD_TO_THE_CLIENT:
                check(asked)
            return await _begin(site, org, request, asked)
        except OAuthError as refused:
            await references.use(site, org, asked.request)
            return back_with_refusal(site, request, asked, refused)
    except ToldToTheUser as refused:
        return await messages.refusal_page(site, org, request, refused)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request stands: who is signed in, what they agreed to before, and the next step."""

    session: Session | None
    authorization: Authorization | None
    step: Step


async def standing(site: Site, org: Org, request: Request, asked: Asked, came: Arrival | None = None) -> Standing:
    """Look again at everything that decides the next page. ``came`` None: the request comes just now."""
    visitor, authorization = await visitor_of(site, org, request), None
    session = visitor.session if visitor else None
    if session is not None:
        authorization = await site.store.read(authorizations.find_live, org.id, session.user.id, asked.client.app_id)
    arrival = came or Arrival(site.clock.now(), session.digest if session else "")
    step = next_step(asked, visitor, authorization, arrival)
    return Standing(session=session, authorization=authorization, step=step)


async def visitor_of(site: Site, org: Org, request: Request) -> Visitor | None:
    """The signed-in person of this browser, with what decides whether an app is theirs to use."""
    session = await browser.session_of(site, org, request)
    live_user = await site.live.user(org.id, session.user.id) if session else None
    if session is None or live_user is None:
        return None
    return Visitor(session=session, access=live_user.access, address=client_address(request, site.config))


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
    kept = Held(request=asked.request, session=session.digest if session else "")
    try:
        is_held = await site.store.run(
            _hold_and_bind,
            asked.request.pushed,
            digest=secrets.digest(request_id),
            org_id=org.id,
            client_id=asked.client.client_id,
            browser=secrets.digest(tie),
            address=network_of(client_address(request, site.config)),
            request=msgspec.json.encode(kept).decode(),
            now=site.clock.now(),
        )
    except Refused as refused:
        raise OAuthError("temporarily_unavailable", refused.message) from None
    if not is_held:
        raise references.used_up(asked.request.client_id)
    response = RedirectResponse(f"{org.issuer}/flow?request={request_id}", 303, headers=NO_STORE)
    browser.set_cookie(site, org, response, browser.BROWSER, tie)
    return response


def _hold_and_bind(
    pushed: str, *, digest: str, org_id: str, client_id: str, browser: str, address: str, request: str, now: int
) -> Operation[bool]:
    """Hold a request; one that was pushed belongs to this browser from now on. False: it belongs to another."""
    if pushed and not (yield from pushed_requests.show(org_id, pushed, browser)):
        return False
    yield from authorizations.hold(
        digest=digest, org_id=org_id, client_id=client_id, browser=browser, address=address, request=request, now=now
    )
    return True


async def issue(site: Site, request: Request, asked: Asked, stands: Standing) -> Response:
    """The answer for a user who owes none."""
    assert stands.session is not None  # the step was Issue
    assert isinstance(stands.step, Issue)
    widens = not stands.step.is_agreed
    made = answers.connection(asked, stands.session, stands.authorization)
    return await answers.give(site, request, asked, made, answers.Settled(widens=widens, pushed=asked.request.pushed))
