"""The MCP server of one REST API: both protocol eras by the ``mcp`` library, behind our own gate, with its operations as
tools. A tool is what an administrator looked at, down to the request that it makes.
"""

import asyncio
from typing import Any

import mcp_types as types
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from starlette.types import Receive, Scope, Send

from gatelodge import __version__
from gatelodge.core import secrets
from gatelodge.core.errors import Unavailable
from gatelodge.core.orgs import Org
from gatelodge.core.server_items import TOOL
from gatelodge.gateway import serving
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.openapi import answering, checking, plan
from gatelodge.gateway.openapi.calling import Api
from gatelodge.gateway.openapi.plan import Tool
from gatelodge.gateway.openapi.writing import Wrong, write
from gatelodge.gateway.relay.upstream import Failed
from gatelodge.gateway.writing_down import Noted
from gatelodge.live import LiveServer
from gatelodge.web.site import Site

log = structlog.get_logger()
LIVE = "gatelodge.live"
SMALL = 16 * 1024
"""Bytes of a request whose arguments are checked at once; larger ones in a thread."""


class OpenApiServer:
    """One server, as it stands in its row."""

    def __init__(self, site: Site, org: Org, live: LiveServer) -> None:
        self._name = live.server.name
        self._api = Api(site, org, live.server)
        server = Server(
            live.server.name,
            version=__version__,
            title=live.server.label,
            instructions=f"{live.server.label}: the operations of a REST API.",
            get_tool_input_schema=_no_headers,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        self._serving = serving.Serving(server, f"openapi-{live.server.name}")

    async def start(self) -> None:
        """Begin to answer."""
        await self._serving.start()

    async def stop(self) -> None:
        """End what is under way, and every connection."""
        await self._serving.stop()
        await self._api.close()

    async def retire(self) -> None:
        """Stop once nothing is under way."""
        await self._serving.quiet()
        await self.stop()

    async def serve(self, scope: Scope, receive: Receive, send: Send, live: LiveServer, caller: Caller) -> None:
        """Answer one HTTP request of a caller who has passed every check."""
        await self._serving.serve({**scope, LIVE: live}, receive, send, caller)

    async def _list_tools(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        items = serving.caller_of(context).permitted.listed(TOOL)
        return types.ListToolsResult(tools=[described(plan.tool(each.definition)) for each in items])

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        caller, noted = serving.caller_of(context), serving.noted_of(context)
        serving.check(caller.permitted.tool(params.name), noted)
        assert context.request is not None
        live: LiveServer = context.request.scope[LIVE]
        item = live.items.find(TOOL, params.name)
        definition = caller.permitted.definition(TOOL, params.name)
        if item is None or not definition:
            noted.outcome = "refused"
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name:.80}")
        try:
            return await self._called(
                plan.tool(definition), dict(params.arguments or {}), caller, noted, is_write=item.mark != "read"
            )
        except Unavailable as error:
            noted.outcome, noted.unavailable = "refused", error
            return answering.failed(f"{error}")
        except Failed as failed:
            noted.outcome = failed.outcome
            return answering.failed(failed.why)
        except Exception:
            noted.outcome = "error"
            incident = secrets.new_token()[:12]
            log.exception("incident", incident=incident, server=self._name, tool=params.name)
            return answering.failed(f"something went wrong on our side. Incident {incident}")

    async def _called(
        self, tool: Tool, arguments: dict[str, Any], caller: Caller, noted: Noted, *, is_write: bool
    ) -> types.CallToolResult:
        wrong = await asyncio.to_thread(checking.problems, tool.input_schema, arguments, "argument")
        if wrong:
            noted.outcome = "tool_error"
            return answering.failed("\n".join(f"{each}." for each in wrong))
        try:
            written = write(tool.request, arguments, self._api.credential_header)
        except Wrong as why:
            noted.outcome = "tool_error"
            return answering.failed(f"{why}.")
        if is_write and noted.admit is not None:
            await noted.admit()
        answer = await self._api.ask(written, caller)
        result = await asyncio.to_thread(answering.result, answer, tool.output_schema)
        if result.is_error:
            noted.outcome = "upstream_error" if answer.status >= 500 else "tool_error"  # noqa: PLR2004
        return result


def _no_headers(name: str) -> dict[str, Any] | None:
    """For the library's check of ``Mcp-Param-*`` headers: schemas of documents have none."""
    return {"type": "object"}


def described(tool: Tool) -> types.Tool:
    """A tool as it is listed: without what it sends, which is nothing for clients."""
    return types.Tool(
        name=tool.name,
        title=tool.title or None,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations.model_validate(tool.annotations),
    )
