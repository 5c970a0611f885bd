"""What this node holds at upstreams of the ``initialize`` era for clients that know no sessions: a session for each caller,
and calls in which the upstream waits to be told something.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Raw

from gatelodge.core import secrets
from gatelodge.core.secrets import KeyMissing, KeyRing
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.relay import asking, words
from gatelodge.gateway.relay.events import Following
from gatelodge.gateway.relay.exchange import Exchange
from gatelodge.gateway.relay.inbound import NULL, Inbound, Refused, Spans
from gatelodge.gateway.relay.sessions import IDLE_SECONDS, owner_of
from gatelodge.gateway.relay.upstream import Answer, Failed, Line

PURPOSE = "mcp-held-call"
WAITING_SECONDS = 600.0
"""How long a call may wait for what the user is asked."""
MOST_WAITING = 1000
MOST_WAITING_OF_A_CALLER = 8
MOST_SESSIONS = 10_000


class UpstreamSession(msgspec.Struct, kw_only=True, eq=False):
    """A session that we began at an upstream for one caller."""

    line: Line
    given: dict[str, str]
    result: Spans
    version: str
    id: str
    used_at: float
    level: str = ""
    last_call: int = 0

    def next_id(self) -> int:
        """An id that no other call of this session has."""
        self.last_call += 1
        return self.last_call


class Waiting(msgspec.Struct, kw_only=True, eq=False):
    """A call in which the upstream waits for answers: ``asked`` are its requests, each under the id that it gave them."""

    caller: Caller
    owner: str
    digest: bytes
    session: UpstreamSession
    id: int
    answer: Answer
    source: Following
    asked: dict[str, Spans]
    since: float
    ids: dict[str, Raw]


def digest_of(found: Inbound) -> bytes:
    """What a retry must repeat: the method and all that it was called with."""
    kept = {key: value for key, value in found.params.items() if key not in ("_meta", "requestState", "inputResponses")}
    return hashlib.sha256(msgspec.json.encode([found.method, kept], order="deterministic")).digest()


class HeldCalls:
    """Bounded, and ended when nobody comes back to them."""

    def __init__(self, ring: KeyRing, clock: Callable[[], float]) -> None:
        self._ring, self._clock = ring, clock
        self._sessions: dict[tuple[str, bytes], UpstreamSession] = {}
        self._waiting: dict[str, Waiting] = {}
        self._beginning: dict[tuple[str, bytes], asyncio.Lock] = {}

    async def session(self, exchange: Exchange) -> UpstreamSession:
        """The caller's session at this upstream, begun when it is first needed. What a client can do is said at its
        beginning, so that clients which can do different things have different ones. Raises ``Failed``.
        """
        key = self._key(exchange)
        found = self._sessions.get(key)
        if found is None or found.line is not exchange.line:
            async with self._beginning.setdefault(key, asyncio.Lock()):
                found = self._sessions.get(key)
                if found is None or found.line is not exchange.line:
                    found = await self.begin(exchange)
                    self._sessions[key] = found
            _ = self._beginning.pop(key, None)
            if len(self._sessions) > MOST_SESSIONS:
                self._end(exchange, next(iter(self._sessions)))
        found.used_at = self._clock()
        return found

    def _key(self, exchange: Exchange) -> tuple[str, bytes]:
        capabilities = bytes(exchange.inbound.meta[words.CAPABILITIES_KEY])
        return owner_of(exchange.caller, exchange.line.upstream), hashlib.sha256(capabilities).digest()

    async def begin(self, exchange: Exchange) -> UpstreamSession:
        """A new session of the caller's, which nobody else uses. Raises ``Failed``."""
        meta = exchange.inbound.meta
        client = meta.get(words.CLIENT_KEY, asking.US)
        begun = await asking.initialize(exchange.line, exchange.given, meta[words.CAPABILITIES_KEY], client)
        if begun is None:
            raise asking.refuses(exchange.line)
        result, version, session_id = begun
        return UpstreamSession(
            line=exchange.line,
            given=exchange.given,
            result=result,
            version=version,
            id=session_id,
            used_at=self._clock(),
        )

    def lose(self, exchange: Exchange) -> None:
        """The upstream has forgotten the session."""
        _ = self._sessions.pop(self._key(exchange), None)

    def _end(self, exchange: Exchange, key: tuple[str, bytes]) -> None:
        session = self._sessions.pop(key)
        exchange.later(over(session))

    def hold(self, waiting: Waiting) -> str:
        """Keep a call until its client comes back. What it must bring is sealed to it: nobody else's, and not made up."""
        own = [key for key, each in self._waiting.items() if each.owner == waiting.owner]
        if len(own) >= MOST_WAITING_OF_A_CALLER:
            self._drop(own[0])
        if len(self._waiting) >= MOST_WAITING:
            self._drop(next(iter(self._waiting)))
        key = secrets.new_token()
        self._waiting[key] = waiting
        return secrets.base64url(self._ring.seal(PURPOSE, key.encode(), waiting.owner))

    def take(self, exchange: Exchange, state: Raw) -> Waiting:
        """The call that a retry goes on with. Raises ``Refused`` when there is none, or it was another one."""
        found = exchange.inbound
        wrong = Refused(
            400, words.INVALID_PARAMS, "requestState is none of ours, or its call is over: call again without it",
            id=found.id,
        )  # fmt: skip
        owner = owner_of(exchange.caller, exchange.line.upstream)
        try:
            text = msgspec.json.decode(state, type=str)
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            key = self._ring.open(PURPOSE, sealed, owner).decode()
        except (KeyMissing, binascii.Error, msgspec.DecodeError, ValueError):
            raise wrong from None
        waiting = self._waiting.get(key)
        if waiting is None or waiting.digest != digest_of(found):
            raise wrong
        del self._waiting[key]
        waiting.session.used_at = self._clock()
        return waiting

    def _drop(self, key: str) -> None:
        waiting = self._waiting.pop(key)
        waiting.source.stop()
        waiting.answer.close()

    def close(self) -> None:
        """Let every call go."""
        for key in list(self._waiting):
            self._drop(key)

    def end_idle(self) -> None:
        """Forget calls and sessions that nobody came back to."""
        now = self._clock()
        for key, waiting in list(self._waiting.items()):
            if waiting.since < now - WAITING_SECONDS:
                self._drop(key)
        for key, session in list(self._sessions.items()):
            if session.used_at < now - IDLE_SECONDS:
                del self._sessions[key]

    async def look_again(self, renewed: Callable[[Caller], Awaitable[Caller | None]]) -> None:
        """End the calls of those who would not be let in any more."""
        for key, waiting in list(self._waiting.items()):
            if await renewed(waiting.caller) is None and key in self._waiting:
                self._drop(key)


async def over(session: UpstreamSession) -> None:
    """End a session at its upstream, if that can be told."""
    try:
        await asking.end_session(session.line, session.given, session.version, session.id)
    except Failed:
        return


def requests_of(waiting: Waiting) -> dict[str, Raw]:
    """What the client is asked, as 2026-07-28 says it: a method and its parameters under each key."""
    return {
        key: Raw(msgspec.json.encode({name: each[name] for name in ("method", "params") if name in each}))
        for key, each in waiting.asked.items()
    }


def id_of(message: Spans) -> Raw:
    """The id of a request of the upstream's."""
    return message.get("id", NULL)
