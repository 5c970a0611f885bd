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
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.types import Receive, Scope, Send

from gatelodge import __version__
from gatelodge.core import secrets
from gatelodge.core.permitting import Verdict
from gatelodge.gateway.caller import Caller
<<<<<<< HEAD
from gatelodge.gateway.records import prompts
from gatelodge.gateway.records.desk import Desk
from gatelodge.gateway.records.errors import UNKNOWN_EXCEPTION, RecordError, told
from gatelodge.gateway.records.mapping import Mapping
from gatelodge.gateway.records.sources import Source
from gatelodge.gateway.records.tool import Tool
from gatelodge.gateway.records.variants import ALL, READS, VARIANTS
=======
from gatelodge.gateway.records import database, sample
from gatelodge.gateway.records.errors import INVALID_ARGUMENT, QUERY_TIMEOUT, UNKNOWN_EXCEPTION, RecordError, pointed
from gatelodge.gateway.records.schema import Catalogue
from gatelodge.gateway.records.tools import BY_NAME, TOOLS, Tool, Work
from gatelodge.gateway.writing_down import NOTED
>>>>>>> main

log = structlog.get_logger()
CALLER = "gatelodge.caller"
SERVED = "gatelodge.served"
SECONDS = 5.0
"""How long one call may take."""
THREADS = 4
LARGEST_BODY = 1024 * 1024
"""Bytes of a request, counted before anything parses it."""
RECORDS_OF_A_TOOL = ("records", "recentItems", "searchRecords")
"""Where a tool's answer holds records."""
INSTRUCTIONS = (
    "Works with the records of this org as the signed-in user. Ask getObjectSchema for the objects and their fields before"
    " writing a soqlQuery; find searches text in all of them."
)
ENCODER = msgspec.json.Encoder(decimal_format="number")


class Served(msgspec.Struct, kw_only=True):
    """What one request came to, for the record of the call: ``outcome`` as ``core.calls`` has it, ``name`` of the tool or
    prompt, ``rows`` that it read or wrote.
    """

    outcome: str = "ok"
    name: str = ""
    rows: int = 0


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
        self.desk = Desk(
            source, mapping or Mapping(), connections=THREADS, seconds=seconds, allows_private=allows_private, now=now
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
        # Host, Origin and tokens are checked before a request comes here.
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=LARGEST_BODY
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="records")
        self._running: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._under_way, self._is_quiet = 0, asyncio.Event()
        self._is_quiet.set()

    async def start(self) -> None:
        """Make the sample when it is missing, and begin to answer."""
        await asyncio.to_thread(self.desk.make_sample)
        ready = asyncio.Event()
        self._running = asyncio.create_task(self._run(ready), name="records-server")
        await ready.wait()

    async def _run(self, ready: asyncio.Event) -> None:
        """The library's task group must be left by the task that entered it."""
        async with self._manager.run():
            ready.set()
            await self._stopping.wait()

    async def stop(self) -> None:
        """End what is under way and close the database."""
        self._stopping.set()
        if self._running is not None:
            await self._running
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self.desk.close()

    async def retire(self) -> None:
        """Stop once nothing is under way."""
        await self._is_quiet.wait()
        await self.stop()

    async def serve(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> Served:
        """Answer one HTTP request of a caller who has passed every check, and say what it came to."""
        served = Served()
        self._under_way += 1
        self._is_quiet.clear()
        try:
            await self._manager.handle_request({**scope, CALLER: caller, SERVED: served}, receive, send)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_quiet.set()
        return served

    async def _list_tools(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        permitted = _caller(context).permitted
        listed = [described(tool) for name, tool in self._tools.items() if permitted.tool(name).is_allowed]
        return types.ListToolsResult(tools=listed)

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        caller, served = _caller(context), _served(context)
        served.name = params.name
        tool = self._tools.get(params.name)
        if tool is None:
            served.outcome = "refused"
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name:.80}")
        _check(caller.permitted.tool(tool.name), served)
        query = ""
        try:
            arguments = tool.read(dict(params.arguments or {}))
            query = arguments.get("q", "")
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, self.desk.do, tool, arguments, caller
            )
        except RecordError as error:
            served.outcome = "timeout" if error.code == "QUERY_TIMEOUT" else "tool_error"
            return _answer(told(error, query), is_error=True)
        except Exception:
            served.outcome = "error"
            incident = secrets.new_token()[:12]
            log.exception("incident", incident=incident, server=self._name, tool=tool.name)
            message = f"something went wrong on our side. Incident {incident}"
            return _answer([{"errorCode": UNKNOWN_EXCEPTION, "message": message}], is_error=True)
<<<<<<< HEAD
        served.rows = rows_of(found)
=======
        if context.request is not None and (noted := context.request.scope.get(NOTED)):
            noted.rows = _rows(found)
>>>>>>> main
        return _answer(found, is_error=False)

    async def _list_prompts(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        permitted = _caller(context).permitted
        listed = [each.described() for name, each in self._prompts.items() if permitted.prompt(name).is_allowed]
        return types.ListPromptsResult(prompts=listed)

    async def _get_prompt(
        self, context: ServerRequestContext[Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        caller, served = _caller(context), _served(context)
        served.name = params.name
        prompt = self._prompts.get(params.name)
        if prompt is None:
            served.outcome = "refused"
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name:.80}")
        _check(caller.permitted.prompt(prompt.name), served)
        try:
            return prompt.filled(params.arguments or {})
        except ValueError as error:
            served.outcome = "tool_error"
            raise MCPError(types.INVALID_PARAMS, str(error)) from None

    def _input_schema(self, name: str) -> dict[str, Any] | None:
        """For the library's check of ``Mcp-Param-*`` headers: without it every call would list all tools first."""
        tool = self._tools.get(name)
        return tool.schema() if tool else None


def _rows(found: Any) -> int:
    """How many records a tool has found, for the record of its call."""
    lists = (found.get(name) for name in RECORDS_OF_A_TOOL) if isinstance(found, dict) else ()
    return sum(len(each) for each in lists if isinstance(each, list))


def _caller(context: ServerRequestContext[Any]) -> Caller:
    assert context.request is not None  # the Streamable HTTP transport always has one
    return context.request.scope[CALLER]


def _served(context: ServerRequestContext[Any]) -> Served:
    assert context.request is not None
    return context.request.scope[SERVED]


def _check(verdict: Verdict, served: Served) -> None:
    """Listing and calling ask one function. Raises ``MCPError`` for what isn't allowed."""
    if not verdict.is_allowed:
        served.outcome = "refused"
        raise MCPError(types.INVALID_PARAMS, verdict.why)
    if verdict.missing_scopes:
        served.outcome = "needs_scope"
        raise MCPError(types.INVALID_REQUEST, f"this call needs the scopes {' '.join(verdict.missing_scopes)}")


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
