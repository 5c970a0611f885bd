"""Rows to records: a query is run in one read, and answered in the shape of the original's REST API."""

import datetime as dt
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
from gatelodge.gateway.records.soql.grouping import aggregated, is_aggregate
from gatelodge.gateway.records.soql.tree import Call, Path, Query, Selected
from gatelodge.gateway.records.soql.values import MOST_ROWS, Record, attributes, shown

MOST_OFFSET = 2000
MOST_WITH_ALL = 200
"""Records of a query with FIELDS(), and of each child relationship of a record."""
MOST_CHILDREN = 10_000
MOST_SUBQUERIES = 20


class Cell(msgspec.Struct, frozen=True):
    """One selected field: its column, and the relationship and parent object that its path goes through."""

    column: Column
    field: Field
    relationship: str = ""
    parent: SObject | None = None


def run(connection: sa.Connection, catalogue: Catalogue, query: Query, today: dt.date) -> Record:
    """The answer to a query: ``totalSize``, ``done`` and ``records``. Raises ``RecordError``."""
    query = _with_fields(catalogue, query)
    if (query.offset or 0) > MOST_OFFSET:
        raise RecordError(NUMBER_OUTSIDE_VALID_RANGE, f"OFFSET is at most {MOST_OFFSET}.", query.source_at)
    if is_aggregate(query):
        return aggregated(connection, scope_of(catalogue, query, today), query)
    if query.having is not None:
        raise RecordError(MALFORMED_QUERY, "HAVING needs GROUP BY.", query.source_at)
    scope = scope_of(catalogue, query, today)
    subqueries = _subqueries(scope, query)
    targets = [scope.object.by_name[field.target.lower()] for field, _, _ in subqueries]
    answer, records = _records(connection, scope, query, targets)
    for n, (field, child_scope, subquery) in enumerate(subqueries):
        _add_children(connection, child_scope, field, subquery, [(keys[n], record) for keys, record in records])
    return answer


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


def _records(
    connection: sa.Connection, scope: Scope, query: Query, targets: list[Field]
) -> tuple[Record, list[tuple[list[Any], Record]]]:
    """The answer to a query, and its records, each with its values of the fields that children point at."""
    cells = _cells(scope, query)
    where = scope.where(query.where)
    order = ordering(scope, query.order)
    keys = [scope.object.expression(scope.table, field).label(f"key_{n}") for n, field in enumerate(targets)]
    matching = sa.select(*_labelled(scope, cells), *keys).select_from(scope.source()).where(where)
    asked = matching.order_by(*order, scope.id).limit(query.limit).offset(query.offset or 0)
    most = min(query.limit if query.limit is not None else MOST_ROWS + 1, MOST_ROWS + 1)
    rows = connection.execute(asked.limit(most)).mappings().all()
    shaped = [([row[f"key_{n}"] for n in range(len(targets))], _shape(scope, cells, row)) for row in rows[:MOST_ROWS]]
    answer: Record = {"totalSize": len(rows), "done": True, "records": [record for _, record in shaped]}
    if len(rows) > MOST_ROWS:
        counted = sa.select(sa.func.count()).select_from(asked.subquery())
        answer |= {"totalSize": connection.execute(counted).scalar_one(), "done": False}
        answer["note"] = f"Only the first {MOST_ROWS} records are here: narrow it by WHERE, or use LIMIT and OFFSET."
    return answer, shaped


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


def _shape(scope: Scope, cells: list[Cell], row: Any) -> Record:
    record: Record = attributes(scope.object, str(row["record_id"]))
    parents = {name: f"id_of_{n}" for n, name in enumerate(scope.joins)}
    for n, cell in enumerate(cells):
        value = shown(row[f"c{n}"], cell.column.type)
        if cell.parent is None:
            record[cell.field.name] = value
            continue
        parent_id = row[parents[cell.relationship]]
        if parent_id is None:
            record[cell.relationship] = None
        else:
            record.setdefault(cell.relationship, attributes(cell.parent, str(parent_id)))[cell.field.name] = value
    return record


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
        table = child.object.table.alias("t0")
        inner = Scope(scope.catalogue, child.object, table, scope.today, asked.alias)
        found[child.field.children] = (child.field, inner, asked)
    return list(found.values())


def _add_children(
    connection: sa.Connection, scope: Scope, field: Field, query: Query, parents: list[tuple[Any, Record]]
) -> None:
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
        .where(where, owner.in_([key for key, _ in parents if key is not None]))
        .subquery()
    )
    asked = query.limit if query.limit is not None else MOST_CHILDREN
    chosen = sa.select(ranked).where(ranked.c.place <= min(asked, MOST_WITH_ALL)).limit(MOST_CHILDREN + 1)
    rows = connection.execute(chosen.order_by(ranked.c.owner, ranked.c.place)).mappings().all()
    if len(rows) > MOST_CHILDREN:
        raise RecordError(
            QUERY_TOO_COMPLICATED,
            f"there are more than {MOST_CHILDREN} {field.children}; give the subquery or the query a LIMIT.",
            query.source_at,
        )
    by_parent: dict[str, Record] = {}
    for row in rows:
        total = min(row["matching"], asked)
        found = by_parent.setdefault(
            str(row["owner"]), {"totalSize": total, "done": total <= MOST_WITH_ALL, "records": []}
        )
        found["records"].append(_shape(scope, cells, row))
    for key, record in parents:
        record[field.children] = by_parent.get(str(key))
