"""Browser sessions of signed-in people: a row holds the org, and the cookie's value is stored only as its digest."""

import msgspec

from gatelodge.core import audit, users
from gatelodge.core.operation import Operation, execute, many, one, remove_some, text
from gatelodge.core.orgs import Org

MOST_SESSIONS = 200
VERIFIED_FOR = 600
"""Seconds for which a proof of identity lets one see a secret."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How long sessions of the org last, in seconds: from sign-in, however busy, and without a page."""

    lifetime: int = 12 * 3600
    idle: int = 2 * 3600

    def values(self, now: int) -> dict[str, int]:
        """The values of ``IS_LIVE``."""
        return {"now": now, "began_after": now - self.lifetime, "idle_since": now - self.idle}


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
    provider_id: str = ""


COLUMNS = "digest, id, org_id, user_id, level, methods, address, agent, signed_in_at, verified_at, seen_at, provider_id"
IS_LIVE = "expires_at > :now AND signed_in_at > :began_after AND seen_at > :idle_since"


def terms_of(org: Org) -> Terms:
    """How long this org lets sessions last."""
    return Terms(lifetime=org.preferences.session_hours * 3600, idle=org.preferences.idle_minutes * 60)


def begin(begun: Row, terms: Terms, now: int) -> Operation[None]:
    """A person signed in: a new row, so that nothing a stranger planted before becomes theirs (session fixation)."""
    yield from execute(
        f"INSERT INTO sessions ({COLUMNS}, expires_at) VALUES (:digest, :id, :org_id, :user_id, :level, :methods,"
        " :address, :agent, :signed_in_at, :verified_at, :seen_at, :provider_id, :expires_at)",
        **msgspec.structs.asdict(begun),
        expires_at=now + terms.lifetime,
    )
    _ = yield from forget_old(now)


def find(org_id: str, digest: str, terms: Terms, now: int) -> Operation[Session | None]:
    """The live session of an active user with this cookie; a cookie of another org finds nothing."""
    row = yield from one(
        f"SELECT {COLUMNS} FROM sessions WHERE digest = :digest AND org_id = :org_id AND {IS_LIVE}",
        Row,
        digest=digest,
        org_id=org_id,
        **terms.values(now),
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


def forget_old(now: int) -> Operation[bool]:
    """Remove some of the sessions whose time is over. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE expires_at <= :now"
            " ORDER BY expires_at LIMIT :limit) RETURNING digest",
            now=now,
        )
    )


def end_before(org_id: str, before: int) -> Operation[None]:
    """Sign out whoever signed in before this time (epoch seconds)."""
    yield from execute(
        "DELETE FROM sessions WHERE org_id = :org_id AND signed_in_at < :before", org_id=org_id, before=before
    )


def see(org_id: str, digest: str, now: int) -> Operation[None]:
    """A page was asked for: the session stays awake."""
    yield from execute(
        "UPDATE sessions SET seen_at = :now WHERE org_id = :org_id AND digest = :digest AND seen_at < :now",
        org_id=org_id,
        digest=digest,
        now=now,
    )


def renew(
    org_id: str, before: str, *, digest: str, level: str, methods: tuple[str, ...], terms: Terms, now: int
) -> Operation[bool]:
    """The person proved more of who they are: a new value and level for the session; ``signed_in_at`` and its end stay.

    True for exactly one caller; the old value is useless from now on.
    """
    renewed = yield from one(
        "UPDATE sessions SET digest = :digest, level = :level, methods = :methods, verified_at = :now, seen_at = :now"
        f" WHERE org_id = :org_id AND digest = :before AND {IS_LIVE} RETURNING user_id AS value",
        text,
        org_id=org_id,
        before=before,
        digest=digest,
        level=level,
        methods=" ".join(methods),
        **terms.values(now),
    )
    if renewed is None:
        return False
    said: dict[str, object] = {"level": level, "methods": " ".join(methods)}
    yield from audit.record(org_id, now * 1000, renewed, "sign_in:session:verify", renewed, said)
    return True


def of_user(org_id: str, user: users.User, terms: Terms, now: int) -> Operation[list[Session]]:
    """The user's live sessions, the one seen last first."""
    rows = yield from many(
        f"SELECT {COLUMNS} FROM sessions WHERE org_id = :org_id AND user_id = :user_id AND {IS_LIVE}"
        " ORDER BY seen_at DESC, id LIMIT :limit",
        Row,
        org_id=org_id,
        user_id=user.id,
        **terms.values(now),
        limit=MOST_SESSIONS,
    )
    return [session(row, user) for row in rows]


def end(org_id: str, digest: str) -> Operation[str | None]:
    """Sign this browser out. Whose session it was; None: there was none."""
    sql = "DELETE FROM sessions WHERE org_id = :org_id AND digest = :digest RETURNING user_id AS value"
    return (yield from one(sql, text, org_id=org_id, digest=digest))


def sign_out(org_id: str, digest: str, now_ms: int) -> Operation[None]:
    """Sign this browser out, written down."""
    user_id = yield from end(org_id, digest)
    if user_id is not None:
        yield from audit.record(org_id, now_ms, user_id, "sign_in:session:end", user_id, {})


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


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the org's sessions a list shows: those of one user, and of one level; "" leaves a question open."""

    user_id: str = ""
    level: str = ""


def of_org(
    org_id: str, wanted: Wanted, terms: Terms, *, after: tuple[int, str] | None, limit: int, now: int
) -> Operation[list[Row]]:
    """A page of the org's live sessions, the newest sign-in first, after the place given (when, and the session's id)."""
    conditions = "" if after is None else " AND (signed_in_at, id) < (:after, :after_id)"
    conditions += " AND user_id = :user_id" if wanted.user_id else ""
    conditions += " AND level = :level" if wanted.level else ""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM sessions WHERE org_id = :org_id AND {IS_LIVE}{conditions}"
            " ORDER BY signed_in_at DESC, id DESC LIMIT :limit",
            Row,
            org_id=org_id,
            limit=limit,
            **terms.values(now),
            **({"after": after[0], "after_id": after[1]} if after else {}),
            **({"user_id": wanted.user_id} if wanted.user_id else {}),
            **({"level": wanted.level} if wanted.level else {}),
        )
    )


def end_listed(org_id: str, session_id: str, *, actor: str, now: int) -> Operation[bool]:
    """An administrator ends one session of the org. True for exactly one caller."""
    user_id = yield from one(
        "DELETE FROM sessions WHERE org_id = :org_id AND id = :id RETURNING user_id AS value",
        text,
        org_id=org_id,
        id=session_id,
    )
    if user_id is None:
        return False
    yield from audit.record(org_id, now * 1000, actor, "setup:sessions:end", user_id, {"session": session_id})
    return True


def end_everybodys(org_id: str, *, but: str, actor: str, now: int) -> Operation[bool]:
    """End a page of the org's sessions, but not the one with this digest. True: there may be more; False: done, and
    written down.
    """
    has_more = yield from remove_some(
        "DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE org_id = :org_id AND digest <> :but"
        " ORDER BY digest LIMIT :limit) RETURNING digest",
        org_id=org_id,
        but=but,
    )
    if not has_more:
        yield from audit.record(org_id, now * 1000, actor, "setup:sessions:end_all", org_id, {})
    return has_more


def end_of_provider(org_id: str, provider_id: str) -> Operation[None]:
    """End the sessions of those for whom this identity provider vouched."""
    yield from execute(
        "DELETE FROM sessions WHERE org_id = :org_id AND provider_id = :provider_id AND provider_id <> ''",
        org_id=org_id,
        provider_id=provider_id,
    )
