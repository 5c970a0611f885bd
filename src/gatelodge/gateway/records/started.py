"""The records servers that this node has started: each by its first call, and anew when it is set up otherwise."""

import asyncio
from typing import TYPE_CHECKING

from gatelodge.core import record_databases
from gatelodge.core.mcp_servers import McpServer
from gatelodge.gateway.records import registering
from gatelodge.web.site import Site

if TYPE_CHECKING:
    from gatelodge.gateway.records.server import RecordsServer


class _One:
    """A started server, the row that it was last compared with, and what it was started from."""

    def __init__(self, server: "RecordsServer", row: McpServer, key: tuple[object, ...]) -> None:
        self.server, self.row, self.key = server, row, key


class Started:
    """Those of one node."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._started: dict[str, _One] = {}
        self._starting = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    async def get(self, row: McpServer) -> "RecordsServer":
        """The running server of this row. Raises ``Refused`` where its database can't be used any more."""
        found = self._started.get(row.id)
        if found is not None and found.row is row:
            return found.server
        async with self._starting:
            found = self._started.get(row.id)
            if found is not None and found.row is row:
                return found.server
            kept = await self._site.store.read(record_databases.of_server, row.org_id, row.id)
            key = (row.label, row.source, row.variant, row.terms.allows_private, kept.revision)
            if found is None or found.key != key:
                fresh = await registering.opened(self._site, row, kept)
                if found is not None:
                    self._retire(found.server)
                found = self._started[row.id] = _One(fresh, row, key)
            found.row = row
            return found.server

    def _retire(self, server: "RecordsServer") -> None:
        """Calls that are under way end as they began."""
        task = asyncio.create_task(server.retire(), name="records-retire")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def stop(self) -> None:
        """Stop the servers that were started."""
        for each in self._started.values():
            await each.server.stop()
        await asyncio.gather(*self._retiring)
