"""The hosted servers that a node has started: each by its first call, anew when it is set up otherwise, and stopped when
no app may call it any more.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from gatelodge.core.errors import Unavailable
from gatelodge.core.orgs import Org
from gatelodge.live import LiveServer
from gatelodge.web.site import Site

OURS = (b"authorization", b"cookie")
"""Headers that end here: what a server is not given it can't pass on or log."""


class Hosting(Protocol):
    """What is asked of a server that was started."""

    async def stop(self) -> None:
        """End what is under way, and let go of everything."""
        ...

    async def retire(self) -> None:
        """Stop once nothing is under way."""
        ...


S = TypeVar("S", bound=Hosting)


class Prepared(msgspec.Struct, Generic[S], frozen=True):
    """What a server would be started from, and how. The same ``key`` again needs no other server."""

    key: tuple[object, ...]
    start: Callable[[], Awaitable[S]]


class _One(Generic[S]):
    """A started server, what it was last compared with, and what it was started from."""

    def __init__(self, server: S, org: Org, live: LiveServer, key: tuple[object, ...]) -> None:
        self.server, self.org, self.live, self.key = server, org, live, key


class Hosted(Generic[S]):
    """Those of one kind on one node."""

    def __init__(self, site: Site, prepare: Callable[[Site, Org, LiveServer], Awaitable[Prepared[S]]]) -> None:
        self._site, self._prepare = site, prepare
        self.started: dict[str, _One[S]] = {}
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        site.live.on_applied(self._look_soon)

    async def get(self, org: Org, live: LiveServer) -> S:
        """The running server of this row. Raises what preparing and starting it raise."""
        found = self.started.get(live.server.id)
        if found is not None and found.live is live and found.org is org:
            return found.server
        async with self._starting:
            found = self.started.get(live.server.id)
            if found is None or found.live is not live or found.org is not org:
                found = await self._renewed(org, live, found)
            return found.server

    async def _renewed(self, org: Org, live: LiveServer, found: _One[S] | None) -> _One[S]:
        prepared = await self._prepare(self._site, org, live)
        if found is None or found.key != prepared.key:
            fresh = _One(await prepared.start(), org, live, prepared.key)
            if found is not None:
                self._retire(found.server)
            self.started[live.server.id] = found = fresh
        found.org, found.live = org, live
        return found

    def _look_soon(self) -> None:
        if self.started:
            self._later(self._look_again())

    async def _look_again(self) -> None:
        """Let go of the servers that no app may call any more, with their connections and what they know of secrets."""
        with contextlib.suppress(Unavailable):  # the next change that is applied asks again
            for server_id, each in list(self.started.items()):
                live = (await self._site.live.servers(each.org.id)).get(each.live.server.name)
                if (live is None or live.server.id != server_id) and self.started.get(server_id) is each:
                    del self.started[server_id]
                    self._retire(each.server)

    def _retire(self, server: S) -> None:
        """Calls that are under way end as they began."""
        self._later(server.retire())

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Stop them all."""
        for each in self.started.values():
            await each.server.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Served:
    """A hosted server's answer to one caller, as the ASGI application that a row returns."""

    def __init__(self, serve: Callable[[Scope, Receive, Send], Awaitable[object]]) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, without what the client showed us alone."""
        headers = [(name, value) for name, value in scope["headers"] if name not in OURS]
        with contextlib.suppress(ClientDisconnect):  # nobody is left to be told
            await self._serve({**scope, "headers": headers}, receive, send)
