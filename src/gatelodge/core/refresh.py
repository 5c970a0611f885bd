"""Refresh tokens: rotation that punishes theft and forgives races (decision 0006).

A family is one row with a counter. Token n is ``key_id.family.n.HMAC(HKDF(master[key_id]), org|family|salt|n)``:
neither the database nor the key file alone can forge one, and no token is stored.
"""

import re

import msgspec

from gatelodge.core import connections
from gatelodge.core.apps.policies import AFTER, AT_ONCE, IF_UNUSED, Policies
from gatelodge.core.errors import Denied
from gatelodge.core.operation import Operation, Value, execute, many, one
from gatelodge.core.scopes import REFRESH_TOKEN
from gatelodge.core.secrets import KeyRing, are_equal
from gatelodge.words import mark

PURPOSE = "refresh"
WINDOW = 30
"""Default seconds in which a superseded token still leads to the newest one. Never slides."""
MOST_RECENT = 16
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")
SHAPE = re.compile(rf"({KEY_ID.pattern})" r"\.([A-Za-z0-9_-]{16,64})\.([1-9][0-9]{0,15})\.([A-Za-z0-9_-]{43})")


class Presented(msgspec.Struct, frozen=True):
    """A refresh token taken apart; nothing in it is believed before ``is_ours``."""

    key_id: str
    family: str
    n: int
    mac: str

    def __repr__(self) -> str:
        return f"Presented({self.family}, {self.n})"


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """The one row of a refresh family. ``n`` is the newest token's number; ``recent`` are (number, superseded at in
    epoch milliseconds) of those before it; ``began_at`` and ``used_at`` are in epoch seconds.
    """

    id: str
    org_id: str
    connection_id: str
    salt: str
    n: int
    recent: tuple[tuple[int, int], ...]
    began_at: int
    used_at: int

    def ends_at(self, policies: Policies) -> int | None:
        """When the app's Refresh Token Policy, as it is now, ends this family; None: never."""
        match policies.refresh_token_policy:
            case "Zero":
                return self.began_at
            case "SpecificLifetime":
                return self.began_at + policies.refresh_seconds
            case "SpecificInactivity":
                return self.used_at + policies.refresh_seconds
            case _:
                return None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A family as it was read, with the live connection that it hangs on."""

    family: Family
    connection: connections.Connection


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """By which rules a family is used: the app's policies, whether its tokens rotate, and the seconds of the window in
    which a superseded token still leads to the newest one (0: none).
    """

    policies: Policies
    rotates: bool
    window: int


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a refresh: the family's newest number, for the winner of the rotation and for those who raced it."""

    family: Family
    connection: connections.Connection


def from_row(*, recent: str, **columns: object) -> Family:
    """A ``Family`` from its row."""
    return msgspec.convert({**columns, "recent": msgspec.json.decode(recent)}, Family)


def parse(token: str) -> Presented | None:
    """The parts of a refresh token, or None for another shape (so that nothing else reaches the database)."""
    parts = SHAPE.fullmatch(token)
    return Presented(parts[1], parts[2], int(parts[3]), parts[4]) if parts else None


def write(keys: KeyRing, family: Family) -> str:
    """The family's newest token as text."""
    mac = keys.mac(PURPOSE, family.org_id, family.id, family.salt, str(family.n))
    return f"{keys.current_id}.{family.id}.{family.n}.{mac}"


def is_ours(keys: KeyRing, presented: Presented, family: Family) -> bool:
    """Whether this very token was issued by us for this family."""
    mac = keys.mac(PURPOSE, family.org_id, family.id, family.salt, str(presented.n), key_id=presented.key_id)
    return mac is not None and are_equal(mac, presented.mac)


COLUMNS = "id, org_id, connection_id, salt, n, recent, began_at, used_at"
ADVANCE = (
    "UPDATE refresh_families SET n = n + :step, uses = uses + 1, recent = :recent, used_at = :now WHERE org_id = :org_id"
    f" AND id = :id AND n = :n AND {connections.is_live_sql('connection_id')} RETURNING {COLUMNS}"
)


def begin(made: Family) -> Operation[None]:
    """A connection with the scope ``refresh_token`` gets its family, at number 1."""
    yield from execute(
        f"INSERT INTO refresh_families ({COLUMNS}) VALUES (:id, :org_id, :connection_id, :salt, 1, '[]', :began_at,"
        " :used_at)",
        id=made.id,
        org_id=made.org_id,
        connection_id=made.connection_id,
        salt=made.salt,
        began_at=made.began_at,
        used_at=made.used_at,
    )


def begin_for(begun: connections.Connection, fresh: Family | None) -> Operation[Family | None]:
    """The family of a connection that just began, where its scopes and the app's policy want one."""
    if fresh is None or REFRESH_TOKEN not in begun.scopes:
        return None
    family = msgspec.structs.replace(fresh, org_id=begun.org_id, connection_id=begun.id)
    yield from begin(family)
    return family


def find(org_id: str, family_id: str) -> Operation[Family | None]:
    """The family with this id."""
    sql = f"SELECT {COLUMNS} FROM refresh_families WHERE org_id = :org_id AND id = :id"
    return (yield from one(sql, from_row, org_id=org_id, id=family_id))


def find_live(org_id: str, family_id: str) -> Operation[Held | None]:
    """The family with this id and its connection, while that and all it hangs on are live."""
    family = yield from find(org_id, family_id)
    connection = (yield from connections.find(org_id, family.connection_id)) if family else None
    return Held(family=family, connection=connection) if family and connection else None


class Uses(msgspec.Struct, frozen=True):
    """How often the tokens of a connection were refreshed."""

    connection_id: str
    uses: int


def uses(org_id: str, connection_ids: tuple[str, ...]) -> Operation[dict[str, int]]:
    """How often the tokens of each of these connections were refreshed; one that never gets any is left out."""
    values: dict[str, Value] = {f"connection_{n}": each for n, each in enumerate(connection_ids)}
    found = yield from many(
        "SELECT connection_id, uses FROM refresh_families WHERE org_id = :org_id AND connection_id IN"
        f" ({', '.join(f':{name}' for name in values) or 'NULL'}) ORDER BY connection_id LIMIT :limit",
        Uses,
        org_id=org_id,
        limit=max(1, len(values)),
        **values,
    )
    return {each.connection_id: each.uses for each in found}


def rotate(held: Held, n: int, *, terms: Terms, now_ms: int) -> Operation[Refreshed | Denied]:
    """Use token ``n`` of a family that was read as ``held``, its MAC and client checked (steps 3 to 6 of the rule).

    A token of an app without rotation stays its family's newest.
    """
    now = now_ms // 1000
    family, connection = held.family, held.connection
    ends_at = family.ends_at(terms.policies)
    if ends_at is not None and ends_at <= now:
        return Denied("invalid_grant", f"expired access/refresh token: {_why_over(terms.policies)}")
    recent = _remembered(family.recent, n, now_ms) if terms.rotates else family.recent
    advanced = None
    if n == family.n:  # the UPDATE also sees whether the connection is still live
        advanced = yield from one(
            ADVANCE,
            from_row,
            step=int(terms.rotates),
            recent=msgspec.json.encode(recent).decode(),
            now=now,
            org_id=family.org_id,
            id=family.id,
            n=n,
        )
    if advanced is not None:
        return Refreshed(family=advanced, connection=connection)
    if (yield from connections.find(family.org_id, connection.id)) is None:
        return Denied("invalid_grant", "expired access/refresh token: its connection has ended")
    newest = yield from find(family.org_id, family.id)
    if newest is not None and newest.n == n:  # not lost to a rotation: what it hangs on ended in this very moment
        return Denied("invalid_grant", "expired access/refresh token: its connection has ended")
    if newest is not None and _is_forgiven(newest, n, terms.window, now_ms):
        return Refreshed(family=newest, connection=connection)
    # RFC 9700 §4.14.2. Also a number above the row's: a restored backup cannot tell its own future from a forgery.
    yield from connections.end(family.org_id, connection.id, now, mark("refresh token replay"))
    return Denied("invalid_grant", "the refresh token was already used; its connection is ended")


def _why_over(policies: Policies) -> str:
    period = f"{policies.refresh_token_period} {policies.refresh_token_unit.lower()}"
    return {
        AT_ONCE: "the app's policy is to expire refresh tokens immediately",
        AFTER: f"the app's policy ends them after {period}",
        IF_UNUSED: f"the app's policy ends them when unused for {period}",
    }[policies.refresh_token_policy]


def _remembered(recent: tuple[tuple[int, int], ...], n: int, now_ms: int) -> tuple[tuple[int, int], ...]:
    return (*recent, (n, now_ms))[-MOST_RECENT:]


def _is_forgiven(newest: Family, n: int, window: int, now_ms: int) -> bool:
    """Whether token ``n`` was superseded no longer than the window ago."""
    superseded = dict(newest.recent).get(n)
    return window > 0 and superseded is not None and now_ms - superseded <= window * 1000
