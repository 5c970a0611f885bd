"""The hosted MCP server: both protocol eras by the ``mcp`` library, behind our own gate, over one database."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mcp_types as types
import msgspec
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from starlette.types import Receive, Scope, Send

from gatelodge import __version__
from gatelodge.core import secrets
from gatelodge.core.errors import Unavailable
from gatelodge.gateway import serving
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.records import prompts
from gatelodge.gateway.records.desk import Desk
from gatelodge.gateway.records.errors import SERVER_UNAVAILABLE, UNKNOWN_EXCEPTION, RecordError, told
from gatelodge.gateway.records.mapping import Mapping
from gatelodge.gateway.records.sources import Source
from gatelodge.gateway.records.tool import Tool
from gatelodge.gateway.records.variants import ALL, READS, VARIANTS
from gatelodge.gateway.writing_down import Noted

log = structlog.get_logger()
SECONDS = 5.0
"""How long one call may take."""
THREADS = {"sqlite": 2, "postgresql": 4, "mysql": 4}
"""Calls that run at a time. A server's answer is waited for; a file is read here, where more threads take each other's turn
with the interpreter: four of them cost a query nearly twice what two do.
"""
INSTRUCTIONS = (
    "Works with the records of this org as the signed-in user. Ask getObjectSchema for the objects and their fields before"
    " writing a soqlQuery; find searches text in all of them."
)
ENCODER = msgspec.json.Encoder(decimal_format="number")


class RecordsServer:
    """One records server. ``seconds`` is how long one call may take; ``variant`` says which tools there are."""

    def __init__(
        self,
        name: str,
        title: str,
        source: Source,
        *,
        now: Callable[[], float],
        variant: str = READS,
        mapping: Mapping | None = None,
        allows_private: bool = False,
        seconds: float = SECONDS,
    ) -> None:
        self._name, self._tools = name, {tool.name: tool for tool in VARIANTS[variant]}
        self._prompts = prompts.BY_NAME if variant == ALL else {}
        threads = THREADS[source.dialect]
        self.desk = Desk(
            source, mapping or Mapping(), connections=threads, seconds=seconds, allows_private=allows_private, now=now
        )
        server = Server(
            name,
            version=__version__,
            title=title,
            instructions=INSTRUCTIONS,
            get_tool_input_schema=self._input_schema,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_prompts=self._list_prompts if self._prompts else None,
            on_get_prompt=self._get_prompt if self._prompts else None,
        )
        self._serving = serving.Serving(server, "records-server")
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="records")

    async def start(self) -> None:
        """Make the sample when it is missing, and begin to answer."""
        await asyncio.to_thread(self.desk.make_sample)
        await self._serving.start()

    async def stop(self) -> None:
        """End what is under way and close the database."""
        await self._serving.stop()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self.desk.close()

    async def retire(self) -> None:
        """Stop once nothing is under way."""
        await self._serving.quiet()
        await self.stop()

    async def serve(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> Noted:
        """Answer one HTTP request of a caller who has passed every check, and say what its record should hold."""
        return await self._serving.serve(scope, receive, send, caller)

    async def _list_tools(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        permitted = serving.caller_of(context).permitted
        listed = [described(tool) for name, tool in self._tools.items() if permitted.tool(name).is_allowed]
        return types.ListToolsResult(tools=listed)

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        caller, noted = serving.caller_of(context), serving.noted_of(context)
        tool = self._tools.get(params.name)
        if tool is None:
            noted.outcome = "refused"
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name:.80}")
        serving.check(caller.permitted.tool(tool.name), noted)
        query = ""
        try:
            arguments = tool.read(dict(params.arguments or {}))
            query = arguments.get("q", "")
            if tool.mark != "read" and noted.admit is not None:
                await noted.admit()
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, self.desk.do, tool, arguments, caller
            )
        except RecordError as error:
            noted.outcome = "timeout" if error.code == "QUERY_TIMEOUT" else "tool_error"
            return _answer(told(error, query), is_error=True)
        except Unavailable as error:
            noted.outcome, noted.unavailable = "refused", error
            return _answer([{"errorCode": SERVER_UNAVAILABLE, "message": str(error)}], is_error=True)
        except Exception:
            noted.outcome = "error"
            incident = secrets.new_token()[:12]
            log.exception("incident", incident=incident, server=self._name, tool=tool.name)
            message = f"something went wrong on our side. Incident {incident}"
            return _answer([{"errorCode": UNKNOWN_EXCEPTION, "message": message}], is_error=True)
        noted.rows = rows_of(found)
        return _answer(found, is_error=False)

    async def _list_prompts(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        permitted = serving.caller_of(context).permitted
        listed = [each.described() for name, each in self._prompts.items() if permitted.prompt(name).is_allowed]
        return types.ListPromptsResult(prompts=listed)

    async def _get_prompt(
        self, context: ServerRequestContext[Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        caller, noted = serving.caller_of(context), serving.noted_of(context)
        prompt = self._prompts.get(params.name)
        if prompt is None:
            noted.outcome = "refused"
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name:.80}")
        serving.check(caller.permitted.prompt(prompt.name), noted)
        try:
            return prompt.filled(params.arguments or {})
        except ValueError as error:
            noted.outcome = "tool_error"
            raise MCPError(types.INVALID_PARAMS, str(error)) from None

    def _input_schema(self, name: str) -> dict[str, Any] | None:
        """For the library's check of ``Mcp-Param-*`` headers: without it every call would list all tools first."""
        tool = self._tools.get(name)
        return tool.schema() if tool else None


def described(tool: Tool) -> types.Tool:
    """A tool as it is listed."""
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.schema(),
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.mark == "read",
            destructive_hint=tool.mark == "destructive",
            idempotent_hint=tool.name != "createSobjectRecord",
            open_world_hint=False,
        ),
    )


def rows_of(found: Any) -> int:
    """How many records an answer holds, or a write has changed."""
    for name in ("records", "searchRecords", "recentItems"):
        if name in found:
            return len(found[name])
    return int("attributes" in found or "success" in found)


def _answer(body: Any, *, is_error: bool) -> types.CallToolResult:
    text = ENCODER.encode(body).decode()
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)
