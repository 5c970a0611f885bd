"""What administrators do with people and permission sets, and what keeps them from it: nobody gives what they don't have,
and the org never loses the last one who can let others in (decision 0045).
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from gatelodge.core import audit, deactivation, identity_providers, mcp_servers, orgs, permissions, users
from gatelodge.core.apps import registry
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.operation import Operation
from gatelodge.core.permissions import MANAGE_ORG, MANAGE_USERS, SYSTEM, ObjectGrant, PermissionSet
from gatelodge.words import LANGUAGES, _, mark

KEPT = {MANAGE_USERS: mark("manage users"), MANAGE_ORG: mark("change the org's settings")}
"""Without an active user who may do these, nobody in the org could ever be given them again."""
NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9]){0,79}")
FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
LONGEST_LABEL = 80
LONGEST_DESCRIPTION = 255
LONGEST_ROWS = 1000
MOST_OBJECTS = 200
MOST_FIELDS = 500
MOST_NAMED = 5
"""Of those that name a permission set, how many a refusal tells."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts: the user's id for the audit, or "the command line", and the system permissions that they have themselves (None: the operator of the
    machine, who may give all of them).
    """

    name: str
    system: tuple[str, ...] | None = None

    def beyond(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Those of these permissions that the actor doesn't have."""
        return tuple(each for each in wanted if self.system is not None and each not in self.system)


def check(made: PermissionSet, rows_problem: dict[str, str]) -> None:
    """Raises ``Invalid`` with a sentence for each field that breaks a rule. ``rows_problem`` tells, by object, what is
    wrong with its row filter.
    """
    found: dict[str, str] = {}
    if not NAME.fullmatch(made.api_name):
        found["api_name"] = _(
            "The API Name has 1 to 80 letters, digits and single underscores; it begins with a letter"
            " and doesn't end with an underscore."
        )
    if not made.label or len(made.label) > LONGEST_LABEL or not made.label.isprintable():
        found["label"] = _("The label is 1 to {longest_label} characters of plain text.").format(
            longest_label=LONGEST_LABEL
        )
    if len(made.description) > LONGEST_DESCRIPTION or not made.description.isprintable():
        found["description"] = _("The description is at most {longest_description} characters of plain text.").format(
            longest_description=LONGEST_DESCRIPTION
        )
    if unknown := [each for each in made.system if each not in SYSTEM]:
        found["system"] = _("{unknown!r:.80}: no such system permission; there are {system}.").format(
            unknown=", ".join(unknown), system=", ".join(SYSTEM)
        )
    if problem := _objects_problem(made.objects) or next(filter(None, rows_problem.values()), ""):
        found["objects"] = problem
    if found:
        raise Invalid(found)


def _objects_problem(objects: dict[str, ObjectGrant]) -> str:
    if len(objects) > MOST_OBJECTS:
        return _("There are {n} objects; at most {most_objects} are allowed.").format(
            n=len(objects), most_objects=MOST_OBJECTS
        )
    if len({name.lower() for name in objects}) < len(objects):
        return _("An object is named twice; names of objects have no case.")
    for name, grant in objects.items():
        if name != "*" and not FIELD.fullmatch(name):
            return _(
                "{name!r:.60} is not the name of an object; write letters, digits and underscores, or * for every one."
            ).format(name=name)
        named = (*grant.without, *grant.read_only)
        if wrong := next((each for each in named if not FIELD.fullmatch(each)), ""):
            return _("{wrong!r:.60} is not the name of a field of {name}.").format(wrong=wrong, name=name)
        if len(named) > MOST_FIELDS or len(grant.rows) > LONGEST_ROWS:
            return _(
                "{name}: at most {most_fields} fields, and {longest_rows} characters of row filter, are allowed."
            ).format(name=name, most_fields=MOST_FIELDS, longest_rows=LONGEST_ROWS)
    return ""


def create_set(org_id: str, id: str, made: PermissionSet, *, by: Actor, now_ms: int) -> Operation[None]:
    """Add a permission set. Raises ``Refused``."""
    _check_gives(by, made.system)
    yield from permissions.create(org_id, id, made)
    yield from audit.record(org_id, now_ms, by.name, "setup:permission_set:create", made.api_name, _written(made))


def change_set(org_id: str, changed: PermissionSet, *, by: Actor, now_ms: int) -> Operation[None]:
    """Write what a permission set grants, for everybody who has it, at once. Raises ``Refused``."""
    yield from orgs.take_turn(org_id)
    before = yield from permissions.find(org_id, changed.api_name)
    if before is None:
        raise Refused(
            _("This org has no permission set {api_name!r:.90}.").format(api_name=changed.api_name), "api_name"
        )
    _check_gives(by, tuple(each for each in changed.system if each not in before.system))
    had = yield from _present(org_id)
    yield from permissions.change(org_id, changed)
    yield from _check_kept(org_id, had)
    details = audit.changes(_written(before), _written(changed))
    yield from audit.record(org_id, now_ms, by.name, "setup:permission_set:change", changed.api_name, details)


def remove_set(org_id: str, api_name: str, *, by: Actor, now_ms: int) -> Operation[bool]:
    """Delete a permission set that nothing names any more. True for exactly one caller. Raises ``Refused``."""
    yield from orgs.take_turn(org_id)
    had = yield from _present(org_id)
    if named := (yield from named_by(org_id, api_name)):
        more = _(", and {n} more").format(n=len(named) - MOST_NAMED) if len(named) > MOST_NAMED else ""
        raise Refused(
            _("{api_name} is named by {named}{more}. Take it out there first.").format(
                api_name=api_name, named=", ".join(named[:MOST_NAMED]), more=more
            ),
            "confirm",
        )
    before = yield from permissions.find(org_id, api_name)
    if before is None or not (yield from permissions.remove(org_id, api_name)):
        return False
    yield from _check_kept(org_id, had)
    yield from audit.record(org_id, now_ms, by.name, "setup:permission_set:delete", api_name, _written(before))
    return True


def named_by(org_id: str, api_name: str) -> Operation[list[str]]:
    """What lets somebody in by this permission set: policies of apps, MCP servers and identity providers."""
    apps = yield from registry.naming_permission_set(org_id, api_name)
    found = [_("the policies of {label}").format(label=app.settings.label) for app in apps]
    servers = yield from mcp_servers.of_org(org_id)
    found += [
        _("the MCP server {label}").format(label=server.label)
        for server in servers
        if api_name in server.permission_sets
    ]
    providers = yield from identity_providers.of_org(org_id)
    naming = (each for each in providers if api_name in (*each.rules.permission_sets, *each.rules.mapping.values()))
    return [*found, *(_("the identity provider {label}").format(label=each.label) for each in naming)]


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an administrator lets in. Nobody knows a password of theirs: they set one by a link, or come by a provider."""

    id: str
    username: str
    name: str
    email: str
    language: str
    time_zone: str
    permission_sets: tuple[str, ...]


def create_user(org_id: str, made: NewUser, *, by: Actor, now_ms: int) -> Operation[users.User]:
    """Make a user with these permission sets. Raises ``Refused``."""
    for each in (yield from permissions.of_org(org_id)):
        if each.api_name in made.permission_sets:
            _check_gives(by, each.system)
    created = yield from users.create(
        id=made.id,
        org_id=org_id,
        username=made.username,
        name=made.name,
        email=made.email,
        language=made.language,
        time_zone=made.time_zone,
        password_hash="",
        permission_sets=made.permission_sets,
        now=now_ms // 1000,
    )
    details: dict[str, object] = {"username": made.username, "permission_sets": made.permission_sets}
    yield from audit.record(org_id, now_ms, by.name, "user:account:create", made.id, details)
    return created


def change_user(
    before: users.User, *, name: str, email: str, language: str, time_zone: str, by: Actor, now_ms: int
) -> Operation[None]:
    """Write what is known of a person, and down what it was."""
    now = {"name": name, "email": email, "language": language, "time_zone": time_zone}
    yield from users.change(before.org_id, before.id, **now)
    details: dict[str, object] = {
        field: {"from": getattr(before, field), "to": value}
        for field, value in now.items()
        if getattr(before, field) != value
    }
    yield from audit.record(before.org_id, now_ms, by.name, "user:account:change", before.id, details)


def check_person(said: Mapping[str, str], zones: Sequence[str]) -> dict[str, str]:
    """A sentence for each thing said of a person that breaks a rule: their name, e-mail, language and time zone."""
    found: dict[str, str] = {}
    name, email, language, time_zone = said["name"], said["email"], said["language"], said["time_zone"]
    if not name or len(name) > LONGEST_LABEL or not name.isprintable():
        found["name"] = _("The name is 1 to {longest_label} characters of plain text.").format(
            longest_label=LONGEST_LABEL
        )
    if not users.USERNAME_SHAPE.fullmatch(email):
        found["email"] = _("{email!r:.80} must have the form of an e-mail address.").format(email=email)
    if language and language not in LANGUAGES:
        found["language"] = _("{language!r:.40} is not a language of these pages; choose one of the list.").format(
            language=language
        )
    if time_zone not in zones:
        found["time_zone"] = _("{time_zone!r:.60} is not a time zone; choose one of the list.").format(
            time_zone=time_zone
        )
    return found


def assign(org_id: str, user_id: str, api_name: str, *, by: Actor, now_ms: int) -> Operation[None]:
    """Give a permission set to a user. Raises ``Refused`` for one that there isn't, and for one that may do more than
    who gives it.
    """
    given = yield from permissions.find(org_id, api_name)
    _check_gives(by, given.system if given else ())
    yield from permissions.assign(org_id, user_id, api_name)
    details: dict[str, object] = {"permission_set": api_name}
    yield from audit.record(org_id, now_ms, by.name, "user:permission_set:assign", user_id, details)


def unassign(org_id: str, user_id: str, api_name: str, *, by: Actor, now_ms: int) -> Operation[None]:
    """Take a permission set from a user. Raises ``Refused`` where nobody would be left to give it back."""
    yield from orgs.take_turn(org_id)
    had = yield from _present(org_id)
    yield from permissions.unassign(org_id, user_id, api_name)
    yield from _check_kept(org_id, had)
    details: dict[str, object] = {"permission_set": api_name}
    yield from audit.record(org_id, now_ms, by.name, "user:permission_set:unassign", user_id, details)


def deactivate(org_id: str, user_id: str, *, by: Actor, now_ms: int) -> Operation[None]:
    """Nobody signs in as this user, and all that works in their name ends. Raises ``Refused`` for the last administrator."""
    yield from orgs.take_turn(org_id)
    had = yield from _present(org_id)
    yield from deactivation.deactivate(org_id, user_id, actor=by.name, now_ms=now_ms)
    yield from _check_kept(org_id, had)


def _check_gives(by: Actor, system: tuple[str, ...]) -> None:
    """Who gives a permission could else give it to themselves. Raises ``Refused``."""
    if beyond := by.beyond(system):
        raise Refused(
            _("You can't give what you may not do yourself ({beyond}); another administrator can.").format(
                beyond=", ".join(beyond)
            ),
            "system",
        )


def _present(org_id: str) -> Operation[list[str]]:
    """Which of ``KEPT`` some active user has."""
    sets = yield from permissions.of_org(org_id)
    found: list[str] = []
    for permission in KEPT:
        names = tuple(each.api_name for each in sets if permission in each.system)
        if (yield from users.count_who_hold(org_id, (names,))):
            found.append(permission)
    return found


def _check_kept(org_id: str, had: list[str]) -> Operation[None]:
    """Raises ``Refused``, which undoes what was done before it in the same transaction."""
    left = yield from _present(org_id)
    for permission in had:
        if permission not in left:
            raise Refused(
                _(
                    "Nobody in this org could {kept} any more, and so nobody could undo it: give that permission"
                    " to another active user first."
                ).format(kept=_(KEPT[permission]))
            )


def _written(each: PermissionSet) -> dict[str, object]:
    """A permission set as the audit tells it."""
    return {name: value for name, value in msgspec.to_builtins(each).items() if name not in ("api_name", "revision")}


def in_use(org_id: str) -> Operation[dict[str, int]]:
    """How many users have each permission set."""
    return {each.api_name: each.users for each in (yield from permissions.counts(org_id))}


def of_users(org_id: str, user_ids: tuple[str, ...]) -> Operation[dict[str, list[str]]]:
    """The labels of each user's permission sets."""
    found: dict[str, list[str]] = {user_id: [] for user_id in user_ids}
    for held in (yield from permissions.held_by(org_id, user_ids)):
        found[held.user_id].append(held.label)
    return found
