"""Queries as plans, and rows to records: a query is run in one read, and answered in the shape of the original's REST API."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from gatelodge.gateway.records.errors import (
    INVALID_FIELD,
    MALFORMED_QUERY,
    NUMBER_OUTSIDE_VALID_RANGE,
    QUERY_TOO_COMPLICATED,
    RecordError,
)
from gatelodge.gateway.records.schema import Catalogue, Field, SObject
from gatelodge.gateway.records.soql.compiling import Column, Scope, ordering, scope_of
from gatelodge.gateway.records.soql.grouping import Counted, Grouped, aggregated, is_aggregate
from gatelodge.gateway.records.soql.parsing import parse
from gatelodge.gateway.records.soql.tree import Call, Path, Query, Selected
from gatelodge.gateway.records.soql.values import MOST_ROWS, Record, attributes, shown

MOST_OFFSET = 2000
MOST_WITH_ALL = 200
"""Records of a query with FIELDS(), and of each child relationship of a record."""
MOST_CHILDREN = 10_000
MOST_SUBQUERIES = 20
OWNERS = "owners"
"""The parameter of a read of children that takes the keys of their parents."""


class Cell(msgspec.Struct, frozen=True):
    """One selected field: its column, and the relationship and parent object that its path goes through."""

    column: Column
    field: Field
    relationship: str = ""
    parent: SObject | None = None


class Shape(msgspec.Struct, frozen=True):
    """How a row becomes a record: its id stands first, the ids of its parents next, then the selected fields."""

    object: SObject
    parents: dict[str, int]
    cells: tuple[Cell, ...]

    def record(self, row: Sequence[Any]) -> Record:
        """The record of one row."""
        record: Record = attributes(self.object, str(row[0]))
        for at, cell in enumerate(self.cells, start=len(self.parents) + 1):
            value = shown(row[at], cell.column.type)
            if cell.parent is None:
                record[cell.field.name] = value
                continue
            parent_id = row[self.parents[cell.relationship]]
            if parent_id is None:
                record[cell.relationship] = None
            else:
                inner = record.setdefault(cell.relationship, attributes(cell.parent, str(parent_id)))
                inner[cell.field.name] = value
        return record


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """One child relationship of SELECT: its read, to which the parents' keys are bound, and how its rows are shaped."""

    field: Field
    statement: Any
    shape: Shape
    asked: int
    at: int

    def add(self, connection: sa.Connection, parents: list[tuple[Any, Record]]) -> None:
        """The first records of each parent, by the subquery's own ORDER BY and LIMIT. Raises ``RecordError``."""
        owners = [key for key, _ in parents if key is not None]
        rows = connection.execute(self.statement, {OWNERS: owners}).all()
        if len(rows) > MOST_CHILDREN:
            raise RecordError(
                QUERY_TOO_COMPLICATED,
                f"there are more than {MOST_CHILDREN} {self.field.children}; give the subquery or the query a LIMIT.",
                self.at,
            )
        by_parent: dict[str, Record] = {}
        for row in rows:
            total = min(row.matching, self.asked)
            found = by_parent.setdefault(
                str(row.owner), {"totalSize": total, "done": total <= MOST_WITH_ALL, "records": []}
            )
            found["records"].append(self.shape.record(row))
        for key, record in parents:
            record[self.field.children] = by_parent.get(str(key))


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A query of records that is ready to be run, as often as one likes: for one user's sight of one schema, on one day."""

    matching: Any
    statement: Any
    shape: Shape
    children: tuple[Children, ...]

    def answer(self, connection: sa.Connection) -> Record:
        """``totalSize``, ``done`` and ``records``. Raises ``RecordError``."""
        rows = connection.execute(self.statement).all()
        records = [self.shape.record(row) for row in rows[:MOST_ROWS]]
        answer: Record = {"totalSize": len(rows), "done": True, "records": records}
        if len(rows) > MOST_ROWS:
            counted = sa.select(sa.func.count()).select_from(self.matching.subquery())
            answer |= {"totalSize": connection.execute(counted).scalar_one(), "done": False}
            answer["note"] = (
                f"Only the first {MOST_ROWS} records are here: narrow it by WHERE, or use LIMIT and OFFSET."
            )
        for n, each in enumerate(reversed(self.children), start=1):  # their keys stand last
            keys = [row[-n] for row in rows[:MOST_ROWS]]
            each.add(connection, list(zip(keys, records, strict=True)))
        return answer


Plan = Read | Grouped | Counted


def planned_text(catalogue: Catalogue, text: str, today: dt.date) -> Plan:
    """A query's text as a plan. Raises ``RecordError``."""
    return planned(catalogue, parse(text), today)


def run(connection: sa.Connection, catalogue: Catalogue, query: Query, today: dt.date) -> Record:
    """The answer to a query: ``totalSize``, ``done`` and ``records``. Raises ``RecordError``."""
    return planned(catalogue, query, today).answer(connection)


def planned(catalogue: Catalogue, query: Query, today: dt.date) -> Plan:
    """A query resolved against what a user may see, as statements. Raises ``RecordError``."""
    query = _with_fields(catalogue, query)
    if (query.offset or 0) > MOST_OFFSET:
        raise RecordError(NUMBER_OUTSIDE_VALID_RANGE, f"OFFSET is at most {MOST_OFFSET}.", query.source_at)
    if is_aggregate(query):
        return aggregated(scope_of(catalogue, query, today), query)
    if query.having is not None:
        raise RecordError(MALFORMED_QUERY, "HAVING needs GROUP BY.", query.source_at)
    scope = scope_of(catalogue, query, today)
    subqueries = _subqueries(scope, query)
    cells = _cells(scope, query)
    where, order = scope.where(query.where), ordering(scope, query.order)
    children = tuple(_children(inner, field, asked) for field, inner, asked in subqueries)
    targets = [scope.object.by_name[each.field.target.lower()] for each in children]
    keys = [scope.object.expression(scope.table, field).label(f"key_{n}") for n, field in enumerate(targets)]
    found = sa.select(*_labelled(scope, cells), *keys).select_from(scope.source()).where(where)
    matching = found.order_by(*order, scope.id).limit(query.limit).offset(query.offset or 0)
    most = min(query.limit if query.limit is not None else MOST_ROWS + 1, MOST_ROWS + 1)
    return Read(matching=matching, statement=matching.limit(most), shape=_shape(scope, cells), children=children)


def _with_fields(catalogue: Catalogue, query: Query) -> Query:
    """FIELDS(ALL) and FIELDS(STANDARD) stand for every field that the user may see."""
    if not any(isinstance(each.what, Call) and each.what.name == "FIELDS" for each in query.selected):
        return query
    selected: list[Selected] = []
    for each in query.selected:
        if not (isinstance(each.what, Call) and each.what.name == "FIELDS"):
            selected.append(each)
            continue
        kind = each.what.path.text().upper() if each.what.path else ""
        if kind not in ("ALL", "STANDARD"):
            raise RecordError(MALFORMED_QUERY, "write FIELDS(ALL) or FIELDS(STANDARD).", each.what.at)
        if query.limit is None or query.limit > MOST_WITH_ALL:
            raise RecordError(MALFORMED_QUERY, f"FIELDS() needs a LIMIT of at most {MOST_WITH_ALL}.", each.what.at)
        of = catalogue.object(query.source, query.source_at)
        selected += [Selected(Path((field.name,), each.what.at)) for field in catalogue.fields(of)]
    return msgspec.structs.replace(query, selected=tuple(selected))


def _cells(scope: Scope, query: Query) -> list[Cell]:
    """The fields of SELECT. Raises ``RecordError`` for one that comes twice, and for an alias."""
    cells: dict[str, Cell] = {}
    for each in query.selected:
        if not isinstance(each.what, Path):
            continue
        if each.alias:
            raise RecordError(MALFORMED_QUERY, "only aggregate queries have aliases.", each.what.at)
        cell = _cell(scope, each.what)
        name = f"{cell.relationship}.{cell.field.name}"
        if name in cells:
            raise RecordError(INVALID_FIELD, f"duplicate field selected: {each.what.text():.80}", each.what.at)
        cells[name] = cell
    return list(cells.values())


def _cell(scope: Scope, path: Path) -> Cell:
    column = scope.column(path)
    assert column.field is not None  # paths lead to fields
    parts = scope.below(path)
    if len(parts) == 1:
        return Cell(column, column.field)
    reference, parent = scope.catalogue.parent(scope.object, parts[0])
    return Cell(column, column.field, reference.relationship, parent)


def _labelled(scope: Scope, cells: list[Cell]) -> list[Any]:
    """The columns of a read: the record's id, its parents' ids, and the selected fields."""
    parents = [each.object.key(each.table).label(f"id_of_{n}") for n, each in enumerate(scope.joins.values())]
    fields = [cell.column.expression.label(f"c{n}") for n, cell in enumerate(cells)]
    return [scope.id.label("record_id"), *parents, *fields]


def _shape(scope: Scope, cells: list[Cell]) -> Shape:
    return Shape(scope.object, {name: n for n, name in enumerate(scope.joins, start=1)}, tuple(cells))


def _subqueries(scope: Scope, query: Query) -> list[tuple[Field, Scope, Query]]:
    """The child relationships of SELECT: the field that points here, the scope of its object, and what is asked."""
    found: dict[str, tuple[Field, Scope, Query]] = {}
    for asked in (each.what for each in query.selected if isinstance(each.what, Query)):
        child = scope.catalogue.child(scope.object, asked.source, asked.source_at)
        is_plain = all(isinstance(each.what, Path) for each in asked.selected)
        if asked.group or asked.having or asked.offset is not None or not is_plain:
            raise RecordError(
                MALFORMED_QUERY,
                "a child subquery has fields, WHERE, ORDER BY and LIMIT, one level down.",
                asked.source_at,
            )
        if child.field.children in found:
            raise RecordError(MALFORMED_QUERY, f"duplicate subquery: {child.field.children}", asked.source_at)
        if len(found) >= MOST_SUBQUERIES:
            raise RecordError(MALFORMED_QUERY, f"a query has at most {MOST_SUBQUERIES} subqueries.", asked.source_at)
        table = child.object.aliased("t0")
        inner = Scope(scope.catalogue, child.object, table, scope.today, asked.alias)
        found[child.field.children] = (child.field, inner, asked)
    return list(found.values())


def _children(scope: Scope, field: Field, query: Query) -> Children:
    """One more read for a child relationship: the first records of each parent, by its own ORDER BY and LIMIT."""
    cells = _cells(scope, query)
    where = scope.where(query.where)
    owner = scope.sight.column(field)
    order = [*ordering(scope, query.order), scope.id]
    ranked = (
        sa.select(
            *_labelled(scope, cells),
            owner.label("owner"),
            sa.func.row_number().over(partition_by=owner, order_by=order).label("place"),
            sa.func.count().over(partition_by=owner).label("matching"),
        )
        .select_from(scope.source())
        .where(where, owner.in_(sa.bindparam(OWNERS, expanding=True)))
        .subquery()
    )
    asked = query.limit if query.limit is not None else MOST_CHILDREN
    chosen = sa.select(ranked).where(ranked.c.place <= min(asked, MOST_WITH_ALL)).limit(MOST_CHILDREN + 1)
    statement = chosen.order_by(ranked.c.owner, ranked.c.place)
    return Children(field=field, statement=statement, shape=_shape(scope, cells), asked=asked, at=query.source_at)
