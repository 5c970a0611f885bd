"""Text to tree, by a grammar (``grammar.lark``). What is outside the subset is refused with its place and its name."""

import datetime as dt
import re
from functools import lru_cache
from importlib import resources
from typing import Any

import lark

from gatelodge.gateway.records.errors import INVALID_ARGUMENT, MALFORMED_QUERY, RecordError
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
    Query,
    Search,
    Selected,
    Value,
)

LONGEST = 20_000
DEEPEST = 50
UNSUPPORTED = re.compile(
    r"\b(FOR\s+(?:VIEW|REFERENCE|UPDATE)|TYPEOF|USING\s+SCOPE|WITH\s+\w+|ALL\s+ROWS|INCLUDES|EXCLUDES|UPDATE\s+\w+|ROLLUP|CUBE)\b",
    re.IGNORECASE,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
EXPECTED = {"COMPARES": "a comparison", "NAME": "a name", "STRING": "a 'string'", "INTEGER": "a number", "COMMA": "','",
            "LPAR": "'('", "RPAR": "')'", "$END": "the end", "TERM": "{search words}"}  # fmt: skip


def parse(text: str) -> Query:
    """The query that this text is. Raises ``RecordError`` (MALFORMED_QUERY) that says where and what."""
    return _parse(text, "start")


def parse_search(text: str) -> Search:
    """The search that this text is: SOSL when it begins with FIND, plain words otherwise. Raises ``RecordError``."""
    if re.match(r"\s*FIND\b", text, re.IGNORECASE):
        return _parse(text, "sosl")
    return Search(words=_words(text, 0))


def _parse(text: str, start: str) -> Any:
    if len(text) > LONGEST:
        raise RecordError(MALFORMED_QUERY, f"the query has {len(text)} characters; at most {LONGEST} are allowed.")
    _check_depth(text)
    try:
        return _parser().parse(text, start=start)
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, RecordError):
            raise error.orig_exc from None
        raise
    except lark.exceptions.UnexpectedInput as error:
        raise _explained(text, error) from None


def _check_depth(text: str) -> None:
    depth = 0
    for found in re.finditer(r"'(?:[^'\\]|\\.)*'|[()]|\bNOT\b", text, re.IGNORECASE | re.DOTALL):
        depth += {"(": 1, ")": -1}.get(found[0], 1 if found[0].upper() == "NOT" else 0)
        if depth > DEEPEST:
            raise RecordError(MALFORMED_QUERY, f"parentheses and NOT are nested deeper than {DEEPEST}.", found.start())


def _explained(text: str, error: lark.exceptions.UnexpectedInput) -> RecordError:
    at = error.pos_in_stream
    is_end = getattr(getattr(error, "token", None), "type", "") == "$END"
    at = len(text) if at is None or at < 0 or is_end else at
    for found in UNSUPPORTED.finditer(text):
        if found.start() >= at or found.end() > at:
            words = " ".join(found[0].upper().split())
            return RecordError(
                MALFORMED_QUERY, f"{words} is not supported here; see the SOQL reference.", found.start()
            )
    names = getattr(error, "accepts", None) or getattr(error, "allowed", None) or getattr(error, "expected", None) or ()
    expected = sorted({EXPECTED.get(name, str(name).lstrip("_")) for name in names})
    token = re.match(r"\s*('?[\w.]+|\S)?", text[at:])
    got = f"unexpected token: '{token[1]:.40}'" if token and token[1] else "the query ends too early"
    return RecordError(MALFORMED_QUERY, f"{got}; expected {', '.join(expected[:12])}.", at)


@lru_cache(maxsize=1)
def _parser() -> lark.Lark:
    grammar = resources.files("gatelodge.gateway.records.soql").joinpath("grammar.lark").read_text("utf-8")
    # With LALR the tree is made while reading, so no text can nest deeper than Python does.
    return lark.Lark(grammar, parser="lalr", start=["start", "sosl"], transformer=_Reader(), maybe_placeholders=True)


def _words(text: str, at: int) -> tuple[str, ...]:
    found = tuple(quoted or word.strip("*") for quoted, word in re.findall(r'"([^"]+)"|([^\s"]+)', text))
    kept = tuple(word for word in found if len(word) > 1)
    if not kept:
        raise RecordError(INVALID_ARGUMENT, "search for at least one word of two characters or more.", at)
    if len(kept) > 20:  # noqa: PLR2004 - more are no search
        raise RecordError(INVALID_ARGUMENT, f"search for at most 20 words, not {len(kept)}.", at)
    return kept


def _string(token: lark.Token) -> str:
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1].lower(), found[1]), token[1:-1], flags=re.DOTALL)


class _Reader(lark.Transformer):  # type: ignore[type-arg] - lark's own generics
    """One method for each rule of the grammar."""

    def start(self, items: list[Any]) -> Query:
        return items[0]

    def sosl(self, items: list[Any]) -> Search:
        term, fields, *returned, limit = items
        kind = str(fields or "ALL").upper()
        if kind not in ("ALL", "NAME", "EMAIL", "PHONE"):
            raise RecordError(MALFORMED_QUERY, f"IN {kind} FIELDS: choose ALL, NAME, EMAIL or PHONE.", fields.start_pos)
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

    def negation(self, items: list[Any]) -> Negation:
        return Negation(items[1])

    def comparison(self, items: list[Any]) -> Comparison:
        operand, by, value = items
        if isinstance(value, lark.Token):  # LIKE takes the string itself
            value = _string(value)
        return Comparison(operand, "!=" if by == "<>" else by.upper(), value)

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
