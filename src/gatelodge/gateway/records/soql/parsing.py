"""Text to tree, by a grammar (``grammar.lark``). What is outside the subset is refused with its place and its name."""

import datetime as dt
import re
from functools import lru_cache
from importlib import resources
from typing import Any

import lark

from gatelodge.gateway.records.errors import MALFORMED_QUERY, MALFORMED_SEARCH, RecordError
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
    Search,
    Selected,
    UserValue,
    Value,
)

LONGEST = 20_000
"""Characters of a query."""
DEEPEST = 20
"""Parentheses inside one another."""
MOST_CONDITIONS = 200
MOST_WORDS = 20
GROUPS = ("ALL", "NAME", "EMAIL", "PHONE")
"""The fields that SOSL's IN searches."""
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\{(?:[^{}\\]|\\.)*\}", re.DOTALL)
COMPARED = re.compile(r"[<>=!]+|\bLIKE\b|\bIN\b", re.IGNORECASE)
UNSUPPORTED = re.compile(
    r"\b(FOR\s+(?:VIEW|REFERENCE|UPDATE)|TYPEOF|USING\s+\w+|WITH\s+\w+|ALL\s+ROWS|INCLUDES|EXCLUDES|DISTINCT"
    r"|UPDATE\s+(?:TRACKING|VIEWSTAT)|ROLLUP|CUBE|GROUPING|TOLABEL|FORMAT|CONVERTCURRENCY|CONVERTTIMEZONE"
    r"|DISTANCE|GEOLOCATION|(?:CALENDAR|FISCAL|DAY|WEEK|HOUR)_(?:ONLY|(?:YEAR|QUARTER|MONTH|IN_\w+)))\b",
    re.IGNORECASE,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"'}
ESCAPED = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
EXPECTED = {"COMPARES": "a comparison", "NAME": "a name", "STRING": "a 'string'", "INTEGER": "a number", "COMMA": "','",
            "LPAR": "'('", "RPAR": "')'", "$END": "the end", "TERM": "{search words}"}  # fmt: skip


def parse(text: str) -> Query:
    """The query that this text is. Raises ``RecordError`` (MALFORMED_QUERY) that says where and what."""
    return _parse(text, "start", MALFORMED_QUERY)


def parse_search(text: str) -> Search:
    """The search that this text is: SOSL when it begins with FIND, plain words otherwise. Raises ``RecordError``."""
    if re.match(r"\s*FIND\s*[{']", text, re.IGNORECASE):
        return _parse(text, "sosl", MALFORMED_SEARCH)
    _check_length(text, MALFORMED_SEARCH)
    return Search(words=_words(text, 0))


def parse_filter(text: str) -> Condition:
    """The condition that a row filter is, in which ``$user.id`` stands for whoever asks. Raises ``RecordError``."""
    return _parse(text, "filter", MALFORMED_QUERY)


def _parse(text: str, start: str, code: str) -> Any:
    _check_length(text, code)
    # What is said inside quotes is no part of the language; its length is kept, so that places stay true.
    bare = QUOTED.sub(lambda found: found[0][0] + " " * (len(found[0]) - 2) + found[0][-1], text)
    _check_size(bare, code)
    try:
        return _parser().parse(text, start=start)
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, RecordError):
            raise error.orig_exc from None
        raise
    except lark.exceptions.UnexpectedInput as error:
        raise _explained(text, bare, error, code) from None


def _check_length(text: str, code: str) -> None:
    if len(text) > LONGEST:
        raise RecordError(code, f"the query has {len(text)} characters; at most {LONGEST} are allowed.")


def _check_size(bare: str, code: str) -> None:
    depth = 0
    for found in re.finditer(r"[()]", bare):
        depth += 1 if found[0] == "(" else -1
        if depth > DEEPEST:
            raise RecordError(code, f"parentheses are nested deeper than {DEEPEST}.", found.start())
    for count, found in enumerate(COMPARED.finditer(bare), start=1):
        if count > MOST_CONDITIONS:
            raise RecordError(
                code, f"there are more than {MOST_CONDITIONS} conditions; IN takes a list of values.", found.start()
            )


def _explained(text: str, bare: str, error: lark.exceptions.UnexpectedInput, code: str) -> RecordError:
    """What the parser stumbled over: a part of the language that is left out here, by name, or the place."""
    if found := UNSUPPORTED.search(bare):
        words = " ".join(found[0].upper().split())
        return RecordError(code, f"{words} is not supported here; see the SOQL reference.", found.start())
    at = error.pos_in_stream
    is_end = getattr(getattr(error, "token", None), "type", "") == "$END"
    at = len(text) if at is None or at < 0 or is_end else at
    names = getattr(error, "accepts", None) or getattr(error, "allowed", None) or getattr(error, "expected", None) or ()
    # $user stands in row filters, which nobody but an administrator writes.
    expected = sorted({EXPECTED.get(name, str(name).lstrip("_")) for name in names if name != "USER"})
    token = re.match(r"\s*('?[\w.]+|\S)?", text[at:])
    got = f"unexpected token: '{token[1]:.40}'" if token and token[1] else "the query ends too early"
    return RecordError(code, f"{got}; expected {', '.join(expected[:12])}.", at)


@lru_cache(maxsize=1)
def _parser() -> lark.Lark:
    grammar = resources.files("gatelodge.gateway.records.soql").joinpath("grammar.lark").read_text("utf-8")
    # With LALR the tree is made while reading, so no text can nest deeper than Python does.
    return lark.Lark(
        grammar, parser="lalr", start=["start", "sosl", "filter"], transformer=_Reader(), maybe_placeholders=True
    )


def _words(text: str, at: int) -> tuple[str, ...]:
    """The words and "phrases" that a record must have, all of them."""
    kept = []
    for found in re.finditer(r'"((?:[^"\\]|\\.)*)"|((?:[^\s"\\]|\\.)+)', text, re.DOTALL):
        phrase, word = found.groups()
        if word in ("OR", "NOT"):
            raise RecordError(
                MALFORMED_SEARCH, f"{word} is not supported in a search: a record must have every word.", at
            )
        plain = re.sub(r"\\(.)", r"\1", phrase if phrase is not None else word.strip("*"), flags=re.DOTALL)
        if len(plain) > 1 and word != "AND":
            kept.append(plain)
    if not kept:
        raise RecordError(MALFORMED_SEARCH, "search for at least one word of two characters or more.", at)
    if len(kept) > MOST_WORDS:
        raise RecordError(MALFORMED_SEARCH, f"search for at most {MOST_WORDS} words, not {len(kept)}.", at)
    return tuple(kept)


def _string(token: lark.Token, *, is_pattern: bool = False) -> str:
    """The text between the quotes. Of a pattern for LIKE, what stands for itself keeps a backslash before it.

    Raises ``RecordError`` for an escape that SOQL doesn't have.
    """

    def plain(found: re.Match[str]) -> str:
        code, letter = found.groups()
        if is_pattern and letter in ("%", "_", "\\"):
            return f"\\{letter}"
        character = chr(int(code, 16)) if code else ESCAPES.get(letter.lower(), "")
        if not character or character == "\0" or "\ud800" <= character <= "\udfff":
            at = (token.start_pos or 0) + 1 + found.start()
            raise RecordError(MALFORMED_QUERY, f"'{found[0]}' is no escape in a string; write \\\\ for \\.", at)
        return character

    return ESCAPED.sub(plain, token[1:-1])


class _Reader(lark.Transformer):  # type: ignore[type-arg] - lark's own generics
    """One method for each rule of the grammar."""

    def start(self, items: list[Any]) -> Query:
        return items[0]

    def sosl(self, items: list[Any]) -> Search:
        term, fields, *returned, limit = items
        kind = str(fields or "ALL").upper()
        if kind not in GROUPS:
            raise RecordError(MALFORMED_SEARCH, f"IN {kind} FIELDS: choose {', '.join(GROUPS)}.", fields.start_pos)
        kept = tuple(each for each in returned if each is not None)
        return Search(words=_words(term[1:-1], term.start_pos), fields=kind, returned=kept, limit=limit)

    def returned(self, items: list[Any]) -> Query:
        name, *selected, where, order, limit = items
        return Query(
            selected=tuple(each for each in selected if each is not None),
            source=str(name),
            source_at=name.start_pos,
            where=where,
            order=order or (),
            limit=limit,
        )

    def query(self, items: list[Any]) -> Query:
        selected = [each for each in items if isinstance(each, Selected)]
        name, alias, where, group, having, order, limit, offset = items[len(selected) :]
        return Query(
            selected=tuple(selected),
            source=str(name),
            source_at=name.start_pos,
            alias=str(alias or ""),
            where=where,
            group=group or (),
            having=having,
            order=order or (),
            limit=limit,
            offset=offset,
        )

    def selected_path(self, items: list[Any]) -> Selected:
        return Selected(items[0], str(items[1] or ""))

    def selected_call(self, items: list[Any]) -> Selected:
        return Selected(self.operand_call(items[:2]), str(items[2] or ""))

    def selected_children(self, items: list[Any]) -> Selected:
        return Selected(items[0])

    def path(self, items: list[Any]) -> Path:
        return Path(tuple(map(str, items)), items[0].start_pos)

    def operand(self, items: list[Any]) -> Operand:
        return items[0]

    def operand_call(self, items: list[Any]) -> Call:
        return Call(str(items[0]).upper(), items[1], items[0].start_pos)

    def where(self, items: list[Any]) -> Condition:
        return items[0]

    filter = where

    having = where

    def group(self, items: list[Any]) -> tuple[Path, ...]:
        return tuple(items)

    order = group

    def ordered(self, items: list[Any]) -> Ordered:
        kinds = {token.type for token in items[1:] if token is not None}
        nulls = True if "FIRST" in kinds else False if "LAST" in kinds else None
        return Ordered(items[0], "DESC" in kinds, nulls)

    def limit(self, items: list[Any]) -> int:
        return _bounded(items[0])

    offset = limit

    def either(self, items: list[Any]) -> Joined:
        return Joined("OR", tuple(items))

    def both(self, items: list[Any]) -> Joined:
        return Joined("AND", tuple(items))

    def negation(self, items: list[Any]) -> Condition:
        # Twice is not at all: a chain of NOT nests nothing.
        return items[1].of if isinstance(items[1], Negation) else Negation(items[1])

    def comparison(self, items: list[Any]) -> Comparison:
        operand, by, value = items
        return Comparison(operand, "!=" if by == "<>" else str(by), value)

    def likeness(self, items: list[Any]) -> Comparison:
        return Comparison(items[0], "LIKE", Pattern(_string(items[2], is_pattern=True)))

    def among(self, items: list[Any]) -> Among:
        return Among(items[0], items[1] is not None, tuple(items[2:]))

    def among_query(self, items: list[Any]) -> Among:
        return Among(items[0], items[1] is not None, items[2])

    def string(self, items: list[Any]) -> str:
        return _string(items[0])

    def number(self, items: list[Any]) -> Value:
        token = items[0]
        if len(token) > 30:  # noqa: PLR2004 - no column holds more
            raise RecordError(MALFORMED_QUERY, "this number is too long.", token.start_pos)
        return float(token) if token.type == "NUMBER" else int(token)

    def date(self, items: list[Any]) -> dt.date:
        return _dated(items[0], dt.date.fromisoformat)

    def datetime(self, items: list[Any]) -> dt.datetime:
        return _dated(
            items[0], lambda text: dt.datetime.fromisoformat(text.upper()).astimezone(dt.UTC).replace(tzinfo=None)
        )

    def true(self, items: list[Any]) -> bool:
        return True

    def false(self, items: list[Any]) -> bool:
        return False

    def null(self, items: list[Any]) -> None:
        """The value null."""

    def user(self, items: list[Any]) -> UserValue:
        return UserValue(str(items[0]).partition(".")[2].lower(), items[0].start_pos)

    def literal(self, items: list[Any]) -> DateLiteral:
        n = None if items[1] is None else _bounded(items[1])
        return DateLiteral(str(items[0]).upper(), n, items[0].start_pos)


def _bounded(token: lark.Token) -> int:
    if len(token) > 9 or int(token) < 0:  # noqa: PLR2004 - larger than any answer
        raise RecordError(MALFORMED_QUERY, f"{token:.20} must be a number from 0 to 999999999.", token.start_pos or 0)
    return int(token)


def _dated(token: lark.Token, read: Any) -> Any:
    try:
        return read(str(token))
    except (ValueError, OverflowError):
        raise RecordError(MALFORMED_QUERY, f"{token} is not a date of the calendar.", token.start_pos or 0) from None
