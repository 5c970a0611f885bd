"""How a refusal is told on a page: the plain half to whoever meets it, the rest to an administrator in that browser.

What was told is kept for a day under the trace id that the page shows, so that who helps sees the same.
"""

import contextlib

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gatelodge import words
from gatelodge.core import error_codes, ids, secrets, told_refusals
from gatelodge.core.errors import Unavailable
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import EDIT_POLICIES, MANAGE_APPS, MANAGE_ORG, Access
from gatelodge.core.sessions import Session
from gatelodge.core.told_refusals import Told
from gatelodge.web import browser, forms, pages
from gatelodge.web.addresses import client_address, network_of
from gatelodge.web.errors import BadRequest, TooMany
from gatelodge.web.site import Endpoint, Site
from gatelodge.words import Reason, _

log = structlog.get_logger()

KEPT_PER_MINUTE = 30
"""How many refusals of one network are written down in a minute, so that a flood of them costs no more."""


async def page(
    site: Site,
    org: Org,
    request: Request,
    told: Told,
    *,
    status: int = 400,
    difference: str = "",
    word: str = "",
    hides: bool = True,
) -> Response:
    """The page of a refusal. ``difference`` is the near miss in words, ``word`` what the web knows it by; ``hides``: what the values are is told to
    administrators alone. In a development org everybody is one.
    """
    session = await browser.session_of(site, org, request)
    live_user = await site.live.user(org.id, session.user.id) if session else None
    access = live_user.access if live_user else Access()
    sees_all = not hides or site.config.is_development or helps(access)
    may_open = bool(told.app_id) and (access.may(MANAGE_APPS) or access.may(EDIT_POLICIES))
    code = error_codes.CODES[told.code]
    return pages.render(
        site,
        org,
        request,
        "web/refused.html",
        status=status,
        is_flow=True,
        session=session,
        told=told.here(),
        difference=difference,
        word=word,
        plain=_(code.plain),
        sees_all=sees_all,
        trace_id=await keep(site, org, request, told, session),
        setup_url=f"{org.path}/setup/apps/{told.app_id}" if may_open else "",
    )


def helps(access: Access) -> bool:
    """Whether somebody may see what others were refused."""
    return any(access.may(permission) for permission in (MANAGE_APPS, EDIT_POLICIES, MANAGE_ORG))


async def keep(site: Site, org: Org, request: Request, told: Told, session: Session | None) -> str:
    """Write down what is told, unless this network was refused too often in this minute; the trace id."""
    now_ms = site.clock.now_ms()
    trace_id = ids.trace_id(now_ms, secrets.random_bytes(10))
    network = network_of(client_address(request, site.config))
    log.info("refused", trace=trace_id, code=told.code, path=request.scope["path"])
    if any(site.noted.is_due(f"refused {org.id} {network} {n}", now_ms // 1000) for n in range(KEPT_PER_MINUTE)):
        found = _with_place(request, told, session)
        with contextlib.suppress(Unavailable):  # the page is told all the same
            await site.store.run(told_refusals.keep, org.id, trace_id, found, now_ms // 1000)
    return trace_id


def _with_place(request: Request, told: Told, session: Session | None) -> Told:
    return Told(
        code=told.code,
        title=told.title,
        what=told.what,
        fix=told.fix,
        asked=told.asked,
        allowed=told.allowed,
        path=request.scope["path"],
        app_id=told.app_id,
        username=session.user.username if session else "",
    )


def on_a_page(answer: Endpoint) -> Endpoint:
    """A row for people: what can't be taken is told on a page too, not in a line of text."""

    async def endpoint(site: Site, org: Org, request: Request) -> Response:
        words.speak(words.language_of(request.headers.get("accept-language", "")))
        try:
            forms.check_readable(request.scope["query_string"])
            return await answer(site, org, request)  # type: ignore[return-value] - a page's row answers with a Response
        except BadRequest as error:
            return await page(site, org, request, of_status(error.status, str(error)), status=error.status, hides=False)
        except TooMany as error:
            response = await page(site, org, request, of_status(429, error.here()), status=429, hides=False)
            response.headers["Retry-After"] = str(error.retry_after)
            return response

    return endpoint


def of_status(status: int, why: str) -> Told:
    """A request that couldn't be taken, as it is told; ``why`` names the value and what is allowed."""
    code = error_codes.of_status(status)
    said = error_codes.CODES[code]
    return Told(code=code, title=Reason(said.title), what=f"{why[:1].upper()}{why[1:]}.", fix=Reason(said.fix))
