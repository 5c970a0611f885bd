"""One user as an administrator sees them: sessions, second factors, and the link to a new password."""

from starlette.responses import Response

from gatelodge.core import audit, deactivation, password_links, permissions, second_factors, secrets, sessions, users
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.users import User
from gatelodge.setup.frame import Visit
from gatelodge.setup.personal.sessions import row_of
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site


async def show(visit: Visit) -> Response:
    """GET /setup/users/{user_id}."""
    return await _page(visit, await _user(visit), link="")


async def change(visit: Visit) -> Response:
    """Deactivate or activate the user, end their sessions, take away second factors that they lost, or make a link to a new password."""
    user = await _user(visit)
    store, org_id, now, actor = visit.site.store, visit.org.id, visit.site.clock.now(), visit.session.user.username
    match visit.field("act"):
        case "end-sessions":
            await store.run(ended_by_administrator, org_id, user.id, actor=actor, now=now)
        case "remove-factors":
            await _check_may_do_no_more(visit, user)
            await store.run(second_factors.remove_all, org_id, user.id, actor=actor, now=now)
        case "deactivate":
            if user.id == visit.session.user.id:
                raise BadRequest("you can't deactivate yourself; another administrator can")
            await store.run(deactivation.deactivate, org_id, user.id, actor=actor, now_ms=now * 1000)
        case "activate":
            await store.run(deactivation.activate, org_id, user.id, actor=actor, now_ms=now * 1000)
        case "reset-link":
            await _check_may_do_no_more(visit, user)
            return await _page(visit, user, link=await make_link(visit.site, visit.org, user, actor=actor))
        case other:
            raise BadRequest(f"{other!r:.40} can't be done with a user")
    return visit.go(f"/setup/users/{user.id}")


async def _check_may_do_no_more(visit: Visit, user: User) -> None:
    """Who gets into a user's account may do what that user may: it must be nothing that they may not do themselves.

    Raises ``BadRequest`` (403).
    """
    access = await visit.site.store.read(permissions.access_of, visit.org.id, user.id)
    beyond = {permission for each in access.sets for permission in each.system if not visit.access.may(permission)}
    if beyond:
        raise BadRequest(
            f"{user.username} may do more than you ({', '.join(sorted(beyond))}); another administrator can do this",
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


async def _user(visit: Visit) -> User:
    user_id = visit.request.path_params["user_id"]
    user = await visit.site.store.read(users.find, visit.org.id, user_id)
    if user is None:
        raise BadRequest(f"this org has no user {user_id!r:.40}", 404)
    return user


async def _page(visit: Visit, user: User, *, link: str) -> Response:
    access = await visit.site.store.read(permissions.access_of, visit.org.id, user.id)
    found = await visit.site.store.read(sessions.of_user, visit.org.id, user, visit.site.clock.now())
    return visit.page(
        "personal/user.html",
        title=user.name,
        user=user,
        is_own=user.id == visit.session.user.id,
        sets=access.sets,
        link=link,
        rows=[row_of(each, visit.session.id) for each in found],
        factors=await visit.site.store.read(second_factors.of_user, visit.org.id, user.id),
    )
