"""Whether what an upstream sends is the answer to the request that it comes back for. Clients find the request of an answer
by its id alone: an answer to a pending list, sent in the answer to a call, would be taken for that list by them, unfiltered
(decision 0052).
"""

import re
from collections.abc import AsyncIterator

import msgspec
from msgspec import Raw

from gatelodge.gateway.relay.filtering import Unreadable
from gatelodge.gateway.relay.inbound import NULL

ID = rb'"id"\s{0,16}:\s{0,16}(?P<id>-?\d{1,20}|"[^"\\]{0,500}")\s{0,16}'
REVISION = rb'"jsonrpc"\s{0,16}:\s{0,16}"2\.0"\s{0,16}'
FIRST = re.compile(rb"(\s{0,16}\{\s{0,16}(?:" + REVISION + rb",\s{0,16})?)" + ID + rb",")
LAST = re.compile(rb",\s{0,16}(?:" + REVISION + rb",\s{0,16})?" + ID + rb"(?:,\s{0,16}" + REVISION + rb")?\}\s{0,16}\Z")
LONGEST_END = 1024
"""Bytes of a long answer that are held back until its end has come."""


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
    """A long answer as it comes, of which nobody reads more than both ends: the last id in it, which is the one that
    parsers take, is the request's. One that stands first is put last, and what follows can't say another.

    Raises ``Unreadable`` where no id is found at either end, or another one.
    """
    first = FIRST.match(begun)
    if first is not None:
        _check(first["id"], id)
        begun = first[1] + begun[first.end() :]
    held = begun
    async for piece in pieces:
        held += piece
        if len(held) > LONGEST_END:
            yield held[:-LONGEST_END]
            held = held[-LONGEST_END:]
    if first is not None:
        held = held.rstrip()
        if not held.endswith(b"}"):
            raise Unreadable
        yield held[:-1] + b',"id":' + first["id"] + b"}"
        return
    last = LAST.search(held)
    if last is None:
        raise Unreadable
    _check(last["id"], id)
    yield held


def _check(told: bytes, id: Raw) -> None:
    if not _is_same(Raw(told), id):
        raise Unreadable
