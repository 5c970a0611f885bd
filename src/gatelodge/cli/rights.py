"""What ``gatelodge permission-set``, ``usage`` and ``session`` do."""

from typing import Any

import msgspec

from gatelodge.cli.operating import in_words
from gatelodge.cli.verb import ACTOR, NotFound, Verb, run_audited
from gatelodge.core import administrators, authorizations, connections, permissions, revoking, secrets, sessions, users
from gatelodge.core.administrators import Actor
from gatelodge.core.apps import registry
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.ids import PERMISSION_SET
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import ObjectGrant, PermissionSet
from gatelodge.core.sessions import Wanted
from gatelodge.core.users import User
from gatelodge.web.site import Site

BY = Actor(name=ACTOR)
MOST_LISTED = 1000


async def set_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The org's permission sets by API Name, each with how many users have it."""
    counts = await site.store.read(administrators.in_use, org.id)
    found = await site.store.read(permissions.of_org, org.id)
    return [
        {"api_name": each.api_name, "label": each.label, "users": counts.get(each.api_name, 0), "system": each.system}
        for each in found
    ]


async def set_display(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """What one permission set grants. Raises ``NotFound``."""
    return _set(await _set_named(site, org, arguments["api_name"]))


async def set_create(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Add a permission set. Raises ``Refused`` or ``Invalid``."""
    name = arguments["api_name"]
    made = PermissionSet(api_name=name, label=arguments["label"] or name, system=tuple(arguments["system"]))
    made = msgspec.structs.replace(made, objects=dict(_object(text) for text in arguments["objects"]))
    _check(site, made)
    now_ms = site.clock.now_ms()
    set_id = secrets.new_id(PERMISSION_SET)
    await site.store.run(administrators.create_set, org.id, set_id, made, by=BY, now_ms=now_ms)
    return _set(made)


async def set_set(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Change what a permission set grants; what isn't named stays. Raises ``NotFound``, ``Refused`` or ``Invalid``."""
    before = await _set_named(site, org, arguments["api_name"])
    changed = msgspec.structs.replace(
        before,
        label=arguments["label"] or before.label,
        system=tuple(arguments["system"]) or before.system,
        objects={name: grant for name, grant in before.objects.items() if name not in arguments["without_objects"]}
        | dict(_object(text) for text in arguments["objects"]),
    )
    _check(site, changed)
    await site.store.run(administrators.change_set, org.id, changed, by=BY, now_ms=site.clock.now_ms())
    return _set(await _set_named(site, org, before.api_name))


async def set_delete(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Delete a permission set that nothing names. Raises ``NotFound`` or ``Refused``."""
    found = await _set_named(site, org, arguments["api_name"])
    await site.store.run(administrators.remove_set, org.id, found.api_name, by=BY, now_ms=site.clock.now_ms())
    return {"deleted": found.api_name}


async def set_assign(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Give a permission set to a user. Raises ``NotFound``."""
    found, user = (
        await _set_named(site, org, arguments["api_name"]),
        await _user_named(site, org, arguments["username"]),
    )
    now_ms = site.clock.now_ms()
    await site.store.run(administrators.assign, org.id, user.id, found.api_name, by=BY, now_ms=now_ms)
    return {"username": user.username, "permission_set": found.api_name}


async def set_unassign(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Take a permission set from a user. Raises ``NotFound``, and ``Refused`` for the last administrator."""
    found, user = (
        await _set_named(site, org, arguments["api_name"]),
        await _user_named(site, org, arguments["username"]),
    )
    now_ms = site.clock.now_ms()
    await site.store.run(administrators.unassign, org.id, user.id, found.api_name, by=BY, now_ms=now_ms)
    return {"username": user.username, "taken": found.api_name}


async def usage_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """How each app is used, or by whom one is. Raises ``NotFound``."""
    if arguments["api_name"]:
        return await _users_of(site, org, await _app_named(site, org, arguments["api_name"]))
    apps = await site.store.read(registry.in_order, org.id, limit=MOST_LISTED)
    ids = tuple(each.id for each in apps)
    counts = await site.store.read(authorizations.count_by_app, org.id, ids)
    used = await site.store.read(connections.usage, org.id, ids)
    return [
        {
            "api_name": each.settings.api_name,
            "users": counts.get(each.id, 0),
            "connections": used[each.id].connections if each.id in used else 0,
            "last_used": in_words(used[each.id].last_at) if each.id in used else "",
        }
        for each in apps
    ]


async def _users_of(site: Site, org: Org, app: ExternalClientApp) -> list[dict[str, Any]]:
    found = await site.store.read(authorizations.of_app, org.id, app.id, limit=MOST_LISTED)
    people = await site.store.read(users.by_id, org.id, tuple({each.user_id for each in found}))
    return [
        {
            "username": people[each.user_id].username if each.user_id in people else each.user_id,
            "scopes": each.scopes,
            "allowed": in_words(each.created_at),
        }
        for each in found
    ]


async def usage_revoke(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """End what one user lets an app do, or everybody (a batch at a time). Raises ``NotFound``."""
    app = await _app_named(site, org, arguments["api_name"])
    now = site.clock.now()
    if not arguments["username"]:
        if not arguments["everybody"]:
            raise Refused("name a user with --username, or say --everybody", "username")
        before = (await site.store.read(authorizations.count_by_app, org.id, (app.id,))).get(app.id, 0)
        told = {"actor": ACTOR, "now_ms": site.clock.now_ms()}
        while await site.store.run(revoking.revoke_app, org.id, app.id, users=before, **told):
            pass
        return {"app": app.settings.api_name, "users": before}
    user = await _user_named(site, org, arguments["username"])
    found = await site.store.read(authorizations.of_app, org.id, app.id, user_id=user.id, limit=1)
    ended = found and await site.store.run(
        authorizations.end_by_administrator, org.id, user.id, found[0].id, actor=ACTOR, now=now
    )
    if not ended:
        raise NotFound(f"{user.username} lets {app.settings.api_name} do nothing; gatelodge usage list shows who does")
    return {"app": app.settings.api_name, "username": user.username}


async def session_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The org's sessions, the newest sign-in first, or those of one user. Raises ``NotFound``."""
    user = await _user_named(site, org, arguments["username"]) if arguments["username"] else None
    wanted, now = Wanted(user_id=user.id if user else ""), site.clock.now()
    terms = sessions.terms_of(org)
    found = await site.store.read(sessions.of_org, org.id, wanted, terms, after=None, limit=MOST_LISTED, now=now)
    people: dict[str, User] = {}
    ids = sorted({each.user_id for each in found})
    for at in range(0, len(ids), 100):
        people |= await site.store.read(users.by_id, org.id, tuple(ids[at : at + 100]))
    return [
        {
            "id": each.id,
            "username": people[each.user_id].username if each.user_id in people else each.user_id,
            "session": each.id,
            "address": each.address,
            "signed_in": in_words(each.signed_in_at),
            "seen": in_words(each.seen_at),
        }
        for each in found
    ]


async def session_end(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """End one session, all of a user, or everybody's. Raises ``NotFound`` or ``Refused``."""
    now = site.clock.now()
    if arguments["session"]:
        if not await site.store.run(sessions.end_listed, org.id, arguments["session"], actor=ACTOR, now=now):
            raise NotFound(f"this org has no session {arguments['session']!r:.40}; gatelodge session list shows them")
        return {"ended": arguments["session"]}
    if arguments["username"]:
        user = await _user_named(site, org, arguments["username"])
        await run_audited(site, org, "setup:sessions:end", user.id, {}, sessions.end_all, org.id, user.id)
        return {"ended": f"all of {user.username}"}
    if not arguments["everybody"]:
        raise Refused("name a SESSION, a user with --username, or say --everybody", "session")
    while await site.store.run(sessions.end_everybodys, org.id, but="", actor=ACTOR, now=now):
        pass
    return {"ended": "everybody's"}


def _check(site: Site, made: PermissionSet) -> None:
    problems = {name: site.rows_problem(grant.rows) for name, grant in made.objects.items()}
    administrators.check(made, problems)


def _object(text: str) -> tuple[str, ObjectGrant]:
    """``Account``, or ``Account={"edit":true,"rows":"OwnerId = $user.id"}``. Raises ``Invalid``."""
    name, _, document = text.partition("=")
    try:
        return name, msgspec.json.decode(document or "{}", type=ObjectGrant)
    except msgspec.MsgspecError as error:
        raise Invalid({"objects": f"--object {text!r:.120}: {error}"}) from None


def _set(each: PermissionSet) -> dict[str, Any]:
    return msgspec.to_builtins(each)


async def _set_named(site: Site, org: Org, api_name: str) -> PermissionSet:
    found = await site.store.read(permissions.find, org.id, api_name)
    if found is None:
        raise NotFound(f"this org has no permission set {api_name!r:.90}; gatelodge permission-set list shows them")
    return found


async def _user_named(site: Site, org: Org, username: str) -> User:
    user = await site.store.read(users.find_by_username, org.id, username)
    if user is None:
        raise NotFound(f"this org has no user {username!r}; gatelodge user list shows them")
    return user


async def _app_named(site: Site, org: Org, api_name: str) -> ExternalClientApp:
    app = await site.store.read(registry.find_by_api_name, org.id, api_name)
    if app is None:
        raise NotFound(f"this org has no app named {api_name!r}; gatelodge app list shows them")
    return app


VERBS: dict[str, Verb] = {
    "permission-set list": set_list,
    "permission-set display": set_display,
    "permission-set create": set_create,
    "permission-set set": set_set,
    "permission-set delete": set_delete,
    "permission-set assign": set_assign,
    "permission-set unassign": set_unassign,
    "usage list": usage_list,
    "usage revoke": usage_revoke,
    "session list": session_list,
    "session end": session_end,
}
