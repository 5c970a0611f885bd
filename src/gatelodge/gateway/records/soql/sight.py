"""Which rows and values a user sees in one FROM: row filters and hidden fields of permission sets, as SQL.

A value is shown only where one grant admits both its row and its field. Elsewhere it is null, in SELECT, WHERE, ORDER BY
and everything else alike.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from gatelodge.core.permissions import ObjectGrant
from gatelodge.gateway.records.errors import RecordError
from gatelodge.gateway.records.schema import Catalogue, Field, SObject
from gatelodge.gateway.records.soql.parsing import parse_filter
from gatelodge.gateway.records.soql.tree import Among, Comparison, Condition, Joined, Negation, Query, UserValue

USER_VALUES = ("id", "username", "name", "email", "time_zone")
"""What a row filter may compare with, as ``$user.id``."""

Compile = Callable[[Catalogue, SObject, Any, Condition], Any]
"""``compiling.filtered``: a filter over one table as SQL, with nothing hidden from it."""


@functools.lru_cache(maxsize=1000)
def _parsed(text: str) -> Condition | None:
    try:
        return parse_filter(text)
    except RecordError:
        return None


def problem(text: str) -> str:
    """The sentence against a row filter, "" for none. Whether its fields exist only a database can say."""
    if not text:
        return ""
    try:
        _check_names(parse_filter(text))
    except RecordError as error:
        return error.message
    return ""


def _check_names(condition: Condition) -> None:
    with_values = bound(condition, dict.fromkeys(USER_VALUES, ""))
    assert with_values is not None


def bound(condition: Any, user: dict[str, str]) -> Any:
    """A condition with the user's values in the places of ``$user.id`` and its like. Raises ``RecordError``."""
    match condition:
        case UserValue():
            return condition.of(user)
        case Joined(by, of):
            return Joined(by, tuple(bound(each, user) for each in of))
        case Negation(of):
            return Negation(bound(of, user))
        case Comparison(operand, by, value):
            return Comparison(operand, by, bound(value, user))
        case Among(operand, is_negated, Query() as query):
            where = bound(query.where, user) if query.where else None
            return Among(operand, is_negated, _with_where(query, where))
        case Among(operand, is_negated, tuple() as values):
            return Among(operand, is_negated, tuple(bound(each, user) for each in values))
    return condition


def _with_where(query: Query, where: Condition | None) -> Query:
    return Query(selected=query.selected, source=query.source, source_at=query.source_at, alias=query.alias, where=where,
                 group=query.group, having=query.having, order=query.order, limit=query.limit, offset=query.offset)  # fmt: skip


class Sight:
    """What one user sees of one object in one FROM."""

    def __init__(self, catalogue: Catalogue, of: SObject, table: Any, compile_filter: Compile) -> None:
        self._catalogue, self._object, self._table = catalogue, of, table
        self._compile, self._grants = compile_filter, catalogue.grants(of)
        self._compiled: dict[str, Any] = {}
        self._columns: dict[str, Any] = {}

    def rows(self) -> Any:
        """The condition of the rows that some grant admits; None for every row."""
        return self.admitted(self._grants)

    def column(self, field: Field) -> Any:
        """A field as this user sees it: null in the rows where no grant that admits the row admits the field. The same
        expression each time, so that a grouped query knows it again.
        """
        if field.name not in self._columns:
            self._columns[field.name] = self._masked(field)
        return self._columns[field.name]

    def _masked(self, field: Field) -> Any:
        plain = self._object.expression(self._table, field)
        name = field.name.lower()
        admitting = [grant for grant in self._grants if name not in (each.lower() for each in grant.without)]
        if {grant.rows for grant in admitting} == {grant.rows for grant in self._grants}:
            return plain  # whatever admits the row admits the field
        where = self.admitted(admitting)
        return plain if where is None else sa.case((where, plain))

    def admitted(self, grants: Iterable[ObjectGrant]) -> Any:
        """The condition of the rows that one of these grants admits; None for every row."""
        filters = {grant.rows for grant in grants}
        if "" in filters:
            return None
        return sa.or_(sa.false(), *(self._filter(text) for text in sorted(filters)))

    def _filter(self, text: str) -> Any:
        """One row filter. One that can't be read, or names a field that this object has not, admits no row."""
        if text not in self._compiled:
            try:
                parsed = _parsed(text)
                made = None if parsed is None else bound(parsed, self._catalogue.user)
                compiled = sa.false() if made is None else self._compile(
                    self._catalogue, self._object, self._table, made
                )  # fmt: skip
            except RecordError:
                compiled = sa.false()
            self._compiled[text] = sa.func.coalesce(compiled, sa.false())
        return self._compiled[text]
