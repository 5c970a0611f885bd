"""Where the relay meets what is live: it is told what an upstream is and what its callers may do, and ends what they may
do no more.
"""

import asyncio
import contextlib
import importlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from gatelodge.core.calls import Call
from gatelodge.core.errors import Unavailable
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.server_items import TOOL, Catalogue, LacksCredential, NotRead
from gatelodge.core.server_kinds import STDIO, command_line
from gatelodge.core.users import User
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.credentials import NeedsReader, NoCredential, headers_for, headers_to_read
from gatelodge.gateway.protected_resource import Gate
from gatelodge.gateway.user_grants import NeedsGrant
from gatelodge.gateway.writing_down import NOTED, Noted, call_of
from gatelodge.live import LiveServer
from gatelodge.web import local_commands, looking
from gatelodge.web.recording import TRACE_ID, trace_of
from gatelodge.web.site import Site
from gatelodge.words import Reason, reason, verbatim

if TYPE_CHECKING:
    from gatelodge.gateway.relay import Done, Failed, Inbound, Relay, Upstream
    from gatelodge.gateway.relay.upstream import Line
    from gatelodge.gateway.stdio.line import CommandLine, Commands


class Relaying:
    """The relay of this node, loaded by its first call, so that a start stays lean."""

    def __init__(self, site: Site, gate: Gate) -> None:
        self._site, self._gate = site, gate
        self._relay: Relay | None = None
        self._commands: Commands | None = None
        self._upstreams: dict[str, tuple[McpServer, Upstream]] = {}
        self._loading = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._is_due = False
        self._early = looking.Early(site)
        site.live.on_applied(self._look_again)

    async def to(self, org: Org, live: LiveServer, caller: Caller) -> ASGIApp:
        """What answers this caller's request from the upstream."""
        relay = self._relay or await self._loaded()
        return _Relayed(self._site, org, relay, self._upstream(live.server), live, caller, self._early)

    async def catalogue(self, org: Org, server: McpServer, reader: User | None) -> Catalogue:
        """All that an upstream offers now to who brings its credential: this user's where each has their own.

        Raises ``NotRead``.
        """
        relay = self._relay or await self._loaded()
        from gatelodge.gateway.relay import Failed, Unauthorized  # noqa: PLC0415 - loaded by now

        upstream = self._upstream(server)
        if upstream.command:
            return await self._told_by_command(relay, upstream)
        try:
            given = await headers_to_read(self._site, org, server, reader)
            try:
                return await relay.catalogue(upstream, given)
            except Unauthorized:
                again = await headers_to_read(self._site, org, server, reader, refused=given)
                if again == given:
                    raise
                return await relay.catalogue(upstream, again)
        except (NeedsGrant, NeedsReader) as error:
            return await self._reached(relay, upstream, error.reason)
        except (Failed, NoCredential) as error:
            raise NotRead(error.reason) from None

    async def _told_by_command(self, relay: "Relay", upstream: "Upstream") -> Catalogue:
        """What a local command offers, by a child of its own that ends with it. Raises ``NotRead``."""
        from gatelodge.gateway.relay import Failed  # noqa: PLC0415 - loaded by now
        from gatelodge.gateway.stdio.line import read_once  # noqa: PLC0415 - few orgs have one

        given = read_once()
        try:
            return await relay.catalogue(upstream, given)
        except Failed as error:
            raise NotRead(error.reason) from None
        finally:
            if self._commands is not None:
                self._commands.end_all_of(given)

    async def _reached(self, relay: "Relay", upstream: "Upstream", lacking: Reason) -> Catalogue:
        """Without a credential an upstream says that it wants one, which shows that it is there. Raises ``NotRead``."""
        from gatelodge.gateway.relay import Failed, Unauthorized  # noqa: PLC0415 - loaded by now

        try:
            with contextlib.suppress(Unauthorized):
                _version = await relay.probe(upstream, {})
        except Failed as error:
            raise NotRead(error.reason) from None
        raise LacksCredential(lacking)

    async def _loaded(self) -> "Relay":
        async with self._loading:
            if self._relay is None:
                # The HTTP client takes a while to import, and others are waiting.
                module = await asyncio.to_thread(importlib.import_module, "gatelodge.gateway.relay")
                made: Relay = module.Relay(self._site.ring, self._line, self._site.clock.exact)
                self._relay = made
            return self._relay

    def _line(self, upstream: "Upstream") -> "Line":
        """The way to an upstream: over HTTP, or to children of this node."""
        if not upstream.command:
            from gatelodge.gateway.relay.upstream import HttpLine  # noqa: PLC0415 - loaded by now

            return HttpLine(upstream, self._site.outbound)
        if self._commands is None:
            from gatelodge.gateway.stdio.line import Commands  # noqa: PLC0415 - few orgs have one

            config = self._site.config
            self._commands = Commands(Path(config.data).resolve() / "stdio", partial(local_commands.problem, config))
        return self._commands.line(upstream)

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
                command=command_line(server.source) if server.kind == STDIO else (),
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
            for server, upstream in list(self._upstreams.values()):
                if not await self._is_live(upstream) and self._upstreams.get(server.id) == (server, upstream):
                    del self._upstreams[server.id]
                    relay.forget(server.id)
            if self._commands is not None:
                await self._commands.look_again(self._is_live, self._renewed)

    async def _is_live(self, upstream: "Upstream") -> bool:
        """Whether apps may still call this server, and it is the same."""
        live = (await self._site.live.servers(upstream.org_id)).get(upstream.name)
        return live is not None and self._upstream(live.server) == upstream

    async def _renewed(self, caller: Caller) -> Caller | None:
        org = next((each for each in self._site.live.orgs() if each.id == caller.org_id), None)
        return await self._gate.renewed(org, caller) if org else None

    async def stop(self) -> None:
        """End every exchange and close every connection."""
        if self._looking is not None:
            self._looking.cancel()
        await self._early.stop()
        if self._relay is not None:
            await self._relay.stop()
        if self._commands is not None:
            await self._commands.stop()


class _Relayed:
    """An upstream's answer to one caller, as the ASGI application that a row returns; and the record of it."""

    def __init__(
        self,
        site: Site,
        org: Org,
        relay: "Relay",
        upstream: "Upstream",
        live: LiveServer,
        caller: Caller,
        early: looking.Early,
    ) -> None:
        self._site, self._org, self._relay, self._upstream = site, org, relay, upstream
        self._live, self._caller, self._early = live, caller, early
        self._noted = Noted()
        self._found: Inbound | None = None
        self._begun = ""
        self._at = site.clock.now_ms()
        self._trace_id = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        self._trace_id, self._noted = scope.get(TRACE_ID, ""), scope.get(NOTED) or self._noted
        done = await self._relay.serve(
            scope, receive, send, self._caller, self._upstream, credential=self._credential, first=self._first
        )
        done.duration_us = int((time.perf_counter() - began) * 1_000_000)
        self._site.calls.note(self._call(done), self._begun)
        if done.has_drifted:
            self._early.look(self._org, self._live.server)

    async def _credential(self, caller: Caller, refused: dict[str, str] | None = None) -> dict[str, str]:
        """What the upstream gets for this caller in the place of their token; ``refused`` is what it didn't take."""
        if self._upstream.command:
            return cast("CommandLine", self._relay.line(self._upstream)).owned_by(caller)
        try:
            return await headers_for(self._site, self._org, self._live.server, caller, refused=refused)
        except NeedsGrant as error:
            raise _failed("refused", 403, error.reason, data={"url": error.url}) from None
        except NoCredential as error:
            raise _failed("upstream_error", 502, error.reason) from None

    async def _first(self, caller: Caller, found: "Inbound") -> ASGIApp | None:
        """Before anything is sent on: that nothing more was to be asked, and that it can be written down."""
        self._found = found
        item = self._live.items.find(TOOL, found.name) if found.method == "tools/call" else None
        if item is not None:
            verdict = caller.permitted.tool(found.name)
            if verdict.missing_scopes or (verdict.asks_first and not self._noted.approval_id):
                # ``BeforeCalls`` has asked already. Where it was not, nothing goes on.
                raise _failed(
                    "refused",
                    403,
                    reason("{name} needs more scopes, or the approval of a person first", name=found.name[:80]),
                )
        try:
            if item is None or item.mark == "read":
                self._site.calls.admit_read(caller.org_id)
            else:
                from gatelodge.gateway.relay import Done  # noqa: PLC0415 - loaded by now

                call = self._call(Done(method=found.method, name=found.name))
                self._begun = await self._site.calls.admit(call, is_write=True)
        except Unavailable as error:
            raise _failed("refused", 503, verbatim(str(error)), retry_after=error.retry_after) from None
        return None

    def _call(self, done: "Done") -> Call:
        return call_of(
            self._site,
            self._live.server,
            self._caller,
            bytes(self._found.params.get("arguments", b"")) if self._found else b"",
            at=self._at,
            method=done.method[:100],
            name=done.name[:500],
            outcome=done.outcome,
            approval_id=self._noted.approval_id,
            status=done.http_status,
            duration_us=done.duration_us,
            bytes_in=done.bytes_in,
            bytes_out=done.bytes_out,
            trace_id=self._trace_id or trace_of(""),
        )


def _failed(outcome: str, status: int, why: Reason, **more: Any) -> "Failed":
    """What ends a call before it was sent on."""
    from gatelodge.gateway.relay import Failed  # noqa: PLC0415 - loaded by now; an import costs a call that goes well

    return Failed(outcome, status, why, **more)
