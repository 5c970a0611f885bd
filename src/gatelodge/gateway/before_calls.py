"""What stands before every server, hosted or relayed, where something that it offers needs more than a caller's token: the
scopes of a call, then a person's approval. A server without such things is reached without this.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gatelodge.core.call_arguments import visible
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.permitting import Verdict
from gatelodge.gateway import bounds, step_up
from gatelodge.gateway.approvals import REQUEST, STATE, Answered, Approvals, Asking
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.writing_down import NOTED, Noted, WrittenDown
from gatelodge.web.site import Site

CALL = "tools/call"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
PARSE_ERROR = -32700
INVALID_PARAMS = -32602
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "")
NULL = Raw(b"null")
Spans = dict[str, Raw]
T = TypeVar("T")


class Elicitation(msgspec.Struct, frozen=True):
    """What a client does with requests for input."""

    url: dict[str, object] | None = None


class Capabilities(msgspec.Struct, frozen=True):
    """What we read of a client's capabilities."""

    elicitation: Elicitation = Elicitation()


class Responded(msgspec.Struct, frozen=True):
    """What a person did with a request for input."""

    action: str = ""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it came: its members, those of its parameters, what it is about."""

    top: Spans
    params: Spans
    id: Raw
    method: str
    name: str

    def text(self, name: str) -> str:
        """A parameter that is a text, "" for any other."""
        return _decoded(self.params.get(name, NULL), str) or ""


class BeforeCalls:
    """One request on its way to a server, with its caller known. ``records``: nothing around this writes down what is
    answered here, so this does.
    """

    def __init__(
        self,
        approvals: Approvals,
        org: Org,
        server: McpServer,
        caller: Caller,
        served: ASGIApp,
        *,
        records: Site | None = None,
    ) -> None:
        self._approvals, self._org, self._server, self._caller = approvals, org, server, caller
        self._served, self._records = served, records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the server answer."""
        try:
            body = await bounds.read(dict(scope["headers"]), receive)
        except bounds.TooLarge:
            await bounds.refused(413, bounds.INVALID_REQUEST, bounds.TOO_LARGE)(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        sent = None if bounds.is_too_deep(body) else read(body)
        # What we can't read is not passed on: another parser might find a call in it that nobody was asked about.
        noted: Noted = scope.get(NOTED) or Noted()
        answer = await self._answer(sent, headers, noted) if sent else _error(NULL, PARSE_ERROR, "Parse error")
        if isinstance(answer, Response):
            answered: ASGIApp = _Answered(answer, noted)
            if self._records is not None:
                answered = WrittenDown(self._records, self._server, self._caller, answered)
            await answered(scope, bounds.again(body, receive), send)
            return
        length = (b"content-length", str(len(answer)).encode())
        others = [each for each in scope["headers"] if each[0] not in (b"content-length", b"transfer-encoding")]
        await self._served({**scope, NOTED: noted, "headers": [*others, length]}, bounds.again(answer, receive), send)

    async def _answer(self, sent: Sent, headers: Mapping[bytes, str], noted: Noted) -> Response | bytes:
        """The answer, or the body that goes on; ``noted`` is told what the record of the call says of it."""
        verdict = self._verdict(sent)
        if not verdict.is_allowed:
            return _body_of(sent)  # refused by the server's own face, in the words of its era
        if verdict.missing_scopes:
            noted.outcome = "needs_scope"
            what = f"{sent.method} of {visible(sent.name):.100}"
            return step_up.challenge(self._org, self._caller, verdict.missing_scopes, what, sent.id)
        if sent.method != CALL or not verdict.asks_first:
            return _body_of(sent)
        if not bounds.has_one_meaning(bytes(sent.params.get("arguments", NULL))):
            return _error(sent.id, INVALID_PARAMS, bounds.TWICE)  # a person would be shown one of the two
        found = await self._approvals.ask_first(self._org, self._server, self._caller, _asking(sent, headers))
        noted.approval_id = found.approval_id
        if isinstance(found, Answered):
            noted.outcome = "needs_approval"
            return _answer(sent, found)
        return _body_of(sent, without_ours=True)

    def _verdict(self, sent: Sent) -> Verdict:
        permitted = self._caller.permitted
        match sent.method:
            case "tools/call":
                return permitted.tool(sent.name)
            case "prompts/get":
                return permitted.prompt(sent.name)
            case "resources/read" | "resources/subscribe":
                return permitted.resource(sent.name)
            case _:
                return Verdict(is_allowed=True)


class _Answered:
    """An answer of ours, as the record of the call is to say it."""

    def __init__(self, answer: Response, noted: Noted) -> None:
        self._answer, self._noted = answer, noted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _ = await receive()  # so that the record has what was asked
        about: Noted | None = scope.get(NOTED)
        if about is not None:
            about.outcome, about.approval_id = self._noted.outcome, self._noted.approval_id
        await self._answer(scope, receive, send)


def read(body: bytes) -> Sent | None:
    """One message; None for what isn't one. An answer of a client's has no method."""
    top = _decoded(Raw(body), Spans)
    if top is None:
        return None
    method, params = _decoded(top.get("method", NULL), str) or "", _decoded(top.get("params", NULL), Spans) or {}
    key = "uri" if method.startswith("resources/") else "name"
    name = _decoded(params.get(key, NULL), str) or ""
    return Sent(top=top, params=params, id=top.get("id", NULL), method=method, name=name)


def _asking(sent: Sent, headers: Mapping[bytes, str]) -> Asking:
    is_modern = headers.get(b"mcp-protocol-version", "") not in LEGACY
    meta = _decoded(sent.params.get("_meta", NULL), Spans) or {}
    capabilities = _decoded(meta.get(CAPABILITIES, NULL), Capabilities) or Capabilities()
    responses = _decoded(sent.params.get("inputResponses", NULL), Spans) or {}
    ours = _decoded(responses.get(REQUEST, NULL), Responded) or Responded()
    return Asking(
        tool=sent.name,
        arguments=bytes(sent.params.get("arguments", Raw(b"{}"))),
        is_modern=is_modern,
        opens_urls=capabilities.elicitation.url is not None,
        state=sent.text("requestState"),
        action=ours.action,
    )


def _answer(sent: Sent, found: Answered) -> Response:
    if found.result is None:
        return _error(sent.id, INVALID_PARAMS, found.error)
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": sent.id, "result": found.result})
    return Response(body, media_type="application/json")


def _error(id: Raw, code: int, message: str) -> Response:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
    return Response(body, 400, media_type="application/json")


def _body_of(sent: Sent, *, without_ours: bool = False) -> bytes:
    """The request as one text that reads in one way: put together from what was read of it. ``without_ours``: the server
    isn't shown a state and a response that are not for it.
    """
    params = dict(sent.params)
    if without_ours:
        if sent.text("requestState").startswith(STATE):
            del params["requestState"]
        responses = _decoded(params.get("inputResponses", NULL), Spans) or {}
        if responses.pop(REQUEST, None) is not None:
            params["inputResponses"] = Raw(msgspec.json.encode(responses))
            if not responses:
                del params["inputResponses"]
    return msgspec.json.encode({**sent.top, "params": params} if sent.params else sent.top)


def _decoded(raw: Raw, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
