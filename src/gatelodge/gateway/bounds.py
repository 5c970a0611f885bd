"""How large and how deep a request may be, held before anything parses it; and that its JSON can be read in one way only."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1024 * 1024
"""Bytes of a request."""
DEEPEST = 128
"""How far JSON may be nested."""
TOO_LARGE = f"a request may have {LARGEST_BODY} bytes at most"
TOO_DEEP = f"Parse error: JSON may be nested {DEEPEST} deep at most"
TWICE = "a member stands there twice, so that the call could mean two things"
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
DIGITS = 20
"""More of them than a length of 64 bits has are no length."""
PARSE_ERROR, INVALID_REQUEST, HEADER_MISMATCH = -32700, -32600, -32020
ONCE = frozenset({b"content-type", b"content-length", b"origin", b"last-event-id"})
"""Headers that say one thing, as all of MCP's own do: ours might be another one than that of who stands before or behind."""


class TooLarge(Exception):
    """A body of more bytes than a request may have."""


async def read(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The body of a request. Raises ``TooLarge`` before it has come whole, and ``ClientDisconnect``."""
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and len(announced) < DIGITS and int(announced) > LARGEST_BODY:
        raise TooLarge
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:
            raise TooLarge
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if len(chunks) > 1 else chunk


def is_too_deep(body: bytes) -> bool:
    """Whether JSON is nested too deeply to be given to a parser. Strings are cut out, then pairs of brackets from the
    inside, once for each level that is allowed.
    """
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    brackets = STRING.sub(b"", body).translate(None, NO_BRACKET)
    for _ in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return False
    return True


def has_one_meaning(raw: bytes) -> bool:
    """Whether no object in this JSON, which isn't too deep, has a member twice: parsers differ in which one they take."""
    if raw.count(b":") <= 1:
        return True
    try:
        _ = json.loads(
            raw.decode(), strict=False, parse_int=str, parse_float=str, object_pairs_hook=_check_pairs
        )  # fmt: skip
    except ValueError:
        return False
    return True


def _check_pairs(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError(TWICE)


def stands_twice(sent: list[tuple[bytes, bytes]]) -> str:
    """A header that says one thing and came more than once, "" for none."""
    names = [name for name, _ in sent]
    if len(set(names)) == len(names):
        return ""
    found = (name for name in names if (name in ONCE or name.startswith(b"mcp-")) and names.count(name) > 1)
    return next(found, b"").decode("latin-1")


class Bounded:
    """A hosted server behind these limits: what it is given fits and can be parsed."""

    def __init__(self, served: ASGIApp) -> None:
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the server answer."""
        try:
            body = await read(dict(scope["headers"]), receive)
        except TooLarge:
            await refused(413, INVALID_REQUEST, TOO_LARGE)(scope, receive, send)
            return
        except ClientDisconnect:
            return  # nobody is left to be told
        if is_too_deep(body):
            await refused(400, PARSE_ERROR, TOO_DEEP)(scope, receive, send)
            return
        await self._served(scope, again(body, receive), send)


def refused(status: int, code: int, message: str) -> Response:
    """A JSON-RPC error about a request of which not even the id was read."""
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}})
    return Response(body, status, {"Cache-Control": "no-store"}, media_type="application/json")


def again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes after it."""
    left = [body]

    async def from_the_start() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return from_the_start
