"""The headers ``Mcp-Param-*`` that a tool's schema asks for, made from a call's arguments for a client that doesn't know
them (MCP 2026-07-28: Custom Headers).
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import msgspec

from gatelodge.gateway.relay.header_values import encoded

DEEPEST = 20


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
    if not definition or "x-mcp-header" not in definition or arguments is None:
        return {}
    try:
        given: Any = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return {}
    headers: dict[str, str] = {}
    for path, header in _named(definition):
        value = given
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, bool):
            headers[f"Mcp-Param-{header}"] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            headers[f"Mcp-Param-{header}"] = encoded(str(value))
    return headers
