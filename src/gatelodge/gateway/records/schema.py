"""What a records server shows of its database: objects, fields and relationships, under the names that SOQL uses."""

from functools import cached_property
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from gatelodge.core.permissions import Access
from gatelodge.gateway.records.errors import INVALID_FIELD, INVALID_TYPE, RecordError

FieldType = Literal[
    "id", "reference", "string", "picklist", "textarea", "email", "phone", "url", "currency", "double", "int",
    "boolean", "date", "datetime",
]  # fmt: skip
TEXT_TYPES = ("string", "picklist", "textarea", "email", "phone", "url")
NUMBER_TYPES = ("currency", "double", "int")
COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "currency": sa.Float(), "double": sa.Float(), "int": sa.Integer(), "boolean": sa.Boolean(),
    "date": sa.Date(), "datetime": sa.DateTime(),
}  # fmt: skip


class Field(msgspec.Struct, frozen=True):
    """A column. A reference names its parent object, how SOQL calls the parent, and how the parent calls its children."""

    name: str
    type: FieldType
    label: str = ""
    parent: str = ""
    relationship: str = ""
    children: str = ""


class SObject(msgspec.Struct, frozen=True, dict=True):
    """A table. ``name_field`` is what its records are called by."""

    name: str
    label: str
    plural: str
    name_field: str
    fields: tuple[Field, ...]

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Its fields by lower-case name: SOQL's names have no case."""
        return {field.name.lower(): field for field in self.fields}

    @cached_property
    def table(self) -> sa.Table:
        """The table, with the types that its columns have."""
        columns = [
            sa.Column(
                field.name, COLUMNS.get(field.type, sa.String()), primary_key=field.type == "id", index=_indexed(field)
            )
            for field in self.fields
        ]
        return sa.Table(self.name, sa.MetaData(), *columns)


def _indexed(field: Field) -> bool:
    return field.type == "reference" or field.name == "Name"


class Child(msgspec.Struct, frozen=True):
    """A child relationship: the object whose ``field`` points here."""

    object: SObject
    field: Field


class Catalogue(msgspec.Struct, frozen=True, dict=True):
    """The objects of one database, seen through one user's permissions.

    What a user may not see is answered exactly as what doesn't exist, here and so everywhere.
    """

    objects: tuple[SObject, ...]
    access: Access

    @cached_property
    def _by_name(self) -> dict[str, SObject]:
        return {each.name.lower(): each for each in self.objects}

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
        return [field for field in of.fields if self.access.can_read_field(of.name, field.name)]

    def field(self, of: SObject, name: str, at: int = -1) -> Field:
        """The field of this name. Raises ``RecordError`` (INVALID_FIELD)."""
        found = of.by_name.get(name.lower())
        if found is None or not self.access.can_read_field(of.name, found.name):
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
