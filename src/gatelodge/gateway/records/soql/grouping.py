"""Aggregate queries: COUNT() alone, and aggregates with or without GROUP BY and HAVING."""

from typing import Any

import msgspec
import sqlalchemy as sa

from gatelodge.gateway.records.errors import MALFORMED_QUERY, RecordError
from gatelodge.gateway.records.soql.compiling import MOST_ORDERED, Column, Scope, condition, ordering
from gatelodge.gateway.records.soql.tree import Call, Path, Query
from gatelodge.gateway.records.soql.values import MOST_ROWS, Record, shown


def is_aggregate(query: Query) -> bool:
    """Whether the answer is of groups of records, or of all of them, rather than of each."""
    return bool(query.group) or any(isinstance(each.what, Call) for each in query.selected)


class Grouped(msgspec.Struct, frozen=True):
    """An aggregate query that is ready to be run: its read, and the columns of it by name."""

    statement: Any
    columns: dict[str, Column]

    def answer(self, connection: sa.Connection) -> Record:
        """A record for each group."""
        rows = connection.execute(self.statement).all()
        records = [
            {"attributes": {"type": "AggregateResult"}}
            | {name: shown(value, column.type) for (name, column), value in zip(self.columns.items(), row, strict=True)}
            for row in rows[:MOST_ROWS]
        ]
        answer: Record = {"totalSize": len(records), "done": len(rows) <= MOST_ROWS, "records": records}
        if not answer["done"]:
            answer["note"] = f"Only the first {MOST_ROWS} groups are here: narrow it by WHERE or HAVING."
        return answer


class Counted(msgspec.Struct, frozen=True):
    """SELECT COUNT(), ready to be run."""

    statement: Any

    def answer(self, connection: sa.Connection) -> Record:
        """A number, and no records."""
        return {"totalSize": connection.execute(self.statement).scalar_one(), "done": True, "records": []}


def aggregated(scope: Scope, query: Query) -> Grouped | Counted:
    """An aggregate query as a statement. Raises ``RecordError``."""
    first = query.selected[0].what
    is_count = isinstance(first, Call) and first.name == "COUNT" and first.path is None
    if is_count and len(query.selected) == 1 and not query.group:
        return _counted(scope, query)
    if len(query.group) > MOST_ORDERED:
        raise RecordError(MALFORMED_QUERY, f"GROUP BY takes at most {MOST_ORDERED} fields.", query.group[-1].at)
    if query.having is not None and not query.group:
        raise RecordError(MALFORMED_QUERY, "HAVING needs GROUP BY.", query.source_at)
    scope.grouped = tuple(scope.column(path).expression for path in query.group)
    columns = _columns(scope, query)
    where = scope.where(query.where)
    having = condition(scope, query.having, scope.of_group) if query.having else None
    order = ordering(scope, query.order, scope.of_group)
    statement = sa.select(*[column.expression.label(f"c{n}") for n, column in enumerate(columns.values())])
    statement = statement.select_from(scope.source()).where(where).group_by(*scope.grouped)
    statement = statement if having is None else statement.having(having)
    most = min(query.limit if query.limit is not None else MOST_ROWS + 1, MOST_ROWS + 1)
    return Grouped(statement.order_by(*order, *scope.grouped).limit(most).offset(query.offset or 0), columns)


def _counted(scope: Scope, query: Query) -> Counted:
    """SELECT COUNT(): a number, which LIMIT bounds."""
    if query.order or query.having or query.selected[0].alias:
        raise RecordError(MALFORMED_QUERY, "SELECT COUNT() has FROM, WHERE and LIMIT alone.", query.source_at)
    where = scope.where(query.where)
    matching = sa.select(scope.id.label("record_id")).select_from(scope.source()).where(where)
    matching = matching.limit(query.limit).offset(query.offset or 0)
    return Counted(sa.select(sa.func.count()).select_from(matching.subquery()))


def _columns(scope: Scope, query: Query) -> dict[str, Column]:
    """The columns under their aliases; unnamed aggregates are expr0, expr1 and so on."""
    columns: dict[str, Column] = {}
    taken = {"attributes"}
    unnamed = 0
    for each in query.selected:
        what = each.what
        if isinstance(what, Query):
            raise RecordError(MALFORMED_QUERY, "an aggregate query has no child subqueries.", what.source_at)
        column = scope.of_group(what)
        name = each.alias
        if not name and isinstance(what, Path):
            assert column.field is not None  # paths lead to fields
            name = column.field.name
        elif not name:
            name, unnamed = f"expr{unnamed}", unnamed + 1
        if name.lower() in taken:
            raise RecordError(MALFORMED_QUERY, f"duplicate alias: {name:.80}; give one of them another.", what.at)
        taken.add(name.lower())
        columns[name] = column
    return columns
