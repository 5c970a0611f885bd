"""The device flow (RFC 8628): where a device begins, and the pages on which its user enters the code and answers.

A code that is known grants nothing: its user signs in, sees which app asks, from where and when, and says yes.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import device_codes, error_codes, secrets
from gatelodge.core.connections import Connection
from gatelodge.core.device_codes import DeviceCode
from gatelodge.core.ids import AUTHORIZATION, CONNECTION
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.sessions import Session
from gatelodge.oauth import audience, messages, reach
from gatelodge.oauth.authorize import visitor_of
from gatelodge.oauth.client_auth import authenticate
from gatelodge.oauth.errors import OAuthError, as_json
from gatelodge.oauth.grants import device_code
from gatelodge.oauth.grants.device_code import PAGE
from gatelodge.oauth.interaction import how_long
from gatelodge.oauth.steps import Refuse, StepUp, Visitor, second_factor, turned_back
from gatelodge.oauth.token import body_of
from gatelodge.web import browser, forms, pages
from gatelodge.web.addresses import client_address, network_of
from gatelodge.web.site import Site
from gatelodge.words import _, mark

UNKNOWN = mark("No device is waiting with this code. Look at the device again: a code lives 10 minutes and works once.")
TOO_MANY = mark("Too many wrong codes were typed at your address. Wait 10 minutes, then try again.")
GONE = mark(
    "The app of this device was disabled or changed meanwhile. Ask an administrator, then start again on the device."
)


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A device that waits for its user, and the app through which it asks."""

    user_code: str
    device: DeviceCode
    client: LiveClient


async def authorize_device(site: Site, org: Org, request: Request) -> Response:
    """POST /services/oauth2/device (RFC 8628 §3.1)."""
    try:
        form = await body_of(request)
        authenticated = await authenticate(site, org, request, form)
        return await device_code.begin(site, org, authenticated, form, address=client_address(request, site.config))
    except OAuthError as refused:
        return as_json(refused)


async def show(site: Site, org: Org, request: Request) -> Response:
    """GET: the form for the code. A code in the URL is only typed in."""
    sent = dict(forms.parse(request.scope["query_string"])).get("user_code", "")
    return _code_page(site, org, request, device_codes.typed(request.path_params.get("user_code", sent)))


async def answer(site: Site, org: Org, request: Request) -> Response:
    """POST: the code, then Allow or Deny."""
    fields = forms.once(await forms.read_form(request))
    browser.check_form(site, org, request, fields)
    found = await _find(site, org, request, fields.get("user_code", ""))
    if isinstance(found, Response):
        return found
    then = f"{PAGE}/{found.user_code}"
    visitor = await visitor_of(site, org, request)
    if visitor is None:
        return RedirectResponse(f"{org.issuer}/login?next={then}", 303)
    match turned_back(org, found.client, found.device.scopes, visitor):
        case StepUp():
            return RedirectResponse(second_factor(org, then), 303)
        case Refuse(_why, fix, word):
            plain = _(error_codes.CODES[messages.NUMBERS.get(word, error_codes.NOT_APPROVED)].plain)
            return _done_page(
                site,
                org,
                request,
                _("You have no access to this"),
                f"{plain} {fix.here()}",
                status=403,
            )
    return await _react(site, org, request, found, visitor, fields)


async def _find(site: Site, org: Org, request: Request, typed: str) -> Waiting | Response:
    """The device with this code, or the page that says why there is none. Guessing is slow."""
    address, now = network_of(client_address(request, site.config)), site.clock.now()
    if not await site.store.read(device_codes.may_guess, org.id, address, now):
        page = _code_page(site, org, request, "", TOO_MANY, status=429)
        page.headers["Retry-After"] = str(device_codes.GUESSES_FOR)
        return page
    code = device_codes.typed(typed)
    mac = device_code.mac(site, org, code)
    found = await site.store.read(device_codes.find_waiting, org.id, mac, now) if code else None
    if found is None:
        await site.store.run(device_codes.note_guess, org.id, address, now)
        return _code_page(site, org, request, typed[:64], UNKNOWN, status=400)
    client = await site.live.client(org.id, found.client_id)
    if client is None or not client.is_enabled or not client.settings.device_flow or _has_lost(client, found):
        return _code_page(site, org, request, "", GONE, status=400)
    return Waiting(user_code=code, device=found, client=client)


def _has_lost(client: LiveClient, found: DeviceCode) -> bool:
    """Whether the app may no longer be given what its device asked for."""
    return any(scope not in client.scopes for scope in found.scopes)


async def _react(
    site: Site, org: Org, request: Request, found: Waiting, visitor: Visitor, fields: dict[str, str]
) -> Response:
    now = site.clock.now()
    match fields.get("answer", ""):
        case "deny":
            await site.store.run(device_codes.deny, found.device, visitor.session.user.id, found.client.app_id, now)
            why = _("{name} was told so. You can close this page.").format(name=found.client.name)
            return _done_page(site, org, request, _("Nothing was allowed"), why)
        case "allow" if fields.get("shown") == what_is_asked(found):
            made = _connection(org, found, visitor.session)
            if await site.store.run(device_codes.allow, found.device, made, now):
                why = _("{name} goes on by itself in a few seconds. You can close this page.").format(
                    name=found.client.name
                )
                return _done_page(site, org, request, _("The device is connected"), why)
            return _code_page(site, org, request, "", UNKNOWN, status=400)
    return await _confirm_page(site, org, request, found, visitor)


def what_is_asked(found: Waiting) -> str:
    """What an answer is given to, so that nobody agrees to another device's request."""
    return " ".join((found.user_code, *found.device.scopes, found.device.resource))


def _connection(org: Org, found: Waiting, session: Session) -> Connection:
    return Connection(
        id=secrets.new_id(CONNECTION),
        org_id=org.id,
        authorization_id=secrets.new_id(AUTHORIZATION),
        user_id=session.user.id,
        app_id=found.client.app_id,
        client_id=found.client.client_id,
        scopes=found.device.scopes,
        resource=found.device.resource,
        signed_in_at=session.signed_in_at,
        level=session.level,
        methods=session.methods,
        grant_type=device_code.GRANT_TYPE,
    )


def _code_page(
    site: Site, org: Org, request: Request, user_code: str, error: str = "", *, status: int = 200
) -> Response:
    return pages.render(
        site,
        org,
        request,
        "oauth/device.html",
        status=status,
        is_flow=True,
        action=f"{org.path}{PAGE}",
        user_code=user_code,
        error=_(error),
    )


async def _confirm_page(site: Site, org: Org, request: Request, found: Waiting, visitor: Visitor) -> Response:
    servers = audience.servers_for(found.client, await site.live.servers(org.id))
    return pages.render(
        site,
        org,
        request,
        "oauth/device_confirm.html",
        is_flow=True,
        session=visitor.session,
        action=f"{org.path}{PAGE}",
        client=found.client,
        user_code=found.user_code,
        shown=what_is_asked(found),
        address=found.device.address,
        asked_at=found.device.created_at,
        reaches=reach.of(org, found.client, servers, visitor, found.device.scopes, found.device.resource),
        scopes=messages.in_plain_words(found.device.scopes, org.custom_scopes),
        how_long=how_long(found.client.policies),
    )


def _done_page(site: Site, org: Org, request: Request, title: str, why: str, *, status: int = 200) -> Response:
    return pages.render(site, org, request, "oauth/device_done.html", status=status, is_flow=True, title=title, why=why)
