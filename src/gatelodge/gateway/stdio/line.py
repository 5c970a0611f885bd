"""The relay's line to a local command: what would be HTTP to an upstream becomes lines to a child of the caller's own.

A session is a child. A command of 2026-07-28, which knows no sessions, has one for each user and app.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from gatelodge.core import secrets
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.relay import words
from gatelodge.gateway.relay.breaker import Breaker
from gatelodge.gateway.relay.events import TooLarge
from gatelodge.gateway.relay.inbound import Spans
from gatelodge.gateway.relay.upstream import Failed, Line, Upstream
from gatelodge.gateway.stdio.answers import Answer, Inbox, streamed, whole
from gatelodge.gateway.stdio.child import Child
from gatelodge.gateway.stdio.talk import Talk
from gatelodge.words import mark, reason

OWNER, CONNECTION = "Gatelodge-Owner", "Gatelodge-Connection"
"""Stand among the headers that the relay gives us: whose child it is, and by which of their connections."""
READER = "reader/"
"""What the owner is called by whom a server is read, whether it is active or not. No user's id begins so."""
MOST_CHILDREN = 64
"""Of all commands of this node together."""
MOST_CALLERS = 1000
"""Connections that are known of one command: of those that have no child any more, the last ones."""
IDLE_SECONDS = 600.0
SWEEP_SECONDS = 30.0
LOST = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Session not found"}}'
NO_STREAM = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"there is a stream already, or no session"}}'
_spans = msgspec.json.Decoder(Spans)


class Whose(NamedTuple):
    """Whose child is asked, and by which of their connections."""

    owner: str
    connection: str


class Commands:
    """The children of this node. ``folder`` holds a folder for each server; ``problem`` says why a command line must not be
    run here, "" where it may.
    """

    def __init__(self, folder: Path, problem: Callable[[str], str]) -> None:
        self.folder, self.problem = folder, problem
        self.running: dict[Talk, Upstream] = {}
        self.starting = 0
        self._ending: set[asyncio.Task[None]] = set()
        self._sweeping = asyncio.create_task(self._sweep())
        self.is_over = False

    def line(self, upstream: Upstream) -> Line:
        """The line to one command."""
        return CommandLine(upstream, self)

    def end(self, talk: Talk) -> asyncio.Task[None]:
        """End a child in the background."""
        task = talk.end()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    def make_room(self, upstream: Upstream) -> bool:
        """Whether one more child may be started; those that nobody waits for make way, the longest unused first."""
        own = [talk for talk, of in self.running.items() if of.server_id == upstream.server_id]
        is_full = len(own) >= upstream.terms.most_connections
        if not is_full and len(self.running) + self.starting < MOST_CHILDREN:
            return True
        idle = sorted(
            (each for each in (own if is_full else self.running) if each.is_idle), key=lambda each: each.used_at
        )
        if idle:
            _ = self.end(idle[0])
        return bool(idle)

    async def look_again(
        self,
        is_live: Callable[[Upstream], Awaitable[bool]],
        renewed: Callable[[Caller], Awaitable[Caller | None]],
    ) -> None:
        """End the children at servers that are no longer what they were, and those that were called by no connection that
        would be let in again.
        """
        for talk, upstream in list(self.running.items()):
            if talk.owner.startswith(READER):
                continue
            for caller in list(talk.callers.values()):
                if await renewed(caller) is None:
                    del talk.callers[caller.connection_id]
            if not talk.callers or not await is_live(upstream):
                _ = self.end(talk)

    def end_all_of(self, given: Mapping[str, str]) -> None:
        """End the children of whom these headers were given for."""
        for talk in list(self.running):
            if talk.owner == given[OWNER]:
                _ = self.end(talk)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.end_idle(IDLE_SECONDS)

    def end_idle(self, seconds: float) -> None:
        """End the children that nobody has waited for in so many seconds."""
        then = asyncio.get_running_loop().time() - seconds
        for talk in list(self.running):
            if talk.is_idle and talk.used_at <= then:
                _ = self.end(talk)

    async def stop(self) -> None:
        """End every child, and wait until nothing of them is left."""
        self.is_over = True
        _ = self._sweeping.cancel()
        for talk in list(self.running):
            _ = self.end(talk)
        await asyncio.gather(*self._ending, return_exceptions=True)


class CommandLine(Line):
    """One command. A session's child is found by its session's id and its owner, any other by its owner alone."""

    def __init__(self, upstream: Upstream, commands: Commands) -> None:
        super().__init__(upstream)
        self._commands = commands
        self._talks: dict[tuple[str, str], Talk] = {}
        self._breaker = Breaker()
        self._starting: dict[str, asyncio.Lock] = {}
        self._callers: dict[str, Caller] = {}

    def owned_by(self, caller: Caller) -> dict[str, str]:
        """What the relay is given for a caller, so that the child is theirs."""
        _ = self._callers.pop(caller.connection_id, None)
        if len(self._callers) >= MOST_CALLERS:
            del self._callers[next(iter(self._callers))]
        self._callers[caller.connection_id] = caller
        return {OWNER: f"{caller.user_id}/{caller.client_id}", CONNECTION: caller.connection_id}

    async def close(self) -> None:
        """End every child of it."""
        tasks = [self._commands.end(talk) for talk in list(self._talks.values())]
        await asyncio.gather(*tasks)

    async def send(
        self,
        method: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        is_stream: bool = False,
        waits: bool = False,
    ) -> Answer:
        """Answer one request of the relay's. Raises ``Failed``."""
        try:
            answer = await self._answer(method, headers, body or b"{}", waits=waits or is_stream)
        except TooLarge:
            raise self._failed(
                "too_large", 502, mark("the command of {name} answered with a longer line than it may")
            ) from None
        except (ConnectionError, msgspec.DecodeError):
            raise self._failed("upstream_error", 502, mark("the command of {name} ended before it answered")) from None
        except TimeoutError:
            raise self._failed("timeout", 504, mark("the command of {name} did not answer in time")) from None
        return answer

    async def _answer(self, method: str, headers: dict[str, str], body: bytes, *, waits: bool) -> Answer:
        whose = Whose(headers.get(OWNER, ""), headers.get(CONNECTION, ""))
        session_id = headers.get("Mcp-Session-Id", "")
        top = _spans.decode(body)
        asked = top.get("method", msgspec.Raw(b""))
        if method == "POST" and asked == msgspec.Raw(b'"initialize"'):
            return await self._begin(whose, top)
        is_modern = headers.get("MCP-Protocol-Version") in words.MODERN
        if not session_id and not is_modern:
            return whole(NO_STREAM, 405 if method == "GET" else 400)
        if is_modern and asked == msgspec.Raw(b'"server/discover"') and not self.eras.modern:
            return await self._discover(whose, top)
        talk = self._talks.get((whose.owner, session_id)) if session_id else await self._shared(whose)
        if talk is None:
            return whole(LOST, 404)
        self._met(talk, whose)
        if method == "DELETE":
            _ = self._commands.end(talk)
            return Answer(204)
        if method == "GET":
            return self._listen(talk)
        return await self._post(talk, top, waits=waits)

    async def _post(self, talk: Talk, top: Spans, *, waits: bool) -> Answer:
        if "id" not in top or "method" not in top:
            await talk.say(top)
            return Answer(202)
        async with asyncio.timeout(self.upstream.terms.idle_seconds):
            number, inbox = await talk.ask(top)
        is_given = False
        try:
            if waits:
                is_given = True
                return streamed(inbox, lambda: talk.call_off(number))
            idle = self.upstream.terms.idle_seconds
            async with asyncio.timeout(idle):
                first = await inbox.next()
            if first is None:
                raise ConnectionResetError
            self._breaker.succeeded()
            if inbox.is_last:
                return whole(first)
            is_given = True
            return streamed(inbox, lambda: talk.call_off(number), first, idle)
        finally:
            if not is_given:
                talk.call_off(number)

    def _listen(self, talk: Talk) -> Answer:
        """The stream of a session. There is one."""
        if talk.stream is not None:
            return whole(NO_STREAM, 409)
        talk.stream = Inbox(self.upstream.terms.largest_answer)

        def let_go() -> None:
            talk.stream = None

        return streamed(talk.stream, let_go)

    async def _begin(self, whose: Whose, top: Spans) -> Answer:
        """``initialize``: a child of its own for a session of its own."""
        talk = await self._start(whose, secrets.new_token())
        said = await self._first(talk, top, self.upstream.terms.first_byte_seconds)
        if "result" not in said:
            _ = self._commands.end(talk)
            return whole(msgspec.json.encode(said), 400)
        return whole(msgspec.json.encode(said), 200, talk.session_id)

    async def _discover(self, whose: Whose, top: Spans) -> Answer:
        """The first question to a command whose era nobody knows. One that doesn't understand it is ended: what it makes of
        the next is uncertain. One that says nothing is taken for one of the old era.
        """
        talk = await self._start(whose, "")
        try:
            said = await self._first(talk, top, self.upstream.terms.connect_seconds)
        except TimeoutError:
            return whole(LOST, 400)
        if "result" not in said:
            _ = self._commands.end(talk)
            return whole(msgspec.json.encode(said), 400)
        return whole(msgspec.json.encode(said))

    async def _first(self, talk: Talk, top: Spans, seconds: float) -> Spans:
        """A new child's first answer. Where none comes, it is ended. Raises what ``send`` tells."""
        try:
            async with asyncio.timeout(seconds):
                _, inbox = await talk.ask(top)
                while True:
                    message = await inbox.next()
                    if message is None:
                        raise ConnectionResetError
                    if "method" not in (said := _spans.decode(message)):
                        self._breaker.gave_up()
                        return said
        except BaseException:
            self._breaker.failed(asyncio.get_running_loop().time())
            _ = self._commands.end(talk)
            raise

    async def _shared(self, whose: Whose) -> Talk:
        """The child of this owner's at a command that knows no sessions."""
        async with self._starting.setdefault(whose.owner, asyncio.Lock()):
            talk = self._talks.get((whose.owner, ""))
            return talk if talk is not None else await self._start(whose, "")

    async def _start(self, whose: Whose, session_id: str) -> Talk:
        commands, name = self._commands, self.upstream.name
        if why := commands.problem(self.upstream.url):
            raise self._failed("refused", 503, mark("the command of {name} is not run: {error}"), error=why)
        if wait := self._breaker.wait(asyncio.get_running_loop().time()):
            raise self._failed(
                "upstream_error", 503, mark("the command of {name} has failed several times in a row and is left alone for now"),
                retry_after=int(wait) + 1,
            )  # fmt: skip
        if commands.is_over or not commands.make_room(self.upstream):
            self._breaker.gave_up()
            raise self._failed(
                "upstream_error", 503, mark("the command of {name} runs as often as it may"), retry_after=5
            )
        commands.starting += 1
        try:
            child = await Child.started(name, self.upstream.command, commands.folder / self.upstream.server_id)
        except OSError as error:
            self._breaker.failed(asyncio.get_running_loop().time())
            raise self._failed(
                "upstream_error",
                502,
                mark("the command of {name} can't be started: {error}"),
                error=error.strerror or "",
            ) from None
        finally:
            commands.starting -= 1
        largest = self.upstream.terms.largest_answer
        talk = Talk(child, owner=whose.owner, session_id=session_id, largest=largest, ended=self._ended)
        self._met(talk, whose)
        if (before := self._talks.get((whose.owner, session_id))) is not None:
            _ = commands.end(before)
        self._talks[whose.owner, session_id] = talk
        commands.running[talk] = self.upstream
        if commands.is_over:
            _ = commands.end(talk)
        return talk

    def _met(self, talk: Talk, whose: Whose) -> None:
        """Have a child stand on the connection that it is called by."""
        if (caller := self._callers.get(whose.connection)) is not None:
            talk.callers[whose.connection] = caller

    def _ended(self, talk: Talk) -> None:
        """A child is gone. One that nobody ended while somebody waited for it has failed."""
        if self._talks.get((talk.owner, talk.session_id)) is talk:
            del self._talks[talk.owner, talk.session_id]
        _ = self._commands.running.pop(talk, None)
        _ = self._commands.end(talk)
        if not talk.was_told and not talk.is_idle:
            self._breaker.failed(asyncio.get_running_loop().time())

    def _failed(self, outcome: str, status: int, text: str, *, retry_after: int = 0, error: str = "") -> Failed:
        why = reason(text, name=self.upstream.name, error=error)
        return Failed(outcome, status, why, retry_after=retry_after)


def read_once() -> dict[str, str]:
    """The same for one reading of what a command offers."""
    return {OWNER: READER + secrets.new_token()}
