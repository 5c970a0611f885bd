"""Browsers that somebody signed in with before: they keep a cookie that says so, and have a budget of tries of their own.

The cookie names nobody: it holds chance and, for each user who signed in there, a MAC over both (OWASP, device cookies).
"""

from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import secrets, sign_in_failures
from gatelodge.core.orgs import Org
from gatelodge.core.sign_in_failures import Budget
from gatelodge.web.addresses import client_address, network_of
from gatelodge.web.cookies import cookie, set_cookie
from gatelodge.web.site import Site

DEVICE = "gl-device"
REMEMBERED = 180 * 24 * 3600
MOST_USERS = 5


def remember(site: Site, org: Org, request: Request, response: Response, user_id: str) -> None:
    """This user signed in with this browser."""
    key_id, nonce, marks = _parts(cookie(site, org, request, DEVICE))
    if key_id != site.ring.current_id:
        key_id, nonce, marks = site.ring.current_id, secrets.new_token(), []
    mark = _mark(site, org, user_id, nonce, key_id)
    marks = [mark, *(each for each in marks if each != mark)][:MOST_USERS]
    set_cookie(site, org, response, DEVICE, "~".join((key_id, nonce, *marks)), REMEMBERED)


def device_of(site: Site, org: Org, request: Request, user_id: str) -> str:
    """How failures of this user with this browser are counted; "" when they never signed in with it."""
    key_id, nonce, marks = _parts(cookie(site, org, request, DEVICE))
    mark = _mark(site, org, user_id, nonce, key_id)
    known = bool(mark) and any(secrets.are_equal(mark, each) for each in marks[:MOST_USERS])
    return secrets.digest(nonce)[:22] if known else ""


def budgets(site: Site, org: Org, request: Request, *, name: str, user_id: str | None, kind: str) -> tuple[Budget, ...]:
    """Where a try at this name is counted. ``name`` is a digest or an id: unknown names are counted alike."""
    device = device_of(site, org, request, user_id) if user_id else ""
    if device:
        return sign_in_failures.budget_of_device(name, device, kind)
    return sign_in_failures.budgets_elsewhere(name, network_of(client_address(request, site.config)), kind)


def _parts(value: str) -> tuple[str, str, list[str]]:
    key_id, nonce, *marks = [*value.split("~"), "", ""][: MOST_USERS + 4]
    return key_id, nonce, [each for each in marks if each]


def _mark(site: Site, org: Org, user_id: str, nonce: str, key_id: str) -> str:
    made = site.ring.mac("device", org.id, user_id, nonce, key_id=key_id) if key_id and nonce else None
    return made or ""
