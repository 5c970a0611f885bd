"""The relay of one node: from a client's request, with its caller known, to an upstream and back. It knows no database."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from gatelodge.core.secrets import KeyRing
from gatelodge.core.server_items import Catalogue
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.relay import asking, catalogue, downwards, filtering, inbound, passing, upwards, words
from gatelodge.gateway.relay.exchange import WATCH_AFTER, Done, Exchange
from gatelodge.gateway.relay.inbound import NULL, Inbound, Refused
from gatelodge.gateway.relay.sessions import Session, Sessions, State, owner_of
from gatelodge.gateway.relay.upstream import Credential, Failed, Line, Unauthorized, Upstream
from gatelodge.words import verbatim

log = structlog.get_logger()
SWEEP_SECONDS = 60.0
MOST_STREAMS_OF_A_CALLER = 100
"""Listening streams that one user may have open through one app on this node."""
LEFT = "the client has left"
TOO_LONG = "the call took longer than it may"


First = Callable[[Caller, Inbound], Awaitable[ASGIApp | None]]
"""What is asked before a message is sent on: whether somebody has an answer to it already."""


class Relay:
    """Holds the lines to upstreams, the sessions, and every exchange that is under way."""

    def __init__(self, ring: KeyRing, make_line: Callable[[Upstream], Line], now: Callable[[], float]) -> None:
        self._make_line, self._now = make_line, now
        self._lines: dict[str, Line] = {}
        clock = asyncio.get_running_loop().time
        self.sessions = Sessions(ring, clock, now)
        self._held = upwards.HeldCalls(ring, clock)
        self._open: dict[Exchange, None] = {}
        self._begun: dict[Exchange, None] = {}
        self._lasting: dict[Exchange, None] = {}
        self._ticking: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.later(self._sweep())

    async def stop(self) -> None:
        """End everything."""
        for exchange in list(self._open):
            exchange.end("the server is stopping")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._held.close()
        for line in self._lines.values():
            await line.close()
        if self._ticking is not None:
            self._ticking.cancel()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that no client waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sessions.end_idle()
            self._held.end_idle()

    def line(self, upstream: Upstream) -> Line:
        """The connections to an upstream; where its terms have changed, new ones, and the old ones end with their calls."""
        line = self._lines.get(upstream.server_id)
        if line is None or line.upstream != upstream:
            if line is not None:
                self.later(_close_after(line, line.upstream.terms.call_seconds))
            line = self._lines[upstream.server_id] = self._make_line(upstream)
        return line

    def forget(self, server_id: str) -> None:
        """Close the connections to an upstream that nobody may call any more, once their calls have ended."""
        line = self._lines.pop(server_id, None)
        if line is not None:
            self.later(_close_after(line, line.upstream.terms.call_seconds))

    async def catalogue(self, upstream: Upstream, given: Mapping[str, str]) -> Catalogue:
        """All that an upstream offers to whoever brings these headers. Raises ``Failed``."""
        return await catalogue.read(self.line(upstream), given)

    async def probe(self, upstream: Upstream, given: Mapping[str, str]) -> str:
        """The revision that an upstream speaks, which it has just answered in. Raises ``Failed``."""
        return await catalogue.probe(self.line(upstream), given)

    async def look_again(self, renewed: Callable[[Caller], Awaitable[Caller | None]]) -> None:
        """End whatever is under way for a caller who would not be let in any more; what stays is held against what the
        caller may do now.
        """
        for exchange in list(self._open):
            caller = await renewed(exchange.caller)
            if caller is None:
                exchange.end("what it stood on has ended")
            elif not filtering.may_go_on(caller.permitted, exchange.inbound):
                exchange.end("what was called may not be used any more")
            else:
                exchange.caller = caller
        await self._held.look_again(renewed)

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        caller: Caller,
        upstream: Upstream,
        *,
        credential: Credential,
        first: First,
    ) -> Done:
        """Answer one request of a caller who has passed every check, and say what became of it. ``first`` is asked about
        every message that would be sent on; where it has an answer of its own, that is given and nothing is sent.
        """
        exchange = Exchange(scope, receive, send, caller, self.line(upstream), now=self._now(), later=self.later)
        exchange.task, exchange.credential = asyncio.current_task(), credential
        self._open[exchange] = None
        try:
            try:
                await self._serve(exchange, credential, first)
            except Refused as refused:
                await exchange.refuse(refused)
            except Failed as failed:
                await exchange.fail(failed)
        except ClientDisconnect:
            _note(exchange, "cancelled", LEFT)
        except TimeoutError:
            _note(exchange, "cancelled", "the client read nothing for too long")
        except asyncio.CancelledError:
            if not exchange.ended or exchange.task is None:
                raise
            _ = exchange.task.uncancel()
            await _end(exchange)
        finally:
            del self._open[exchange]
            _ = self._begun.pop(exchange, None), self._lasting.pop(exchange, None)
            if exchange.watching is not None:
                _ = exchange.watching.cancel()
        return exchange.done

    def _watch_soon(self, exchange: Exchange) -> None:
        """Have somebody look whether the client is still there, once this has lasted a while. Nobody else reads what it
        sends from now on. One timer for all: most calls are over before it rings.
        """
        self._begun[exchange] = None
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().call_later(WATCH_AFTER, self._tick)

    def _tick(self) -> None:
        for exchange in self._lasting:
            exchange.watching = asyncio.create_task(_watch(exchange))
        self._lasting, self._begun = self._begun, {}
        again = asyncio.get_running_loop().call_later if self._lasting else None
        self._ticking = again(WATCH_AFTER, self._tick) if again else None

    async def _serve(self, exchange: Exchange, credential: Credential, first: First) -> None:
        if exchange.method == "POST":
            body = await inbound.read_body(exchange.headers, exchange.receive)
            self._watch_soon(exchange)
            exchange.done.bytes_in = len(body)
            exchange.inbound = found = inbound.parse(body, exchange.headers)
            exchange.done.method, exchange.done.name = found.method, found.name
            if found.is_modern and not found.is_request:
                # It has no notifications of a client's: calling off is closing the answer.
                inbound.check_version(found)
                await exchange.answer(202, b"")
                return
            self._check(exchange)
            answer = await first(exchange.caller, found)
            if answer is not None:
                await exchange.hand_over(answer)
                return
        elif exchange.headers.get(b"mcp-protocol-version", b"").decode("latin-1") not in ("", *words.LEGACY):
            raise Refused(405, words.INVALID_REQUEST, "this revision has no sessions and no streams of their own")
        else:
            self._watch_soon(exchange)
            self._check(exchange)
        exchange.given = await credential(exchange.caller, None)
        answer_by = self._modern if exchange.inbound.is_modern else self._legacy
        try:
            await answer_by(exchange)
        except Unauthorized:
            # Before anything of the request was done: a session was refused, or a stream, or what we asked on our own.
            if exchange.has_started or not await exchange.renew():
                raise
            await answer_by(exchange)

    def _check(self, exchange: Exchange) -> None:
        """Hold a request against its revision, and against what its caller may do. Raises ``Refused``."""
        found, permitted = exchange.inbound, exchange.caller.permitted
        if found.is_modern:
            inbound.check_modern(found, exchange.headers)
        if exchange.method != "DELETE":
            check_takes(exchange, needs_events=exchange.is_listening)
        filtering.check_asked(permitted, found)
        filtering.check_tasks(exchange.line.upstream, found)
        if found.is_modern:
            filtering.check_parameters(permitted, found, exchange.headers)
        if exchange.is_listening:
            self._check_streams(exchange)

    async def _modern(self, exchange: Exchange) -> None:
        line = exchange.line
        if line.eras.modern or (line.eras.modern is None and await asking.speaks_modern(line, exchange.given)):
            await passing.modern(exchange)
        elif await asking.speaks_legacy(line, exchange.given):
            await upwards.serve(exchange, self._held)
        else:
            raise asking.refuses(line)

    async def _legacy(self, exchange: Exchange) -> None:
        found = exchange.inbound
        session = self._session(exchange)
        if found.method == words.INITIALIZE:
            await self._begin(exchange)
        elif session is not None and session.state.is_bridged:
            await self._bridged(exchange, session)
        elif session is None and not await asking.speaks_legacy(exchange.line, exchange.given):
            raise Refused(400, words.INVALID_REQUEST, "Bad Request: Missing session ID", id=found.id)
        elif exchange.method == "GET":
            await passing.listen(exchange, session)
        elif exchange.method == "DELETE":
            if session is None:
                raise Refused(405, words.INVALID_REQUEST, "there is no session to end")
            await passing.end(exchange, session, self.sessions)
        else:
            await passing.legacy(exchange, session, self.sessions)

    async def _begin(self, exchange: Exchange) -> None:
        line = exchange.line
        if line.eras.legacy is not False and await passing.begin(exchange, self.sessions):
            return
        line.eras.legacy = False
        if not await asking.speaks_modern(line, exchange.given):
            line.eras.legacy = None
            raise asking.refuses(line)
        await downwards.begin(exchange, self.sessions)

    async def _bridged(self, exchange: Exchange, session: Session) -> None:
        if exchange.method == "GET":
            await downwards.listen(exchange, session)
        elif exchange.method == "DELETE":
            self.sessions.end(session)
            await exchange.answer(204, b"")
        else:
            await downwards.serve(exchange, session)

    def _session(self, exchange: Exchange) -> Session | None:
        """The session that a request names; None where it names none. Raises ``Refused``."""
        named = exchange.headers.get(b"mcp-session-id")
        if named is None or exchange.inbound.method == words.INITIALIZE:
            return None
        line, given = exchange.line, exchange.given

        def end(state: State) -> None:
            self.later(passing.end_at(line, given, state))

        owner = owner_of(exchange.caller, line.upstream)
        session = self.sessions.find(owner, named.decode("latin-1"), end)
        if session is None:
            raise passing.over(exchange)
        return session

    def _check_streams(self, exchange: Exchange) -> None:
        owner = owner_of(exchange.caller, exchange.line.upstream)
        own = sum(each.is_stream and owner_of(each.caller, each.line.upstream) == owner for each in self._open)
        if own >= MOST_STREAMS_OF_A_CALLER:
            why = f"this user has {own} streams open through this app; close one of them first"
            raise Refused(429, words.INVALID_REQUEST, why, id=exchange.inbound.id)


def check_takes(exchange: Exchange, *, needs_events: bool) -> None:
    """Raises ``Refused`` (406) when the client takes no answer that it could be given."""
    takes_json, takes_events = inbound.takes(exchange.headers.get(b"accept", b""))
    if not (takes_events if needs_events else takes_json or takes_events):
        kinds = words.EVENTS if needs_events else f"{words.JSON} and {words.EVENTS}"
        raise Refused(406, words.INVALID_REQUEST, f"Not Acceptable: accept {kinds}", id=NULL)


async def _watch(exchange: Exchange) -> None:
    """End an exchange whose client leaves, or that takes too long."""
    seconds = None if exchange.is_listening else exchange.line.upstream.terms.call_seconds
    try:
        async with asyncio.timeout(seconds):
            while (await exchange.receive())["type"] != "http.disconnect":
                pass
        exchange.end(LEFT)
    except TimeoutError:
        exchange.end(TOO_LONG)


async def _end(exchange: Exchange) -> None:
    """What a client is told whose exchange was ended from outside."""
    _note(exchange, "timeout" if exchange.ended == TOO_LONG else "cancelled", exchange.ended)
    if exchange.ended == LEFT:
        return
    with contextlib.suppress(OSError):
        if not exchange.has_started:
            await exchange.fail(Failed(exchange.done.outcome, 504, verbatim(exchange.ended)))
        elif exchange.is_stream:
            await exchange.write(b"", is_last=True)


def _note(exchange: Exchange, outcome: str, why: str) -> None:
    exchange.done.outcome, exchange.done.error = outcome, why


async def _close_after(line: Line, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await line.close()
