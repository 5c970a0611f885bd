"""Any database as objects: its tables and views, columns, keys and comments, read by SQLAlchemy's inspection."""

import re
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import SAWarning

from gatelodge.core import secrets
from gatelodge.gateway.records import naming
from gatelodge.gateway.records.column_types import limits_of, type_of
from gatelodge.gateway.records.mapping import FieldWords, Mapping, ObjectWords
from gatelodge.gateway.records.schema import ID, Field, SObject
from gatelodge.words import _

MOST_OBJECTS = 1000
MOST_FIELDS = 800
CHANGED = ("lastmodifieddate", "last_modified", "last_modified_at", "lastmodified", "modified_at", "modified", "updated_at",
           "updatedat", "updated", "changed_at")  # fmt: skip
CREATED = ("createddate", "created_at", "createdat", "created", "creation_date")
NAMED = ("name", "title", "subject", "label", "full_name", "fullname", "username", "code", "number", "email")
"""Columns that records are called by, the first one that there is."""
CHECKED = re.compile(
    r"^\W*(?P<column>\w+)\W*(?:::[\w\s]+)?\W*(?:in\s*\(|=\s*any\s*\(+\s*array\[)(?P<values>(?:'(?:[^']|'')*'[^']*)+)$",
    re.IGNORECASE,
)
"""A CHECK that lists the values of one column, as SQLite, PostgreSQL and MySQL write it."""


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: objects, and a sentence for each table that can't be one. ``digest`` tells one from another."""

    objects: tuple[SObject, ...]
    problems: tuple[str, ...]
    digest: str


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """One table as the inspection has it."""

    name: str
    is_view: bool
    columns: list[Any]
    key: list[str]
    foreign: list[Any]
    checks: dict[str, tuple[str, ...]]
    comment: str


def reflect(connection: sa.Connection, mapping: Mapping) -> Schema:
    """The objects of the database that a connection is to."""
    found = list(_tables(connection, mapping))
    problems = (
        [_("there are more than {most} tables; the first are shown").format(most=MOST_OBJECTS)]
        if len(found) > MOST_OBJECTS
        else []
    )
    made, taken = {}, set[str]()
    for table in found[:MOST_OBJECTS]:
        words = mapping.objects.get(table.name, ObjectWords())
        key = list(words.key) or table.key
        columns = {column["name"] for column in table.columns}
        if not key or not columns.issuperset(key):
            problems.append(
                _("{table}: no primary key; name the columns that tell its rows apart as its key").format(
                    table=table.name
                )
            )
        elif len(table.columns) > MOST_FIELDS:
            problems.append(
                _("{table}: {n} columns; at most {most} can be shown").format(
                    table=table.name, n=len(table.columns), most=MOST_FIELDS
                )
            )
        else:
            made[table.name] = _Made(connection.dialect.name, table, words, key, taken, mapping.schema or None)
    objects = tuple(_related(each, made) for each in made.values())
    digest = secrets.digest("\n".join(map(_signature, objects)))
    return Schema(objects=objects, problems=tuple(problems), digest=digest)


def _tables(connection: sa.Connection, mapping: Mapping) -> Iterator[_Found]:
    inspector = sa.inspect(connection)
    schema = mapping.schema or None
    options: dict[str, Any] = {"schema": schema, "kind": sa.engine.reflection.ObjectKind.ANY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # a type that SQLAlchemy doesn't know goes as text
        columns = inspector.get_multi_columns(**options)
    keys, foreign = inspector.get_multi_pk_constraint(**options), inspector.get_multi_foreign_keys(**options)
    written = _checks(connection, schema, inspector.get_multi_check_constraints(**options))
    comments: Any = {}
    if connection.dialect.supports_comments:
        comments = inspector.get_multi_table_comment(**options)
    views = {*inspector.get_view_names(schema)}
    if connection.dialect.name == "postgresql":
        views.update(inspector.get_materialized_view_names(schema))
    if connection.dialect.name in ("mysql", "mariadb"):
        for found in (columns, keys, foreign):
            _unescape(found)
    for at in sorted(columns, key=lambda each: each[1]):
        name = at[1]
        if mapping.objects.get(name, ObjectWords()).hidden:
            continue
        key = list((keys.get(at) or {}).get("constrained_columns") or ())
        if not key and name in views:  # what a view calls id is taken for its key
            key = [column["name"] for column in columns[at] if column["name"].lower() == "id"][:1]
        yield _Found(
            name=name,
            is_view=name in views,
            columns=list(columns[at]),
            key=key,
            foreign=list(foreign.get(at) or ()),
            checks=dict(_choices(written.get(name, []))),
            comment=str((comments.get(at) or {}).get("text") or ""),
        )


def _unescape(found: Any) -> None:
    """SQLAlchemy reads MySQL's columns out of CREATE TABLE, and leaves each ` in a name twice, as it stands there."""
    for each in found.values():
        for one in each if isinstance(each, list) else [each]:
            if "name" in one and "type" in one:
                one["name"] = one["name"].replace("``", "`")
            for listed in ("constrained_columns", "referred_columns"):
                if one.get(listed):
                    one[listed] = [name.replace("``", "`") for name in one[listed]]


def _checks(connection: sa.Connection, schema: str | None, reflected: Any) -> dict[str, list[str]]:
    """The CHECKs of each table, as text."""
    found = {at[1]: [str(each.get("sqltext") or "") for each in checks or ()] for at, checks in reflected.items()}
    if getattr(connection.dialect, "is_mariadb", False):  # where those of a column itself are in no reflection
        rows = connection.execute(
            sa.text(
                "SELECT table_name, check_clause FROM information_schema.check_constraints"
                " WHERE constraint_schema = COALESCE(:schema, DATABASE())"
            ),
            {"schema": schema},
        )
        for table, clause in rows:
            found.setdefault(table, []).append(clause)
    return found


def _choices(checks: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for check in checks:
        if found := CHECKED.match(check):
            values = re.findall(r"'((?:[^']|'')*)'", found["values"])
            yield found["column"].lower(), tuple(value.replace("''", "'") for value in values)


class _Made:
    """An object in the making: its names, which others need to point at it."""

    def __init__(
        self, dialect: str, table: _Found, words: ObjectWords, key: list[str], taken: set[str], schema: str | None
    ) -> None:
        self.table, self.words, self.key, self.schema, self.dialect = table, words, key, schema, dialect
        self.name = naming.api_name(table.name, words.name, taken)
        names = {ID.lower()}
        self.names: dict[str, str] = {}
        for column in table.columns:
            native = column["name"]
            given = words.fields.get(native, FieldWords())
            if key == [native]:
                self.names[native] = ID
            elif not given.hidden or native in key:
                self.names[native] = naming.api_name(native, given.name, names)

    def reference(self, column: str) -> Any:
        """The foreign key that this column alone is."""
        return next((each for each in self.table.foreign if each["constrained_columns"] == [column]), None)


def _related(made: _Made, every: dict[str, _Made]) -> SObject:
    taken: set[str] = set()
    fields = [_field(made, column, every, taken) for column in made.table.columns if column["name"] in made.names]
    if len(made.key) > 1:
        fields.insert(0, Field(ID, "id", "Record ID", is_writable=False, is_nullable=False))
    own, keys = made.words, tuple(made.names[name] for name in made.key)
    by_column = {name.lower(): made.names[name] for name in made.names}
    dated = {field.name for field in fields if field.type == "datetime"}
    makes_id = len(made.key) == 1 and _is_made(made, next(c for c in made.table.columns if c["name"] == made.key[0]))
    return SObject(
        name=made.name,
        label=own.label or naming.label(made.name),
        plural=own.plural or naming.plural(own.label or naming.label(made.name)),
        name_field=_name_field(made, by_column),
        fields=tuple(fields),
        source=made.table.name,
        schema=made.schema,
        keys=keys,
        description=made.table.comment,
        is_view=made.table.is_view,
        changed=next((by_column[name] for name in CHANGED if by_column.get(name) in dated), ""),
        created=next((by_column[name] for name in CREATED if by_column.get(name) in dated), ""),
        makes_id=makes_id,
        whole_seconds=any(
            column["name"].lower() in CHANGED
            and isinstance(column["type"], mysql.DATETIME | mysql.TIMESTAMP)
            and not column["type"].fsp
            for column in made.table.columns
        ),
    )


def _name_field(made: _Made, by_column: dict[str, str]) -> str:
    given = made.names.get(made.words.name_field)
    return given or next((by_column[name] for name in NAMED if name in by_column), ID)


def _field(made: _Made, column: Any, every: dict[str, _Made], taken: set[str]) -> Field:
    native = column["name"]
    name, words = made.names[native], made.words.fields.get(native, FieldWords())
    kind, stored, is_cast = type_of(made.dialect, column["type"])
    least, most = limits_of(made.dialect, column["type"])
    field = Field(
        name,
        "id" if name == ID else kind,
        words.label or naming.label(name),
        column=native,
        stored=stored,
        description=str(column.get("comment") or ""),
        length=_length(column["type"]),
        least=least,
        most=most,
        values=_values(made, column),
        is_nullable=bool(column.get("nullable", True)) and native not in made.key,
        is_required=(not column.get("nullable", True) or native in made.key) and not _is_made(made, column),
        is_writable=not made.table.is_view and not column.get("computed") and not _is_always(column),
        is_cast=is_cast and not (name == ID and isinstance(stored, sa.Uuid)),
    )
    if field.values and field.type == "string":
        field = msgspec.structs.replace(field, type="picklist")
    return _with_parent(made, field, every, taken)


def _length(native: Any) -> int:
    """Characters that a column takes at most; 0 for no limit, and for a set of words, whose length is the longest word's."""
    is_text = isinstance(native, sa.String) and not isinstance(native, mysql.SET)
    return int(native.length or 0) if is_text else 0


def _with_parent(made: _Made, field: Field, every: dict[str, _Made], taken: set[str]) -> Field:
    key = made.reference(field.column)
    parent = every.get(key["referred_table"]) if key and not _is_elsewhere(made, key) else None
    if parent is None or key["referred_columns"][0] not in parent.names:
        return field
    target = parent.names[key["referred_columns"][0]]
    is_id = field.name == ID
    to_parent = [each for each in made.table.foreign if each["referred_table"] == parent.table.name]
    relationship = naming.relationship(field.name, taken)
    children = naming.plural(made.name) if len(to_parent) == 1 else f"{naming.plural(made.name)}_by_{relationship}"
    return msgspec.structs.replace(
        field,
        type="id" if is_id else "reference" if target == ID else field.type,
        parent=parent.name,
        relationship=relationship,
        children=children,
        target=target,
        is_cast=field.is_cast and not (target == ID and isinstance(field.stored, sa.Uuid)),
        changes_children=str((key.get("options") or {}).get("ondelete") or "").upper()
        in ("CASCADE", "SET NULL", "SET DEFAULT"),
    )


def _is_elsewhere(made: _Made, key: Any) -> bool:
    return (key.get("referred_schema") or None) != made.schema


def _is_always(column: Any) -> bool:
    return bool((column.get("identity") or {}).get("always"))


def _is_made(made: _Made, column: Any) -> bool:
    """Whether the database gives this column a value when nobody does."""
    if column.get("default") is not None or column.get("computed") or column.get("identity"):
        return True
    if column.get("autoincrement") is True:
        return True
    # SQLite's rowid: an INTEGER that is the whole key.
    is_rowid = made.dialect == "sqlite" and made.table.key == [column["name"]]
    return is_rowid and str(column["type"]).upper() == "INTEGER"


def _values(made: _Made, column: Any) -> tuple[str, ...]:
    if isinstance(column["type"], sa.Enum):
        return tuple(column["type"].enums)
    return made.table.checks.get(column["name"].lower(), ())


def _signature(of: SObject) -> str:
    """What would be another schema if it were otherwise."""
    fields = [
        (msgspec.structs.astuple(field)[:6], repr(field.stored), field.values, field.is_required) for field in of.fields
    ]
    return repr((of.name, of.source, of.keys, of.label, of.is_view, fields))
