"""The face that MCP clients see: the checks in front of every MCP server, and the servers themselves."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatelodge.core.errors import Refused, Unavailable
from gatelodge.core.mcp_servers import resource
from gatelodge.core.orgs import Org
from gatelodge.core.scopes import MCP_API
from gatelodge.core.server_kinds import OPENAPI, RELAYED
from gatelodge.gateway import bounds, credentials, protected_resource
from gatelodge.gateway.approvals import Approvals
from gatelodge.gateway.before_calls import BeforeCalls
from gatelodge.gateway.bounds import Bounded
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.hosting import Hosted, Served
from gatelodge.gateway.openapi.started import prepared as api_of
from gatelodge.gateway.protected_resource import Gate, document, turned_away
from gatelodge.gateway.records.started import prepared as records_of
from gatelodge.gateway.relaying import Relaying
from gatelodge.gateway.writing_down import WrittenDown
from gatelodge.live import LiveServer
from gatelodge.web.access_tokens import NotAccepted
from gatelodge.web.errors import BadRequest, answer_for
from gatelodge.web.recording import TRACE_ID, trace_of
from gatelodge.web.routes import Route, shared_with
from gatelodge.web.site import Site

if TYPE_CHECKING:
    from gatelodge.gateway.openapi.server import OpenApiServer
    from gatelodge.gateway.records.server import RecordsServer

BAD_REQUEST = 400
CACHED = {"Cache-Control": "public, max-age=300"}


class Gateway:
    """The MCP servers of this node. A hosted one is started by its first call, so that a start stays lean."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._records: Hosted[RecordsServer] = Hosted(site, records_of)
        self._apis: Hosted[OpenApiServer] = Hosted(site, api_of)
        self._gate = Gate(site)
        self.relaying = Relaying(site, self._gate)
        self._approvals = Approvals(site)
        self.routes = (
            # Every method comes here: without a token the answer is 401, whatever the method.
            Route(
                path="/mcp/{server}",
                methods=("POST", "GET", "DELETE", "PUT", "PATCH", "OPTIONS"),
                answer=self.call,
            ),
            Route(
                path="/.well-known/oauth-protected-resource/mcp/{server}",
                methods=("GET",),
                answer=self.metadata,
                any_origin=True,
            ),
            Route(
                path="/.well-known/oauth-protected-resource", methods=("GET",), answer=issuer_metadata, any_origin=True
            ),
            *credentials.ROUTES,
        )

    async def call(self, site: Site, org: Org, request: Request) -> ASGIApp:
        """One request of an MCP client to one server; a web page may read the answer where its origin is allowed."""
        request.scope[TRACE_ID] = trace_of(request.headers.get("traceparent", ""))
        name = request.path_params["server"]
        try:
            live = (await site.live.servers(org.id)).get(name)
            server = live.server if live else None
            origin = protected_resource.check_origin(org, server, request)
        except NotAccepted as turned:
            return _Traced(turned_away(org, name, turned))
        except Unavailable as error:
            return _Traced(answer_for(error, request))
        methods = protected_resource.methods_of(server)
        answer = protected_resource.preflight(request, origin, methods)
        if answer is not None:
            return answer
        try:
            served = await self._called(site, org, request, live)
        except NotAccepted as turned:
            served = turned_away(org, name, turned, methods)
        except (BadRequest, Unavailable) as error:
            served = answer_for(error, request)
        return _Traced(_Shared(served, origin) if origin else served)

    async def _called(self, site: Site, org: Org, request: Request, live: LiveServer | None) -> ASGIApp:
        caller = await self._gate.check(org, request, request.path_params["server"], live)
        assert live is not None  # the check has passed
        if twice := bounds.stands_twice(request.scope["headers"]):
            code = bounds.HEADER_MISMATCH if twice.startswith("mcp-") else bounds.INVALID_REQUEST
            return bounds.refused(400, code, f"the header {twice:.100} stands there twice")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method == "POST" and content_type != "application/json":
            raise BadRequest(f"the body must be application/json, not {content_type or 'of no type':.80}", 415)
        if live.server.kind in RELAYED:
            relayed = await self.relaying.to(org, live, caller)
            if request.method != "POST" or not caller.permitted.has_conditions:
                return relayed
            return BeforeCalls(self._approvals, org, live.server, caller, relayed, records=site)
        site.calls.admit_read(org.id)
        served = await self._hosted(org, live, caller)
        if caller.permitted.has_conditions:
            served = BeforeCalls(self._approvals, org, live.server, caller, served)
        return WrittenDown(site, live.server, caller, Bounded(served))

    async def _hosted(self, org: Org, live: LiveServer, caller: Caller) -> ASGIApp:
        if live.server.kind == OPENAPI:
            api = await self._apis.get(org, live)
            return Served(lambda scope, receive, send: api.serve(scope, receive, send, live, caller))
        try:
            records = await self._records.get(org, live)
            return Served(lambda scope, receive, send: records.serve(scope, receive, send, caller))
        except Refused as refused:
            raise Unavailable(f"the database of {live.server.name} can't be used: {refused}") from None

    async def metadata(self, site: Site, org: Org, request: Request) -> Response:
        """Protected resource metadata of one server; one that is unknown or inactive has none."""
        name = request.path_params["server"]
        live = (await site.live.servers(org.id)).get(name)
        if live is None:
            return PlainTextResponse(f"This org has no active MCP server named {name:.60}\n", 404)
        body = document(org, resource(org, name), live.server.label, [MCP_API])
        return Response(body, headers=CACHED, media_type="application/json")

    async def stop(self) -> None:
        """Stop the servers that were started."""
        await self.relaying.stop()
        await self._records.stop()
        await self._apis.stop()


class _Traced:
    """An answer that says, where it is an error, under which trace id its request is found."""

    def __init__(self, answer: ASGIApp) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def told(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start" and message["status"] >= BAD_REQUEST:
                header = (b"trace-id", scope[TRACE_ID].encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            return send(message)

        await self._answer(scope, receive, told)


class _Shared:
    """An answer that a page of this origin may read (CORS)."""

    def __init__(self, answer: ASGIApp, origin: str) -> None:
        self._answer = answer
        self._headers = [(name.lower().encode(), value.encode()) for name, value in shared_with(origin).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def told(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            return send(message)

        await self._answer(scope, receive, told)


async def issuer_metadata(site: Site, org: Org, request: Request) -> Response:
    """The root document describes the issuer, whose tokens open no MCP server."""
    return Response(document(org, org.issuer, org.label, []), headers=CACHED, media_type="application/json")
