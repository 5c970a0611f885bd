"""What a records server shows of its database: objects, fields and relationships, under the names that SOQL uses."""

import functools
from functools import cached_property
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from gatelodge.core.permissions import Access, ObjectGrant, PermissionSet
from gatelodge.gateway.records.errors import INVALID_FIELD, INVALID_TYPE, RecordError

EVERYTHING = Access((PermissionSet(api_name="", label="", objects={"*": ObjectGrant()}),))
FieldType = Literal[
    "id", "reference", "string", "picklist", "textarea", "email", "phone", "url", "currency", "double", "int",
    "boolean", "date", "datetime", "base64",
]  # fmt: skip
TEXT_TYPES = ("string", "picklist", "textarea", "email", "phone", "url")
NUMBER_TYPES = ("currency", "double", "int")
ID = "Id"
COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "currency": sa.Float(), "double": sa.Float(), "int": sa.BigInteger(), "boolean": sa.Boolean(),
    "date": sa.Date(), "datetime": sa.DateTime(), "base64": sa.LargeBinary(),
}  # fmt: skip


class Field(msgspec.Struct, frozen=True):
    """A column. A reference names its parent object, how SOQL calls the parent, and how the parent calls its children.

    ``column`` is the database's own name where that is another, ``stored`` its type there, ``target`` the parent's field
    that a reference holds. ``is_cast``: a type that SOQL has not, read and written as text. ``least`` and ``most`` are the
    numbers that it takes, None where no limit is known. ``length``: characters or
    bytes at most, 0 for no limit that is known; ``values``: the only ones that the database takes, () for any.
    """

    name: str
    type: FieldType
    label: str = ""
    parent: str = ""
    relationship: str = ""
    children: str = ""
    column: str = ""
    stored: Any = None
    target: str = ID
    description: str = ""
    length: int = 0
    least: Any = None
    most: Any = None
    values: tuple[str, ...] = ()
    is_required: bool = False
    is_nullable: bool = True
    is_writable: bool = True
    is_cast: bool = False
    changes_children: bool = False


class SObject(msgspec.Struct, frozen=True, dict=True):
    """A table or a view. ``name_field`` is what its records are called by.

    ``keys`` are the fields that make a record's Id: one of them is called Id itself, several are written as one text.
    ``changed`` and ``created`` are the fields, if any, where we write when a record was. ``id_prefix``: we make its ids;
    ``makes_id``: the database does.
    """

    name: str
    label: str
    plural: str
    name_field: str
    fields: tuple[Field, ...]
    source: str = ""
    schema: str | None = None
    keys: tuple[str, ...] = (ID,)
    description: str = ""
    is_view: bool = False
    changed: str = ""
    created: str = ""
    id_prefix: str = ""
    makes_id: bool = False
    whole_seconds: bool = False

    @cached_property
    def _aliased(self) -> dict[str, Any]:
        return {}

    def aliased(self, name: str) -> Any:
        """The table under another name in a query, the same each time: to make it anew costs more than most queries."""
        found = self._aliased.get(name)
        if found is None:
            made = self.table.alias(name)
            _columns = made.c  # made now, by one thread
            found = self._aliased.setdefault(name, made)
        return found

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Its fields by lower-case name: SOQL's names have no case."""
        return {field.name.lower(): field for field in self.fields}

    @cached_property
    def table(self) -> sa.Table:
        """The table, its columns under their API names, with the types that they have."""
        columns = [
            sa.Column(
                field.column or field.name,
                field.stored or COLUMNS.get(field.type, sa.String()),
                key=field.name,
                primary_key=field.name in self.keys,
                autoincrement=False,
                server_default=sa.FetchedValue() if field.name in self.keys and self.makes_id else None,
                index=_indexed(field),
            )
            for field in self.fields
            if not self.is_composed(field)
        ]
        return sa.Table(self.source or self.name, sa.MetaData(), *columns, schema=self.schema)

    def is_composed(self, field: Field) -> bool:
        """Whether this is an Id that is no column, but written from several."""
        return field.name == ID and ID not in self.keys

    def expression(self, table: Any, field: Field) -> Any:
        """A field of one FROM as SQL, whoever asks."""
        if self.is_composed(field):
            return self.key(table)
        column = table.c[field.name]
        return sa.cast(column, sa.String()) if field.is_cast else column

    def key(self, table: Any) -> Any:
        """A record's Id as SQL. Several columns are one text, parted by colons; in each ~ is ~0 and : is ~1."""
        if self.keys == (ID,):
            return table.c[ID]
        first, *others = (_escaped(table.c[name]) for name in self.keys)
        return functools.reduce(lambda whole, part: whole.concat(":").concat(part), others, first)


def _escaped(column: Any) -> Any:
    text = sa.func.replace(sa.cast(column, sa.String()), "~", "~0", type_=sa.String())
    return sa.func.replace(text, ":", "~1", type_=sa.String())


def _indexed(field: Field) -> bool:
    return field.type == "reference" or field.name == "Name"


class Child(msgspec.Struct, frozen=True):
    """A child relationship: the object whose ``field`` points here."""

    object: SObject
    field: Field


class Catalogue(msgspec.Struct, frozen=True, dict=True, eq=False):
    """The objects of one database, seen through one user's permissions. Equal to itself alone: what was worked out with one
    is nobody else's.

    What a user may not see is answered exactly as what doesn't exist, here and so everywhere. ``user`` is who that is,
    for row filters: the values of ``$user.id`` and its like by name.
    """

    objects: tuple[SObject, ...]
    access: Access
    user: dict[str, str] = {}

    @cached_property
    def _by_name(self) -> dict[str, SObject]:
        return {each.name.lower(): each for each in self.objects}

    def everything(self) -> "Catalogue":
        """The same database as nobody sees it: what row filters are resolved against."""
        return Catalogue(self.objects, EVERYTHING, self.user)

    @cached_property
    def _grants(self) -> dict[str, list[ObjectGrant]]:
        return {}

    def grants(self, of: SObject) -> list[ObjectGrant]:
        """What the user's permission sets grant on this object, each grant by itself."""
        found = self._grants.get(of.name)
        if found is None:
            names, sets = ("*", of.name.lower()), self.access.sets
            found = [grant for each in sets for name, grant in each.objects.items() if name.lower() in names]
            self._grants[of.name] = found
        return found

    @cached_property
    def _readable(self) -> dict[str, frozenset[str]]:
        return {}

    def _fields_of(self, of: SObject) -> frozenset[str]:
        """The names of the fields that this user may read."""
        found = self._readable.get(of.name)
        if found is None:
            may = self.access.can_read_field
            found = self._readable[of.name] = frozenset(each.name for each in of.fields if may(of.name, each.name))
        return found

    def visible(self) -> list[SObject]:
        """The objects that this user may read."""
        return [each for each in self.objects if self.access.can_read(each.name)]

    def object(self, name: str, at: int = -1) -> SObject:
        """The object of this name. Raises ``RecordError`` (INVALID_TYPE)."""
        found = self._by_name.get(name.lower())
        if found is None or not self.access.can_read(found.name):
            raise RecordError(INVALID_TYPE, f"sObject type '{name:.80}' is not supported, or you may not see it.", at)
        return found

    def fields(self, of: SObject) -> list[Field]:
        """The fields of an object that this user may read."""
        names = self._fields_of(of)
        return [field for field in of.fields if field.name in names]

    def field(self, of: SObject, name: str, at: int = -1) -> Field:
        """The field of this name. Raises ``RecordError`` (INVALID_FIELD)."""
        found = of.by_name.get(name.lower())
        if found is None or found.name not in self._fields_of(of):
            raise RecordError(
                INVALID_FIELD, f"No such column '{name:.80}' on entity '{of.name}', or you may not see it.", at
            )
        return found

    def parent(self, of: SObject, relationship: str, at: int = -1) -> tuple[Field, SObject]:
        """The reference behind a relationship name, and the object it leads to. Raises ``RecordError``."""
        for field in self.fields(of):
            if field.relationship and field.relationship.lower() == relationship.lower():
                parent = self._by_name[field.parent.lower()]
                if self.access.can_read(parent.name):
                    return field, parent
        raise RecordError(
            INVALID_FIELD,
            f"Didn't understand relationship '{relationship:.80}' of '{of.name}', or you may not see it.",
            at,
        )

    def child(self, of: SObject, relationship: str, at: int = -1) -> Child:
        """The child relationship of this name. Raises ``RecordError`` (INVALID_FIELD)."""
        for each in self.visible():
            for field in self.fields(each):
                if field.parent == of.name and field.children.lower() == relationship.lower():
                    return Child(each, field)
        raise RecordError(
            INVALID_FIELD,
            f"Didn't understand relationship '{relationship:.80}' of '{of.name}', or you may not see it.",
            at,
        )

    def children(self, of: SObject) -> list[tuple[str, Child]]:
        """The child relationships of an object that this user may follow."""
        return [
            (field.children, Child(each, field))
            for each in self.visible()
            for field in self.fields(each)
            if field.parent == of.name and field.children
        ]
