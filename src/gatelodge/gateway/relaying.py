"""Where the relay meets what is live: it is told what an upstream is and what its callers may do, and ends what they may
do no more.
"""

import asyncio
import importlib
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.protected_resource import Gate
from gatelodge.web.site import Site

if TYPE_CHECKING:
    from gatelodge.gateway.relay import Relay, Upstream


class Relaying:
    """The relay of this node, loaded by its first call, so that a start stays lean."""

    def __init__(self, site: Site, gate: Gate) -> None:
        self._site, self._gate = site, gate
        self._relay: Relay | None = None
        self._upstreams: dict[str, tuple[McpServer, Upstream]] = {}
        self._loading = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._is_due = False
        site.live.on_applied(self._look_again)

    async def to(self, org: Org, server: McpServer, caller: Caller) -> ASGIApp:
        """What answers this caller's request from the upstream."""
        relay = self._relay or await self._loaded()
        return _Relayed(relay, self._upstream(server), caller)

    async def _loaded(self) -> "Relay":
        async with self._loading:
            if self._relay is None:
                # The HTTP client takes a while to import, and others are waiting.
                module = await asyncio.to_thread(importlib.import_module, "gatelodge.gateway.relay")
                made: Relay = module.Relay(self._site.ring, self._site.outbound, self._site.clock.exact)
                self._relay = made
            return self._relay

    def _upstream(self, server: McpServer) -> "Upstream":
        known = self._upstreams.get(server.id)
        if known is None or known[0] is not server:
            from gatelodge.gateway.relay import Upstream  # noqa: PLC0415 - loaded by now

            made = Upstream(
                url=server.source,
                terms=server.terms,
                name=server.name,
                org_id=server.org_id,
                server_id=server.id,
                instructions=server.label,
            )
            known = self._upstreams[server.id] = (server, made)
        return known[1]

    def _look_again(self) -> None:
        """Something has changed: whatever is under way is held against it, once for all that comes meanwhile."""
        self._is_due = True
        if self._relay is not None and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(self._relay), name="looking-again")

    async def _look(self, relay: "Relay") -> None:
        while self._is_due:
            self._is_due = False
            await relay.look_again(self._renewed)

    async def _renewed(self, caller: Caller) -> Caller | None:
        org = next((each for each in self._site.live.orgs() if each.id == caller.org_id), None)
        return await self._gate.renewed(org, caller) if org else None

    async def stop(self) -> None:
        """End every exchange and close every connection."""
        if self._looking is not None:
            self._looking.cancel()
        if self._relay is not None:
            await self._relay.stop()


class _Relayed:
    """An upstream's answer to one caller, as the ASGI application that a row returns."""

    def __init__(self, relay: "Relay", upstream: "Upstream", caller: Caller) -> None:
        self._relay, self._upstream, self._caller = relay, upstream, caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _ = await self._relay.serve(scope, receive, send, self._caller, self._upstream, _nothing)


async def _nothing(caller: Caller) -> dict[str, str]:
    """What an upstream without a credential gets."""
    return {}
