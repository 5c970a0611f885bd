"""A tree to SQL, always through SQLAlchemy's expressions with bound values, and only over what the user may see."""

import datetime as dt
import operator
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from gatelodge.core import ids
from gatelodge.gateway.records.database import folded
from gatelodge.gateway.records.errors import INVALID_FIELD, MALFORMED_QUERY, RecordError
from gatelodge.gateway.records.schema import NUMBER_TYPES, TEXT_TYPES, Catalogue, Field, SObject
from gatelodge.gateway.records.soql.dates import days_of
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

Resolve = Callable[[Operand], "Column"]
"""Which operands a clause may have: ``Scope.of_record`` or ``Scope.of_group``."""


class Column(msgspec.Struct, frozen=True):
    """A place in a query: its SQL expression, and the type that its values have."""

    expression: Any
    type: str
    field: Field | None = None


class Scope(msgspec.Struct, dict=True):
    """One FROM: the table, and the parents that paths have joined to it so far. ``level`` counts the FROMs around it."""

    catalogue: Catalogue
    object: SObject
    table: Any
    today: dt.date
    alias: str = ""
    joins: dict[str, tuple[SObject, Any, Any]] = {}
    level: int = 0
    grouped: tuple[Any, ...] = ()

    def source(self) -> Any:
        """The table with its parents: a record without a parent stays."""
        source = self.table
        for _, parent, on in self.joins.values():
            source = source.outerjoin(parent, on)
        return source

    def column(self, path: Path) -> Column:
        """The column of a path. Raises ``RecordError`` (INVALID_FIELD)."""
        parts = self.below(path)
        if len(parts) == 1:
            field = self.catalogue.field(self.object, parts[0], path.at)
            return Column(self.table.c[field.name], field.type, field)
        if len(parts) > 2:  # noqa: PLR2004 - the object and one parent
            raise RecordError(INVALID_FIELD, f"{path.text():.120}: paths go one relationship up.", path.at)
        parent, table = self._parent(parts[0], path.at)
        field = self.catalogue.field(parent, parts[1], path.at)
        return Column(table.c[field.name], field.type, field)

    def below(self, path: Path) -> Sequence[str]:
        """The path without the object's own name or alias before it."""
        own = (self.alias.lower(), self.object.name.lower())
        return path.parts[1:] if len(path.parts) > 1 and path.parts[0].lower() in own else path.parts

    def _parent(self, relationship: str, at: int) -> tuple[SObject, Any]:
        reference, parent = self.catalogue.parent(self.object, relationship, at)
        name = reference.relationship
        if name not in self.joins:
            table = parent.table.alias(f"{name}_of_{self.level}")
            self.joins[name] = (parent, table, self.table.c[reference.name] == table.c["Id"])
        return parent, self.joins[name][1]

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
        is_count = call.name.startswith("COUNT")
        kind = "int" if is_count else "double" if call.name in ("SUM", "AVG") else column.type
        return Column(AGGREGATES[call.name](column.expression), kind)


def scope_of(catalogue: Catalogue, query: Query, today: dt.date, level: int = 0) -> Scope:
    """The scope of a query's FROM. Raises ``RecordError`` (INVALID_TYPE)."""
    of = catalogue.object(query.source, query.source_at)
    return Scope(catalogue, of, of.table.alias(f"{of.name}_at_{level}"), today, query.alias, level=level)


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
        return folded(column.expression, asked.value.text).like(asked.value.text.lower(), escape="\\")
    value = _converted(column, asked.value, at)
    if asked.by not in ("=", "!=") and (value is None or column.type == "boolean"):
        kind = "null" if value is None else "a boolean"
        raise RecordError(MALFORMED_QUERY, f"{kind} is compared with = and != alone.", at)
    if value is None:
        return column.expression.is_(None) if asked.by == "=" else column.expression.is_not(None)
    sought = (value,) if asked.by in ("=", "!=") else ()
    compared = COMPARISONS[asked.by](_folded(column, *sought), value)
    return sa.or_(compared, column.expression.is_(None)) if asked.by == "!=" else compared


def _folded(column: Column, *compared_with: object) -> Any:
    """The column as it is compared: text without its case."""
    return folded(column.expression, *compared_with) if column.type in TEXT_TYPES else column.expression


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
        found = column.expression.in_(_semi_join(scope, asked.values, column, asked.operand.at))
    else:
        values = [_converted(column, value, asked.operand.at) for value in asked.values]
        there = [value for value in values if value is not None]
        found = _folded(column, *there).in_(there)
        found = sa.or_(found, column.expression.is_(None)) if None in values else found
    return sa.not_(sa.func.coalesce(found, sa.false())) if asked.is_negated else found


def _semi_join(outer: Scope, query: Query, column: Column, at: int) -> Any:
    """``IN (SELECT AccountId FROM ...)``: one field, an id or a reference, as in the original."""
    if len(query.selected) != 1 or not isinstance(query.selected[0].what, Path):
        raise RecordError(MALFORMED_QUERY, "a subquery of IN selects one field.", query.source_at)
    if query.order or query.limit is not None or query.offset is not None or query.group or query.having:
        raise RecordError(MALFORMED_QUERY, "a subquery of IN has FROM and WHERE alone.", query.source_at)
    if outer.level >= MOST_NESTED:
        raise RecordError(MALFORMED_QUERY, f"subqueries of IN are nested deeper than {MOST_NESTED}.", query.source_at)
    inner = scope_of(outer.catalogue, query, outer.today, outer.level + 1)
    selected = inner.column(query.selected[0].what)
    if column.type not in ("id", "reference") or selected.type not in ("id", "reference"):
        raise RecordError(INVALID_FIELD, "a subquery of IN compares ids with ids.", at)
    where = condition(inner, query.where) if query.where else sa.true()
    return sa.select(selected.expression).select_from(inner.source()).where(where, selected.expression.is_not(None))


def _converted(column: Column, value: Value, at: int) -> Any:
    """The value as the column's type has it. Raises ``RecordError`` (INVALID_FIELD) for one of another type."""
    kind = column.type
    if value is None:
        return None
    if isinstance(value, DateLiteral):
        raise RecordError(MALFORMED_QUERY, f"{value.name} is for comparisons of dates.", value.at)
    if kind in ("id", "reference") and isinstance(value, str):
        return value + ids.checksum(value) if len(value) == 15 and value.isalnum() else value  # noqa: PLR2004
    if kind in TEXT_TYPES and isinstance(value, str):
        return value.lower()
    if kind == "boolean" and isinstance(value, bool):
        return value
    if (
        kind in NUMBER_TYPES
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= LARGEST
    ):
        return value
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
        if column.type == "textarea":
            raise RecordError(INVALID_FIELD, "a long text can't be sorted by.", each.operand.at)
        expression = _folded(column)
        directed = expression.desc() if each.is_descending else expression.asc()
        made.append(directed.nulls_last() if each.nulls_first is False else directed.nulls_first())
    return made
