"""Sessions of the ``initialize`` era. A session's id carries its state, sealed, so that any node can take it up.

The id is bound to the org, the server, the user and the app that began it: for anybody else it does not open, and they are
told what they would be told of an id that was made up (MCP: Session Hijacking).
"""

import base64
import binascii
from collections.abc import Callable

import msgspec

from gatelodge.core import secrets
from gatelodge.core.secrets import KeyMissing, KeyRing
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.relay.upstream import Upstream

PURPOSE = "mcp-session"
LONGEST_ID = 8192
LONGEST_TOLD = 2048
"""Bytes of what a client says of itself that are kept in a session's id; of more, nothing is."""
LONGEST_LIFE = 24 * 3600
IDLE_SECONDS = 3600.0
MOST_OF_A_CALLER = 32
MOST = 10_000


class State(msgspec.Struct, frozen=True, array_like=True):
    """What a session's id carries. ``upstream_id`` is the upstream's own, "" where it has none and where the upstream
    knows no sessions; then ``is_bridged``. ``capabilities`` and ``client`` are JSON, as the client told them.
    """

    chance: str
    made_at: int
    version: str
    upstream_id: str
    is_bridged: bool = False
    capabilities: bytes = b"{}"
    client: bytes = b""


class Session(msgspec.Struct, kw_only=True, eq=False):
    """A session as this node knows it: what a node that takes it up begins without."""

    id: str
    owner: str
    state: State
    end: Callable[[], object]
    used_at: float
    level: str = ""
    subscribed: dict[str, None] = msgspec.field(default_factory=dict[str, None])
    calls: dict[bytes, Callable[[], object]] = msgspec.field(default_factory=dict[bytes, Callable[[], object]])
    asked: dict[str, Callable[[bytes], object]] = msgspec.field(default_factory=dict[str, Callable[[bytes], object]])
    relisten: Callable[[], object] | None = None


def owner_of(caller: Caller, upstream: Upstream) -> str:
    """Whom a session or a held call belongs to."""
    return f"{caller.org_id}/{upstream.server_id}/{caller.user_id}/{caller.client_id}"


def new_state(version: str, upstream_id: str, now: float) -> State:
    """A state of 128 random bits, besides the seal's own."""
    return State(secrets.base64url(secrets.random_bytes(16)), int(now), version, upstream_id)


class Sessions:
    """The sessions that this node has seen: bounded, and ended when nobody uses them. ``clock`` only goes forward,
    ``now`` is the time of day, both in seconds.
    """

    def __init__(self, ring: KeyRing, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._ring, self._clock, self._now = ring, clock, now
        self._known: dict[str, Session] = {}
        self._over: dict[str, None] = {}

    def begin(self, owner: str, state: State, end: Callable[[], object]) -> Session:
        """A new session. Whoever has too many loses the one that was used longest ago."""
        sealed = self._ring.seal(PURPOSE, msgspec.msgpack.encode(state), owner)
        own = [each for each in self._known.values() if each.owner == owner]
        if len(own) >= MOST_OF_A_CALLER:
            self.end(own[0])
        return self._keep(secrets.base64url(sealed), owner, state, end)

    def find(self, owner: str, id: str, end: Callable[[State], object]) -> Session | None:
        """The session with this id, if it is this owner's and not over."""
        known = self._known.pop(id, None)
        if known is not None and known.owner == owner:
            known.used_at = self._clock()
            self._known[id] = known  # behind all that were used before
            return known
        if known is not None:
            self._known[id] = known
            return None
        state = self._opened(owner, id)
        return None if state is None else self._keep(id, owner, state, lambda: end(state))

    def _opened(self, owner: str, id: str) -> State | None:
        if len(id) > LONGEST_ID or id in self._over:
            return None
        try:
            sealed = base64.urlsafe_b64decode(id + "=" * (-len(id) % 4))
            state = msgspec.msgpack.decode(self._ring.open(PURPOSE, sealed, owner), type=State)
        except (KeyMissing, binascii.Error, msgspec.DecodeError, ValueError):
            return None
        return state if self._now() - state.made_at < LONGEST_LIFE else None

    def _keep(self, id: str, owner: str, state: State, end: Callable[[], object]) -> Session:
        if len(self._known) >= MOST:
            self.end(next(iter(self._known.values())))
        made = Session(id=id, owner=owner, state=state, end=end, used_at=self._clock())
        self._known[id] = made
        return made

    def end(self, session: Session) -> None:
        """Forget a session, and end what it has at the upstream."""
        self.forget(session)
        session.end()

    def forget(self, session: Session) -> None:
        """A session that is over: its id opens nothing here any more."""
        _ = self._known.pop(session.id, None)
        if len(self._over) >= MOST:
            del self._over[next(iter(self._over))]
        self._over[session.id] = None

    def end_idle(self) -> None:
        """End those that nobody has used for long. The ones that were used longest ago stand first."""
        then = self._clock() - IDLE_SECONDS
        while self._known:
            oldest = next(iter(self._known.values()))
            if oldest.used_at > then:
                return
            self.end(oldest)
