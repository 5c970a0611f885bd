"""Signing in to Setup, signing out, and the one-time link that makes the first administrator."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import audit, permissions, secrets, setup_links, users
from gatelodge.core.apps.policies import HIGH
from gatelodge.core.errors import Refused
from gatelodge.core.ids import USER
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import DEVELOPER_HUB, Org
from gatelodge.setup.personal.passwords import password_problem
from gatelodge.web import browser, forms, pages, sign_in_pages
from gatelodge.web.browser import SignedIn
from gatelodge.web.sign_in import TOO_OLD, AskPassword, Asks, answer, try_factor
from gatelodge.web.site import Site
from gatelodge.words import _

LONGEST_FIELD = 16 * 1024
"""Bytes: a browser's answer about a passkey is longer than what people type."""


async def show_sign_in(site: Site, org: Org, request: Request) -> Response:
    """GET /login."""
    return await _page(site, org, request, AskPassword(), _next(request))


async def sign_in(site: Site, org: Org, request: Request) -> Response:
    """POST /login: a step of signing in; after the last one, to the page that was asked for."""
    fields = forms.once(await forms.read_form(request, longest=LONGEST_FIELD))
    browser.check_form(site, org, request, fields)
    answered = await answer(site, org, request, fields)
    return await finish(site, org, request, answered, fields.get("next", ""))


async def finish(site: Site, org: Org, request: Request, answered: SignedIn | Asks, target: str) -> Response:
    """The way on of who signed in, or the page that asks for what is still owed."""
    if not isinstance(answered, SignedIn):
        return await _page(site, org, request, answered, target)
    response = sign_in_pages.way_on(site, org, request, target)
    await browser.sign_in(site, org, request, response, answered)
    return response


async def show_factor(site: Site, org: Org, request: Request) -> Response:
    """GET /login/factor: raise the level of a session that is there; who has it goes on at once."""
    return await _step_up(site, org, request, {}, _next(request))


async def use_factor(site: Site, org: Org, request: Request) -> Response:
    """POST /login/factor."""
    fields = forms.once(await forms.read_form(request, longest=LONGEST_FIELD))
    browser.check_form(site, org, request, fields)
    return await _step_up(site, org, request, fields, fields.get("next", ""))


async def _step_up(site: Site, org: Org, request: Request, fields: dict[str, str], target: str) -> Response:
    session = await browser.session_of(site, org, request)
    if session is None:
        return await _page(site, org, request, AskPassword(), target)
    if session.level == HIGH:
        return sign_in_pages.way_on(site, org, request, target)
    user_id, error = session.user.id, ""
    if request.method == "POST":
        method, error = await try_factor(site, org, request, user_id, fields)
        if not error:
            response = sign_in_pages.way_on(site, org, request, target)
            if await browser.renew(site, org, response, session, level=HIGH, methods=(method, "mfa")):
                return response
            return await _page(site, org, request, AskPassword(error=_(TOO_OLD)), target)
    context = await sign_in_pages.factor_context(site, org, request, user_id)
    return pages.render(
        site,
        org,
        request,
        "web/sign_in_factor.html",
        status=400 if error else 200,
        is_flow=True,
        has_passkeys=bool(context["passkey_options"]),
        session=session,
        action=f"{org.path}/login/factor",
        request_id="",
        client_name=None,
        next=target,
        ticket="",
        is_step_up=True,
        error=error,
        **context,
    )


async def sign_out(site: Site, org: Org, request: Request) -> Response:
    """POST /logout. A plain link can't sign anybody out."""
    fields = dict(await forms.read_form(request))
    browser.check_form(site, org, request, fields)
    response = RedirectResponse(f"{org.issuer}/login", 303)
    await browser.sign_out(site, org, request, response)
    return response


async def show_first(site: Site, org: Org, request: Request) -> Response:
    """GET /setup/first: looking uses the link not up."""
    link = dict(forms.parse(request.scope["query_string"])).get("token", "")
    if not await site.store.read(setup_links.is_open, org.id, secrets.digest(link), site.clock.now()):
        return RedirectResponse(f"{org.issuer}/login", 303)
    return _first_page(site, org, request, link, {"name": "", "username": ""}, {})


async def use_first(site: Site, org: Org, request: Request) -> Response:
    """POST /setup/first: make the administrator, once, and sign them in."""
    fields = forms.once(await forms.read_form(request))
    browser.check_form(site, org, request, fields)
    link, password = fields.get("token", ""), fields.get("password", "")
    if problem := password_problem(password):
        return _first_page(site, org, request, link, fields, {"password": problem})
    # Before the password is hashed, which costs more than a stranger may spend here.
    if not await site.store.read(setup_links.is_open, org.id, secrets.digest(link), site.clock.now()):
        return RedirectResponse(f"{org.issuer}/login", 303)
    user_id = secrets.new_id(USER)
    try:
        was_open = await site.store.run(
            first_administrator,
            org.id,
            secrets.digest(link),
            user_id=user_id,
            username=fields.get("username", ""),
            name=fields.get("name", ""),
            password_hash=await site.passwords.hash(password),
            now=site.clock.now(),
        )
    except Refused as refused:
        return _first_page(site, org, request, link, fields, {refused.field: refused.message})
    response = RedirectResponse(f"{org.issuer}{'/setup' if was_open else '/login'}", 303)
    if was_open:
        await browser.sign_in(site, org, request, response, browser.SignedIn(user_id=user_id))
    return response


def first_administrator(
    org_id: str, link: str, *, user_id: str, username: str, name: str, password_hash: str, now: int
) -> Operation[bool]:
    """Use the link up and make the administrator, in one transaction. True for exactly one caller."""
    if not (yield from setup_links.use(org_id, link, now)):
        return False
    yield from users.create(
        id=user_id,
        org_id=org_id,
        username=username,
        name=name or username,
        email=username,
        password_hash=password_hash,
        permission_sets=(permissions.ADMINISTRATOR.api_name,),
        now=now,
    )
    said: dict[str, object] = {"username": username, "permission_sets": [permissions.ADMINISTRATOR.api_name]}
    yield from audit.record(org_id, now * 1000, user_id, "user:account:create", user_id, said)
    return True


async def _page(site: Site, org: Org, request: Request, asks: Asks, target: str) -> Response:
    hints = (_("The names and passwords are printed where you started gatelodge dev."),)
    return await sign_in_pages.page(
        site,
        org,
        request,
        asks,
        action=f"{org.path}/login",
        next=target if sign_in_pages.is_way_on(target) else "",
        hints=hints if org.kind == DEVELOPER_HUB else (),
    )


def _next(request: Request) -> str:
    return dict(forms.parse(request.scope["query_string"])).get("next", "")


def _first_page(
    site: Site, org: Org, request: Request, link: str, fields: dict[str, str], errors: dict[str, str]
) -> Response:
    return pages.render(
        site,
        org,
        request,
        "setup/first.html",
        status=422 if errors else 200,
        is_flow=True,
        link=link,
        values={"name": fields.get("name", ""), "username": fields.get("username", "")},
        errors=errors,
    )
