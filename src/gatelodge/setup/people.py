"""One user as an administrator sees them: who they are, what they may do, where they are signed in, and what acts for them."""

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from gatelodge.core import (
    administrators,
    audit,
    authorizations,
    connections,
    deactivation,
    password_links,
    permissions,
    second_factors,
    secrets,
    sessions,
    users,
)
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.users import User
from gatelodge.setup import sign_ins
from gatelodge.setup.acting import actor_of
from gatelodge.setup.frame import Visit
from gatelodge.setup.personal.connections import rows_of
from gatelodge.setup.personal.sessions import row_of
from gatelodge.web import moments
from gatelodge.web.browser import SUCCESS
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site
from gatelodge.words import LANGUAGES, _

PERSON = ("name", "email", "language", "time_zone")
"""What an administrator writes about a person."""


async def show(visit: Visit) -> Response:
    """GET /setup/users/{user_id}."""
    return await page_of(visit, await _user(visit))


async def change(visit: Visit) -> Response:
    """Do one thing with the user: ``ACTS`` names what."""
    user = await _user(visit)
    act = visit.field("act")
    if act not in ACTS:
        raise BadRequest(_("{act!r:.40} can't be done with a user").format(act=act))
    try:
        shown = await ACTS[act](visit, user)
    except Refused as refused:
        return await page_of(visit, user, problem=refused.message)
    return shown or visit.go(f"/setup/users/{user.id}")


async def _save(visit: Visit, user: User) -> Response | None:
    values = {name: visit.field(name).strip() for name in PERSON}
    errors = administrators.check_person(values, moments.zones())
    if errors:
        return await page_of(visit, user, values=values, errors=errors)
    by, now_ms = actor_of(visit), visit.site.clock.now_ms()
    await visit.site.store.run(administrators.change_user, user, **values, by=by, now_ms=now_ms)
    return None


async def _assign(visit: Visit, user: User) -> Response | None:
    by, now_ms = actor_of(visit), visit.site.clock.now_ms()
    name = visit.field("permission_set")
    await visit.site.store.run(administrators.assign, visit.org.id, user.id, name, by=by, now_ms=now_ms)


async def _unassign(visit: Visit, user: User) -> Response | None:
    by, now_ms = actor_of(visit), visit.site.clock.now_ms()
    name = visit.field("permission_set")
    await visit.site.store.run(administrators.unassign, visit.org.id, user.id, name, by=by, now_ms=now_ms)


async def _deactivate(visit: Visit, user: User) -> Response | None:
    if user.id == visit.session.user.id:
        raise BadRequest(_("you can't deactivate yourself; another administrator can"))
    by, now_ms = actor_of(visit), visit.site.clock.now_ms()
    await visit.site.store.run(administrators.deactivate, visit.org.id, user.id, by=by, now_ms=now_ms)


async def _activate(visit: Visit, user: User) -> Response | None:
    actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
    await visit.site.store.run(deactivation.activate, visit.org.id, user.id, actor=actor, now_ms=now_ms)


async def _end_sessions(visit: Visit, user: User) -> Response | None:
    actor, now = visit.session.user.id, visit.site.clock.now()
    await visit.site.store.run(ended_by_administrator, visit.org.id, user.id, actor=actor, now=now)


async def _end_session(visit: Visit, user: User) -> Response | None:
    actor, now = visit.session.user.id, visit.site.clock.now()
    found = await visit.site.store.run(
        one_ended_by_administrator, visit.org.id, user.id, visit.field("id"), actor=actor, now=now
    )
    if not found:
        raise BadRequest(_("this user has no such session; it may have ended already"), 404)


async def _revoke(visit: Visit, user: User) -> Response | None:
    actor, now = visit.session.user.id, visit.site.clock.now()
    ended = await visit.site.store.run(
        authorizations.end_by_administrator, visit.org.id, user.id, visit.field("id"), actor=actor, now=now
    )
    if not ended:
        raise BadRequest(_("this user lets no such app act; it may have ended already"), 404)


async def _end_connection(visit: Visit, user: User) -> Response | None:
    actor, now = visit.session.user.id, visit.site.clock.now()
    ended = await visit.site.store.run(
        connections.end_by_administrator, visit.org.id, user.id, visit.field("id"), actor=actor, now=now
    )
    if not ended:
        raise BadRequest(_("this user has no such connection; it may have ended already"), 404)


async def _remove_factors(visit: Visit, user: User) -> Response | None:
    await _check_may_do_no_more(visit, user)
    actor, now = visit.session.user.id, visit.site.clock.now()
    await visit.site.store.run(second_factors.remove_all, visit.org.id, user.id, actor=actor, now=now)


async def _reset_link(visit: Visit, user: User) -> Response | None:
    await _check_may_do_no_more(visit, user)
    return await page_of(visit, user, makes_link=True)


ACTS: dict[str, Callable[[Visit, User], Awaitable[Response | None]]] = {
    "save": _save,
    "assign": _assign,
    "unassign": _unassign,
    "deactivate": _deactivate,
    "activate": _activate,
    "end-sessions": _end_sessions,
    "end-session": _end_session,
    "revoke": _revoke,
    "end-connection": _end_connection,
    "remove-factors": _remove_factors,
    "reset-link": _reset_link,
}
"""What can be done with a user. Each answers a page of its own, or nothing: then the user's page as it is now."""


async def _check_may_do_no_more(visit: Visit, user: User) -> None:
    """Who gets into a user's account may do what that user may: it must be nothing that they may not do themselves.

    Raises ``BadRequest`` (403).
    """
    access = await visit.site.store.read(permissions.access_of, visit.org.id, user.id)
    beyond = {permission for each in access.sets for permission in each.system if not visit.access.may(permission)}
    if beyond:
        raise BadRequest(
            _("{username} may do more than you ({beyond}); another administrator can do this").format(
                username=user.username, beyond=", ".join(sorted(beyond))
            ),
            403,
        )


async def make_link(site: Site, org: Org, user: User, *, actor: str) -> str:
    """The one-time link by which this user sets a new password. Only its digest is kept."""
    value = secrets.new_token()
    now = site.clock.now()
    await site.store.run(password_links.create, org.id, user.id, secrets.digest(value), actor=actor, now=now)
    return f"{org.issuer}/login/reset?token={value}"


def ended_by_administrator(org_id: str, user_id: str, *, actor: str, now: int) -> Operation[None]:
    """End every session of a user, written down."""
    yield from sessions.end_all(org_id, user_id)
    yield from audit.record(org_id, now * 1000, actor, "setup:sessions:end", user_id, {})


def one_ended_by_administrator(org_id: str, user_id: str, session_id: str, *, actor: str, now: int) -> Operation[bool]:
    """End one session of a user, written down. True for exactly one caller."""
    if not (yield from sessions.end_one(org_id, user_id, session_id)):
        return False
    yield from audit.record(org_id, now * 1000, actor, "setup:sessions:end", user_id, {"session": session_id})
    return True


async def _user(visit: Visit) -> User:
    user_id = visit.request.path_params["user_id"]
    user = await visit.site.store.read(users.find, visit.org.id, user_id)
    if user is None:
        raise BadRequest(_("this org has no user {user_id!r:.40}").format(user_id=user_id), 404)
    return user


async def page_of(
    visit: Visit,
    user: User,
    *,
    makes_link: bool = False,
    problem: str = "",
    values: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
) -> Response:
    """The user's page. ``makes_link``: with a fresh link to a new password, shown this once; ``problem`` is why what was
    asked for was not done.
    """
    store, org = visit.site.store, visit.org
    link = await make_link(visit.site, org, user, actor=visit.session.user.id) if makes_link else ""
    held = (await store.read(permissions.access_of, org.id, user.id)).sets
    known = await store.read(permissions.of_org, org.id)
    terms, now = sessions.terms_of(org), visit.site.clock.now()
    found = await store.read(sessions.of_user, org.id, user, terms, now)
    by = actor_of(visit)
    return visit.page(
        "personal/user.html",
        title=user.name,
        status=422 if problem or errors else 200,
        user=user,
        is_own=user.id == visit.session.user.id,
        sets=held,
        offered=[each for each in known if each not in held and not by.beyond(each.system)],
        link=link,
        problem=problem,
        values=values or {name: getattr(user, name) for name in PERSON},
        errors=errors or {},
        languages=LANGUAGES,
        zones=moments.zones(),
        rows=[row_of(each, visit.session.id) | {"at": each.signed_in_at, "seen_at": each.seen_at} for each in found],
        apps=await rows_of(visit, user.id),
        sign_ins=await sign_ins.recent(visit, user),
        success=SUCCESS,
        factors=await store.read(second_factors.of_user, org.id, user.id),
    )
