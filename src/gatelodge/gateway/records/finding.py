"""SOSL's ``find``: words looked up in the text fields that the user may see, in every object or in those returned."""

import datetime as dt
import functools
import re
from typing import Any

import sqlalchemy as sa

from gatelodge.gateway.records.errors import MALFORMED_SEARCH, RecordError
from gatelodge.gateway.records.folding import folded
from gatelodge.gateway.records.schema import TEXT_TYPES, Catalogue, Field, SObject
from gatelodge.gateway.records.soql.compiling import Scope, ordering
from gatelodge.gateway.records.soql.tree import Path, Query, Search, Selected
from gatelodge.gateway.records.soql.values import MOST_ROWS, Record, attributes, shown

MOST_EACH = 20
"""Records of one object, unless a LIMIT in RETURNING asks for another number."""
BETWEEN = "\x01"
"""What parts two fields that are searched as one text: a character that stands in neither."""
SPECIAL, ESCAPED = re.compile(r"[\\%_]"), r"\\\g<0>"
"""What LIKE reads otherwise, and how it stands for itself."""
NAMES = ("FirstName", "LastName", "Username")


def find(connection: sa.Connection, catalogue: Catalogue, search: Search, today: dt.date) -> Record:
    """The records that contain every word, as ``searchRecords``. Raises ``RecordError``."""
    most = min(search.limit if search.limit is not None else MOST_ROWS, MOST_ROWS)
    found: list[Record] = []
    cut: list[str] = []
    for asked in search.returned or [_plain(each) for each in catalogue.visible()]:
        of = catalogue.object(asked.source, asked.source_at)
        query = asked if asked.selected else _plain(of)
        rows = _in_object(connection, catalogue, of, query, search, today)
        if len(rows) > MOST_EACH and query.limit is None:
            cut.append(of.name)
            rows = rows[:MOST_EACH]
        found += rows
    answer: Record = {"searchRecords": found[:most]}
    if len(found) > most and search.limit is None:
        answer["note"] = f"Only the first {most} records are here: search for more words, or in fewer objects."
    elif cut:
        answer["note"] = (
            f"Only the first {MOST_EACH} are here of {', '.join(cut)}: use RETURNING with a LIMIT for more."
        )
    return answer


def _plain(of: SObject) -> Query:
    """What is returned of an object whose fields nobody named: its id and its name."""
    fields = dict.fromkeys(("Id", of.name_field))
    return Query(selected=tuple(Selected(Path((name,))) for name in fields), source=of.name)


def _in_object(
    connection: sa.Connection, catalogue: Catalogue, of: SObject, query: Query, search: Search, today: dt.date
) -> list[Record]:
    scope = Scope(catalogue, of, of.aliased("t0"), today)
    fields = _selected(scope, query, is_named=query.source_at >= 0)
    where = scope.where(query.where)
    order = ordering(scope, query.order)
    searched = _searched(catalogue, of, search.fields)
    if not searched:
        return []
    has_words = [_has_word(scope, searched, word) for word in search.words]
    statement = (
        sa.select(
            scope.id.label("record_id"), *(scope.sight.column(field).label(f"c{n}") for n, field in enumerate(fields))
        )
        .select_from(scope.source())
        .where(where, *has_words)
        .order_by(*order, scope.id)
        .limit(min(query.limit if query.limit is not None else MOST_EACH + 1, MOST_ROWS))
    )
    return [
        attributes(of, str(row[0]))
        | {field.name: shown(value, field.type) for field, value in zip(fields, row[1:], strict=True)}
        for row in connection.execute(statement)
    ]


def _has_word(scope: Scope, searched: list[Field], word: str) -> Any:
    """Whether a field has this word: they are put into one text, so that a record is folded and searched once."""
    if BETWEEN in word:
        return sa.false()
    first, *others = (sa.func.coalesce(scope.sight.column(field), "") for field in searched)
    text = functools.reduce(lambda whole, part: whole.concat(BETWEEN).concat(part), others, first)
    pattern = f"%{SPECIAL.sub(ESCAPED, word)}%"
    return folded(text, word).like(folded(sa.literal(pattern), word), escape="\\")


def _selected(scope: Scope, query: Query, *, is_named: bool) -> list[Field]:
    """The fields that were named; of those we named ourselves, the ones that the user may see."""
    fields = []
    for each in query.selected:
        if not isinstance(each.what, Path) or len(each.what.parts) > 1:
            raise RecordError(MALFORMED_SEARCH, "RETURNING names fields of the object itself.", query.source_at)
        if each.alias:
            raise RecordError(MALFORMED_SEARCH, "the fields of RETURNING have no alias.", query.source_at)
        if is_named or scope.catalogue.access.can_read_field(scope.object.name, each.what.text()):
            fields.append(scope.catalogue.field(scope.object, each.what.text(), each.what.at))
    return fields


def _searched(catalogue: Catalogue, of: SObject, kind: str) -> list[Field]:
    fields = [field for field in catalogue.fields(of) if field.type in TEXT_TYPES]
    match kind:
        case "NAME":
            return [field for field in fields if field.name in (of.name_field, *NAMES)]
        case "EMAIL":
            return [field for field in fields if field.type == "email"]
        case "PHONE":
            return [field for field in fields if field.type == "phone"]
    return fields
