"""One sign-in of one client instance: begun by one redeemed code, it carries a refresh family and access tokens.

A replayed code or refresh token ends its connection and never the user's other ones (decision 0006).
"""

import msgspec

from gatelodge.core import audit, authorizations, users
from gatelodge.core.operation import Operation, Value, announce, execute, many, number, one, text
from gatelodge.words import mark

MOST_ENDED = 1_000_000
PAGE = 500
MOST_SHOWN = 500


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What hangs on one sign-in: who, through which client, with which scopes, for which one resource.

    ``level`` and ``methods`` tell how the user signed in (RFC 8176); ``dpop_jkt`` is the thumbprint of the key that
    its tokens are bound to, "" for bearer tokens (RFC 9449 §6); ``grant_type`` is the grant that began it.
    """

    id: str
    org_id: str
    authorization_id: str
    user_id: str
    app_id: str
    client_id: str
    scopes: tuple[str, ...]
    resource: str
    signed_in_at: int
    level: str = "STANDARD"
    methods: tuple[str, ...] = ()
    dpop_jkt: str = ""
    grant_type: str = "authorization_code"


def connection(*, scopes: str, methods: str, **columns: object) -> Connection:
    """A ``Connection`` from its row."""
    return msgspec.convert({**columns, "scopes": scopes.split(), "methods": methods.split()}, Connection)


def columns_of(made: Connection) -> dict[str, str | int]:
    """The row of a ``Connection``."""
    return msgspec.structs.asdict(made) | {"scopes": " ".join(made.scopes), "methods": " ".join(made.methods)}


SIGN_IN = "authorization_id, user_id, app_id, client_id, scopes, resource, signed_in_at, level, methods, dpop_jkt"
COLUMNS = f"id, org_id, {SIGN_IN}, grant_type"
END = (
    "UPDATE connections SET ended_at = :now, ended_by = :why WHERE org_id = :org_id AND id = :id"
    f" AND ended_at IS NULL AND {authorizations.is_live_sql('authorization_id')} RETURNING user_id AS value"
)
"""What hangs on an ended authorization has ended with it: nothing is left to end."""


def is_live_sql(column: str) -> str:
    """A condition for another module's statement: the connection that this column names, and what it hangs on, live."""
    return (
        f"EXISTS (SELECT 1 FROM connections c WHERE c.id = {column} AND c.ended_at IS NULL"
        f" AND {authorizations.is_live_sql('c.authorization_id')} AND {users.is_active_sql('c.user_id')})"
    )


def agree(made: Connection, now: int) -> Operation[Connection]:
    """The user said yes to what this connection may do: it hangs on their authorization, made or widened."""
    agreed = yield from authorizations.consent(
        id=made.authorization_id,
        org_id=made.org_id,
        user_id=made.user_id,
        app_id=made.app_id,
        scopes=made.scopes,
        resource=made.resource,
        now=now,
        client=made.client_id,
    )
    return msgspec.structs.replace(made, authorization_id=agreed.id)


def begin(begun: Connection, now: int) -> Operation[None]:
    """Keep a connection that a grant has just begun."""
    yield from execute(
        f"INSERT INTO connections ({COLUMNS}, created_at, used_at) VALUES (:id, :org_id, :authorization_id, :user_id,"
        " :app_id, :client_id, :scopes, :resource, :signed_in_at, :level, :methods, :dpop_jkt, :grant_type, :now, :now)",
        **columns_of(begun),
        now=now,
    )


def find_standing(made: Connection) -> Operation[Connection | None]:
    """The live connection that an earlier call of the same grant began for the same, under the live authorization of its
    user and app. It writes nothing.
    """
    agreed = yield from authorizations.find_live(made.org_id, made.user_id, made.app_id)
    if agreed is None:
        return None
    # The authorization alone leads there, and by its value: beside it, its user's other connections may be thousands.
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM connections WHERE org_id = :org_id AND authorization_id = :authorization_id"
            " AND grant_type = :grant_type AND scopes = :scopes AND resource = :resource AND ended_at IS NULL"
            f" AND {users.is_active_sql(':user_id')} ORDER BY created_at, id LIMIT 1",
            connection,
            org_id=made.org_id,
            authorization_id=agreed.id,
            user_id=made.user_id,
            grant_type=made.grant_type,
            scopes=" ".join(made.scopes),
            resource=made.resource,
        )
    )


def stand(made: Connection, now: int) -> Operation[Connection]:
    """Begin a connection that later calls of the same grant find again: no person is there to end each one."""
    # The upsert locks the row, so that of two first calls at once the second finds what the first began.
    agreed = yield from authorizations.consent(
        id=made.authorization_id,
        org_id=made.org_id,
        user_id=made.user_id,
        app_id=made.app_id,
        scopes=(),
        resource="",
        now=now,
    )
    known = yield from find_standing(made)
    if known is not None:
        return known
    begun = msgspec.structs.replace(made, authorization_id=agreed.id)
    yield from begin(begun, now)
    return begun


def find(org_id: str, connection_id: str) -> Operation[Connection | None]:
    """The connection with this id, while it and all it hangs on are live."""
    sql = f"SELECT {COLUMNS} FROM connections WHERE org_id = :org_id AND id = :id AND {is_live_sql(':id')}"
    return (yield from one(sql, connection, org_id=org_id, id=connection_id))


def widen(org_id: str, connection_id: str, scopes: tuple[str, ...]) -> Operation[bool]:
    """Let a connection that stands have these scopes from its next refresh on. False: it has ended."""
    sql = (
        "UPDATE connections SET scopes = :scopes WHERE org_id = :org_id AND id = :id AND ended_at IS NULL"
        f" AND {authorizations.is_live_sql('authorization_id')} RETURNING id AS value"
    )
    return (yield from one(sql, text, org_id=org_id, id=connection_id, scopes=" ".join(scopes))) is not None


def end(org_id: str, connection_id: str, now: int, why: str, *, actor: str = "") -> Operation[bool]:
    """End one connection, written down. True for exactly one caller; a connection never begun cannot end. ``actor``: who
    ends it, "" for its user and what acts in their name.
    """
    user_id = yield from one(END, text, org_id=org_id, id=connection_id, now=now, why=why)
    if user_id is None:
        return False
    said: dict[str, object] = {"why": why, "user": user_id}
    yield from audit.record(org_id, now * 1000, actor or user_id, "connection:session:end", connection_id, said)
    yield from announce(org_id, "connection", connection_id)
    return True


def ended_since(then: int) -> Operation[list[str]]:
    """The connections of every org that ended at or after ``then``: a node loads them before it is ready."""
    sql = "SELECT id AS value FROM connections WHERE ended_at >= :then ORDER BY ended_at DESC LIMIT :limit"
    return (yield from many(sql, text, then=then, limit=MOST_ENDED))


def end_all_of_user(org_id: str, user_id: str, now: int, why: str) -> Operation[int]:
    """End every connection of a user. How many ended."""
    ended = found = yield from _end_page(org_id, "user_id = :user_id", now, why, user_id=user_id)
    while found == PAGE:
        found = yield from _end_page(org_id, "user_id = :user_id", now, why, user_id=user_id)
        ended += found
    return ended


def end_before(org_id: str, before: int, now: int) -> Operation[bool]:
    """End a page of the connections begun before this time (epoch seconds), then of the authorizations with no later
    one: a restored backup holds some that were ended since. True: there may be more.
    """
    if (yield from _end_page(org_id, "created_at < :before", now, mark("revoked by time"), before=before)) == PAGE:
        return True
    later = (
        "EXISTS (SELECT 1 FROM connections c WHERE c.org_id = :org_id AND c.authorization_id = authorizations.id"
        " AND c.ended_at IS NULL)"
    )
    return (yield from authorizations.end_before(org_id, before, now, unless=later))


def _end_page(org_id: str, which: str, now: int, why: str, **values: str | int) -> Operation[int]:
    """End one page of the live connections that ``which`` names, each of them announced. How many were found."""
    page = yield from many(
        f"SELECT id AS value FROM connections WHERE org_id = :org_id AND ended_at IS NULL AND {which}"
        " ORDER BY id LIMIT :limit",
        text,
        org_id=org_id,
        limit=PAGE,
        **values,
    )
    for connection_id in page:
        _ = yield from end(org_id, connection_id, now, why)
    return len(page)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A live connection as its user sees it. ``used_at`` is when it last called anything or was renewed."""

    id: str
    authorization_id: str
    app_id: str
    scopes: tuple[str, ...]
    resource: str
    created_at: int
    used_at: int


def shown(*, scopes: str, **columns: object) -> Shown:
    """A ``Shown`` from its row."""
    return msgspec.convert({**columns, "scopes": scopes.split()}, Shown)


def of_user(org_id: str, user_id: str) -> Operation[list[Shown]]:
    """The user's live connections, the one used last first."""
    return (
        yield from many(
            "SELECT id, authorization_id, app_id, scopes, resource, created_at, used_at FROM connections"
            f" WHERE org_id = :org_id AND user_id = :user_id AND ended_at IS NULL"
            f" AND {authorizations.is_live_sql('authorization_id')} ORDER BY used_at DESC, id LIMIT :limit",
            shown,
            org_id=org_id,
            user_id=user_id,
            limit=MOST_SHOWN,
        )
    )


def under(org_id: str, authorization_ids: tuple[str, ...]) -> Operation[list[Shown]]:
    """The live connections under these authorizations, the one used last first."""
    values: dict[str, Value] = {f"agreed_{n}": each for n, each in enumerate(authorization_ids)}
    return (
        yield from many(
            "SELECT id, authorization_id, app_id, scopes, resource, created_at, used_at FROM connections"
            f" WHERE org_id = :org_id AND authorization_id IN ({', '.join(f':{name}' for name in values) or 'NULL'})"
            " AND ended_at IS NULL ORDER BY used_at DESC, id LIMIT :limit",
            shown,
            org_id=org_id,
            limit=MOST_SHOWN,
            **values,
        )
    )


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """How an app is used: its live connections, when the first of them began, and when one was last used."""

    app_id: str
    connections: int
    first_at: int
    last_at: int


def usage(org_id: str, app_ids: tuple[str, ...]) -> Operation[dict[str, Usage]]:
    """How each of these apps is used; an app without a live connection is left out."""
    values: dict[str, Value] = {f"app_{n}": app_id for n, app_id in enumerate(app_ids)}
    found = yield from many(
        "SELECT app_id, COUNT(*) AS connections, MIN(created_at) AS first_at, MAX(used_at) AS last_at FROM connections"
        f" WHERE org_id = :org_id AND ended_at IS NULL AND app_id IN ({', '.join(f':{name}' for name in values) or 'NULL'})"
        f" AND {authorizations.is_live_sql('authorization_id')} GROUP BY app_id ORDER BY app_id LIMIT :limit",
        Usage,
        org_id=org_id,
        limit=max(1, len(values)),
        **values,
    )
    return {each.app_id: each for each in found}


def last_use_of_apps(org_id: str, app_ids: tuple[str, ...]) -> Operation[dict[str, int]]:
    """When each of these apps was last used (epoch seconds), by anybody; those that never were are left out."""
    found: dict[str, int] = {}
    for app_id in app_ids:
        last = yield from one(
            "SELECT used_at AS n FROM connections WHERE org_id = :org_id AND app_id = :app_id ORDER BY used_at DESC LIMIT 1",
            number,
            org_id=org_id,
            app_id=app_id,
        )
        if last is not None:
            found[app_id] = last
    return found


def count_of_app(org_id: str, app_id: str, *, scope: str = "") -> Operation[int]:
    """How many live connections an app has, all or those with this scope."""
    with_scope = " AND ' ' || scopes || ' ' LIKE :scope" if scope else ""
    values: dict[str, Value] = {"scope": f"% {scope} %"} if scope else {}
    counted = yield from one(
        "SELECT COUNT(*) AS n FROM connections WHERE org_id = :org_id AND app_id = :app_id AND ended_at IS NULL"
        f"{with_scope} AND {authorizations.is_live_sql('connections.authorization_id')}",
        number,
        org_id=org_id,
        app_id=app_id,
        **values,
    )
    return counted or 0


def note_use(org_id: str, connection_id: str, now: int) -> Operation[None]:
    """The connection was used."""
    yield from execute(
        "UPDATE connections SET used_at = :now WHERE org_id = :org_id AND id = :id AND used_at < :now",
        org_id=org_id,
        id=connection_id,
        now=now,
    )


def end_own(org_id: str, user_id: str, connection_id: str, now: int) -> Operation[bool]:
    """The user ends one connection of their own. True for exactly one caller; another user's is not found."""
    owner = yield from one(
        "SELECT user_id AS value FROM connections WHERE org_id = :org_id AND id = :id AND user_id = :user_id",
        text,
        org_id=org_id,
        id=connection_id,
        user_id=user_id,
    )
    return owner is not None and (yield from end(org_id, connection_id, now, mark("ended by its user")))


def end_by_administrator(org_id: str, user_id: str, connection_id: str, *, actor: str, now: int) -> Operation[bool]:
    """An administrator ends one connection of this user. True for exactly one caller; another user's is not found."""
    owner = yield from one(
        "SELECT user_id AS value FROM connections WHERE org_id = :org_id AND id = :id AND user_id = :user_id",
        text,
        org_id=org_id,
        id=connection_id,
        user_id=user_id,
    )
    why = mark("ended by an administrator")
    return owner is not None and (yield from end(org_id, connection_id, now, why, actor=actor))
