"""Browser sessions of signed-in people: a row holds the org, and the cookie's value is stored only as its digest."""

import msgspec

from gatelodge.core import users
from gatelodge.core.operation import Operation, execute, many, one, text

LIFETIME = 12 * 3600
"""Seconds from sign-in to the end of a session, however busy."""
IDLE = 2 * 3600
"""Seconds without a page after which a session ends."""
MOST_SESSIONS = 200
VERIFIED_FOR = 600
"""Seconds for which a proof of identity lets one see a secret."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One signed-in browser. ``digest`` names the row, ``id`` is what lists show; ``signed_in_at`` is OpenID's
    ``auth_time``, ``level`` and ``methods`` its ``acr`` and ``amr``; ``verified_at`` is when the person last proved
    who they are.
    """

    digest: str
    id: str
    user: users.User
    level: str
    methods: tuple[str, ...]
    address: str
    agent: str
    signed_in_at: int
    verified_at: int
    seen_at: int

    def is_verified(self, now: int) -> bool:
        """Whether identity was verified in the last ten minutes."""
        return now - self.verified_at < VERIFIED_FOR


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is stored. ``methods`` are parted by spaces."""

    digest: str
    id: str
    org_id: str
    user_id: str
    level: str
    methods: str
    address: str
    agent: str
    signed_in_at: int
    verified_at: int
    seen_at: int


COLUMNS = "digest, id, org_id, user_id, level, methods, address, agent, signed_in_at, verified_at, seen_at"
IS_LIVE = "expires_at > :now AND seen_at > :idle_since"


def begin(begun: Row, now: int) -> Operation[None]:
    """A person signed in: a new row, so that nothing a stranger planted before becomes theirs (session fixation)."""
    yield from execute(
        f"INSERT INTO sessions ({COLUMNS}, expires_at) VALUES (:digest, :id, :org_id, :user_id, :level, :methods,"
        " :address, :agent, :signed_in_at, :verified_at, :seen_at, :expires_at)",
        **msgspec.structs.asdict(begun),
        expires_at=now + LIFETIME,
    )
    yield from execute("DELETE FROM sessions WHERE expires_at <= :now", now=now)


def find(org_id: str, digest: str, now: int) -> Operation[Session | None]:
    """The live session of an active user with this cookie; a cookie of another org finds nothing."""
    row = yield from one(
        f"SELECT {COLUMNS} FROM sessions WHERE digest = :digest AND org_id = :org_id AND {IS_LIVE}",
        Row,
        digest=digest,
        org_id=org_id,
        now=now,
        idle_since=now - IDLE,
    )
    user = (yield from users.find(org_id, row.user_id)) if row else None
    if row is None or user is None or not user.is_active:
        return None
    return session(row, user)


def session(row: Row, user: users.User) -> Session:
    """A ``Session`` from its row and its user."""
    return Session(
        digest=row.digest,
        id=row.id,
        user=user,
        level=row.level,
        methods=tuple(row.methods.split()),
        address=row.address,
        agent=row.agent,
        signed_in_at=row.signed_in_at,
        verified_at=row.verified_at,
        seen_at=row.seen_at,
    )


def see(org_id: str, digest: str, now: int) -> Operation[None]:
    """A page was asked for: the session stays awake."""
    yield from execute(
        "UPDATE sessions SET seen_at = :now WHERE org_id = :org_id AND digest = :digest AND seen_at < :now",
        org_id=org_id,
        digest=digest,
        now=now,
    )


def renew(org_id: str, before: str, *, digest: str, level: str, methods: tuple[str, ...], now: int) -> Operation[bool]:
    """The person proved more of who they are: a new value and level for the session; ``signed_in_at`` and its end stay.

    True for exactly one caller; the old value is useless from now on.
    """
    renewed = yield from one(
        "UPDATE sessions SET digest = :digest, level = :level, methods = :methods, verified_at = :now, seen_at = :now"
        f" WHERE org_id = :org_id AND digest = :before AND {IS_LIVE} RETURNING id AS value",
        text,
        org_id=org_id,
        before=before,
        digest=digest,
        level=level,
        methods=" ".join(methods),
        now=now,
        idle_since=now - IDLE,
    )
    return renewed is not None


def of_user(org_id: str, user: users.User, now: int) -> Operation[list[Session]]:
    """The user's live sessions, the one seen last first."""
    rows = yield from many(
        f"SELECT {COLUMNS} FROM sessions WHERE org_id = :org_id AND user_id = :user_id AND {IS_LIVE}"
        " ORDER BY seen_at DESC, id LIMIT :limit",
        Row,
        org_id=org_id,
        user_id=user.id,
        now=now,
        idle_since=now - IDLE,
        limit=MOST_SESSIONS,
    )
    return [session(row, user) for row in rows]


def end(org_id: str, digest: str) -> Operation[None]:
    """Sign this browser out."""
    yield from execute("DELETE FROM sessions WHERE org_id = :org_id AND digest = :digest", org_id=org_id, digest=digest)


def end_one(org_id: str, user_id: str, session_id: str) -> Operation[bool]:
    """End one of the user's sessions by its id. True for exactly one caller; another user's is not found."""
    ended = yield from one(
        "DELETE FROM sessions WHERE org_id = :org_id AND user_id = :user_id AND id = :id RETURNING id AS value",
        text,
        org_id=org_id,
        user_id=user_id,
        id=session_id,
    )
    return ended is not None


def end_all(org_id: str, user_id: str, *, but: str = "") -> Operation[None]:
    """End every session of the user but the one with this digest ("" for none)."""
    yield from execute(
        "DELETE FROM sessions WHERE org_id = :org_id AND user_id = :user_id AND digest <> :but",
        org_id=org_id,
        user_id=user_id,
        but=but,
    )
