"""Records made, changed and deleted: each call in one transaction that holds its row, and is undone by any refusal."""

import datetime as dt
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from gatelodge.core import ids, secrets
from gatelodge.core.permissions import ObjectGrant
from gatelodge.gateway.records.database import code_of
from gatelodge.gateway.records.errors import (
    DELETE_FAILED,
    INSUFFICIENT_ACCESS_OR_READONLY,
    INVALID_CROSS_REFERENCE_KEY,
    INVALID_FIELD_FOR_INSERT_UPDATE,
    INVALID_TYPE_ON_FIELD_IN_RECORD,
    NOT_FOUND,
    PRECONDITION_FAILED,
    REQUIRED_FIELD_MISSING,
    NotWritten,
    Problem,
    RecordError,
)
from gatelodge.gateway.records.schema import ID, Field, SObject
from gatelodge.gateway.records.soql.compiling import Scope
from gatelodge.gateway.records.soql.tree import Comparison, Path
from gatelodge.gateway.records.soql.values import shown
from gatelodge.gateway.records.tool import Work
from gatelodge.gateway.records.validating import FOREIGN, MEANINGS, refused, shortened, value_for

MOST_FIELDS = 800
NAMES = re.compile(
    r"Key \(([^)]*)\)=|FOREIGN KEY \(([^)]*)\) REFERENCES|[Cc]olumn (?:`[^`]*`\.`[^`]*`\.)?[`']([^`']+)[`']|failed: (.+)$|CONSTRAINT `([^`]+)` failed"
)
"""Where a database names the columns that it refuses: of a key, of a reference, of a value, of a rule."""


def create(work: Work, of: SObject, body: dict[str, Any]) -> str:
    """Make a record and answer its Id. Raises ``RecordError``."""
    _check_verb(work, of, "create")
    values = _values(work, of, body, "create")
    missing = [
        field for field in of.fields if field.is_required and field.name not in values and not _is_ours(of, field)
    ]
    if missing:
        named = [_missing(field) for field in missing if _may_name(work, of, field)]
        raise NotWritten(*(named or [_missing_unnamed()]))
    if of.id_prefix:
        values[ID] = ids.make(of.id_prefix, secrets.random_bytes(9))
    at = work.now
    values |= {name: _time(of, name, at) for name in (of.created, of.changed) if name}
    try:
        key = _insert(work.connection, of, values)
    except DBAPIError as error:
        raise _explained(work, of, error, body) from error
    _check_after(work, of, key, set(body), "create", None)
    return _id_of(work, of, key)


def update(work: Work, of: SObject, record_id: str, body: dict[str, Any], unchanged_since: str = "") -> None:
    """Change a record. ``unchanged_since``: only if it was changed last at this time. Raises ``RecordError``."""
    held = _hold(work, of, record_id, "edit")
    values = _values(work, of, body, "edit")
    before = held[of.changed] if of.changed else None
    if unchanged_since and (not of.changed or shown(before, "datetime") != unchanged_since):
        _precondition(work, of, before, unchanged_since)
    admitting = _admitting(work, of, held, set(values), "edit")
    if of.changed:
        values[of.changed] = _after(of, before, work.now)
    key = {name: held[name] for name in of.keys}
    try:
        work.connection.execute(sa.update(of.table).where(*_is(of, key)).values(values))
    except DBAPIError as error:
        raise _explained(work, of, error, body) from error
    _check_after(work, of, key, set(body), "edit", admitting)


def delete(work: Work, of: SObject, record_id: str) -> None:
    """Delete a record that no other would be changed or deleted with. Raises ``RecordError``."""
    held = _hold(work, of, record_id, "delete")
    _admitting(work, of, held, set(), "delete")
    key = {name: held[name] for name in of.keys}
    for each in work.catalogue.objects:
        for field in each.fields:
            if field.parent == of.name and field.changes_children:
                _check_children(work, of, key, each, field)
    try:
        work.connection.execute(sa.delete(of.table).where(*_is(of, key)))
    except DBAPIError as error:
        if code_of(error) in FOREIGN:
            raise RecordError(
                DELETE_FAILED, f"other records point at this {of.name}: change or delete them first."
            ) from None
        raise _explained(work, of, error, {}) from error


def _check_verb(work: Work, of: SObject, verb: str) -> None:
    if of.is_view:
        raise RecordError(INSUFFICIENT_ACCESS_OR_READONLY, f"{of.name} is a view: it is read only.")
    if not work.catalogue.access.may_do(verb, of.name):
        raise RecordError(INSUFFICIENT_ACCESS_OR_READONLY, f"your permission sets do not let you {verb} {of.plural}.")


def _values(work: Work, of: SObject, body: dict[str, Any], verb: str) -> dict[str, Any]:
    """The body as the table takes it. Raises ``NotWritten`` with every problem that there is."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in body.items():
        try:
            field = _writable(work, of, name, verb)
            if field.name in values:
                raise refused(field, value, INVALID_FIELD_FOR_INSERT_UPDATE, "each field once", "Send it once.")
            values[field.name] = value_for(field, value, work.connection.dialect.name)
            _check_cast(work, field, values[field.name], value)
            if field.parent and value is not None:
                _check_parent(work, field, values[field.name], value)
        except NotWritten as error:
            problems += error.problems
        if len(problems) > MOST_FIELDS:
            break
    if problems:
        raise NotWritten(*problems)
    return values


def _check_cast(work: Work, field: Field, own: Any, sent: Any) -> None:
    """Have PostgreSQL try a text as the type that SOQL has not: when it refuses a record, it doesn't say for which field."""
    if not isinstance(own, sa.Cast):
        return
    try:
        with work.connection.begin_nested():
            work.connection.execute(sa.select(sa.cast(own, sa.String())))
    except DBAPIError as error:
        if not any(code_of(error) in codes for codes, *_ in MEANINGS):
            raise
        kind = str(field.stored.compile(dialect=work.connection.dialect)).lower()
        raise refused(
            field, sent, INVALID_TYPE_ON_FIELD_IN_RECORD, f"a text that is of the type {kind}", "Write it as such."
        ) from None


def _writable(work: Work, of: SObject, name: str, verb: str) -> Field:
    """The field of this name, if the user may set it. Raises ``RecordError``; what is hidden doesn't exist."""
    field = work.catalogue.field(of, name)
    is_key = field.name == ID or field.name in of.keys
    may = work.catalogue.access.can_write_field(verb, of.name, field.name)
    if not may or not field.is_writable or _is_ours(of, field) or (is_key and verb == "edit"):
        why = "your permission sets let you only read it" if not may else "it is set by the database or by us"
        raise refused(field, None, INVALID_FIELD_FOR_INSERT_UPDATE, "fields that you may set", f"Leave it out: {why}.")
    return field


def _is_ours(of: SObject, field: Field) -> bool:
    """Whether we or the database give this field its value."""
    is_id = field.name == ID and bool(of.id_prefix or of.makes_id or of.is_composed(field))
    return is_id or field.name in (of.changed, of.created)


def _missing(field: Field) -> Problem:
    return Problem(
        code=REQUIRED_FIELD_MISSING, field=field.name, value=None, expected="a value", fix="Send this field too."
    )


def _missing_unnamed() -> Problem:
    return Problem(
        code=REQUIRED_FIELD_MISSING, field="", value=None, expected="fields that you may not set",
        fix="Ask an administrator: your permission sets leave out what each such record needs.",
    )  # fmt: skip


def _may_name(work: Work, of: SObject, field: Field) -> bool:
    return work.catalogue.access.can_read_field(of.name, field.name)


def _check_parent(work: Work, field: Field, value: Any, sent: Any) -> None:
    """Whether the record that a reference shall point at is one that the user sees. Raises ``NotWritten``."""
    parent = next(each for each in work.catalogue.objects if each.name == field.parent)
    scope = Scope(work.catalogue, parent, parent.aliased("t0"), work.today)
    target = parent.expression(scope.table, parent.by_name[field.target.lower()])
    found = None
    if work.catalogue.access.can_read(parent.name):
        seen = sa.select(sa.literal(1)).select_from(scope.table).where(target == value, scope.where(None))
        found = work.connection.execute(seen.limit(1)).first()
    if found is None:
        raise refused(
            field, sent, INVALID_CROSS_REFERENCE_KEY, f"the id of a record of {field.parent} that you may see",
            "Look it up with a query.",
        )  # fmt: skip


def _hold(work: Work, of: SObject, record_id: str, verb: str) -> dict[str, Any]:
    """The row of a record that the user sees, held until the transaction ends. Raises ``RecordError``."""
    _check_verb(work, of, verb)
    scope = Scope(work.catalogue, of, of.aliased("t0"), work.today)
    wanted = scope.where(Comparison(Path((ID,)), "=", record_id))
    row = work.connection.execute(_row(work, scope, verb).where(wanted).with_for_update()).mappings().first()
    if row is None:
        raise RecordError(NOT_FOUND, f"there is no {of.name} with the id {record_id:.40}, or you may not see it.")
    return dict(row)


def _row(work: Work, scope: Scope, verb: str) -> Any:
    """A row's key, the time of its last change, and for each grant of the verb whether it admits the row."""
    of = scope.object
    names = dict.fromkeys((*of.keys, *([of.changed] if of.changed else [])))
    admits = [scope.sight.admitted([grant]) for grant in _grants(work, of, verb)]
    flags = [(sa.true() if each is None else each).label(f"grant_{n}") for n, each in enumerate(admits)]
    return sa.select(*(scope.table.c[name].label(name) for name in names), *flags).select_from(scope.table)


def _grants(work: Work, of: SObject, verb: str) -> list[ObjectGrant]:
    return [grant for grant in work.catalogue.grants(of) if getattr(grant, verb)]


def _admitting(work: Work, of: SObject, row: dict[str, Any], fields: set[str], verb: str) -> dict[str, set[int]]:
    """For the record (under "") and for each field, the grants that admit it all: this row, this verb, this field.

    Raises ``RecordError`` where there is none: one grant must admit the row and the field.
    """
    grants = _grants(work, of, verb)
    there = {n for n in range(len(grants)) if row[f"grant_{n}"]}
    if not there:
        raise RecordError(
            INSUFFICIENT_ACCESS_OR_READONLY, f"your permission sets do not let you {verb} this {of.name}."
        )
    found = {"": there}
    for name in fields:
        found[name] = {n for n in there if _admits(grants[n], name)}
        if not found[name]:
            raise refused(
                name, None, INVALID_FIELD_FOR_INSERT_UPDATE, "fields that you may set in this record", "Leave it out."
            )
    return found


def _admits(grant: ObjectGrant, field: str) -> bool:
    return field.lower() not in (each.lower() for each in (*grant.without, *grant.read_only))


def _check_after(
    work: Work, of: SObject, key: dict[str, Any], sent: set[str], verb: str, before: dict[str, set[int]] | None
) -> None:
    """Whether the row as it is now may be the user's work: nobody writes what they couldn't write again."""
    scope = Scope(work.catalogue, of, of.aliased("t0"), work.today)
    is_row = [scope.table.c[name] == value for name, value in key.items()]
    row = work.connection.execute(_row(work, scope, verb).where(*is_row)).mappings().first()
    if row is None:  # a trigger took it away
        raise RecordError(INSUFFICIENT_ACCESS_OR_READONLY, f"the database did not keep this {of.name}.")
    names = {of.by_name[name.lower()].name for name in sent}
    after = _admitting(work, of, dict(row), names, verb)
    if before is not None and any(not (admitted & before[name]) for name, admitted in after.items()):
        raise RecordError(
            INSUFFICIENT_ACCESS_OR_READONLY,
            f"this would put the {of.name} beyond what your permission sets let you {verb}.",
        )


def _insert(connection: sa.Connection, of: SObject, values: dict[str, Any]) -> dict[str, Any]:
    """Insert a row and answer its key."""
    statement = of.table.insert().values(values)
    if connection.dialect.insert_returning:
        row = connection.execute(statement.returning(*(of.table.c[name] for name in of.keys))).one()
        return dict(zip(of.keys, row, strict=True))
    made: Any = connection.execute(statement)
    return {name: values.get(name, made.lastrowid) for name in of.keys}


def _id_of(work: Work, of: SObject, key: dict[str, Any]) -> str:
    table = of.aliased("t0")
    is_row = [table.c[name] == value for name, value in key.items()]
    return str(work.connection.execute(sa.select(of.key(table)).where(*is_row)).scalar_one())


def _is(of: SObject, key: dict[str, Any]) -> list[Any]:
    return [of.table.c[name] == value for name, value in key.items()]


def _check_children(work: Work, of: SObject, key: dict[str, Any], child: SObject, field: Field) -> None:
    """A record is not deleted where the database would change or delete others with it, whoever may do that."""
    target = of.expression(of.table, of.by_name[field.target.lower()])
    held = sa.select(target).where(*_is(of, key)).scalar_subquery()
    found = sa.select(sa.literal(1)).select_from(child.table).where(child.table.c[field.name] == held).limit(1)
    if work.connection.execute(found).first() is not None:
        what = child.plural if work.catalogue.access.can_read(child.name) else "records that you may not see"
        raise RecordError(DELETE_FAILED, f"the database would change or delete {what} along with it: do that first.")


def _time(of: SObject, name: str, at: dt.datetime) -> dt.datetime:
    """A time as the column takes it, in milliseconds."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return at.replace(tzinfo=dt.UTC) if getattr(of.by_name[name.lower()].stored, "timezone", False) else at


def _after(of: SObject, before: Any, now: dt.datetime) -> dt.datetime:
    """The time of this change: always later than the one before, so that it tells two apart."""
    at = _time(of, of.changed, now)
    if before is None:
        return at
    step = dt.timedelta(seconds=1) if of.whole_seconds else dt.timedelta(milliseconds=1)
    later = before.replace(microsecond=before.microsecond // 1000 * 1000) + step
    return max(at, later)


def _precondition(work: Work, of: SObject, before: Any, sent: str) -> None:
    if not of.changed:
        said = f"{of.name} has no field for the time of its last change; leave if-unmodified-since out"
    elif _may_name(work, of, of.by_name[of.changed.lower()]):
        said = (
            f"{of.changed} is {shown(before, 'datetime')}, not {sent:.60}: somebody changed the record; read it again"
        )
    else:
        said = f"the record was not changed last at {sent:.60}: read it again"
    raise RecordError(PRECONDITION_FAILED, f"{said}.")


def _explained(work: Work, of: SObject, error: DBAPIError, body: dict[str, Any]) -> Exception:
    """What the database refuses, in our words; any other error as it is."""
    code = code_of(error)
    for codes, ours, expected, fix in MEANINGS:
        if code in codes:
            named = _blamed(work, of, str(error.orig), body) or [""]
            return NotWritten(
                *(Problem(code=ours, field=name, value=shortened(body.get(name)), expected=expected, fix=fix) for name in named)
            )  # fmt: skip
    return error


def _blamed(work: Work, of: SObject, said: str, body: dict[str, Any]) -> list[str]:
    """The fields, of those that were sent, that the database names in what it said; else the only one that it can mean."""
    table = of.source or of.name
    found = NAMES.search(said)
    names = next(filter(None, found.groups()), "").replace(f"{table}.", "") if found else ""
    rule = re.search(r'check constraint "([^"]+)"', said)  # which PostgreSQL calls after table and column
    sent = {name: field for name in body if (field := of.by_name.get(name.lower())) and _may_name(work, of, field)}
    native = {name: field.column or field.name for name, field in sent.items()}
    named = [
        name
        for name, column in native.items()
        if re.search(rf"(?<!\w){re.escape(column)}(?!\w)", names, re.IGNORECASE)
        or (rule and rule[1] == f"{table}_{column}_check")
    ]
    unknown = [name for name, field in sent.items() if isinstance(field.stored, sa.types.NullType)]
    return named or next((each for each in (list(sent), unknown) if len(each) == 1), [])
