"""What we ask an upstream on our own account: which era it speaks, what it is, and what it offers."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from gatelodge import __version__
from gatelodge.gateway.relay import words
from gatelodge.gateway.relay.answers import check, kind_of, reading, whole
from gatelodge.gateway.relay.events import events
from gatelodge.gateway.relay.filtering import Unreadable, result_of
from gatelodge.gateway.relay.header_values import OURS, encoded
from gatelodge.gateway.relay.inbound import Spans
from gatelodge.gateway.relay.upstream import Answer, Failed, Line
from gatelodge.words import reason

US = {"name": "gatelodge", "version": __version__}
BOTH = "application/json, text/event-stream"
NEWEST = words.LEGACY[-1]
_code = msgspec.json.Decoder(int)
_spans = msgspec.json.Decoder(Spans)


class Said(msgspec.Struct, kw_only=True):
    """An upstream's answer to us: the result, or the error's code and message, and the session it began."""

    status: int
    result: Spans | None = None
    code: int = 0
    message: str = ""
    session_id: str = ""


def modern_headers(method: str, name: str = "") -> dict[str, str]:
    """The headers of a request of 2026-07-28 that we make ourselves."""
    headers = {**OURS, "Accept": BOTH, "Content-Type": words.JSON}
    headers |= {"MCP-Protocol-Version": words.MODERN[0], "Mcp-Method": method}
    return headers | ({"Mcp-Name": encoded(name)} if name else {})


def legacy_headers(version: str, session_id: str) -> dict[str, str]:
    """The headers of a request within a session; a version of "" is one before any was agreed."""
    headers = {**OURS, "Accept": BOTH, "Content-Type": words.JSON}
    if version:
        headers["MCP-Protocol-Version"] = version
    return headers | ({"Mcp-Session-Id": session_id} if session_id else {})


def envelope(capabilities: object, client: object) -> dict[str, object]:
    """The ``_meta`` of a request of 2026-07-28."""
    return {words.VERSION_KEY: words.MODERN[0], words.CAPABILITIES_KEY: capabilities, words.CLIENT_KEY: client}


def request(method: str, params: object, id: object = 1) -> bytes:
    """A JSON-RPC request."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


async def ask(
    line: Line, given: Mapping[str, str], headers: dict[str, str], method: str, params: object
) -> Said:  # fmt: skip
    """Send one request and read its answer whole. Raises ``Failed``."""
    answer = await line.send("POST", {**headers, **given}, request(method, params))
    said = Said(status=answer.status, session_id=answer.headers.get("mcp-session-id", ""))
    if 400 <= answer.status < 500 and answer.status not in (401, 403):  # noqa: PLR2004 - it may say that it can't
        answer.close()
        return said
    await check(line, answer)
    async with reading(line, answer):
        top, said.result = result_of(await _message(line, answer))
        if said.result is None:
            found = _spans.decode(top.get("error", Raw(b"{}")))
            said.code = _code.decode(found.get("code", Raw(b"0")))
            said.message = msgspec.json.decode(found.get("message", Raw(b'""')), type=str)
    return said


async def _message(line: Line, answer: Answer) -> bytes:
    """The one message of an answer that we wait for. Raises ``Unreadable``."""
    largest = line.upstream.terms.largest_answer
    if kind_of(answer) == words.JSON:
        return await whole(answer, largest)
    async for event in events(answer.pieces(), largest):
        if b'"result"' in event.data or b'"error"' in event.data:
            return event.data
    raise Unreadable


async def discover(line: Line, given: Mapping[str, str], meta: dict[str, object]) -> Spans | None:
    """What an upstream of 2026-07-28 says of itself; None: it doesn't speak that. Raises ``Failed``."""
    said = await ask(line, given, modern_headers(words.DISCOVER), words.DISCOVER, {"_meta": meta})
    if said.result is None or "supportedVersions" not in said.result:
        return None
    supported = msgspec.json.decode(said.result["supportedVersions"], type=list[str])
    return said.result if set(words.MODERN) & set(supported) else None


async def initialize(
    line: Line, given: Mapping[str, str], capabilities: object, client: object
) -> tuple[Spans, str, str] | None:  # fmt: skip
    """Begin a session: the result, the revision and the session's id; None: it knows no sessions. Raises ``Failed``."""
    params = {"protocolVersion": NEWEST, "capabilities": capabilities, "clientInfo": client}
    said = await ask(line, given, legacy_headers("", ""), words.INITIALIZE, params)
    if said.result is None or "protocolVersion" not in said.result:
        return None
    version = msgspec.json.decode(said.result["protocolVersion"], type=str)
    if version not in words.LEGACY:
        return None
    headers = legacy_headers(version, said.session_id)
    body = msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/initialized"})
    answer = await line.send("POST", {**headers, **given}, body)
    answer.close()
    return said.result, version, said.session_id


async def end_session(line: Line, given: Mapping[str, str], version: str, session_id: str) -> None:
    """Tell an upstream that a session is over. Raises ``Failed``."""
    if session_id:
        answer = await line.send("DELETE", {**legacy_headers(version, session_id), **given})
        answer.close()


async def speaks_modern(line: Line, given: Mapping[str, str]) -> bool:
    """Whether an upstream speaks 2026-07-28. It is asked once; an answer that never came teaches nothing.

    Raises ``Failed``.
    """
    async with line.asking:
        if line.eras.modern is None:
            line.eras.modern = await discover(line, given, envelope({}, US)) is not None
        return line.eras.modern


async def speaks_legacy(line: Line, given: Mapping[str, str]) -> bool:
    """Whether an upstream begins sessions. Raises ``Failed``."""
    async with line.asking:
        if line.eras.legacy is None:
            begun = await initialize(line, given, {}, US)
            line.eras.legacy = begun is not None
            if begun is not None:
                await end_session(line, given, *begun[1:])
        return line.eras.legacy


def refuses(line: Line) -> Failed:
    """What is said of an upstream that answers in neither era."""
    why = reason(
        "the upstream of {name} answers neither server/discover nor initialize as an MCP server does",
        name=line.upstream.name,
    )
    return Failed("upstream_error", 502, why)
