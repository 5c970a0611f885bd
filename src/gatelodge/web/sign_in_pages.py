"""The pages of signing in, for Setup and for the flow: what is asked next, and the way on when it is done."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import identity_providers, passkeys, second_factors
from gatelodge.core.orgs import Org
from gatelodge.core.passkeys import Passkey
from gatelodge.web import pages
from gatelodge.web import passkeys as asking
from gatelodge.web.sign_in import AskFactor, AskPassword, Asks
from gatelodge.web.site import Site

WAY_ON = re.compile(r"(?P<path>/setup(?:/[A-Za-z0-9_-]+)*|/flow)(?:\?[A-Za-z0-9_.~%&=+-]*)?")
"""Where "next" may lead: a page of Setup or a waiting request of this org, so that it is no open redirect."""


async def page(
    site: Site,
    org: Org,
    request: Request,
    asks: Asks,
    *,
    action: str,
    next: str = "",
    request_id: str = "",
    client_name: str | None = None,
    form_action: tuple[str, ...] = (),
    hints: tuple[str, ...] = (),
    is_again: bool = False,
) -> Response:
    """The page that asks this and posts to ``action``. Other ways of signing in lead to ``next``; ``is_again``: afresh."""
    context: dict[str, Any] = {"action": action, "next": next, "request_id": request_id, "client_name": client_name}
    if isinstance(asks, AskFactor):
        context |= await factor_context(site, org, request, asks.user_id)
        template, status = "web/sign_in_factor.html", 400 if asks.error else 200
        context |= {"ticket": asks.ticket, "error": asks.error, "is_step_up": False}
    else:
        providers = await site.store.read(identity_providers.of_org, org.id)
        template, status = "web/sign_in.html", _status(asks)
        context |= {"username": asks.username, "error": asks.error, "hints": hints, "providers": providers}
        context |= {"passkey_options": _question(site, org, request, asking.SIGN_IN, "", []), "is_again": is_again}
    response = pages.render(
        site,
        org,
        request,
        template,
        status=status,
        is_flow=True,
        has_passkeys=bool(context["passkey_options"]),
        form_action=form_action,
        **context,
    )
    if isinstance(asks, AskPassword) and asks.retry_after:
        response.headers["Retry-After"] = str(asks.retry_after)
    return response


async def factor_context(site: Site, org: Org, request: Request, user_id: str) -> dict[str, Any]:
    """What a page shows that asks a user for a second factor."""
    known = await site.store.read(second_factors.of_user, org.id, user_id)
    keys = await site.store.read(passkeys.of_user, org.id, user_id)
    options = _question(site, org, request, asking.FACTOR, user_id, keys) if keys else ""
    return {"factors": known, "passkey_options": options}


def way_on(site: Site, org: Org, request: Request, target: str) -> Response:
    """To the page that was asked for before. To a waiting request a page of its own leads: the request may answer with
    a redirect to its client, which browsers follow after a form only where the form's page named that client.
    """
    found = WAY_ON.fullmatch(target)
    url = f"{org.issuer}{target if found else '/setup'}"
    if found and found["path"] == "/flow":
        return pages.render(site, org, request, "web/sign_in_continue.html", is_flow=True, url=url)
    return RedirectResponse(url, 303)


def is_way_on(target: str) -> bool:
    """Whether ``way_on`` leads there."""
    return WAY_ON.fullmatch(target) is not None


def _status(asks: AskPassword) -> int:
    if asks.retry_after:
        return 429
    return 400 if asks.error else 200


def _question(site: Site, org: Org, request: Request, kind: str, user_id: str, known: list[Passkey]) -> str:
    if not asking.is_possible(org):
        return ""
    return asking.questions(site, org, request, kind=kind, user_id=user_id, known=known)
