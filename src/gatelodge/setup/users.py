"""Users: the list, narrowed and sorted, and a new one, who sets the password themselves by a link that is shown once."""

from typing import Any

from starlette.responses import Response

from gatelodge.core import administrators, permissions, second_factors, secrets, users
from gatelodge.core.administrators import NewUser
from gatelodge.core.errors import Refused
from gatelodge.core.ids import USER
from gatelodge.core.users import User, Wanted
from gatelodge.setup.acting import actor_of
from gatelodge.setup.frame import Visit
from gatelodge.setup.paging import A_PAGE, LONGEST_SEARCH, link, place_of, query_of
from gatelodge.setup.people import page_of
from gatelodge.web import moments
from gatelodge.words import LANGUAGES, _

PATH = "/setup/users"
FIELDS = ("username", "name", "email", "language", "time_zone")


async def show(visit: Visit) -> Response:
    """GET /setup/users: a page of the org's users, those that are wanted, in the order that is wanted."""
    query = query_of(visit)
    wanted = _wanted(query)
    place = place_of(query)
    after = (int(place[0]) if place[0].isdigit() else 0, place[1]) if place and wanted.order == "newest" else place
    store, org_id = visit.site.store, visit.org.id
    found = await store.read(users.listed, org_id, wanted, after=after, limit=A_PAGE + 1)
    shown = found[:A_PAGE]
    ids = tuple(each.id for each in shown)
    sets = await store.read(administrators.of_users, org_id, ids)
    with_factor = await store.read(second_factors.who_have, org_id, ids)
    base = f"{visit.org.path}{PATH}"
    return visit.page(
        "users.html",
        title=_("Users"),
        rows=[{"user": each, "sets": sets[each.id], "has_factor": each.id in with_factor} for each in shown],
        query=query,
        is_narrowed=any(query.get(name) for name in ("q", "status", "set", "factor")),
        sets=await store.read(permissions.of_org, org_id),
        next_page=link(base, query, **_after(shown[-1], wanted)) if len(found) > A_PAGE else "",
        first_page=link(base, query) if place else "",
    )


def _wanted(query: dict[str, str]) -> Wanted:
    order = query.get("order", "")
    return Wanted(
        text=query.get("q", "")[:LONGEST_SEARCH],
        is_active={"active": True, "inactive": False}.get(query.get("status", "")),
        permission_set=query.get("set", "")[:LONGEST_SEARCH],
        has_factor={"yes": True, "no": False}.get(query.get("factor", "")),
        order="name" if order == "name" else "newest" if order == "newest" else "username",
    )


def _after(last: User, wanted: Wanted) -> dict[str, str]:
    value = {"username": last.username.lower(), "name": last.name, "newest": str(last.created_at)}[wanted.order]
    return {"after": value, "after_id": last.id}


async def show_new(visit: Visit) -> Response:
    """GET /setup/users/new."""
    return await _form(visit, dict.fromkeys(FIELDS, "") | {"time_zone": visit.org.preferences.time_zone}, (), {})


async def create(visit: Visit) -> Response:
    """POST /setup/users/new: the user, and the link by which they set a password, in this answer alone."""
    values = {name: visit.field(name).strip() for name in FIELDS}
    values |= {"name": values["name"] or values["username"], "email": values["email"] or values["username"]}
    chosen = visit.all("permission_sets")
    errors = administrators.check_person(values, moments.zones())
    if not users.USERNAME_SHAPE.fullmatch(values["username"]):
        errors["username"] = _("The username must have the form of an e-mail address, such as ana@example.com.")
    if not errors:
        made = NewUser(id=secrets.new_id(USER), permission_sets=chosen, **values)
        by, now_ms = actor_of(visit), visit.site.clock.now_ms()
        try:
            user = await visit.site.store.run(administrators.create_user, visit.org.id, made, by=by, now_ms=now_ms)
        except Refused as refused:
            errors = {"permission_sets" if refused.field == "system" else refused.field: refused.message}
        else:
            return await page_of(visit, user, makes_link=True)
    return await _form(visit, values, chosen, errors)


async def _form(visit: Visit, values: dict[str, str], chosen: tuple[str, ...], errors: dict[str, str]) -> Response:
    known = await visit.site.store.read(permissions.of_org, visit.org.id)
    by = actor_of(visit)
    offered: list[dict[str, Any]] = [{"set": each, "beyond": by.beyond(each.system)} for each in known]
    return visit.page(
        "user_new.html",
        title=_("New User"),
        status=422 if errors else 200,
        values=values,
        chosen=chosen,
        errors=errors,
        offered=offered,
        languages=LANGUAGES,
        zones=moments.zones(),
    )
