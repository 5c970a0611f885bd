"""Signing in through another OpenID provider: the way there and back."""

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import error_codes, identity_providers, secrets
from gatelodge.core.apps.policies import HIGH
from gatelodge.core.errors import Refused
from gatelodge.core.ids import USER
from gatelodge.core.orgs import Org
from gatelodge.core.told_refusals import Told
from gatelodge.setup.signing_in import finish
from gatelodge.web import browser, forms, pages, refusals, sign_in, sign_in_pages, upstream
from gatelodge.web.addresses import client_address
from gatelodge.web.browser import SignedIn
from gatelodge.web.sign_in import AskPassword
from gatelodge.web.site import Site
from gatelodge.web.upstream import NotVouched, Start, Vouched
from gatelodge.words import Reason, _, here, reason

log = structlog.get_logger()


async def begin(site: Site, org: Org, request: Request) -> Response:
    """GET /login/upstream/{provider}: to the provider. Nothing is written; coming back is what counts.

    Raises ``TooMany``: each call asks the provider for its metadata.
    """
    via = await site.store.read(identity_providers.find, org.id, request.path_params["provider"])
    asked = dict(forms.parse(request.scope["query_string"]))
    target = asked.get("next", "")
    if via is None:
        return await finish(site, org, request, AskPassword(error=_("This org has no such identity provider.")), target)
    site.limits.check(org.id, f"upstream {via.name}", client_address(request, site.config), site.clock.now_ms())
    kept = target if sign_in_pages.is_way_on(target) and len(target) <= forms.LONGEST_PARAMETER // 8 else ""
    try:
        url = await upstream.authorization_url(
            site, org, request, via, target=kept, is_again=asked.get("again", "") != ""
        )
    except NotVouched as error:
        return await _refused(site, org, request, kept, via.name, error)
    response = RedirectResponse(url, 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    if browser.tie_of(site, org, request) != browser.browser_of(site, org, request):
        browser.set_cookie(site, org, response, browser.BROWSER, browser.tie_of(site, org, request))
    return response


async def come_back(site: Site, org: Org, request: Request) -> Response:
    """GET /login/callback: the provider's answer, once and in the browser that went there."""
    target = name = ""
    try:
        returned = forms.once(forms.parse(request.scope["query_string"]))
        start = await upstream.start_of(site, org, request, returned.get("state", ""))
        target, name = start.target, start.provider
        via = await site.store.read(identity_providers.find, org.id, name)
        if via is None:
            raise NotVouched(reason("the identity provider was removed meanwhile"))
        came = await upstream.vouched(site, org, via, start, returned)
        user = await site.store.run(
            identity_providers.arrive,
            via,
            came.who,
            fresh_id=secrets.new_id(USER),
            now=site.clock.now(),
            time_zone=org.preferences.time_zone,
        )
        return await _signed_in(site, org, request, start, came, user.id, via.id)
    except (NotVouched, Refused) as error:
        return await _refused(site, org, request, target, name, error)


async def _signed_in(
    site: Site, org: Org, request: Request, start: Start, came: Vouched, user_id: str, provider_id: str
) -> Response:
    """The end of the sign-in, or the page for the user's own second factor where the provider asked for none."""
    answered = await sign_in.proved(site, org, request, user_id, came.methods, provider_id=provider_id)
    if isinstance(answered, SignedIn):
        level = HIGH if "mfa" in came.methods else answered.level
        # A provider that doesn't say when the person signed in there may have asked them nothing just now.
        answered = msgspec.structs.replace(answered, level=level, verified_at=came.signed_in_at or 0)
    return await finish(site, org, request, answered, start.target)


async def _refused(
    site: Site, org: Org, request: Request, target: str, provider: str, error: NotVouched | Refused
) -> Response:
    """Why nobody was signed in, and the way back to where it began."""
    log.warning("upstream.refused", org=org.id, provider=provider, reason=str(error))
    why = error.message if isinstance(error, Refused) else error.reason
    code = error_codes.CODES[error_codes.PROVIDER]
    told = Told(code=error_codes.PROVIDER, title=Reason(code.title), what=why, fix=Reason(code.fix))
    return pages.render(
        site,
        org,
        request,
        "web/sign_in_refused.html",
        status=400,
        is_flow=True,
        why=here(why),
        plain=_(code.plain),
        code=error_codes.PROVIDER,
        trace_id=await refusals.keep(site, org, request, told, None),
        back=f"{org.path}{target if target.startswith('/flow') else f'/login?next={target}' if target else '/login'}",
    )
