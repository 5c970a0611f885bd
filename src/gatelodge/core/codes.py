"""An authorization code: what the user's yes is worth for a minute, to the one client that can prove it is its own."""

import msgspec

from gatelodge.core import authorizations, connections, users
from gatelodge.core.connections import SIGN_IN, Connection, columns_of, connection
from gatelodge.core.errors import Denied
from gatelodge.core.operation import Operation, execute, one, remove_some, text
from gatelodge.words import mark

LIFETIME = 60
"""Seconds from consent to redemption (RFC 6749 §4.1.2 asks for at most 600)."""
KEPT = 24 * 3600
"""Seconds that a used code is remembered, so that its replay is still punished."""


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


OF_THE_CODE = ("digest", "redirect_uri", "code_challenge", "nonce", "expires_at", "used_at")


def code(*, connection_id: str, is_live: int, **columns: object) -> Code:
    """A ``Code`` from its row."""
    own = {name: columns.pop(name) for name in OF_THE_CODE}
    begins = connection(id=connection_id, **columns)  # type: ignore[arg-type] - the columns of the statement
    return Code(connection=begins, is_live=bool(is_live), **own)  # type: ignore[arg-type] - the same


FIND = (
    f"SELECT digest, connection_id, org_id, {SIGN_IN}, redirect_uri, code_challenge, nonce, expires_at, used_at,"
    f" CASE WHEN {authorizations.is_live_sql('authorization_id')} AND {users.is_active_sql('user_id')}"
    " THEN 1 ELSE 0 END AS is_live FROM codes WHERE org_id = :org_id AND digest = :digest"
)
USE = (
    "UPDATE codes SET used_at = :now WHERE org_id = :org_id AND digest = :digest AND used_at IS NULL"
    f" AND expires_at > :now AND {authorizations.is_live_sql('authorization_id')} AND {users.is_active_sql('user_id')}"
    " RETURNING digest AS value"
)


def issue(issued: Code, now: int) -> Operation[None]:
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
        expires_at=now + LIFETIME,
    )


def find(org_id: str, digest: str) -> Operation[Code | None]:
    """The code with this digest, used or not."""
    return (yield from one(FIND, code, org_id=org_id, digest=digest))


UNKNOWN = Denied("invalid_grant", "the authorization code is unknown or expired")


def redeem(held: Code, proof: Proof, now: int) -> Operation[Code | Denied]:
    """Exchange a code, read as ``held``, for the connection it begins (RFC 6749 §4.1.3), for exactly one caller.

    A DPoP proof binds the connection to its key (RFC 9449 §5); a code asked for with ``dpop_jkt`` needs that one (§10).
    """
    # Possession first, consequence after: who lacks the verifier can neither use a code up nor end its connection.
    if refusal := _unproven(held, proof):
        return refusal
    if held.used_at is None and held.expires_at <= now:
        return Denied("invalid_grant", f"expired authorization code: it lived {LIFETIME} seconds")
    org_id = held.connection.org_id
    # The UPDATE also sees what happened since the code was read.
    used = (yield from one(USE, text, org_id=org_id, digest=held.digest, now=now)) if held.used_at is None else None
    if used is None:
        return (yield from _refuse(org_id, held.digest, now))
    bound = msgspec.structs.replace(held.connection, dpop_jkt=held.connection.dpop_jkt or proof.dpop_jkt)
    yield from connections.begin(bound, now)
    return msgspec.structs.replace(held, connection=bound)


def _refuse(org_id: str, digest: str, now: int) -> Operation[Denied]:
    """Why a code that its redeemer has proved could not be used, and what follows from that."""
    newest = yield from find(org_id, digest)
    if newest is None:
        return UNKNOWN
    if newest.used_at is None:
        return Denied("invalid_grant", "the user's authorization of this app has ended, or the user is inactive")
    # RFC 6749 §10.5: a replay ends what the first use began
    _ = yield from connections.end(org_id, newest.connection.id, now, mark("code replay"))
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


def drop_of_user(org_id: str, user_id: str) -> Operation[None]:
    """Take back the codes that would begin more connections of a user."""
    yield from execute(
        "DELETE FROM codes WHERE org_id = :org_id AND user_id = :user_id AND used_at IS NULL",
        org_id=org_id,
        user_id=user_id,
    )


def drop_before(org_id: str, before: int) -> Operation[None]:
    """Forget every code issued before this time (epoch seconds) that nobody has redeemed."""
    yield from execute(
        "DELETE FROM codes WHERE org_id = :org_id AND expires_at < :until AND used_at IS NULL",
        org_id=org_id,
        until=before + LIFETIME,
    )


def forget_old(now: int) -> Operation[bool]:
    """Remove some of the codes whose replay need no longer be punished. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM codes WHERE digest IN (SELECT digest FROM codes WHERE expires_at < :then"
            " ORDER BY expires_at LIMIT :limit) RETURNING digest",
            then=now - KEPT,
        )
    )
