"""A tree to SQL, always through SQLAlchemy's expressions with bound values, and only over what the user may see."""

import datetime as dt
import functools
import operator
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa

from gatelodge.core import ids
from gatelodge.gateway.records.errors import INVALID_FIELD, MALFORMED_QUERY, RecordError
from gatelodge.gateway.records.folding import folded
from gatelodge.gateway.records.schema import NUMBER_TYPES, TEXT_TYPES, Catalogue, Field, SObject
from gatelodge.gateway.records.soql.dates import days_of
from gatelodge.gateway.records.soql.sight import Sight
from gatelodge.gateway.records.soql.tree import (
    Among,
    Call,
    Comparison,
    Condition,
    DateLiteral,
    Joined,
    Negation,
    Operand,
    Ordered,
    Path,
    Pattern,
    Query,
    UserValue,
    Value,
)

AGGREGATES: dict[str, Callable[[Any], Any]] = {
    "COUNT": sa.func.count,
    "COUNT_DISTINCT": lambda column: sa.func.count(sa.distinct(column)),
    "SUM": sa.func.sum,
    "AVG": sa.func.avg,
    "MIN": sa.func.min,
    "MAX": sa.func.max,
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LARGEST = 2**63 - 1
MOST_NESTED = 2
"""Subqueries of IN inside one another."""
MOST_ORDERED = 32
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
FILTER_LEVEL = 10
"""What parts the names of a row filter's FROMs from those of the query around it."""

Resolve = Callable[[Operand], "Column"]
"""Which operands a clause may have: ``Scope.of_record`` or ``Scope.of_group``."""


class Column(msgspec.Struct, frozen=True):
    """A place in a query: its SQL expression, and the type that its values have."""

    expression: Any
    type: str
    field: Field | None = None


class Joint(msgspec.Struct, frozen=True):
    """A parent that a path has joined: its object, its table, the condition, and what is seen of it."""

    object: SObject
    table: Any
    on: Any
    sight: Sight


class Scope(msgspec.Struct, dict=True):
    """One FROM: the table, and the parents that paths have joined to it so far. ``level`` counts the FROMs around it."""

    catalogue: Catalogue
    object: SObject
    table: Any
    today: dt.date
    alias: str = ""
    joins: dict[str, Joint] = {}
    level: int = 0
    grouped: tuple[Any, ...] = ()

    @functools.cached_property
    def sight(self) -> Sight:
        """What the user sees of the table's rows."""
        return self._sight(self.object, self.table)

    def _sight(self, of: SObject, table: Any) -> Sight:
        return Sight(self.catalogue, of, table, functools.partial(filtered, today=self.today, level=self.level))

    @property
    def id(self) -> Any:
        """A record's Id as SQL."""
        return self.object.key(self.table)

    def source(self) -> Any:
        """The table with its parents: a record without a parent, or whose parent isn't seen, stays."""
        source = self.table
        for each in self.joins.values():
            source = source.outerjoin(each.table, each.on)
        return source

    def where(self, asked: Condition | None) -> Any:
        """The rows that the user sees, and of them those that are asked for."""
        seen = self.sight.rows()
        wanted = sa.true() if asked is None else condition(self, asked)
        return wanted if seen is None else sa.and_(seen, wanted)

    def column(self, path: Path) -> Column:
        """The column of a path. Raises ``RecordError`` (INVALID_FIELD)."""
        parts = self.below(path)
        if len(parts) == 1:
            field = self.catalogue.field(self.object, parts[0], path.at)
            return Column(self.sight.column(field), field.type, field)
        if len(parts) > 2:  # noqa: PLR2004 - the object and one parent
            raise RecordError(INVALID_FIELD, f"{path.text():.120}: paths go one relationship up.", path.at)
        joint = self._parent(parts[0], path.at)
        field = self.catalogue.field(joint.object, parts[1], path.at)
        return Column(joint.sight.column(field), field.type, field)

    def below(self, path: Path) -> Sequence[str]:
        """The path without the object's own name or alias before it."""
        own = (self.alias.lower(), self.object.name.lower())
        return path.parts[1:] if len(path.parts) > 1 and path.parts[0].lower() in own else path.parts

    def _parent(self, relationship: str, at: int) -> Joint:
        reference, parent = self.catalogue.parent(self.object, relationship, at)
        name = reference.relationship
        if name not in self.joins:
            table = parent.aliased(f"p{self.level}_{len(self.joins)}")
            sight = self._sight(parent, table)
            # Through the reference as the user sees it, to the parent as the user sees it.
            leads = self.sight.column(reference) == parent.expression(table, parent.by_name[reference.target.lower()])
            seen = sight.rows()
            on = leads if seen is None else sa.and_(leads, seen)
            self.joins[name] = Joint(parent, table, on, sight)
        return self.joins[name]

    def of_record(self, operand: Operand) -> Column:
        """A field, for clauses that look at one record. Raises ``RecordError`` for an aggregate."""
        if isinstance(operand, Path):
            return self.column(operand)
        self.aggregate(operand)
        raise RecordError(
            MALFORMED_QUERY,
            f"{operand.name}() is of many records: it stands in SELECT, and in HAVING or ORDER BY of a grouped query.",
            operand.at,
        )

    def of_group(self, operand: Operand) -> Column:
        """An aggregate, or a field that is grouped by. Raises ``RecordError`` for any other field."""
        if not isinstance(operand, Path):
            return self.aggregate(operand)
        column = self.column(operand)
        if not any(column.expression is each for each in self.grouped):
            raise RecordError(INVALID_FIELD, f"Field must be grouped or aggregated: {operand.text():.80}", operand.at)
        return column

    def aggregate(self, call: Call) -> Column:
        """COUNT, SUM and their like. Raises ``RecordError`` for a function that there isn't here."""
        if call.name not in AGGREGATES:
            known = ", ".join(AGGREGATES)
            raise RecordError(MALFORMED_QUERY, f"{call.name:.40} is not a supported function; use {known}.", call.at)
        if call.path is None:
            alone = "COUNT() is the whole of a SELECT; here, write COUNT(Id)"
            said = alone if call.name == "COUNT" else f"{call.name} needs a field"
            raise RecordError(MALFORMED_QUERY, f"{said}.", call.at)
        column = self.column(call.path)
        if call.name in ("SUM", "AVG") and column.type not in NUMBER_TYPES:
            raise RecordError(
                INVALID_FIELD, f"{call.path.text():.80} is no number, so it has no {call.name}.", call.path.at
            )
        if call.name in ("MIN", "MAX") and column.type in ("boolean", "base64"):
            raise RecordError(
                INVALID_FIELD, f"{call.path.text():.80} is {column.type}, so it has no {call.name}.", call.path.at
            )
        is_count = call.name.startswith("COUNT")
        kind = "int" if is_count else "double" if call.name in ("SUM", "AVG") else column.type
        return Column(AGGREGATES[call.name](column.expression), kind)


def scope_of(catalogue: Catalogue, query: Query, today: dt.date, level: int = 0) -> Scope:
    """The scope of a query's FROM. Raises ``RecordError`` (INVALID_TYPE)."""
    of = catalogue.object(query.source, query.source_at)
    return Scope(catalogue, of, of.aliased(f"t{level}"), today, query.alias, level=level)


def filtered(catalogue: Catalogue, of: SObject, table: Any, where: Condition, *, today: dt.date, level: int) -> Any:
    """A row filter over one table. It sees everything. Raises ``RecordError`` where it doesn't fit the object."""
    everything = catalogue.everything()
    scope = Scope(everything, of, table, today, level=level + FILTER_LEVEL)
    plain = condition(scope, where)
    if not scope.joins:
        return plain
    # A filter that looks at parents has a FROM of its own, which is this row and its parents.
    row = of.aliased(f"s{level}")
    scope = Scope(everything, of, row, today, level=level + FILTER_LEVEL)
    asked = condition(scope, where)
    same = [row.c[name] == table.c[name] for name in of.keys]
    return sa.exists(sa.select(sa.literal(1)).select_from(scope.source()).where(*same, asked).correlate(table))


def condition(scope: Scope, where: Condition, resolve: Resolve | None = None) -> Any:
    """A condition of WHERE; of HAVING, with ``scope.of_group`` to resolve its operands."""
    resolve = resolve or scope.of_record
    match where:
        case Joined(by, of):
            parts = [condition(scope, each, resolve) for each in of]
            return sa.and_(*parts) if by == "AND" else sa.or_(*parts)
        case Negation(of):
            return sa.not_(sa.func.coalesce(condition(scope, of, resolve), sa.false()))
        case Comparison():
            return _comparison(scope, where, resolve(where.operand))
        case Among():
            return _among(scope, where, resolve(where.operand))


def _comparison(scope: Scope, asked: Comparison, column: Column) -> Any:
    at = asked.operand.at
    if isinstance(asked.value, DateLiteral):
        return _in_days(column, asked, days_of(asked.value, scope.today), at)
    if isinstance(asked.value, Pattern):
        if column.type not in TEXT_TYPES:
            raise RecordError(INVALID_FIELD, f"LIKE compares text, and this field is {column.type}.", at)
        text = asked.value.text
        return folded(column.expression, text).like(folded(sa.literal(text), text), escape="\\")
    value = _converted(column, asked.value, at)
    if asked.by not in ("=", "!=") and (value is None or column.type in ("boolean", "base64")):
        kind = "null" if value is None else f"a {column.type}"
        raise RecordError(MALFORMED_QUERY, f"{kind} is compared with = and != alone.", at)
    if value is None:
        return column.expression.is_(None) if asked.by == "=" else column.expression.is_not(None)
    compared = COMPARISONS[asked.by](*_pair(column, value, is_equality=asked.by in ("=", "!=")))
    return sa.or_(compared, column.expression.is_(None)) if asked.by == "!=" else compared


def _pair(column: Column, value: Any, *, is_equality: bool) -> tuple[Any, Any]:
    """A column and a value as they are compared: texts without their case, ids as the database has them."""
    if column.type in TEXT_TYPES:
        sought = (value,) if is_equality else ()
        return folded(column.expression, *sought), folded(sa.literal(value), *sought)
    if column.type in ("id", "reference"):
        own = stored_id(column.field, value)
        return (column.expression, own) if own is not None else (sa.cast(column.expression, sa.String()), value)
    return column.expression, value


def stored_id(field: Field | None, value: str) -> Any:
    """An id as its column has it; None for a text that no id of this column is."""
    stored = field.stored if field else None
    try:
        if isinstance(stored, sa.Uuid):
            return value.lower() if UUID.fullmatch(value) else None
        if isinstance(stored, sa.Integer):
            return int(value) if abs(int(value)) <= LARGEST and value == str(int(value)) else None
    except ValueError:
        return None
    return value + ids.checksum(value) if stored is None and len(value) == 15 and value.isalnum() else value  # noqa: PLR2004


def exact(field: Field | None, value: float) -> int | float | Decimal:
    """A number as its column has it: for one of decimal digits, those that were written."""
    stored = field.stored if field else None
    is_decimal = isinstance(stored, sa.Numeric) and not isinstance(stored, sa.Float)
    return Decimal(repr(value)) if is_decimal and isinstance(value, float) else value


def _in_days(column: Column, asked: Comparison, days: tuple[dt.date, dt.date], at: int) -> Any:
    if column.type not in ("date", "datetime"):
        raise RecordError(INVALID_FIELD, f"a date literal is for dates, and this field is {column.type}.", at)
    first, after = (dt.datetime.combine(day, dt.time()) if column.type == "datetime" else day for day in days)
    expression = column.expression
    match asked.by:
        case "=":
            return sa.and_(expression >= first, expression < after)
        case "!=":
            return sa.or_(expression < first, expression >= after, expression.is_(None))
        case "<":
            return expression < first
        case "<=":
            return expression < after
        case ">":
            return expression >= after
        case ">=":
            return expression >= first
    raise AssertionError(f"the grammar has no comparison {asked.by}")


def _among(scope: Scope, asked: Among, column: Column) -> Any:
    if isinstance(asked.values, Query):
        inner, is_alike = _semi_join(scope, asked.values, column, asked.operand.at)
        found = (column.expression if is_alike else sa.cast(column.expression, sa.String())).in_(inner)
    else:
        values = [_converted(column, value, asked.operand.at) for value in asked.values]
        found = _one_of(column, [value for value in values if value is not None])
        found = sa.or_(found, column.expression.is_(None)) if None in values else found
    return sa.not_(sa.func.coalesce(found, sa.false())) if asked.is_negated else found


def _one_of(column: Column, values: list[Any]) -> Any:
    if column.type in TEXT_TYPES:
        return folded(column.expression, *values).in_([folded(sa.literal(value), *values) for value in values])
    if column.type in ("id", "reference"):  # what can't be an id of this column is none of its values
        values = [own for value in values if (own := stored_id(column.field, value)) is not None]
    return column.expression.in_(values)


def _semi_join(outer: Scope, query: Query, column: Column, at: int) -> tuple[Any, bool]:
    """``IN (SELECT AccountId FROM ...)``: one field, an id or a reference, as in the original."""
    if len(query.selected) != 1 or not isinstance(query.selected[0].what, Path):
        raise RecordError(MALFORMED_QUERY, "a subquery of IN selects one field.", query.source_at)
    if query.order or query.limit is not None or query.offset is not None or query.group or query.having:
        raise RecordError(MALFORMED_QUERY, "a subquery of IN has FROM and WHERE alone.", query.source_at)
    if outer.level % FILTER_LEVEL >= MOST_NESTED:
        raise RecordError(MALFORMED_QUERY, f"subqueries of IN are nested deeper than {MOST_NESTED}.", query.source_at)
    inner = scope_of(outer.catalogue, query, outer.today, outer.level + 1)
    selected = inner.column(query.selected[0].what)
    if column.type not in ("id", "reference") or selected.type not in ("id", "reference"):
        raise RecordError(INVALID_FIELD, "a subquery of IN compares ids with ids.", at)
    where = inner.where(query.where)
    is_alike = _are_alike(column.field, selected.field)
    found = selected.expression if is_alike else sa.cast(selected.expression, sa.String())
    return sa.select(found).select_from(inner.source()).where(where, selected.expression.is_not(None)), is_alike


def _are_alike(one: Field | None, other: Field | None) -> bool:
    """Whether two ids are kept in columns of one kind, so that the database can compare them."""
    kinds = [next((kind for kind in (sa.Integer, sa.Uuid) if isinstance(each.stored, kind)), sa.String)
             for each in (one, other) if each is not None]  # fmt: skip
    return len(set(kinds)) == 1


def _converted(column: Column, value: Value, at: int) -> Any:
    """The value as the column's type has it. Raises ``RecordError`` (INVALID_FIELD) for one of another type."""
    kind = column.type
    if value is None:
        return None
    if isinstance(value, DateLiteral):
        raise RecordError(MALFORMED_QUERY, f"{value.name} is for comparisons of dates.", value.at)
    if isinstance(value, UserValue):
        raise RecordError(MALFORMED_QUERY, f"$user.{value.name:.40} stands in row filters alone.", value.at)
    if kind in ("id", "reference", *TEXT_TYPES) and isinstance(value, str):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if (
        kind in NUMBER_TYPES
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= LARGEST
    ):
        return exact(column.field, value)
    if kind == "date" and isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if kind == "datetime" and isinstance(value, dt.datetime):
        return value
    quoted = (
        "and be enclosed in quotes" if kind in (*TEXT_TYPES, "id", "reference") else "and not be enclosed in quotes"
    )
    raise RecordError(INVALID_FIELD, f"the value compared with this field must be of type {kind} {quoted}.", at)


def ordering(scope: Scope, order: tuple[Ordered, ...], resolve: Resolve | None = None) -> list[Any]:
    """ORDER BY: nulls first unless it is said otherwise, as in the original."""
    if len(order) > MOST_ORDERED:
        raise RecordError(MALFORMED_QUERY, f"ORDER BY takes at most {MOST_ORDERED} fields.", order[-1].operand.at)
    resolve = resolve or scope.of_record
    made = []
    for each in order:
        column = resolve(each.operand)
        if column.type in ("textarea", "base64"):
            raise RecordError(INVALID_FIELD, "a long text can't be sorted by.", each.operand.at)
        expression = folded(column.expression) if column.type in TEXT_TYPES else column.expression
        nulls = 1 if each.nulls_first is False else 0
        # Not every database has NULLS FIRST.
        made.append(
            sa.case(
                (column.expression.is_(None), sa.literal_column(str(nulls))), else_=sa.literal_column(str(1 - nulls))
            )
        )
        made.append(expression.desc() if each.is_descending else expression.asc())
    return made
