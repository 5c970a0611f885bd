"""Permission sets: what each grants in Setup and of the org's records, who has it, and what names it."""

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import administrators, permissions, secrets, users
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.ids import PERMISSION_SET
from gatelodge.core.permissions import (
    APPROVE_CALLS,
    EDIT_POLICIES,
    MANAGE_APPS,
    MANAGE_MCP_SERVERS,
    MANAGE_ORG,
    MANAGE_USERS,
    SYSTEM,
    USE_MCP_SERVERS,
    ObjectGrant,
    PermissionSet,
)
from gatelodge.core.users import Wanted
from gatelodge.setup.acting import actor_of
from gatelodge.setup.frame import LABELS, Visit
from gatelodge.setup.paging import A_PAGE, query_of
from gatelodge.web import forms
from gatelodge.web.errors import BadRequest
from gatelodge.words import _, mark

PATH = "/setup/permission-sets"
MEANINGS = {
    MANAGE_APPS: mark("What an app's developer needs: register it, change its Settings, see and replace its secret."),
    EDIT_POLICIES: mark("What an administrator of apps needs: who may use each app, from where, and for how long."),
    USE_MCP_SERVERS: mark(
        "Let apps call the org's MCP servers in one's name. Without it no app gets a token for them."
    ),
    MANAGE_USERS: mark("Make and deactivate users, give permission sets, end sessions. Only what one has oneself."),
    MANAGE_MCP_SERVERS: mark("Register MCP servers, choose their tools, and activate them."),
    MANAGE_ORG: mark("The org's name, sessions, networks, keys, identity providers, and rules for every app."),
    APPROVE_CALLS: mark(
        "See every call that waits for a person, and approve those whose rule names no permission set."
    ),
}
"""What each system permission means for who has it."""


async def show_list(visit: Visit) -> Response:
    """GET /setup/permission-sets."""
    store, org_id = visit.site.store, visit.org.id
    counts = await store.read(administrators.in_use, org_id)
    rows = [
        {"set": each, "users": counts.get(each.api_name, 0), "grants": _grants(each)}
        for each in await store.read(permissions.of_org, org_id)
    ]
    return visit.page("permission_sets.html", title=_("Permission Sets"), rows=rows)


async def show_new(visit: Visit) -> Response:
    """GET /setup/permission-sets/new: an empty one, or the like of another (``from``)."""
    name = query_of(visit).get("from", "")
    like = await visit.site.store.read(permissions.find, visit.org.id, name) if name else None
    made = like or PermissionSet(api_name="", label="")
    if like:
        made = msgspec.structs.replace(made, api_name=f"{made.api_name}_2", label=f"{made.label} 2")
    return _new_page(visit, made, {}, name if like else "")


async def create(visit: Visit) -> Response:
    """POST /setup/permission-sets/new."""
    name = visit.field("from")
    like = await visit.site.store.read(permissions.find, visit.org.id, name) if name else None
    made = _typed(visit, PermissionSet(api_name=visit.field("api_name").strip(), label=""))
    made = msgspec.structs.replace(made, objects=like.objects if like else {})
    by, now_ms = actor_of(visit), visit.site.clock.now_ms()
    try:
        administrators.check(made, {})
        await visit.site.store.run(
            administrators.create_set, visit.org.id, secrets.new_id(PERMISSION_SET), made, by=by, now_ms=now_ms
        )
    except Invalid as invalid:
        return _new_page(visit, made, invalid.errors, name)
    except Refused as refused:
        return _new_page(visit, made, {refused.field: refused.message}, name)
    return visit.go(f"{PATH}/{made.api_name}")


async def show(visit: Visit) -> Response:
    """GET /setup/permission-sets/{set_name}; ``object`` names the object whose grant is edited."""
    found = await _found(visit)
    return await _page(visit, found, object_name=query_of(visit).get("object", ""))


async def change(visit: Visit) -> Response:
    """Save the set, save or take out what it grants of one object, or delete it."""
    found = await _found(visit)
    match visit.field("act"):
        case "save":
            return await _save(visit, found, _typed(visit, found))
        case "save-object":
            return await _save_object(visit, found)
        case "remove-object":
            kept = {name: grant for name, grant in found.objects.items() if name != visit.field("object")}
            return await _save(visit, found, msgspec.structs.replace(found, objects=kept, revision=revision_of(visit)))
        case "delete":
            return await _delete(visit, found)
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with a permission set").format(other=other))


async def _save(visit: Visit, before: PermissionSet, changed: PermissionSet, object_name: str = "") -> Response:
    by, now_ms = actor_of(visit), visit.site.clock.now_ms()
    grant = changed.objects.get(object_name)
    problem = await asyncio.to_thread(visit.site.rows_problem, grant.rows) if grant and grant.rows else ""
    try:
        administrators.check(changed, {object_name: problem})
        await visit.site.store.run(administrators.change_set, visit.org.id, changed, by=by, now_ms=now_ms)
    except Invalid as invalid:
        return await _page(visit, before, typed=changed, errors=invalid.errors, object_name=object_name)
    except Refused as refused:
        return await _page(visit, before, typed=changed, errors={refused.field: refused.message})
    return visit.go(f"{PATH}/{before.api_name}")


async def _save_object(visit: Visit, before: PermissionSet) -> Response:
    name, was = visit.field("object").strip(), visit.field("was")
    grant = ObjectGrant(
        without=_names(visit.field("without")),
        read_only=_names(visit.field("read_only")),
        create=visit.field("create") == "on",
        edit=visit.field("edit") == "on",
        delete=visit.field("delete") == "on",
        rows=" ".join(visit.field("rows").split()),
    )
    kept = {each: value for each, value in before.objects.items() if each != was}
    if name.lower() in (each.lower() for each in kept):
        error = _("{name} is among the objects already: edit it there.").format(name=name)
        return await _page(visit, before, errors={"object": error})
    changed = msgspec.structs.replace(before, objects=kept | {name: grant}, revision=revision_of(visit))
    return await _save(visit, before, changed, name)


async def _delete(visit: Visit, found: PermissionSet) -> Response:
    if visit.field("confirm").strip() != found.api_name:
        error = _("Type the API Name {name} to delete it.").format(name=found.api_name)
        return await _page(visit, found, errors={"confirm": error})
    by, now_ms = actor_of(visit), visit.site.clock.now_ms()
    try:
        await visit.site.store.run(administrators.remove_set, visit.org.id, found.api_name, by=by, now_ms=now_ms)
    except Refused as refused:
        return await _page(visit, found, errors={refused.field or "confirm": refused.message})
    return visit.go(PATH)


def revision_of(visit: Visit) -> int:
    """The revision that the form was made from; 0, which no row has, where it says none."""
    return forms.number(visit.field("revision"), 0)


def _typed(visit: Visit, before: PermissionSet) -> PermissionSet:
    return msgspec.structs.replace(
        before,
        label=visit.field("label").strip(),
        description=" ".join(visit.field("description").split()),
        system=tuple(dict.fromkeys(visit.all("system"))),
        revision=revision_of(visit) or 1,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


async def _found(visit: Visit) -> PermissionSet:
    name = visit.request.path_params["set_name"]
    found = await visit.site.store.read(permissions.find, visit.org.id, name)
    if found is None:
        raise BadRequest(_("this org has no permission set {name!r:.90}").format(name=name), 404)
    return found


def _grants(each: PermissionSet) -> str:
    """A permission set in half a sentence."""
    parts = [_(label_of(permission)) for permission in SYSTEM if permission in each.system]
    if each.objects:
        parts.append(_("every object") if "*" in each.objects else ", ".join(each.objects))
    return "; ".join(parts)


def label_of(permission: str) -> str:
    """What a system permission is called, in English."""
    return LABELS[permission]


def _system(visit: Visit, chosen: tuple[str, ...], had: tuple[str, ...]) -> list[dict[str, Any]]:
    by = actor_of(visit)
    return [
        {
            "name": each,
            "label": _(label_of(each)),
            "meaning": _(MEANINGS[each]),
            "is_on": each in chosen,
            "is_beyond": bool(by.beyond((each,))) and each not in had,
        }
        for each in SYSTEM
    ]


def _new_page(visit: Visit, made: PermissionSet, errors: dict[str, str], like: str) -> Response:
    return visit.page(
        "permission_set_new.html",
        title=_("New Permission Set"),
        status=422 if errors else 200,
        made=made,
        errors=errors,
        like=like,
        system=_system(visit, made.system, ()),
    )


async def _page(
    visit: Visit,
    stored: PermissionSet,
    *,
    typed: PermissionSet | None = None,
    errors: dict[str, str] | None = None,
    object_name: str = "",
) -> Response:
    store, org_id = visit.site.store, visit.org.id
    shown = typed or stored
    named = await store.read(administrators.named_by, org_id, stored.api_name)
    wanted = Wanted(permission_set=stored.api_name)
    holders = await store.read(users.listed, org_id, wanted, after=None, limit=A_PAGE)
    counts = await store.read(administrators.in_use, org_id)
    is_editing = object_name in shown.objects
    return visit.page(
        "permission_set.html",
        title=stored.label,
        status=422 if errors else 200,
        stored=stored,
        made=shown,
        revision=revision_of(visit) or stored.revision,
        errors=errors or {},
        system=_system(visit, shown.system, stored.system),
        object_name=object_name if is_editing else "",
        grant=shown.objects[object_name] if is_editing else ObjectGrant(),
        named=named,
        holders=holders,
        count=counts.get(stored.api_name, 0),
    )
