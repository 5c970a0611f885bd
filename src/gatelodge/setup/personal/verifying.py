"""Verify it's you: before something secret is shown or a second factor is taken away, the person proves who they are.

``frame.guarded(..., needs_verification=True)`` sends people here, and they come back to their page.
"""

from starlette.responses import Response

from gatelodge.core import identity_providers, users
from gatelodge.core.apps.policies import HIGH
from gatelodge.setup.frame import Visit
from gatelodge.web import browser, forms, sign_in_pages
from gatelodge.web.sign_in import TOO_OLD, try_factor, try_password
from gatelodge.words import _


async def show(visit: Visit) -> Response:
    """GET /setup/verify."""
    target = dict(forms.parse(visit.request.scope["query_string"])).get("next", "")
    return await _page(visit, target, {})


async def verify(visit: Visit) -> Response:
    """POST /setup/verify: the password, a code or a passkey. The session goes on under a new value."""
    fields, session, target = visit.once(), visit.session, visit.field("next")
    if "password" in fields:
        tried = await try_password(visit.site, visit.org, visit.request, session.user.username, fields["password"])
        why = "" if tried.user_id == session.user.id else _password_problem(tried.retry_after, tried.why)
        field, level, methods = "password", session.level, ("pwd",)
    else:
        method, why = await try_factor(visit.site, visit.org, visit.request, session.user.id, fields)
        field, level, methods = "code", HIGH, (method, "mfa")
    if why:
        return await _page(visit, target, {field: why})
    response = sign_in_pages.way_on(visit.site, visit.org, visit.request, target)
    if not await browser.renew(visit.site, visit.org, response, session, level=level, methods=methods):
        return await _page(visit, target, {field: _(TOO_OLD)})
    return response


def _password_problem(retry_after: int, why: str) -> str:
    return why if retry_after else _("This isn't your password.")


async def _page(visit: Visit, target: str, errors: dict[str, str]) -> Response:
    site, org, user = visit.site, visit.org, visit.session.user
    credential = await site.store.read(users.find_credential, org.id, user.username)
    return visit.page(
        "personal/verify.html",
        title=_("Verify it's you"),
        status=422 if errors else 200,
        has_passkeys=True,
        errors=errors,
        next=target if sign_in_pages.is_way_on(target) else "/setup",
        has_password=credential is not None and credential.password_hash != "",
        providers=await site.store.read(identity_providers.of_user, org.id, user.id),
        **await sign_in_pages.factor_context(site, org, visit.request, user.id),
    )
