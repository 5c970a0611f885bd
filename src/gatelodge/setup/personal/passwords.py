"""One's password: changing it, and setting a new one by a link that an administrator handed over."""

from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import audit, password_links, secrets, sessions, users
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.setup.frame import Visit
from gatelodge.web import browser, devices, forms, pages
from gatelodge.web.sign_in import LONGEST_PASSWORD, try_password
from gatelodge.web.site import Site
from gatelodge.words import _, mark

SHORTEST_PASSWORD = 12
LINK_IS_OVER = mark("This link was used, is older than 30 minutes, or a newer one took its place. Ask for another.")


async def show(visit: Visit) -> Response:
    """The form for one's own password."""
    return visit.page("password.html", title=_("Change Password"), errors={}, is_changed=False)


async def change(visit: Visit) -> Response:
    """Set one's own password, with the current one as proof; it ends one's other sessions."""
    site, session, fresh = visit.site, visit.session, visit.field("fresh")
    errors: dict[str, str] = {}
    if problem := password_problem(fresh):
        errors["fresh"] = problem
    else:
        tried = await try_password(site, visit.org, visit.request, session.user.username, visit.field("current"))
        if tried.user_id != session.user.id:
            errors["current"] = tried.why if tried.retry_after else _("This isn't your current password.")
    if not errors:
        password_hash = await site.passwords.hash(fresh)
        await site.store.run(
            changed, visit.org.id, session.user.id, password_hash, but=session.digest, now_ms=site.clock.now_ms()
        )
    return visit.page(
        "password.html", title=_("Change Password"), status=422 if errors else 200, errors=errors, is_changed=not errors
    )


def changed(org_id: str, user_id: str, password_hash: str, *, but: str, now_ms: int) -> Operation[None]:
    """The new password counts; whoever signed in with the old one elsewhere is out, and so is who holds a link."""
    yield from users.set_password(org_id, user_id, password_hash)
    yield from sessions.end_all(org_id, user_id, but=but)
    yield from password_links.forget(org_id, user_id)
    yield from audit.record(org_id, now_ms, user_id, "user:password:change", user_id, {})


async def show_reset(site: Site, org: Org, request: Request) -> Response:
    """GET /login/reset: looking uses the link not up."""
    link = dict(forms.parse(request.scope["query_string"])).get("token", "")
    user = await site.store.read(password_links.find, org.id, secrets.digest(link), site.clock.now())
    return _reset_page(site, org, request, link=link, username=user.username if user else "", errors={})


async def use_reset(site: Site, org: Org, request: Request) -> Response:
    """POST /login/reset: the new password counts, once, and every session of the user ends."""
    fields = forms.once(await forms.read_form(request))
    browser.check_form(site, org, request, fields)
    link, fresh = fields.get("token", ""), fields.get("fresh", "")
    user = await site.store.read(password_links.find, org.id, secrets.digest(link), site.clock.now())
    if user is not None and (problem := password_problem(fresh)):
        return _reset_page(site, org, request, link=link, username=user.username, errors={"fresh": problem})
    if user is not None:
        password_hash = await site.passwords.hash(fresh)
        user = await site.store.run(password_links.use, org.id, secrets.digest(link), password_hash, site.clock.now())
    if user is None:
        return _reset_page(site, org, request, link="", username="", errors={})
    response = _reset_page(site, org, request, link="", username=user.username, errors={}, is_done=True)
    # Who holds the link is let in, however many strangers guess at the name.
    devices.remember(site, org, request, response, user.id)
    return response


def password_problem(password: str) -> str:
    """Why this can't be a password, "" when it can (NIST SP 800-63B: length, and no rules of composition)."""
    if len(password) < SHORTEST_PASSWORD:
        return _("The password has {n} characters; at least {least} are needed.").format(
            n=len(password), least=SHORTEST_PASSWORD
        )
    if len(password) > LONGEST_PASSWORD:
        return _("The password has {n} characters; at most {most} are allowed.").format(
            n=len(password), most=LONGEST_PASSWORD
        )
    return ""


def _reset_page(
    site: Site,
    org: Org,
    request: Request,
    *,
    link: str,
    username: str,
    errors: dict[str, str],
    is_done: bool = False,
) -> Response:
    status = 422 if errors else 200 if username else 410
    return pages.render(
        site,
        org,
        request,
        "setup/personal/reset.html",
        status=status,
        is_flow=True,
        link=link,
        username=username,
        errors=errors,
        is_done=is_done,
        why=_(LINK_IS_OVER),
    )
