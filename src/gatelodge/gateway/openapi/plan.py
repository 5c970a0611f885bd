"""How a tool's call becomes an HTTP request: written into the tool's definition, so that it is pinned with it.

Whoever looks at a tool sees where its arguments go, and an operation that goes somewhere else tomorrow has changed.
"""

from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

Place = Literal["path", "query", "header", "body"]
Style = Literal["simple", "label", "matrix", "form", "spaceDelimited", "pipeDelimited", "deepObject", "json"]
MOST_KNOWN = 512
"""Definitions of a node that are kept read."""


class Argument(msgspec.Struct, frozen=True, kw_only=True, rename={"place": "in"}, omit_defaults=True):
    """Where one argument goes: under which name of the API's, and how it is written there (OpenAPI 3.1.1 §4.8.12).
    A style of "json": as JSON text. For a body with members of its own ``name`` is the member, "" for the whole body.
    """

    place: Place
    name: str = ""
    style: Style = "simple"
    explode: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation's request. ``body`` is the media type of what is sent, "" for nothing; ``sends_empty``: an object
    without members is sent where no argument for the body was given.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, msgspec.Meta(pattern="^/")]
    arguments: dict[str, Argument] = {}
    body: str = ""
    sends_empty: bool = False


class Tool(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A tool as it was looked at."""

    name: str
    title: str = ""
    description: str = ""
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    annotations: dict[str, Any] = {}
    request: Plan


@lru_cache(maxsize=MOST_KNOWN)
def tool(definition: str) -> Tool:
    """A tool from its pinned definition. Raises ``msgspec.ValidationError`` for one that isn't of an operation."""
    return msgspec.json.decode(definition, type=Tool)
