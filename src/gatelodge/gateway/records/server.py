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
import sqlalchemy as sa
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from sqlalchemy.exc import OperationalError
from starlette.types import Receive, Scope, Send

from gatelodge import __version__
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.records import sample
from gatelodge.gateway.records.errors import INVALID_ARGUMENT, QUERY_TIMEOUT, RecordError, pointed
from gatelodge.gateway.records.schema import Catalogue
from gatelodge.gateway.records.tools import BY_NAME, TOOLS, Tool, Work

log = structlog.get_logger()
CALLER = "gatelodge.caller"
SAMPLE = "sample:"
SECONDS = 5.0
"""How long one query may run."""
STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""
THREADS = 4


class RecordsServer:
    """One records server. ``source`` is the path of its database; ``sample:`` before it: made here when it is missing."""

    def __init__(self, name: str, title: str, source: str, *, now: Callable[[], float]) -> None:
        self._now = now
        self._makes_sample = source.startswith(SAMPLE)
        self._database = Path(source.removeprefix(SAMPLE))
        server = Server(
            name, version=__version__, title=title, on_list_tools=self._list_tools, on_call_tool=self._call_tool
        )
        # Host, Origin and tokens are checked before a request comes here.
        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="records")
        self._engine: sa.Engine | None = None
        self._running: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Open the database and begin to answer."""
        if self._makes_sample and not self._database.exists():
            await asyncio.to_thread(sample.make_sample, self._database, self._today())
        self._engine = sa.create_engine(
            f"sqlite:///file:{self._database}?mode=ro&uri=true", pool_size=THREADS, max_overflow=0
        )
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
        self._threads.shutdown(cancel_futures=True)
        if self._engine is not None:
            self._engine.dispose()

    async def serve(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Answer one HTTP request of a caller who has passed every check."""
        await self._manager.handle_request({**scope, CALLER: caller}, receive, send)

    async def _list_tools(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool) for tool in TOOLS])

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = BY_NAME.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name:.80}")
        assert context.request is not None  # the Streamable HTTP transport always has one
        caller: Caller = context.request.scope[CALLER]
        arguments = dict(params.arguments or {})
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, self._work, tool, arguments, caller)
        except RecordError as error:
            query = next((value for value in arguments.values() if isinstance(value, str)), "")
            return _answer([{"errorCode": error.code, "message": pointed(error, query)}], is_error=True)
        return _answer(found, is_error=False)

    def _work(self, tool: Tool, arguments: dict[str, Any], caller: Caller) -> Any:
        """Run a tool on a connection of its own, for so many seconds at most."""
        assert self._engine is not None  # started
        read = tool.read(arguments)
        with self._engine.connect() as connection:
            self._limit(connection)
            work = Work(
                connection=connection,
                catalogue=Catalogue(sample.OBJECTS, caller.access),
                caller=caller,
                today=self._today(),
                now=dt.datetime.fromtimestamp(self._now(), dt.UTC).replace(tzinfo=None),
            )
            try:
                return tool.run(work, read)
            except OperationalError as error:
                if "interrupted" in str(error.orig):
                    raise RecordError(QUERY_TIMEOUT, f"the query ran longer than {SECONDS:.0f} s; narrow it.") from None
                raise
            except (OverflowError, UnicodeEncodeError) as error:
                raise RecordError(INVALID_ARGUMENT, f"a value can't be compared: {error}") from None

    def _limit(self, connection: sa.Connection) -> None:
        deadline = time.monotonic() + SECONDS
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._now(), dt.UTC).date()


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


def _answer(body: Any, *, is_error: bool) -> types.CallToolResult:
    text = msgspec.json.encode(body).decode()
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)
