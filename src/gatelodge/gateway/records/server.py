"""The hosted MCP server: both protocol eras by the ``mcp`` library, behind our own gate, over a read-only database."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mcp_types as types
import msgspec
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from sqlalchemy.exc import OperationalError
from starlette.types import Receive, Scope, Send

from gatelodge import __version__
from gatelodge.core import secrets
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.records import database, sample
from gatelodge.gateway.records.errors import INVALID_ARGUMENT, QUERY_TIMEOUT, UNKNOWN_EXCEPTION, RecordError, pointed
from gatelodge.gateway.records.schema import Catalogue
from gatelodge.gateway.records.tools import BY_NAME, TOOLS, Tool, Work
from gatelodge.gateway.writing_down import NOTED

log = structlog.get_logger()
CALLER = "gatelodge.caller"
SAMPLE = "sample:"
SECONDS = 5.0
"""How long one call may read."""
THREADS = 4
LARGEST_BODY = 1024 * 1024
"""Bytes of a request, counted before anything parses it."""
RECORDS_OF_A_TOOL = ("records", "recentItems", "searchRecords")
"""Where a tool's answer holds records."""
INSTRUCTIONS = (
    "Reads the records of this org as the signed-in user. Ask getObjectSchema for the objects and their fields before"
    " writing a soqlQuery; find searches text in all of them."
)


class RecordsServer:
    """One records server. ``source`` is the path of its database; ``sample:`` before it: made here when it is missing.

    ``seconds`` is how long one call may read.
    """

    def __init__(
        self, name: str, title: str, source: str, *, now: Callable[[], float], seconds: float = SECONDS
    ) -> None:
        self.seconds = seconds
        self._name, self._now = name, now
        self._makes_sample = source.startswith(SAMPLE)
        self._database = Path(source.removeprefix(SAMPLE))
        server = Server(
            name,
            version=__version__,
            title=title,
            instructions=INSTRUCTIONS,
            get_tool_input_schema=_input_schema,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        # Host, Origin and tokens are checked before a request comes here.
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=LARGEST_BODY
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="records")
        self._engine = database.opened(self._database, connections=THREADS)
        self._running: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Make the sample when it is missing, and begin to answer."""
        if self._makes_sample and not self._database.exists():
            await asyncio.to_thread(sample.make_sample, self._database, self._today())
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
        self._engine.dispose()

    async def serve(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Answer one HTTP request of a caller who has passed every check."""
        await self._manager.handle_request({**scope, CALLER: caller}, receive, send)

    async def _list_tools(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        caller = _caller(context)
        return types.ListToolsResult(tools=[each for each in DESCRIBED if caller.permitted.tool(each.name).is_allowed])

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        caller, tool = _caller(context), BY_NAME.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name:.80}")
        verdict = caller.permitted.tool(params.name)
        if not verdict.is_allowed:
            raise MCPError(types.INVALID_PARAMS, verdict.why)
        query = ""
        try:
            arguments = tool.read(dict(params.arguments or {}))
            query = arguments.get("q", "")
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._work, tool, arguments, caller)
        except RecordError as error:
            return _answer([{"errorCode": error.code, "message": pointed(error, query)}], is_error=True)
        except Exception:
            incident = secrets.new_token()[:12]
            log.exception("incident", incident=incident, server=self._name, tool=tool.name)
            message = f"something went wrong on our side. Incident {incident}"
            return _answer([{"errorCode": UNKNOWN_EXCEPTION, "message": message}], is_error=True)
        if context.request is not None and (noted := context.request.scope.get(NOTED)):
            noted.rows = _rows(found)
        return _answer(found, is_error=False)

    def _work(self, tool: Tool, arguments: dict[str, Any], caller: Caller) -> Any:
        """Run a tool on a connection of its own, for so many seconds at most."""
        deadline = time.monotonic() + self.seconds
        with self._engine.connect() as connection:
            database.interrupt(connection, lambda: time.monotonic() > deadline)
            work = Work(
                connection=connection,
                catalogue=Catalogue(sample.OBJECTS, caller.access),
                caller=caller,
                today=self._today(),
                now=dt.datetime.fromtimestamp(self._now(), dt.UTC).replace(tzinfo=None),
            )
            try:
                return tool.run(work, arguments)
            except OperationalError as error:
                if database.was_interrupted(error):
                    raise RecordError(QUERY_TIMEOUT, f"it took longer than {self.seconds:g} s; narrow it.") from None
                raise
            except OverflowError:
                raise RecordError(INVALID_ARGUMENT, "a number is larger than the database can compare.") from None

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._now(), dt.UTC).date()


def _rows(found: Any) -> int:
    """How many records a tool has found, for the record of its call."""
    lists = (found.get(name) for name in RECORDS_OF_A_TOOL) if isinstance(found, dict) else ()
    return sum(len(each) for each in lists if isinstance(each, list))


def _caller(context: ServerRequestContext[Any]) -> Caller:
    assert context.request is not None  # the Streamable HTTP transport always has one
    caller: Caller = context.request.scope[CALLER]
    return caller


def _described(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.schema(),
        annotations=types.ToolAnnotations(
            title=tool.title, read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


DESCRIBED = [_described(tool) for tool in TOOLS]
SCHEMAS = {tool.name: tool.schema() for tool in TOOLS}


def _input_schema(name: str) -> dict[str, Any] | None:
    """For the library's check of ``Mcp-Param-*`` headers: without it every call would list all tools first."""
    return SCHEMAS.get(name)


def _answer(body: Any, *, is_error: bool) -> types.CallToolResult:
    text = msgspec.json.encode(body).decode()
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)
