"""One sign-in of one client instance: begun by one redeemed code, it carries a refresh family and access tokens.

A replayed code or refresh token ends its connection and never the user's other ones (decision 0006).
"""

import msgspec

from gatelodge.core import audit, authorizations, users
from gatelodge.core.errors import Denied
from gatelodge.core.operation import Operation, Value, announce, execute, many, number, one, remove_some, text

CODE_LIFETIME = 60
"""Seconds from consent to redemption (RFC 6749 §4.1.2 asks for at most 600)."""
KEEP_CODES = 24 * 3600
"""Seconds that a used code is remembered, so that its replay is still punished."""
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


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization code as it is kept: its digest, what it was issued for, and the connection it will begin."""

    digest: str
    connection: Connection
    redirect_uri: str
    code_challenge: str
    nonce: str
    expires_at: int
    used_at: int | None = None
    is_live: bool = True


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What a redeemer of a code brings. ``code_challenge`` is the S256 of the verifier it sent ("" for none);
    ``redirect_uri`` and ``resource`` are None when they were not sent; ``dpop_jkt`` is "" without a DPoP proof.
    """

    client_id: str
    redirect_uri: str | None
    code_challenge: str
    resource: str | None
    dpop_jkt: str = ""


def connection(*, scopes: str, methods: str, **columns: object) -> Connection:
    """A ``Connection`` from its row."""
    return msgspec.convert({**columns, "scopes": scopes.split(), "methods": methods.split()}, Connection)


def columns_of(made: Connection) -> dict[str, str | int]:
    """The row of a ``Connection``."""
    return msgspec.structs.asdict(made) | {"scopes": " ".join(made.scopes), "methods": " ".join(made.methods)}


OF_THE_CODE = ("digest", "redirect_uri", "code_challenge", "nonce", "expires_at", "used_at")


def code(*, connection_id: str, is_live: int, **columns: object) -> Code:
    """A ``Code`` from its row."""
    own = {name: columns.pop(name) for name in OF_THE_CODE}
    begins = connection(id=connection_id, **columns)  # type: ignore[arg-type] - the columns of the statement
    return Code(connection=begins, is_live=bool(is_live), **own)  # type: ignore[arg-type] - the same


SIGN_IN = "authorization_id, user_id, app_id, client_id, scopes, resource, signed_in_at, level, methods, dpop_jkt"
COLUMNS = f"id, org_id, {SIGN_IN}, grant_type"
FIND_CODE = (
    f"SELECT digest, connection_id, org_id, {SIGN_IN}, redirect_uri, code_challenge, nonce, expires_at, used_at,"
    f" CASE WHEN {authorizations.is_live_sql('authorization_id')} AND {users.is_active_sql('user_id')}"
    " THEN 1 ELSE 0 END AS is_live FROM codes WHERE org_id = :org_id AND digest = :digest"
)
USE_CODE = (
    "UPDATE codes SET used_at = :now WHERE org_id = :org_id AND digest = :digest AND used_at IS NULL"
    f" AND expires_at > :now AND {authorizations.is_live_sql('authorization_id')} AND {users.is_active_sql('user_id')}"
    " RETURNING digest AS value"
)
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


def issue_code(issued: Code, now: int) -> Operation[None]:
    """Keep a fresh code; codes whose time is long over are removed."""
    sign_in = columns_of(issued.connection)
    del sign_in["grant_type"]
    yield from execute(
        f"INSERT INTO codes (digest, connection_id, org_id, {SIGN_IN}, redirect_uri, code_challenge, nonce, expires_at)"
        " VALUES (:digest, :id, :org_id, :authorization_id, :user_id, :app_id, :client_id, :scopes, :resource,"
        " :signed_in_at, :level, :methods, :dpop_jkt, :redirect_uri, :code_challenge, :nonce, :expires_at)",
        **sign_in,
        digest=issued.digest,
        redirect_uri=issued.redirect_uri,
        code_challenge=issued.code_challenge,
        nonce=issued.nonce,
        expires_at=now + CODE_LIFETIME,
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
    )
    return msgspec.structs.replace(made, authorization_id=agreed.id)


def find_code(org_id: str, digest: str) -> Operation[Code | None]:
    """The code with this digest, used or not."""
    return (yield from one(FIND_CODE, code, org_id=org_id, digest=digest))


UNKNOWN_CODE = Denied("invalid_grant", "the authorization code is unknown or expired")


def redeem(held: Code, proof: Proof, now: int) -> Operation[Code | Denied]:
    """Exchange a code, read as ``held``, for the connection it begins (RFC 6749 §4.1.3), for exactly one caller.

    A DPoP proof binds the connection to its key (RFC 9449 §5); a code asked for with ``dpop_jkt`` needs that one (§10).
    """
    # Possession first, consequence after: who lacks the verifier can neither use a code up nor end its connection.
    if refusal := _unproven(held, proof):
        return refusal
    if held.used_at is None and held.expires_at <= now:
        return Denied("invalid_grant", f"expired authorization code: it lived {CODE_LIFETIME} seconds")
    org_id = held.connection.org_id
    # The UPDATE also sees what happened since the code was read.
    used = (
        (yield from one(USE_CODE, text, org_id=org_id, digest=held.digest, now=now)) if held.used_at is None else None
    )
    if used is None:
        return (yield from _refuse_code(org_id, held.digest, now))
    bound = msgspec.structs.replace(held.connection, dpop_jkt=held.connection.dpop_jkt or proof.dpop_jkt)
    yield from begin(bound, now)
    return msgspec.structs.replace(held, connection=bound)


def _refuse_code(org_id: str, digest: str, now: int) -> Operation[Denied]:
    """Why a code that its redeemer has proved could not be used, and what follows from that."""
    newest = yield from find_code(org_id, digest)
    if newest is None:
        return UNKNOWN_CODE
    if newest.used_at is None:
        return Denied("invalid_grant", "the user's authorization of this app has ended, or the user is inactive")
    # RFC 6749 §10.5: a replay ends what the first use began
    _ = yield from end(org_id, newest.connection.id, now, "code replay")
    return Denied("invalid_grant", "the authorization code was already used; the connection it began is ended")


def _unproven(held: Code, proof: Proof) -> Denied | None:
    """Why this redeemer has not proved that the code is its own, or None."""
    if proof.client_id != held.connection.client_id:
        return Denied("invalid_grant", "the authorization code was issued to another client")
    if proof.redirect_uri is not None and proof.redirect_uri != held.redirect_uri:
        return Denied("invalid_grant", "redirect_uri differs from the one of the authorization request")
    if proof.redirect_uri is None and not held.code_challenge:  # RFC 6749 §4.1.3: nothing else ties the code down
        return Denied("invalid_grant", "redirect_uri is missing: a code without a code_challenge needs it")
    if held.code_challenge and not proof.code_challenge:
        return Denied("invalid_grant", "code_verifier is missing: the authorization request sent a code_challenge")
    if proof.code_challenge != held.code_challenge:  # also a verifier without a challenge (RFC 9700 §4.8.2)
        return Denied("invalid_grant", "invalid code verifier: its S256 differs from the code_challenge")
    if held.connection.dpop_jkt not in ("", proof.dpop_jkt):
        return Denied("invalid_grant", "the authorization request was bound to a DPoP key, and this proof has another")
    if proof.resource is not None and proof.resource != held.connection.resource:
        return Denied("invalid_target", f"the user authorized the resource {held.connection.resource} and no other")
    return None


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


def end(org_id: str, connection_id: str, now: int, why: str) -> Operation[bool]:
    """End one connection, written down. True for exactly one caller; a connection never begun cannot end."""
    user_id = yield from one(END, text, org_id=org_id, id=connection_id, now=now, why=why)
    if user_id is None:
        return False
    yield from audit.record(org_id, now * 1000, user_id, "connection:session:end", connection_id, {"why": why})
    yield from announce(org_id, "connection", connection_id)
    return True


def ended_since(then: int) -> Operation[list[str]]:
    """The connections of every org that ended at or after ``then``: a node loads them before it is ready."""
    sql = "SELECT id AS value FROM connections WHERE ended_at >= :then ORDER BY ended_at DESC LIMIT :limit"
    return (yield from many(sql, text, then=then, limit=MOST_ENDED))


def end_all_of_user(org_id: str, user_id: str, now: int, why: str) -> Operation[int]:
    """End every connection of a user, and take back the codes that would begin more. How many ended."""
    yield from execute(
        "DELETE FROM codes WHERE org_id = :org_id AND user_id = :user_id AND used_at IS NULL",
        org_id=org_id,
        user_id=user_id,
    )
    ended = found = yield from _end_page(org_id, "user_id = :user_id", now, why, user_id=user_id)
    while found == PAGE:
        found = yield from _end_page(org_id, "user_id = :user_id", now, why, user_id=user_id)
        ended += found
    return ended


def end_before(org_id: str, before: int, now: int) -> Operation[bool]:
    """End a page of the connections begun before this time (epoch seconds), then of the authorizations with no later
    one, and every code issued before it: a restored backup holds some that were ended since. True: there may be more.
    """
    yield from execute(
        "DELETE FROM codes WHERE org_id = :org_id AND expires_at < :until AND used_at IS NULL",
        org_id=org_id,
        until=before + CODE_LIFETIME,
    )
    if (yield from _end_page(org_id, "created_at < :before", now, "revoked by time", before=before)) == PAGE:
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


def forget_old_codes(now: int) -> Operation[bool]:
    """Remove some of the codes whose replay need no longer be punished. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM codes WHERE digest IN (SELECT digest FROM codes WHERE expires_at < :then"
            " ORDER BY expires_at LIMIT :limit) RETURNING digest",
            then=now - KEEP_CODES,
        )
    )


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
    return owner is not None and (yield from end(org_id, connection_id, now, "ended by its user"))
