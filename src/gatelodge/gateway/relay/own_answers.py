"""Whether what an upstream sends is the answer to the request that it comes back for. Clients find the request of an answer
by its id alone: an answer to a pending list, sent in the answer to a call, would be taken for that list by them, unfiltered
(decision 0052).
"""

import json
import re
from collections.abc import AsyncIterator

import msgspec
from msgspec import Raw

from gatelodge.gateway.relay.filtering import Unreadable
from gatelodge.gateway.relay.inbound import NULL

TEXT = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
SHALLOW, IN_TEXT = re.compile(rb'[^"{}\[\]]*+'), re.compile(TEXT, re.DOTALL)
DEEP = re.compile(rb'(?:[^"{}\[\]]++|"' + TEXT + rb'")*+', re.DOTALL)
QUOTE, OPENING = ord('"'), b"{["
LONGEST_TEXT = 1024
"""Bytes of a string that is looked at in an answer's outermost members."""
LONGEST_OUTSIDE = 64 * 1024
"""Bytes of those members, without what is nested in them."""
MOST_MARKS = 1_000_000
"""Braces, brackets and outermost strings of a long answer: each costs a microsecond, and 32 MiB can hold 32 million."""


class _Message(msgspec.Struct):
    id: Raw = NULL
    method: Raw = Raw()
    result: Raw = Raw()
    error: Raw = Raw()


class _Result(msgspec.Struct):
    isError: bool = False  # noqa: N815 - the wire's word


_message, _result = msgspec.json.Decoder(_Message), msgspec.json.Decoder(_Result)
_id = msgspec.json.Decoder(str | int | None)


def outcome_of(message: bytes, id: Raw | None = None) -> str:
    """What a record says of a message: "ok", "tool_error", "error" for a JSON-RPC error; "" for one that is no answer.

    With ``id``, raises ``Unreadable`` for an answer to another request, and for what is a request and an answer in one.
    """
    try:
        found = _message.decode(message)
        if found.method and not (found.result or found.error):
            return ""
        if id is not None and (found.method or not _is_same(found.id, id)):
            raise Unreadable
    except (msgspec.DecodeError, RecursionError):
        raise Unreadable from None
    if found.error:
        return "error"
    try:
        return "tool_error" if found.result and _result.decode(found.result).isError else "ok"
    except msgspec.DecodeError:
        return "ok"


def _is_same(told: Raw, id: Raw) -> bool:
    """Whether an id is the one that was asked for. What nobody could read is answered without one."""
    if bytes(told) == bytes(id):
        return True
    named = _id.decode(told)
    return named is None or named == _id.decode(id)


async def alone(begun: bytes, pieces: AsyncIterator[bytes], id: Raw) -> AsyncIterator[bytes]:
    """A long answer as it comes, byte for byte. Its end, without which nobody can read it, is held back until its outermost
    members have been seen: the request's id, once.

    Raises ``Unreadable`` for any other.
    """
    outside = _Outside()
    held = bytearray()
    size = outside.read(begun)
    yield begun[:size]
    held += begun[size:]
    async for piece in pieces:
        size = outside.read(piece)
        if size:
            yield piece[:size]
        held += piece[size:]
        if len(held) > LONGEST_OUTSIDE:
            raise Unreadable
    if not outside.answers(id):
        raise Unreadable
    yield bytes(held)


class _Outside:
    """The outermost members of a JSON object that comes in pieces; what is nested in them, or long, is left out. What is no
    JSON may be taken for an answer, which whoever gets it can't read.
    """

    def __init__(self) -> None:
        self._seen = bytearray()
        self._text: bytearray | None = None
        self._is_escaped = self._is_over = False
        self._depth = self._marks = 0

    def read(self, piece: bytes) -> int:
        """Read on. How many bytes of this piece come before the brace that ends the object. Raises ``Unreadable``."""
        at, size, before = 0, len(piece), 0 if self._is_over else None
        while at < size:
            if self._text is not None:
                at = self._read_text(self._text, piece, at)
                continue
            after = (DEEP if self._depth > 1 else SHALLOW).match(piece, at).end()  # pyright: ignore[reportOptionalMemberAccess] - it may be empty
            if self._depth <= 1:
                self._see(piece[at:after])
            at = after
            if at < size:
                self._read_mark(piece[at])
                if self._depth == 0 and before is None:
                    before, self._is_over = at, True
                at += 1
        return size if before is None else before

    def _read_mark(self, mark: int) -> None:
        self._marks += 1
        if self._marks > MOST_MARKS:
            raise Unreadable
        if mark == QUOTE:
            self._text = bytearray()
            return
        opens = mark in OPENING
        if self._depth + opens <= 2:  # noqa: PLR2004 - at the object, or what is nested in it at once
            self._see(bytes([mark]))
        self._depth += 1 if opens else -1

    def _read_text(self, text: bytearray, piece: bytes, at: int) -> int:
        """Read on in a string, of which the piece may hold any part; the place after that part."""
        start = at
        if self._is_escaped:
            self._is_escaped, at = False, at + 1
        after = IN_TEXT.match(piece, at).end()  # pyright: ignore[reportOptionalMemberAccess] - it may be empty
        if after < len(piece) and piece[after] != QUOTE:
            self._is_escaped, after = True, len(piece)  # a backslash, and what it stands before is in the next piece
        if self._depth <= 1 and len(text) <= LONGEST_TEXT:
            text += piece[start : min(after, start + LONGEST_TEXT + 1)]
        if after == len(piece):
            return after
        if self._depth <= 1:
            self._see(b'"%s"' % (text if len(text) <= LONGEST_TEXT else b"long"))
        self._text = None
        return after + 1

    def _see(self, part: bytes) -> None:
        self._seen += part
        if len(self._seen) > LONGEST_OUTSIDE:
            raise Unreadable

    def answers(self, id: Raw) -> bool:
        """Whether the object has this id, once, and is no request."""
        try:
            members = json.loads(self._seen, object_pairs_hook=list)
        except (ValueError, RecursionError):
            return False
        if not isinstance(members, list) or not all(isinstance(each, tuple) for each in members):
            return False
        named = [name for name, _value in members if name in ("id", "method")]
        told = dict(members).get("id")
        asked = _id.decode(id)
        return named == ["id"] and (told is None or (type(told) is type(asked) and told == asked))
