"""The REST APIs that this node serves: each from its first call on, and anew when its row changes."""

import asyncio
import contextlib
import importlib
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.gateway.caller import Caller
from gatelodge.live import LiveServer
from gatelodge.web.site import Site

if TYPE_CHECKING:
    from gatelodge.gateway.openapi.server import OpenApiServer

OURS = (b"authorization", b"cookie")


class StartedApis:
    """Those of one node."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._started: dict[str, tuple[tuple[Org, McpServer], OpenApiServer]] = {}
        self._starting = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    async def to(self, org: Org, live: LiveServer, caller: Caller) -> ASGIApp:
        """What answers this caller's request."""
        return _Served(await self._get(org, live), live, caller)

    async def _get(self, org: Org, live: LiveServer) -> "OpenApiServer":
        row, key = live.server, (org, live.server)
        found = self._started.get(row.id)
        if found is not None and found[0] == key:
            return found[1]
        async with self._starting:
            found = self._started.get(row.id)
            if found is not None and found[0] == key:
                return found[1]
            # The HTTP client takes a while to import, and others are waiting.
            module = await asyncio.to_thread(importlib.import_module, "gatelodge.gateway.openapi.server")
            made: OpenApiServer = module.OpenApiServer(self._site, org, live)
            await made.start()
            self._started[row.id] = (key, made)
            if found is not None:
                self._retire(found[1])
            return made

    def _retire(self, server: "OpenApiServer") -> None:
        """Calls that are under way end as they began."""
        task = asyncio.create_task(server.retire(), name="openapi-retire")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def stop(self) -> None:
        """Stop the servers that were started."""
        for _, server in self._started.values():
            await server.stop()
        for task in self._retiring:
            _ = task.cancel()


class _Served:
    """A server's answer to one caller, as the ASGI application that a row returns."""

    def __init__(self, server: "OpenApiServer", live: LiveServer, caller: Caller) -> None:
        self._server, self._live, self._caller = server, live, caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What a server is not given it can't pass on or log.
        headers = [(name, value) for name, value in scope["headers"] if name not in OURS]
        with contextlib.suppress(ClientDisconnect):  # nobody is left to be told
            await self._server.serve({**scope, "headers": headers}, receive, send, self._live, self._caller)
