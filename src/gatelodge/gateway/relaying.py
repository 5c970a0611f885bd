"""Where the relay meets what is live: it is told what an upstream is and what its callers may do, and ends what they may
do no more.
"""

import asyncio
import importlib
import time
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatelodge.core.calls import Call, recorded
from gatelodge.core.errors import Unavailable
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.server_items import TOOL
from gatelodge.gateway import before_calls, credentials
from gatelodge.gateway.approvals import Approvals
from gatelodge.gateway.before_calls import BeforeCalls
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.protected_resource import Gate
from gatelodge.gateway.user_grants import NeedsGrant
from gatelodge.gateway.writing_down import NOTED, Noted
from gatelodge.live import LiveServer
from gatelodge.web.recording import TRACE_ID, trace_of
from gatelodge.web.site import Site

if TYPE_CHECKING:
    from gatelodge.gateway.relay import Done, Inbound, Relay, Upstream


class Relaying:
    """The relay of this node, loaded by its first call, so that a start stays lean."""

    def __init__(self, site: Site, gate: Gate, approvals: Approvals) -> None:
        self.site, self._gate, self.approvals = site, gate, approvals
        self._relay: Relay | None = None
        self._upstreams: dict[str, tuple[McpServer, Upstream]] = {}
        self._loading = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._is_due = False
        site.live.on_applied(self._look_again)

    async def to(self, org: Org, live: LiveServer, caller: Caller) -> ASGIApp:
        """What answers this caller's request from the upstream."""
        relay = self._relay or await self._loaded()
        return _Relayed(self, relay, org, live, caller)

    async def _loaded(self) -> "Relay":
        async with self._loading:
            if self._relay is None:
                # The HTTP client takes a while to import, and others are waiting.
                module = await asyncio.to_thread(importlib.import_module, "gatelodge.gateway.relay")
                made: Relay = module.Relay(self.site.ring, self.site.outbound, self.site.clock.exact)
                self._relay = made
            return self._relay

    def upstream(self, server: McpServer) -> "Upstream":
        """A server as the relay knows it."""
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
        org = next((each for each in self.site.live.orgs() if each.id == caller.org_id), None)
        return await self._gate.renewed(org, caller) if org else None

    async def stop(self) -> None:
        """End every exchange and close every connection."""
        if self._looking is not None:
            self._looking.cancel()
        if self._relay is not None:
            await self._relay.stop()


class _Relayed:
    """An upstream's answer to one caller, as the ASGI application that a row returns; and the record of it."""

    def __init__(self, relaying: Relaying, relay: "Relay", org: Org, live: LiveServer, caller: Caller) -> None:
        self._relaying, self._relay, self._org, self._live, self._caller = relaying, relay, org, live, caller
        self._site = relaying.site
        self._found: Inbound | None = None
        self._done: Done | None = None
        self._begun = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, at = time.perf_counter(), self._site.clock.now_ms()
        noted, server = Noted(), self._live.server
        if scope["method"] == "POST" and self._caller.permitted.has_conditions:
            heard = _Heard(receive, send)
            before = BeforeCalls(self._relaying.approvals, self._org, server, self._caller, self._serve)
            await before({**scope, NOTED: noted}, heard.receive, heard.send)
            done = self._done or heard.done(noted)
        else:
            await self._serve(scope, receive, send)
            done = self._done
        if done is not None:
            duration_us = int((time.perf_counter() - began) * 1_000_000)
            trace_id = scope.get(TRACE_ID, "") or trace_of("")
            call = self._call(done, at, trace_id, duration_us=duration_us, approval_id=noted.approval_id)
            self._site.calls.note(call, self._begun)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        upstream = self._relaying.upstream(self._live.server)
        self._done = await self._relay.serve(
            scope, receive, send, self._caller, upstream, credential=self._credential, first=self._first
        )

    async def _credential(self, caller: Caller, refused: dict[str, str] | None = None) -> dict[str, str]:
        """What the upstream gets for this caller; ``refused`` is what it didn't take."""
        from gatelodge.gateway.relay import Failed  # noqa: PLC0415 - loaded by now

        try:
            return await credentials.headers_for(self._site, self._org, self._live.server, caller, refused=refused)
        except NeedsGrant as needed:
            raise Failed("refused", 403, str(needed), data={"url": needed.url}) from None
        except credentials.NoCredential as error:
            raise Failed("upstream_error", 502, str(error)) from None

    async def _first(self, caller: Caller, found: "Inbound") -> ASGIApp | None:
        """Before anything is sent on: that it can be written down."""
        from gatelodge.gateway.relay import Done, Failed  # noqa: PLC0415 - loaded by now

        self._found = found
        item = self._live.items.find(TOOL, found.name) if found.method == "tools/call" else None
        try:
            if item is None or item.mark == "read":
                self._site.calls.admit_read(caller.org_id)
            else:
                call = self._call(Done(method=found.method, name=found.name), self._site.clock.now_ms(), trace_of(""))
                self._begun = await self._site.calls.admit(call, is_write=True)
        except Unavailable as error:
            raise Failed("refused", 503, str(error), retry_after=error.retry_after) from None
        return None

    def _call(
        self, done: "Done", at: int, trace_id: str, *, duration_us: int = 0, approval_id: str = ""
    ) -> Call:  # fmt: skip
        caller, server = self._caller, self._live.server
        arguments = bytes(self._found.params.get("arguments", b"")) if self._found else b""
        return Call(
            at=at,
            org_id=caller.org_id,
            app_id=caller.app_id,
            client_id=caller.client_id,
            user_id=caller.user_id,
            connection_id=caller.connection_id,
            server=server.name,
            method=done.method[:100],
            name=done.name[:500],
            outcome=done.outcome,
            status=done.http_status,
            duration_us=duration_us,
            bytes_in=done.bytes_in,
            bytes_out=done.bytes_out,
            approval_id=approval_id,
            trace_id=trace_id,
            arguments_digest=self._site.calls.digest(caller.org_id, arguments) if arguments else "",
            arguments=recorded(arguments, server.masked) if arguments and server.records_arguments else "",
        )


class _Heard:
    """What passes while nothing is sent on: for the record of a call that was held or refused before it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._body = bytearray()
        self._status = self._sent = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._body += message.get("body", b"")
        return message

    async def send(self, message: Message) -> None:
        self._status = message.get("status", self._status)
        self._sent += len(message.get("body", b""))
        await self._send(message)

    def done(self, noted: Noted) -> "Done":
        """What became of it."""
        from gatelodge.gateway.relay import Done  # noqa: PLC0415 - loaded by now

        sent = before_calls.read(bytes(self._body))
        return Done(
            outcome=noted.outcome or "refused",
            http_status=self._status,
            bytes_in=len(self._body),
            bytes_out=self._sent,
            method=sent.method if sent else "",
            name=sent.name if sent else "",
        )
