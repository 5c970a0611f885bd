"""The headers ``Mcp-Param-*`` that a tool's schema asks for, made from a call's arguments for a client that doesn't know
them (MCP 2026-07-28: Custom Headers).
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

import msgspec

from gatelodge.gateway.relay.header_values import decoded, encoded

DEEPEST = 20
NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")


@lru_cache(maxsize=256)
def _named(definition: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The path of each argument that has a header, and the header's name."""
    try:
        tool: Any = msgspec.json.decode(definition)
    except msgspec.DecodeError:
        return ()
    return tuple(_walk(tool.get("inputSchema"), ())) if isinstance(tool, dict) else ()


def _walk(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    properties: Any = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or len(path) > DEEPEST:
        return
    for name, each in cast("dict[str, Any]", properties).items():
        header: Any = each.get("x-mcp-header") if isinstance(each, dict) else None
        if isinstance(header, str):
            yield (*path, name), header
        yield from _walk(each, (*path, name))


def headers_of(definition: str | None, arguments: msgspec.Raw | None) -> dict[str, str]:
    """The headers of a call with these arguments."""
    return {
        f"Mcp-Param-{name}": encoded(value)
        for name, value in _values(definition, arguments).items()
        if value is not None
    }


def _values(definition: str | None, arguments: msgspec.Raw | None) -> dict[str, str | None]:
    """What each of the headers has to say; None: it must not be there."""
    if not definition or "x-mcp-header" not in definition:
        return {}
    try:
        given: Any = msgspec.json.decode(arguments) if arguments is not None else {}
    except msgspec.DecodeError:
        return {}
    values: dict[str, str | None] = {}
    for path, header in _named(definition):
        value = given
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        is_told = isinstance(value, str | int | float)
        values[header] = (
            None if not is_told else ("true" if value else "false") if isinstance(value, bool) else str(value)
        )
    return values


def disagrees(definition: str | None, arguments: msgspec.Raw | None, headers: Mapping[bytes, bytes]) -> str:
    """The header that says something else than the arguments do, "" when none does."""
    for name, value in _values(definition, arguments).items():
        told = headers.get(f"mcp-param-{name.lower()}".encode())
        said = None if told is None else decoded(told.decode("latin-1").strip(" \t"))
        is_there = told is not None
        if is_there != (value is not None) or (is_there and said != value and not _is_same_number(said, value)):
            return f"Mcp-Param-{name}"
    return ""


def _is_same_number(said: str | None, value: str | None) -> bool:
    """42 and 42.0 are one number, and not one text."""
    both = [each for each in (said, value) if each is not None and NUMBER.fullmatch(each)]
    return len(both) == 2 and Decimal(both[0]) == Decimal(both[1])  # noqa: PLR2004
