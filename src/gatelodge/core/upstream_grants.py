"""What a user let us do at an upstream MCP server: a grant of the server's own authorization server, with a refresh token
that many nodes keep working together. It ends with the user, the server, or when the user disconnects.
"""

import msgspec

from gatelodge.core import audit, users
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, announce, execute, many, one, text
from gatelodge.core.secrets import KeyRing
from gatelodge.words import _

PURPOSE = "upstream-grant"
"""Of the key under which the tokens are sealed."""
MOST_SHOWN = 1000
TURN = 15
"""Seconds that one caller on one node may take to refresh: longer than a fetch may, so that no two are at it."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The server's URL that the user agreed to, and where its tokens are refreshed and revoked, and as whom.
    ``auth_method`` is one of RFC 7591 §2.
    """

    url: str
    token_url: str
    client_id: str
    auth_method: str
    resource: str
    revocation_url: str = ""


class Tokens(msgspec.Struct, frozen=True):
    """What is sealed. ``refresh`` is "" where the issuer gave none."""

    access: str
    refresh: str = ""

    def __repr__(self) -> str:
        return "Tokens()"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as it is stored. ``expires_at`` (epoch seconds) is the end of its access token, 0 for unknown; ``version``
    counts the tokens that it had.
    """

    org_id: str
    server_id: str
    user_id: str
    issuer: str
    place: Place
    scope: str
    sealed: bytes
    expires_at: int
    version: int = 1
    leased_until: int = 0
    created_at: int
    refreshed_at: int

    def __repr__(self) -> str:
        return f"Grant({self.user_id} at {self.server_id})"


def grant(*, place: str, **columns: object) -> Grant:
    """A ``Grant`` from its row."""
    return Grant(place=msgspec.json.decode(place, type=Place), **columns)  # type: ignore[arg-type]


def row_name(org_id: str, server_id: str, user_id: str) -> str:
    """What sealed tokens are bound to."""
    return f"{org_id}/{server_id}/{user_id}"


def seal(ring: KeyRing, tokens: Tokens, org_id: str, server_id: str, user_id: str) -> bytes:
    """Tokens ready to be kept."""
    return ring.seal(PURPOSE, msgspec.json.encode(tokens), row_name(org_id, server_id, user_id))


def opened(ring: KeyRing, kept: Grant) -> Tokens:
    """The tokens. Raises ``KeyMissing``."""
    raw = ring.open(PURPOSE, kept.sealed, row_name(kept.org_id, kept.server_id, kept.user_id))
    return msgspec.json.decode(raw, type=Tokens)


COLUMNS = (
    "org_id, server_id, user_id, issuer, place, scope, sealed, expires_at, version, leased_until, created_at,"
    " refreshed_at"
)
OF_ONE = "org_id = :org_id AND server_id = :server_id AND user_id = :user_id"


def find(org_id: str, server_id: str, user_id: str) -> Operation[Grant | None]:
    """What this user lets us do at this server."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM upstream_grants WHERE {OF_ONE}",
            grant,
            org_id=org_id,
            server_id=server_id,
            user_id=user_id,
        )
    )


def connect(made: Grant, *, now_ms: int) -> Operation[None]:
    """The user agreed, here and at the upstream: keep the grant, in the place of an earlier one.

    Raises ``Refused`` for a user who was deactivated meanwhile.
    """
    user = yield from users.find(made.org_id, made.user_id)
    if user is None or not user.is_active:
        raise Refused(_("this user is no longer active in this org, so nothing was connected"))
    row = msgspec.structs.asdict(made) | {"place": msgspec.json.encode(made.place).decode()}
    yield from execute(
        f"INSERT INTO upstream_grants ({COLUMNS}) VALUES (:org_id, :server_id, :user_id, :issuer, :place, :scope,"
        " :sealed, :expires_at, :version, :leased_until, :created_at, :refreshed_at)"
        " ON CONFLICT (org_id, server_id, user_id) DO UPDATE SET issuer = excluded.issuer, place = excluded.place,"
        " scope = excluded.scope, sealed = excluded.sealed, expires_at = excluded.expires_at,"
        " version = upstream_grants.version + 1, leased_until = 0, created_at = excluded.created_at,"
        " refreshed_at = excluded.refreshed_at",
        **row,
    )
    said: dict[str, object] = {"issuer": made.issuer, "scope": made.scope}
    yield from audit.record(made.org_id, now_ms, made.user_id, "upstream:grant:connect", made.server_id, said)
    yield from announce(made.org_id, "grant", made.server_id)


def take_turn(held: Grant, now: int) -> Operation[bool]:
    """Take the turn to refresh these tokens. True for one caller of all nodes until its time is over or it is done."""
    taken = yield from one(
        f"UPDATE upstream_grants SET leased_until = :until WHERE {OF_ONE} AND version = :version"
        " AND leased_until <= :now RETURNING user_id AS value",
        text,
        org_id=held.org_id,
        server_id=held.server_id,
        user_id=held.user_id,
        version=held.version,
        until=now + TURN,
        now=now,
    )
    return taken is not None


def give_turn_back(held: Grant) -> Operation[None]:
    """Nothing came of it: the next caller may try."""
    yield from execute(
        f"UPDATE upstream_grants SET leased_until = 0 WHERE {OF_ONE} AND version = :version",
        org_id=held.org_id,
        server_id=held.server_id,
        user_id=held.user_id,
        version=held.version,
    )


def refresh(held: Grant, *, sealed: bytes, expires_at: int, scope: str, now: int) -> Operation[bool]:
    """The tokens that follow these. False: the grant was ended or made anew meanwhile, and they are not kept."""
    kept = yield from one(
        f"UPDATE upstream_grants SET sealed = :sealed, expires_at = :expires_at, scope = :scope,"
        f" version = version + 1, leased_until = 0, refreshed_at = :now WHERE {OF_ONE} AND version = :version"
        " RETURNING user_id AS value",
        text,
        org_id=held.org_id,
        server_id=held.server_id,
        user_id=held.user_id,
        version=held.version,
        sealed=sealed,
        expires_at=expires_at,
        scope=scope,
        now=now,
    )
    return kept is not None


def lose(held: Grant, *, why: str, now_ms: int) -> Operation[bool]:
    """The issuer takes these tokens no more. False: they are not the newest."""
    gone = yield from one(
        f"DELETE FROM upstream_grants WHERE {OF_ONE} AND version = :version RETURNING user_id AS value",
        text,
        org_id=held.org_id,
        server_id=held.server_id,
        user_id=held.user_id,
        version=held.version,
    )
    if gone is None:
        return False
    yield from audit.record(
        held.org_id, now_ms, held.user_id, "upstream:grant:lose", held.server_id, {"why": why[:200]}
    )
    yield from announce(held.org_id, "grant", held.server_id)
    return True


def disconnect(org_id: str, server_id: str, user_id: str, *, actor: str, now_ms: int) -> Operation[Grant | None]:
    """End a user's grant: what it was, so that the issuer can be told; None when there was none."""
    ended = yield from one(
        f"DELETE FROM upstream_grants WHERE {OF_ONE} RETURNING {COLUMNS}",
        grant,
        org_id=org_id,
        server_id=server_id,
        user_id=user_id,
    )
    if ended is not None:
        said: dict[str, object] = {"user": user_id}
        yield from audit.record(org_id, now_ms, actor, "upstream:grant:disconnect", server_id, said)
        yield from announce(org_id, "grant", server_id)
    return ended


def end_all_of_user(org_id: str, user_id: str) -> Operation[None]:
    """The user leaves, and nothing acts for them at an upstream any more."""
    yield from execute(
        "DELETE FROM upstream_grants WHERE org_id = :org_id AND user_id = :user_id", org_id=org_id, user_id=user_id
    )
    yield from announce(org_id, "grant", user_id)


def end_all_of_server(org_id: str, server_id: str) -> Operation[None]:
    """The server goes, or stands elsewhere now: no user's tokens are for it."""
    yield from execute(
        "DELETE FROM upstream_grants WHERE org_id = :org_id AND server_id = :server_id",
        org_id=org_id,
        server_id=server_id,
    )
    yield from announce(org_id, "grant", server_id)


def end_before(org_id: str, before: int) -> Operation[None]:
    """Everything that was let in before a time (epoch seconds) ends."""
    yield from execute(
        "DELETE FROM upstream_grants WHERE org_id = :org_id AND created_at < :before", org_id=org_id, before=before
    )
    yield from announce(org_id, "grant", "")


def of_user(org_id: str, user_id: str) -> Operation[list[Grant]]:
    """Everything that this user connected, the newest first."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM upstream_grants WHERE org_id = :org_id AND user_id = :user_id"
            " ORDER BY created_at DESC, server_id LIMIT :limit",
            grant,
            org_id=org_id,
            user_id=user_id,
            limit=MOST_SHOWN,
        )
    )
