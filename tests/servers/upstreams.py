"""An MCP server somewhere else, over HTTP on this machine, that offers what a test says and changes when it says so."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


class Upstream:
    """``tools``, ``resources``, ``templates`` and ``prompts`` are what it offers now; ``heard`` counts its requests.

    ``wants`` is the Authorization without which it answers 401; ``called`` are the tools that were called.
    """

    def __init__(self, *tools: types.Tool) -> None:
        self.tools = list(tools)
        self.resources: list[types.Resource] = []
        self.templates: list[types.ResourceTemplate] = []
        self.prompts: list[types.Prompt] = []
        self.heard = 0
        self.answers: int | None = None
        self.page = 1000
        self.wants = ""
        self.called: list[str] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Its MCP URL, while it runs."""
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        config = uvicorn.Config(self._app(), log_level="error", lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.should_exit = True
            thread.join(10)
            listening.close()

    def _app(self) -> Any:
        server = Server(
            "weather",
            version="1.2",
            on_list_tools=self._list_tools,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_list_prompts=self._list_prompts,
            on_call_tool=self._call_tool,
        )
        manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await _lifespan(manager, receive, send)
                return
            self.heard += 1
            if self.wants and dict(scope["headers"]).get(b"authorization", b"").decode() != self.wants:
                await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
                await send({"type": "http.response.body", "body": b""})
                return
            if self.answers is not None:
                headers = [(b"location", b"http://127.0.0.1:1/"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": self.answers, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
            await manager.handle_request(scope, receive, send)

        return app

    async def _list_tools(self, context: Any, params: Any) -> types.ListToolsResult:
        start = int(params.cursor) if params and params.cursor else 0
        end = start + self.page
        more = str(end) if end < len(self.tools) else None
        return types.ListToolsResult(tools=self.tools[start:end], next_cursor=more)

    async def _call_tool(self, context: Any, params: Any) -> types.CallToolResult:
        self.called.append(params.name)
        is_error = (params.arguments or {}).get("q") == "fail"
        return types.CallToolResult(content=[types.TextContent(type="text", text="Sunny.")], is_error=is_error)

    async def _list_resources(self, context: Any, params: Any) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=self.resources)

    async def _list_templates(self, context: Any, params: Any) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=self.templates)

    async def _list_prompts(self, context: Any, params: Any) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=self.prompts)


async def _lifespan(manager: StreamableHTTPSessionManager, receive: Any, send: Any) -> None:
    async with manager.run():
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


def tool(name: str, description: str = "Tells the weather.", *, reads: bool = True, **more: Any) -> types.Tool:
    """A tool that says whether it only reads."""
    return types.Tool(
        name=name,
        description=description,
        input_schema={"type": "object", "properties": {"city": {"type": "string", "description": "Which city."}}},
        annotations=types.ToolAnnotations(read_only_hint=reads),
        **more,
    )
