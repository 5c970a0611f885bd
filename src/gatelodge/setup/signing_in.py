"""Signing in to Setup, signing out, and the one-time link that makes the first administrator."""

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import permissions, secrets, setup_links, users
from gatelodge.core.errors import Refused
from gatelodge.core.ids import USER
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import DEVELOPER_HUB, Org
from gatelodge.setup.org_pages import password_problem
from gatelodge.web import browser, forms, pages
from gatelodge.web.sign_in import try_password
from gatelodge.web.site import Site

PATH_OF_SETUP = re.compile(r"/setup(?:/[A-Za-z0-9_-]+)*")


async def show_sign_in(site: Site, org: Org, request: Request) -> Response:
    """GET /login."""
    target = dict(forms.parse(request.scope["query_string"])).get("next", "")
    return _sign_in_page(site, org, request, target, "", "")


async def sign_in(site: Site, org: Org, request: Request) -> Response:
    """POST /login: to the page that was asked for."""
    fields = forms.once(await forms.read_form(request))
    browser.check_form(site, org, request, fields)
    username, target = fields.get("username", ""), fields.get("next", "")
    user_id = await try_password(site, org, username, fields.get("password", ""))
    if user_id is None:
        error = "The username or the password isn't right. Check both and try again."
        return _sign_in_page(site, org, request, target, username, error)
    # Only a path of Setup: "next" is no open redirect.
    response = RedirectResponse(f"{org.issuer}{target if PATH_OF_SETUP.fullmatch(target) else '/setup'}", 303)
    await browser.sign_in(site, org, request, response, browser.SignedIn(user_id=user_id))
    return response


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
    return True


def _sign_in_page(site: Site, org: Org, request: Request, target: str, username: str, error: str) -> Response:
    hints = ("The names and passwords are printed where you started gatelodge dev.",)
    return pages.render(
        site,
        org,
        request,
        "web/sign_in.html",
        status=400 if error else 200,
        is_flow=True,
        client_name=None,
        action=f"{org.path}/login",
        request_id="",
        username=username,
        error=error,
        hints=hints if org.kind == DEVELOPER_HUB else (),
        next=target,
    )


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
