"""Permission sets: what a user may do in Setup, and which objects and fields a user may read. They only ever add."""

from collections.abc import Iterator

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, Value, announce, execute, many, one, text
from gatelodge.words import _

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
"""Change the org's own settings: its name, lifetimes, trusted IP ranges, keys, identity providers and rules for apps."""

APPROVE_CALLS = "approve_calls"
"""See every call that waits for a person, and approve those for which no permission set is named."""

SYSTEM = (
    MANAGE_APPS, EDIT_POLICIES, USE_MCP_SERVERS, MANAGE_USERS, MANAGE_MCP_SERVERS, MANAGE_ORG, APPROVE_CALLS
)  # fmt: skip
"""Every system permission, in the order of forms."""


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
    """A named bundle of grants. The object "*" stands for every object; ``revision`` counts its changes."""

    api_name: str
    label: str
    description: str = ""
    system: tuple[str, ...] = ()
    objects: dict[str, ObjectGrant] = {}
    revision: int = 1


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


def permission_set(api_name: str, label: str, document: str, revision: int) -> PermissionSet:
    """A ``PermissionSet`` from its row: its grants are kept as JSON text."""
    grants = msgspec.json.decode(document, type=Grants)
    return PermissionSet(
        api_name=api_name,
        label=label,
        description=grants.description,
        system=grants.system,
        objects=grants.objects,
        revision=revision,
    )


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """The stored part of a permission set."""

    description: str = ""
    system: tuple[str, ...] = ()
    objects: dict[str, ObjectGrant] = {}


COLUMNS = "api_name, label, document, revision"

ADMINISTRATOR = PermissionSet(
    api_name="Administrator",
    label="Administrator",
    system=SYSTEM,
    objects={"*": ObjectGrant(create=True, edit=True, delete=True)},
)


def create(org_id: str, id: str, made: PermissionSet) -> Operation[None]:
    """Add a permission set to the org. Raises ``Refused`` when its API Name is taken."""
    created = yield from one(
        "INSERT INTO permission_sets (id, org_id, api_name, label, document)"
        " VALUES (:id, :org_id, :api_name, :label, :document)"
        " ON CONFLICT (org_id, api_name) DO NOTHING RETURNING id AS value",
        text,
        id=id,
        org_id=org_id,
        api_name=made.api_name,
        label=made.label,
        document=_document(made),
    )
    if created is None:
        raise Refused(
            _("The API Name {api_name!r:.90} is taken in this org; choose another.").format(api_name=made.api_name),
            "api_name",
        )


def change(org_id: str, changed: PermissionSet) -> Operation[None]:
    """Write what a permission set grants, for everybody who has it, at once. ``changed.revision`` is the one that was
    read: one UPDATE decides between two administrators. Raises ``Refused`` when it was changed meanwhile, or is gone.
    """
    saved = yield from one(
        "UPDATE permission_sets SET label = :label, document = :document, revision = revision + 1"
        " WHERE org_id = :org_id AND api_name = :api_name AND revision = :revision RETURNING id AS value",
        text,
        label=changed.label,
        document=_document(changed),
        org_id=org_id,
        api_name=changed.api_name,
        revision=changed.revision,
    )
    if saved is None:
        raise Refused(
            _(
                "This permission set was changed by someone else since you opened it, or is gone. Reload to"
                " see it as it is."
            )
        )
    yield from announce(org_id, "permission_set", changed.api_name)


def remove(org_id: str, api_name: str) -> Operation[bool]:
    """Take a permission set from everybody, and delete it. True for exactly one caller."""
    yield from execute(
        "DELETE FROM permission_set_assignments WHERE org_id = :org_id AND permission_set_id IN"
        " (SELECT id FROM permission_sets WHERE org_id = :org_id AND api_name = :api_name)",
        org_id=org_id,
        api_name=api_name,
    )
    removed = yield from one(
        "DELETE FROM permission_sets WHERE org_id = :org_id AND api_name = :api_name RETURNING id AS value",
        text,
        org_id=org_id,
        api_name=api_name,
    )
    yield from announce(org_id, "permission_set", api_name)
    return removed is not None


def find(org_id: str, api_name: str) -> Operation[PermissionSet | None]:
    """The permission set of this API Name."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM permission_sets WHERE org_id = :org_id AND api_name = :api_name",
            permission_set,
            org_id=org_id,
            api_name=api_name,
        )
    )


def _document(made: PermissionSet) -> str:
    grants = Grants(description=made.description, system=made.system, objects=made.objects)
    return msgspec.json.encode(grants).decode()


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
        raise Refused(_("this org has no permission set {api_name!r}").format(api_name=api_name), "permission_sets")
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
            f"SELECT {COLUMNS} FROM permission_sets WHERE org_id = :org_id ORDER BY api_name LIMIT :limit",
            permission_set,
            org_id=org_id,
            limit=MOST_SETS,
        )
    )


def access_of(org_id: str, user_id: str) -> Operation[Access]:
    """What the user's permission sets add up to."""
    sets = yield from many(
        "SELECT s.api_name, s.label, s.document, s.revision FROM permission_set_assignments a"
        " JOIN permission_sets s ON s.id = a.permission_set_id AND s.org_id = a.org_id"
        " WHERE a.org_id = :org_id AND a.user_id = :user_id ORDER BY s.api_name LIMIT :limit",
        permission_set,
        org_id=org_id,
        user_id=user_id,
        limit=MOST_SETS,
    )
    return Access(tuple(sets))


class Held(msgspec.Struct, frozen=True):
    """A permission set that a user has, in a few words."""

    user_id: str
    api_name: str
    label: str


def held_by(org_id: str, user_ids: tuple[str, ...]) -> Operation[list[Held]]:
    """The permission sets of each of these users, at most ``MOST_SETS`` in all, by label."""
    values: dict[str, Value] = {f"user_{n}": user_id for n, user_id in enumerate(user_ids)}
    return (
        yield from many(
            "SELECT a.user_id, s.api_name, s.label FROM permission_set_assignments a JOIN permission_sets s"
            " ON s.id = a.permission_set_id AND s.org_id = a.org_id WHERE a.org_id = :org_id AND a.user_id IN"
            f" ({', '.join(f':{name}' for name in values) or 'NULL'}) ORDER BY s.label, s.api_name LIMIT :limit",
            Held,
            org_id=org_id,
            limit=MOST_SETS,
            **values,
        )
    )


class Count(msgspec.Struct, frozen=True):
    """How many users have a permission set."""

    api_name: str
    users: int


def counts(org_id: str) -> Operation[list[Count]]:
    """How many users have each permission set of the org, by API Name."""
    return (
        yield from many(
            "SELECT s.api_name, (SELECT COUNT(*) FROM permission_set_assignments a WHERE a.permission_set_id = s.id) AS"
            " users FROM permission_sets s WHERE s.org_id = :org_id ORDER BY s.api_name LIMIT :limit",
            Count,
            org_id=org_id,
            limit=MOST_SETS,
        )
    )


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
