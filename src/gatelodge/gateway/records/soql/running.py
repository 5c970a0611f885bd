"""Rows to records: a query is run in one read, and answered in the shape of the original's REST API."""

import datetime as dt
from typing import Any

import sqlalchemy as sa

from gatelodge.gateway.records.errors import INVALID_FIELD, MALFORMED_QUERY, RecordError
from gatelodge.gateway.records.schema import Catalogue, SObject
from gatelodge.gateway.records.soql.compiling import Column, Scope, condition, ordering, scope_of
from gatelodge.gateway.records.soql.tree import Call, Path, Query, Selected

MOST_ROWS = 2000
MOST_OFFSET = 2000
MOST_WITH_ALL = 200
VERSION = "v67.0"

Record = dict[str, Any]


def run(connection: sa.Connection, catalogue: Catalogue, query: Query, today: dt.date) -> Record:
    """The answer to a query: ``totalSize``, ``done`` and ``records``. Raises ``RecordError``."""
    query = _with_fields(catalogue, query)
    if (query.offset or 0) > MOST_OFFSET:
        raise RecordError(MALFORMED_QUERY, f"OFFSET is at most {MOST_OFFSET}.", query.source_at)
    if query.group or any(isinstance(each.what, Call) for each in query.selected):
        return _aggregated(connection, catalogue, query, today)
    if query.having is not None:
        raise RecordError(MALFORMED_QUERY, "HAVING needs GROUP BY.", query.source_at)
    scope = scope_of(catalogue, query, today)
    records, is_cut = _records(connection, scope, query)
    for each in query.selected:
        if isinstance(each.what, Query):
            _add_children(connection, scope, each.what, records, today)
    answer: Record = {"totalSize": len(records), "done": not is_cut, "records": [row for row, _ in records]}
    if is_cut:
        answer["note"] = (
            f"Only the first {MOST_ROWS} records are shown; narrow the query with WHERE, or use LIMIT and OFFSET."
        )
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
    return Query(
        selected=tuple(selected),
        **{name: getattr(query, name) for name in Query.__struct_fields__ if name != "selected"},
    )


def _records(connection: sa.Connection, scope: Scope, query: Query) -> tuple[list[tuple[Record, str]], bool]:
    """The records of a query with their ids, and whether more were left out than its own LIMIT asked for."""
    columns = _columns(scope, query)
    where = condition(scope, query.where) if query.where else sa.true()
    order = ordering(scope, query.order)
    limit = min(query.limit if query.limit is not None else MOST_ROWS + 1, MOST_ROWS + 1)
    statement = (
        sa.select(scope.table.c["Id"].label("record_id"), *_labelled(columns))
        .select_from(scope.source())
        .where(where)
        .order_by(*order, scope.table.c["Id"])
        .limit(limit)
        .offset(query.offset or 0)
    )
    rows = connection.execute(statement).all()
    shaped = [(_shape(scope, columns, row), str(row[0])) for row in rows[:MOST_ROWS]]
    return shaped, len(rows) > MOST_ROWS


def _columns(scope: Scope, query: Query) -> list[tuple[Path, Column]]:
    columns = [(each.what, scope.column(each.what)) for each in query.selected if isinstance(each.what, Path)]
    if any(each.alias for each in query.selected):
        raise RecordError(MALFORMED_QUERY, "only aggregates have an alias.", query.source_at)
    return columns


def _labelled(columns: list[tuple[Path, Column]]) -> list[Any]:
    return [column.expression.label(f"c{n}") for n, (_, column) in enumerate(columns)]


def _shape(scope: Scope, columns: list[tuple[Path, Column]], row: Any) -> Record:
    record: Record = attributes(scope.object, str(row[0]))
    for n, (path, column) in enumerate(columns):
        assert column.field is not None  # paths lead to fields
        value = shown(row[n + 1], column.type)
        relation = _relationship(scope, path)
        if relation is None:
            record[column.field.name] = value
        else:
            parent, name = relation
            record.setdefault(name, {"attributes": {"type": parent.name}})[column.field.name] = value
    return record


def _relationship(scope: Scope, path: Path) -> tuple[SObject, str] | None:
    parts = scope.below(path)
    if len(parts) == 1:
        return None
    reference, parent = scope.catalogue.parent(scope.object, parts[0])
    return parent, reference.relationship


def attributes(of: SObject, record_id: str) -> Record:
    """The beginning of every record: its type and the path that the original's REST API has for it."""
    return {"attributes": {"type": of.name, "url": f"/services/data/{VERSION}/sobjects/{of.name}/{record_id}"}}


def shown(value: Any, kind: str) -> Any:
    """A value as JSON has it: datetimes in the original's form, in UTC."""
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    if isinstance(value, dt.date):
        return value.isoformat()
    return bool(value) if kind == "boolean" and value is not None else value


def _add_children(
    connection: sa.Connection, outer: Scope, query: Query, parents: list[tuple[Record, str]], today: dt.date
) -> None:
    """One more read for a child relationship: the first records of each parent, by its own ORDER BY and LIMIT."""
    child = outer.catalogue.child(outer.object, query.source, query.source_at)
    if query.group or query.having or query.offset or any(not isinstance(each.what, Path) for each in query.selected):
        raise RecordError(
            MALFORMED_QUERY, "a child subquery has fields, WHERE, ORDER BY and LIMIT, one level down.", query.source_at
        )
    scope = Scope(outer.catalogue, child.object, child.object.table.alias("child"), today, query.alias, {})
    columns = _columns(scope, query)
    where = condition(scope, query.where) if query.where else sa.true()
    owner = scope.table.c[child.field.name]
    place = sa.func.row_number().over(partition_by=owner, order_by=[*ordering(scope, query.order), scope.table.c["Id"]])
    ranked = (
        sa.select(
            scope.table.c["Id"].label("record_id"), *_labelled(columns), owner.label("owner"), place.label("place")
        )
        .select_from(scope.source())
        .where(where, owner.in_([record_id for _, record_id in parents]))
        .subquery()
    )
    most = min(query.limit if query.limit is not None else MOST_WITH_ALL, MOST_WITH_ALL)
    rows = connection.execute(
        sa.select(ranked).where(ranked.c.place <= most).order_by(ranked.c.owner, ranked.c.place).limit(MOST_ROWS * 5)
    ).all()
    by_parent: dict[str, list[Record]] = {}
    for row in rows:
        by_parent.setdefault(str(row.owner), []).append(_shape(scope, columns, row))
    for record, record_id in parents:
        found = by_parent.get(record_id)
        record[child.field.children] = {"totalSize": len(found), "done": True, "records": found} if found else None


def _aggregated(connection: sa.Connection, catalogue: Catalogue, query: Query, today: dt.date) -> Record:
    scope = scope_of(catalogue, query, today)
    where = condition(scope, query.where) if query.where else sa.true()
    first = query.selected[0].what
    if (
        len(query.selected) == 1
        and isinstance(first, Call)
        and first.name == "COUNT"
        and first.path is None
        and not query.group
    ):
        counted = connection.execute(sa.select(sa.func.count()).select_from(scope.source()).where(where)).scalar_one()
        return {"totalSize": counted, "done": True, "records": []}
    names, columns = _aggregate_columns(scope, query)
    grouped = [scope.column(path) for path in query.group]
    having = condition(scope, query.having) if query.having else None
    order = ordering(scope, query.order)
    statement = sa.select(*[column.expression.label(f"c{n}") for n, column in enumerate(columns)])
    statement = statement.select_from(scope.source()).where(where)
    statement = statement.group_by(*[column.expression for column in grouped])
    statement = statement.having(having) if having is not None else statement
    limit = min(query.limit if query.limit is not None else MOST_ROWS, MOST_ROWS)
    rows = connection.execute(statement.order_by(*order).limit(limit).offset(query.offset or 0)).all()
    records = [
        {"attributes": {"type": "AggregateResult"}}
        | {name: shown(value, column.type) for name, column, value in zip(names, columns, row, strict=True)}
        for row in rows
    ]
    return {"totalSize": len(records), "done": True, "records": records}


def _aggregate_columns(scope: Scope, query: Query) -> tuple[list[str], list[Column]]:
    """The columns of an aggregate query under their aliases; unnamed ones are expr0, expr1 and so on."""
    names: list[str] = []
    columns: list[Column] = []
    grouped = {path.text().lower() for path in query.group}
    for each in query.selected:
        if isinstance(each.what, Query):
            raise RecordError(MALFORMED_QUERY, "an aggregate query has no child subqueries.", each.what.source_at)
        if isinstance(each.what, Path) and each.what.text().lower() not in grouped:
            raise RecordError(
                INVALID_FIELD, f"Field must be grouped or aggregated: {each.what.text():.80}", each.what.at
            )
        unnamed = (
            each.what.parts[-1] if isinstance(each.what, Path) else f"expr{sum(n.startswith('expr') for n in names)}"
        )
        names.append(each.alias or unnamed)
        columns.append(scope.operand(each.what))
    return names, columns
