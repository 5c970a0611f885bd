"""What a query says, as values. ``at`` is an offset in its text, for errors that point."""

import datetime as dt
from typing import Literal

import msgspec

from gatelodge.gateway.records.errors import MALFORMED_QUERY, RecordError


class Path(msgspec.Struct, frozen=True):
    """A field, or a field of a parent: ``Name``, ``Account.Name``."""

    parts: tuple[str, ...]
    at: int = msgspec.field(default=-1)

    def text(self) -> str:
        """The path as it is written."""
        return ".".join(self.parts)


class Call(msgspec.Struct, frozen=True):
    """``COUNT()``, ``SUM(Amount)`` or ``FIELDS(ALL)``."""

    name: str
    path: Path | None
    at: int = msgspec.field(default=-1)


Operand = Path | Call


class DateLiteral(msgspec.Struct, frozen=True):
    """``TODAY``, ``LAST_N_DAYS:30``."""

    name: str
    n: int | None
    at: int = msgspec.field(default=-1)


class Pattern(msgspec.Struct, frozen=True):
    """What LIKE compares with: % and _ stand for any text and any character, a backslash before them for themselves."""

    text: str


class UserValue(msgspec.Struct, frozen=True):
    """``$user.id`` in a row filter: a value of whoever is asking."""

    name: str
    at: int = msgspec.field(default=-1)

    def of(self, user: dict[str, str]) -> str:
        """This user's value. Raises ``RecordError`` for a name that no user has."""
        if self.name not in user:
            known = ", ".join(f"$user.{name}" for name in user)
            raise RecordError(MALFORMED_QUERY, f"$user.{self.name:.40} is not known here; use one of {known}.", self.at)
        return user[self.name]


Value = str | int | float | bool | dt.date | dt.datetime | DateLiteral | Pattern | UserValue | None


class Comparison(msgspec.Struct, frozen=True):
    """``Name = 'Acme'``; ``by`` is one of = != < <= > >= LIKE."""

    operand: Operand
    by: str
    value: Value


class Among(msgspec.Struct, frozen=True):
    """``Type IN ('a', 'b')`` or ``Id NOT IN (SELECT ...)``."""

    operand: Operand
    is_negated: bool
    values: "tuple[Value, ...] | Query"


class Negation(msgspec.Struct, frozen=True):
    """``NOT ...``."""

    of: "Condition"


class Joined(msgspec.Struct, frozen=True):
    """Conditions joined by AND or by OR."""

    by: Literal["AND", "OR"]
    of: "tuple[Condition, ...]"


Condition = Comparison | Among | Negation | Joined


class Selected(msgspec.Struct, frozen=True):
    """One entry of SELECT: a field, a call with its alias, or the records of a child relationship."""

    what: "Operand | Query"
    alias: str = ""


class Ordered(msgspec.Struct, frozen=True):
    """One entry of ORDER BY."""

    operand: Operand
    is_descending: bool = False
    nulls_first: bool | None = None


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A whole query."""

    selected: tuple[Selected, ...]
    source: str
    source_at: int = -1
    alias: str = ""
    where: Condition | None = None
    group: tuple[Path, ...] = ()
    having: Condition | None = None
    order: tuple[Ordered, ...] = ()
    limit: int | None = None
    offset: int | None = None


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A SOSL search. ``fields`` is ALL, NAME, EMAIL or PHONE; no ``returned``: every object."""

    words: tuple[str, ...]
    fields: str = "ALL"
    returned: tuple[Query, ...] = ()
    limit: int | None = None
