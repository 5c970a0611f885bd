"""Permission sets: what a user may do in Setup, and which objects and fields a user may read. They only ever add."""

from collections.abc import Iterator

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, Value, announce, execute, many, one, text

MOST_SETS = 1000

MANAGE_APPS = "manage_apps"
"""Create, edit, and delete External Client Apps (the developer's permission)."""
EDIT_POLICIES = "edit_policies"
"""View all External Client Apps, view their settings, and edit their policies (the administrator's permission)."""
USE_MCP_SERVERS = "use_mcp_servers"
"""May call the org's MCP servers at all."""
MANAGE_USERS = "manage_users"
"""Create users and assign permission sets."""
MANAGE_MCP_SERVERS = "manage_mcp_servers"
"""Register, activate and deactivate MCP servers."""

MANAGE_ORG = "manage_org"
"""Change the org's own settings: its name, trusted IP ranges, refresh window and signing algorithm."""

APPROVE_CALLS = "approve_calls"
"""See every call that waits for a person, and approve those for which no permission set is named."""


class ObjectGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What a permission set grants on one object: to read it, every field but those named in ``without``, and of its
    rows those that ``rows`` says ("" for all), such as ``OwnerId = $user.id``; and the verbs beyond reading, which change
    any field that may be read but those in ``read_only``.
    """

    without: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    create: bool = False
    edit: bool = False
    delete: bool = False
    rows: str = ""


class PermissionSet(msgspec.Struct, frozen=True, kw_only=True):
    """A named bundle of grants. The object "*" stands for every object."""

    api_name: str
    label: str
    system: tuple[str, ...] = ()
    objects: dict[str, ObjectGrant] = {}


class Access(msgspec.Struct, frozen=True):
    """Everything a user's permission sets add up to. Names are compared as SOQL does: case does not matter."""

    sets: tuple[PermissionSet, ...] = ()

    def may(self, permission: str) -> bool:
        """Whether any permission set grants this system permission."""
        return any(permission in each.system for each in self.sets)

    def has_any(self, api_names: tuple[str, ...]) -> bool:
        """Whether any of these permission sets is among them."""
        return any(each.api_name in api_names for each in self.sets)

    def can_read(self, object_name: str) -> bool:
        """Whether the user may read this object at all."""
        return any(True for _ in self._grants(object_name))

    def can_read_field(self, object_name: str, field_name: str) -> bool:
        """Whether the user may read this field: in schema, query, filter, ordering, grouping and search alike."""
        field = field_name.lower()
        return any(field not in (f.lower() for f in grant.without) for grant in self._grants(object_name))

    def may_do(self, verb: str, object_name: str) -> bool:
        """Whether the user may ``create``, ``edit`` or ``delete`` records of this object."""
        return any(getattr(grant, verb) for grant in self._grants(object_name))

    def can_write_field(self, verb: str, object_name: str, field_name: str) -> bool:
        """Whether the user may set this field when creating or editing: one set must grant both the verb and the field."""
        field = field_name.lower()
        return any(
            getattr(grant, verb) and field not in (f.lower() for f in (*grant.without, *grant.read_only))
            for grant in self._grants(object_name)
        )

    def rows_of(self, object_name: str, verb: str = "read") -> tuple[str, ...]:
        """The row filters of the sets that grant this verb; a row that any of them admits may be touched. Empty: every
        row (some set has no filter).
        """
        found = [grant.rows for grant in self._grants(object_name) if verb == "read" or getattr(grant, verb)]
        return () if "" in found else tuple(dict.fromkeys(found))

    def _grants(self, object_name: str) -> Iterator[ObjectGrant]:
        wanted = object_name.lower()
        for each in self.sets:
            for name, grant in each.objects.items():
                if name == "*" or name.lower() == wanted:
                    yield grant


def permission_set(api_name: str, label: str, document: str) -> PermissionSet:
    """A ``PermissionSet`` from its row: its grants are kept as JSON text."""
    grants = msgspec.json.decode(document, type=Grants)
    return PermissionSet(api_name=api_name, label=label, system=grants.system, objects=grants.objects)


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """The stored part of a permission set."""

    system: tuple[str, ...] = ()
    objects: dict[str, ObjectGrant] = {}


ADMINISTRATOR = PermissionSet(
    api_name="Administrator",
    label="Administrator",
    system=(MANAGE_APPS, EDIT_POLICIES, USE_MCP_SERVERS, MANAGE_USERS, MANAGE_MCP_SERVERS, MANAGE_ORG, APPROVE_CALLS),
    objects={"*": ObjectGrant(create=True, edit=True, delete=True)},
)


def create(org_id: str, id: str, made: PermissionSet) -> Operation[None]:
    """Add a permission set to the org."""
    yield from execute(
        "INSERT INTO permission_sets (id, org_id, api_name, label, document)"
        " VALUES (:id, :org_id, :api_name, :label, :document)",
        id=id,
        org_id=org_id,
        api_name=made.api_name,
        label=made.label,
        document=msgspec.json.encode(Grants(system=made.system, objects=made.objects)).decode(),
    )


def assign(org_id: str, user_id: str, api_name: str) -> Operation[None]:
    """Give a permission set to a user. Raises ``Refused`` for a set that the org does not have."""
    given = yield from one(
        "INSERT INTO permission_set_assignments (org_id, user_id, permission_set_id)"
        " SELECT org_id, :user_id, id FROM permission_sets WHERE org_id = :org_id AND api_name = :api_name"
        " ON CONFLICT (org_id, user_id, permission_set_id) DO UPDATE SET user_id = excluded.user_id"
        " RETURNING permission_set_id AS value",
        text,
        org_id=org_id,
        user_id=user_id,
        api_name=api_name,
    )
    if given is None:
        raise Refused(f"this org has no permission set {api_name!r}", "permission_sets")
    yield from announce(org_id, "user", user_id)


def unassign(org_id: str, user_id: str, api_name: str) -> Operation[None]:
    """Take a permission set from a user."""
    yield from execute(
        "DELETE FROM permission_set_assignments WHERE org_id = :org_id AND user_id = :user_id AND permission_set_id IN"
        " (SELECT id FROM permission_sets WHERE org_id = :org_id AND api_name = :api_name)",
        org_id=org_id,
        user_id=user_id,
        api_name=api_name,
    )
    yield from announce(org_id, "user", user_id)


def of_org(org_id: str) -> Operation[list[PermissionSet]]:
    """Every permission set of the org, by API name."""
    return (
        yield from many(
            "SELECT api_name, label, document FROM permission_sets WHERE org_id = :org_id ORDER BY api_name"
            " LIMIT :limit",
            permission_set,
            org_id=org_id,
            limit=MOST_SETS,
        )
    )


def access_of(org_id: str, user_id: str) -> Operation[Access]:
    """What the user's permission sets add up to."""
    sets = yield from many(
        "SELECT s.api_name, s.label, s.document FROM permission_set_assignments a"
        " JOIN permission_sets s ON s.id = a.permission_set_id AND s.org_id = a.org_id"
        " WHERE a.org_id = :org_id AND a.user_id = :user_id ORDER BY s.api_name LIMIT :limit",
        permission_set,
        org_id=org_id,
        user_id=user_id,
        limit=MOST_SETS,
    )
    return Access(tuple(sets))


def holds_any_sql(user_column: str, group: int, api_names: tuple[str, ...]) -> tuple[str, dict[str, Value]]:
    """A condition for another module's statement, with its values: the user that this column names holds one of these
    permission sets of the org ``:org_id``. ``group`` keeps several such conditions of one statement apart.
    """
    if not api_names:
        return "1 = 0", {}
    values: dict[str, Value] = {f"set_{group}_{n}": api_name for n, api_name in enumerate(api_names)}
    names = ", ".join(f":{name}" for name in values)
    condition = (
        "EXISTS (SELECT 1 FROM permission_set_assignments a JOIN permission_sets s"
        f" ON s.id = a.permission_set_id AND s.org_id = a.org_id WHERE a.org_id = :org_id AND a.user_id = {user_column}"
        f" AND s.api_name IN ({names}))"
    )
    return condition, values
