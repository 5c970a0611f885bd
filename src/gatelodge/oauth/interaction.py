"""The pages between a request and its code. All of them post back here, and here alone the next one is chosen."""

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import authorizations, error_codes, secrets
from gatelodge.core.apps import callbacks
from gatelodge.core.apps.policies import AFTER, AT_ONCE, IF_UNUSED, UNTIL_REVOKED, Policies
from gatelodge.core.orgs import DEVELOPER_HUB, Org
from gatelodge.core.told_refusals import Told
from gatelodge.oauth import answers, messages, reach, references, requests
from gatelodge.oauth.answers import AnsweredBefore, Settled
from gatelodge.oauth.authorize import Standing, issue, standing, visitor_of
from gatelodge.oauth.errors import OAuthError, ToldToTheUser
from gatelodge.oauth.registered import check_client
from gatelodge.oauth.requests import Asked, Held
from gatelodge.oauth.steps import Arrival, AskConsent, Issue, Refuse, SignIn, StepUp, second_factor
from gatelodge.oauth.way_back import back_with_refusal, form_action, host_in_words
from gatelodge.web import browser, forms, pages, refusals, sign_in, sign_in_pages
from gatelodge.web.sign_in import ANSWERS, AskPassword, Asks
from gatelodge.web.site import Site
from gatelodge.words import Reason, _, ngettext, reason


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A held request that was found again, checked anew: its app may have changed meanwhile."""

    request_id: str
    came: Arrival
    asked: Asked


async def show(site: Site, org: Org, request: Request) -> Response:
    """GET /flow: the page that this request is at."""
    request_id = forms.once(forms.parse(request.scope["query_string"])).get("request", "")
    return await _with_waiting(site, org, request, request_id, {})


async def answer(site: Site, org: Org, request: Request) -> Response:
    """POST /flow: what the person typed or clicked."""
    fields = forms.once(await forms.read_form(request, longest=2 * forms.LONGEST_PARAMETER))
    browser.check_form(site, org, request, fields)
    return await _with_waiting(site, org, request, fields.get("request_id", ""), fields)


async def _with_waiting(site: Site, org: Org, request: Request, request_id: str, fields: dict[str, str]) -> Response:
    try:
        waiting = await _find(site, org, request, request_id)
        try:
            for check in requests.TOLD_TO_THE_CLIENT:
                check(waiting.asked)
            stands = await standing(site, org, request, waiting.asked, waiting.came)
            return await _react(site, org, request, waiting, stands, fields)
        except OAuthError as refused:
            await references.use(site, org, waiting.asked.request)
            return back_with_refusal(site, request, waiting.asked, refused)
        except AnsweredBefore:
            return _again(org, waiting)
    except ToldToTheUser as refused:
        return await messages.refusal_page(site, org, request, refused)


async def _find(site: Site, org: Org, request: Request, request_id: str) -> Waiting:
    tie = secrets.digest(browser.browser_of(site, org, request))
    held = await site.store.read(authorizations.find_held, org.id, secrets.digest(request_id), tie, site.clock.now())
    if held is None:
        raise ToldToTheUser(
            "expired_request",
            reason("This sign-in is over"),
            number=error_codes.EXPIRED,
            what=reason(
                "The request that brought you here was answered, is older than 10 minutes, or was begun in"
                " another browser."
            ),
            fix=reason("Go back to the client and connect again."),
        )
    kept = msgspec.json.decode(held.request, type=Held)
    asked = await check_client(site, org, kept.request)
    return Waiting(request_id=request_id, came=Arrival(held.created_at, kept.session), asked=asked)


async def _react(
    site: Site, org: Org, request: Request, waiting: Waiting, stands: Standing, fields: dict[str, str]
) -> Response:
    match fields.get("answer", ""):
        case "deny":
            return await _deny(site, org, request, waiting, stands)
        case "switch":
            return await _switch(site, org, request, waiting)
        # Issue: a second click, whose first has made the authorization meanwhile. One row decides between them.
        case "allow" if isinstance(stands.step, AskConsent | Issue) and fields.get("shown") == what_is_asked(
            waiting.asked
        ):
            return await _allow(site, org, request, waiting, stands)
    if isinstance(stands.step, SignIn) and not fields.keys().isdisjoint(ANSWERS):
        return await _sign_in(site, org, request, waiting, fields)
    return await _page(site, org, request, waiting, stands)


async def _page(site: Site, org: Org, request: Request, waiting: Waiting, stands: Standing) -> Response:
    match stands.step:
        case SignIn():
            asks = AskPassword(username=waiting.asked.request.login_hint)
            return await _sign_in_page(site, org, request, waiting, asks)
        case AskConsent(is_new):
            return await _consent_page(site, org, request, waiting, stands, is_new=is_new)
        case StepUp():
            return RedirectResponse(second_factor(org, f"/flow?request={waiting.request_id}"), 303)
        case Refuse():
            return await _not_permitted_page(site, org, request, waiting, stands, stands.step)
        case Issue():
            return await issue(site, request, waiting.asked, stands)


async def _sign_in(site: Site, org: Org, request: Request, waiting: Waiting, fields: dict[str, str]) -> Response:
    answered = await sign_in.answer(site, org, request, fields)
    if not isinstance(answered, browser.SignedIn):
        return await _sign_in_page(site, org, request, waiting, answered)
    response = _again(org, waiting)
    await browser.sign_in(site, org, request, response, answered, to=waiting.asked.client.app_id)
    return response


async def _switch(site: Site, org: Org, request: Request, waiting: Waiting) -> Response:
    response = _again(org, waiting)
    await browser.sign_out(site, org, request, response)
    return response


async def _deny(site: Site, org: Org, request: Request, waiting: Waiting, stands: Standing) -> Response:
    settled = _settled(site, org, request, waiting)
    user_id = stands.session.user.id if stands.session else ""
    answered = await site.store.run(answers.decline, waiting.asked, user_id, settled, site.clock.now())
    answers.first(waiting.asked, answered)
    denied = OAuthError("access_denied", "end-user denied authorization")
    told = stands.step.told if isinstance(stands.step, Refuse) else denied
    return back_with_refusal(site, request, waiting.asked, told)


async def _allow(site: Site, org: Org, request: Request, waiting: Waiting, stands: Standing) -> Response:
    assert stands.session is not None  # the step was AskConsent
    made = answers.connection(waiting.asked, stands.session, stands.authorization)
    return await answers.give(site, request, waiting.asked, made, _settled(site, org, request, waiting))


def _settled(site: Site, org: Org, request: Request, waiting: Waiting) -> Settled:
    """What the person's own answer ends."""
    return Settled(
        widens=True,
        waiting=secrets.digest(waiting.request_id),
        browser=secrets.digest(browser.browser_of(site, org, request)),
        pushed=waiting.asked.request.pushed,
    )


def what_is_asked(asked: Asked) -> str:
    """What an answer is given to: the page carries it, so that nobody agrees to what an administrator changed after
    the page was shown. The form's own token keeps strangers from writing it.
    """
    return " ".join((*asked.scopes, asked.resource))


def how_long(policies: Policies) -> str:
    """How long the app stays connected, in words for the consent page."""
    n = policies.refresh_token_period
    period = {
        "Hours": ngettext("{n} hour", "{n} hours", n),
        "Days": ngettext("{n} day", "{n} days", n),
        "Months": ngettext("{n} month", "{n} months", n),
    }[policies.refresh_token_unit].format(n=n)
    return {
        UNTIL_REVOKED: _("Until you or an administrator end it."),
        AT_ONCE: _("Until its first access token ends."),
        AFTER: _("For {period}.").format(period=period),
        IF_UNUSED: _("For {period} after its last use.").format(period=period),
    }[policies.refresh_token_policy]


def _again(org: Org, waiting: Waiting) -> Response:
    return RedirectResponse(f"{org.issuer}/flow?request={waiting.request_id}", 303)


async def _sign_in_page(site: Site, org: Org, request: Request, waiting: Waiting, asks: Asks) -> Response:
    return await sign_in_pages.page(
        site,
        org,
        request,
        asks,
        action=f"{org.path}/flow",
        next=f"/flow?request={waiting.request_id}",
        request_id=waiting.request_id,
        client_name=waiting.asked.client.name,
        form_action=(form_action(waiting.asked.redirect_uri),),
        hints=messages.sign_in_hints(org.kind == DEVELOPER_HUB),
        is_again="login" in waiting.asked.request.prompt or waiting.asked.request.max_age is not None,
    )


async def _consent_page(
    site: Site, org: Org, request: Request, waiting: Waiting, stands: Standing, *, is_new: bool
) -> Response:
    assert stands.session is not None  # the step was AskConsent
    asked, client = waiting.asked, waiting.asked.client
    visitor = await visitor_of(site, org, request)
    assert visitor is not None  # the same session
    return pages.render(
        site,
        org,
        request,
        "oauth/consent.html",
        is_flow=True,
        session=stands.session,
        form_action=(form_action(asked.redirect_uri),),
        client=client,
        return_host=host_in_words(asked.redirect_uri),
        is_assured=callbacks.has_assured_identity(asked.redirect_uri),
        shown=what_is_asked(asked),
        needs_consent=is_new,
        scopes=messages.in_plain_words(asked.scopes, org.custom_scopes),
        reaches=reach.of(org, client, asked.servers, visitor, asked.scopes, asked.resource),
        user=stands.session.user,
        action=f"{org.path}/flow",
        request_id=waiting.request_id,
        how_long=how_long(client.policies),
        adds_refresh=asked.adds_refresh,
    )


async def _not_permitted_page(
    site: Site, org: Org, request: Request, waiting: Waiting, stands: Standing, refused: Refuse
) -> Response:
    assert stands.session is not None  # only somebody who is signed in is refused
    number = messages.NUMBERS.get(refused.code, error_codes.NOT_APPROVED)
    plain = _(error_codes.CODES[number].plain)
    told = Told(
        code=number,
        title=Reason(error_codes.CODES[number].title),
        what=refused.why,
        fix=refused.fix,
        app_id=waiting.asked.client.app_id,
    )
    return pages.render(
        site,
        org,
        request,
        "oauth/not_permitted.html",
        status=403,
        is_flow=True,
        session=stands.session,
        form_action=(form_action(waiting.asked.redirect_uri),),
        client=waiting.asked.client,
        plain=plain,
        told=told.here(),
        told_to_the_app=refused.told.description,
        trace_id=await refusals.keep(site, org, request, told, stands.session),
        action=f"{org.path}/flow",
        request_id=waiting.request_id,
    )
