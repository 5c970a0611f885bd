"""The arguments of a call, read so that no two readers can differ: what a person approves is what will be done.

A member named twice is refused. Numbers with a fraction or an exponent keep their spelling. What can't be seen is shown
as its escape.
"""

import json
from typing import Any, NoReturn, cast

from gatelodge.core.errors import Refused

LONGEST = 256 * 1024
"""Characters of arguments that a person can be asked about."""
INDENT = "  "


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def read(raw: bytes) -> dict[str, Any]:
    """The arguments. Raises ``Refused`` for what isn't one JSON object that reads in one way."""
    if len(raw) > LONGEST:
        raise Refused(f"the arguments have {len(raw)} bytes; a person is asked about {LONGEST} at most", "arguments")
    try:
        found = json.loads(raw, object_pairs_hook=_once, parse_float=Number, parse_constant=_no_number)
        if isinstance(found, dict):
            _ = json.dumps(found, ensure_ascii=False).encode()  # lone surrogates are no text
            return cast("dict[str, Any]", found)
    except (ValueError, RecursionError):
        pass
    raise Refused("the arguments must be one JSON object whose members are named once", "arguments")


def canonical(value: Any) -> str:
    """The one text of these arguments: members in order, no blanks."""
    match value:
        case Number():
            return str(value)
        case dict():
            members = sorted(cast("dict[str, Any]", value).items())
            return "{" + ",".join(f"{json.dumps(name)}:{canonical(each)}" for name, each in members) + "}"
        case list():
            return "[" + ",".join(canonical(each) for each in cast("list[Any]", value)) + "]"
        case _:
            return json.dumps(value)


def shown(value: Any, before: str = "") -> str:
    """The same for people, in the order in which it came, a member a line, and nothing hidden."""
    inside = before + INDENT
    match value:
        case Number():
            return str(value)
        case dict() if value:
            members = cast("dict[str, Any]", value).items()
            lines = (f"{inside}{_text(name)}: {shown(each, inside)}" for name, each in members)
            return "{\n" + ",\n".join(lines) + f"\n{before}}}"
        case list() if value:
            lines = (f"{inside}{shown(each, inside)}" for each in cast("list[Any]", value))
            return "[\n" + ",\n".join(lines) + f"\n{before}]"
        case str():
            return _text(value)
        case _:
            return json.dumps(value)


def visible(text: str) -> str:
    """A text whose invisible characters, and those that turn its direction, show as their escapes."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _text(text: str) -> str:
    return visible(json.dumps(text, ensure_ascii=False))


def _escape(c: str) -> str:
    code = ord(c)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - beyond the first plane


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member is named twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
