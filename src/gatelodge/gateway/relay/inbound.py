"""What a client sent, read once: limits first, then the message, then what its revision demands of it.

A message is kept as spans of the bytes that came. What goes on is put together from those spans, so that a key that was
sent twice, or spelled with escapes, can't mean one thing here and another behind us.
"""

from collections.abc import Mapping
from functools import lru_cache

import msgspec
from msgspec import Raw
from starlette.types import Receive

from gatelodge.gateway import bounds
from gatelodge.gateway.relay import words
from gatelodge.gateway.relay.header_values import decoded

NULL = Raw(b"null")
Spans = dict[str, Raw]
_spans = msgspec.json.Decoder(Spans)
_string = msgspec.json.Decoder(str)
_id = msgspec.json.Decoder(str | int)


class Refused(Exception):
    """A request that goes no further: the HTTP status and the JSON-RPC error that answers it."""

    def __init__(self, status: int, code: int, message: str, data: object = None, id: Raw = NULL) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.data, self.id = status, code, message, data, id

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return error(self.id, self.code, self.message, self.data)


class Inbound(msgspec.Struct, kw_only=True):
    """One message of a client. ``name`` is the tool, prompt or resource that it is about, "" for none."""

    is_modern: bool
    version: str
    top: Spans
    method: str = ""
    id: Raw = NULL
    params: Spans = msgspec.field(default_factory=dict[str, Raw])
    meta: Spans = msgspec.field(default_factory=dict[str, Raw])
    name: str = ""

    @property
    def is_request(self) -> bool:
        """Whether an answer is owed."""
        return bool(self.method) and "id" in self.top

    def body(self, **changed: object) -> bytes:
        """The message for the other side, with these parameters in place of its own."""
        params: dict[str, object] = {**self.params}
        if self.meta or "_meta" in params:
            params["_meta"] = self.meta
        params.update(changed)
        top: dict[str, object] = {**self.top}
        if params or "params" in top:
            top["params"] = params
        return msgspec.json.encode(top)


def error(id: Raw, code: int, message: str, data: object = None) -> bytes:
    """A JSON-RPC error."""
    said: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        said["data"] = data
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "error": said})


async def read_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The body of a request. Raises ``Refused`` (413) when it is too large, and ``ClientDisconnect``."""
    try:
        return await bounds.read(headers, receive)
    except bounds.TooLarge:
        raise Refused(413, words.INVALID_REQUEST, bounds.TOO_LARGE) from None


def parse(body: bytes, headers: Mapping[bytes, bytes]) -> Inbound:
    """The message in a body, not yet held against its revision. Raises ``Refused``."""
    if bounds.is_too_deep(body):
        raise Refused(400, words.PARSE_ERROR, bounds.TOO_DEEP)
    version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
    found = Inbound(is_modern=bool(version) and version not in words.LEGACY, version=version, top={})
    try:
        found.top = _spans.decode(body)
    except msgspec.ValidationError:
        raise Refused(400, words.INVALID_REQUEST, "the body must be one JSON-RPC message, and no batch") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, words.PARSE_ERROR, "Parse error") from None
    _fill(found)
    return found


def _fill(found: Inbound) -> None:
    """Read the members of the envelope. Raises ``Refused``."""
    top = found.top
    malformed = Refused(400, words.INVALID_REQUEST, "the body must be one JSON-RPC request or notification")
    if bytes(top.get("jsonrpc", NULL)) != b'"2.0"':
        raise malformed
    try:
        if "id" in top:
            _ = _id.decode(top["id"])
            found.id = top["id"]
        if "method" not in top:
            # Only a session has requests of the server's that a client could answer.
            if found.is_modern or not ("id" in top and ("result" in top) != ("error" in top)):
                raise malformed
            return
        found.method = _string.decode(top["method"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise malformed from None
    try:
        if "params" in top:
            found.params = _spans.decode(top["params"])
        if "_meta" in found.params:
            found.meta = _spans.decode(found.params["_meta"])
        key = words.ASKED.get(found.method)
        found.name = _string.decode(found.params[key]) if key and key in found.params else ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        why = "params and params._meta must be objects, and what a request is about a string"
        raise Refused(400 if found.is_modern else 200, words.INVALID_PARAMS, why, id=found.id) from None
    # Members of ``params`` and ``_meta`` themselves are put together from what was read; what is inside them passes as it is.
    inside = [*(value for name, value in found.params.items() if name != "_meta"), *found.meta.values()]
    for value in inside:
        if not bounds.has_one_meaning(bytes(value)):
            raise Refused(400 if found.is_modern else 200, words.INVALID_PARAMS, bounds.TWICE, id=found.id)


def check_modern(found: Inbound, headers: Mapping[bytes, bytes]) -> None:
    """Hold a request of 2026-07-28 against its rules: ``_meta``, then the headers that repeat the body, then the
    revision. Raises ``Refused``.
    """
    missing = [key for key in (words.VERSION_KEY, words.CAPABILITIES_KEY) if key not in found.meta]
    if missing:
        raise Refused(400, words.INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}", id=found.id)
    try:
        version = _string.decode(found.meta[words.VERSION_KEY])
    except msgspec.DecodeError:
        version = None
    if version != found.version:
        raise _mismatch(found, "MCP-Protocol-Version says another revision than params._meta")
    if headers.get(b"mcp-method", b"").decode("latin-1") != found.method:
        raise _mismatch(found, "Mcp-Method says another method than the body")
    if found.method in words.NAMED and words.NAMED[found.method] in found.params:
        told = headers.get(b"mcp-name")
        if told is None or decoded(told.decode("latin-1").strip(" \t")) != found.name:
            raise _mismatch(found, f"Mcp-Name says another {words.NAMED[found.method]} than the body")
    check_version(found)


def check_version(found: Inbound) -> None:
    """Raises ``Refused`` when a message that isn't of the old era names a revision that nobody here speaks."""
    if found.version not in words.MODERN:
        data = {"supported": list(words.MODERN), "requested": found.version}
        raise Refused(400, words.UNSUPPORTED_VERSION, "Unsupported protocol version", data, found.id)


def _mismatch(found: Inbound, why: str) -> Refused:
    return Refused(400, words.HEADER_MISMATCH, why, id=found.id)


@lru_cache(maxsize=128)
def takes(accept: bytes) -> tuple[bool, bool]:
    """Whether a client takes JSON, and whether it takes an event stream."""
    if not accept:
        return True, True
    kinds = [part.partition(";")[0].strip() for part in accept.decode("latin-1").lower().split(",")]
    takes_any = "*/*" in kinds
    return (
        takes_any or words.JSON in kinds or "application/*" in kinds,
        takes_any or words.EVENTS in kinds or "text/*" in kinds,
    )
