"""The authenticator app of a user (TOTP, RFC 6238) and the recovery codes for the day it is lost.

A secret counts from the moment its owner typed a code of it. A time step is accepted once, and so is a recovery code.
"""

import msgspec

from gatelodge.core import audit, passkeys
from gatelodge.core.operation import Operation, Value, execute, many, number, one, text

PURPOSE = "totp-secret"
"""Of the key under which a secret is sealed, bound to ``row_name``."""
STEP = 30
"""Seconds of a time step (RFC 6238 §4.1)."""
SKEW = 1
"""Steps before and after the present one whose codes are taken (RFC 6238 §5.2)."""
RECOVERY_CODES = 10


class Totp(msgspec.Struct, frozen=True, kw_only=True):
    """The secret as it is stored: sealed. ``last_step`` is the newest time step that was accepted."""

    sealed: bytes
    confirmed_at: int | None
    last_step: int

    def __repr__(self) -> str:
        return f"Totp(confirmed_at={self.confirmed_at})"


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """What a user can be asked for besides a password."""

    has_totp: bool = False
    passkeys: int = 0
    recovery_codes: int = 0

    @property
    def any(self) -> bool:
        """Whether this user is asked for a second factor at all."""
        return self.has_totp or self.passkeys > 0


def has_any_sql(user_column: str) -> str:
    """A condition for another module's statement of the org ``:org_id``: the user that this column names has one."""
    return (
        "(EXISTS (SELECT 1 FROM totp_secrets t WHERE t.org_id = :org_id AND t.confirmed_at IS NOT NULL"
        f" AND t.user_id = {user_column}) OR {passkeys.has_any_sql(user_column)})"
    )


def who_have(org_id: str, user_ids: tuple[str, ...]) -> Operation[frozenset[str]]:
    """Those of these users who are asked for a second factor."""
    values: dict[str, Value] = {f"user_{n}": user_id for n, user_id in enumerate(user_ids)}
    found = yield from many(
        "SELECT user_id AS value FROM totp_secrets WHERE org_id = :org_id AND confirmed_at IS NOT NULL AND user_id IN"
        f" ({', '.join(f':{name}' for name in values) or 'NULL'}) LIMIT :limit",
        text,
        org_id=org_id,
        limit=max(1, len(values)),
        **values,
    )
    return frozenset((*found, *(yield from passkeys.who_have(org_id, user_ids))))


def row_name(org_id: str, user_id: str) -> str:
    """What a sealed secret is bound to."""
    return f"{org_id}/{user_id}"


def of_user(org_id: str, user_id: str) -> Operation[Factors]:
    """The second factors that count."""
    totp = yield from find_totp(org_id, user_id)
    left = yield from one(
        "SELECT COUNT(*) AS n FROM recovery_codes WHERE org_id = :org_id AND user_id = :user_id AND used_at IS NULL",
        number,
        org_id=org_id,
        user_id=user_id,
    )
    keys = yield from passkeys.count(org_id, user_id)
    return Factors(has_totp=totp is not None and totp.confirmed_at is not None, passkeys=keys, recovery_codes=left or 0)


def find_totp(org_id: str, user_id: str) -> Operation[Totp | None]:
    """The user's secret, confirmed or not."""
    return (
        yield from one(
            "SELECT sealed, confirmed_at, last_step FROM totp_secrets WHERE org_id = :org_id AND user_id = :user_id",
            Totp,
            org_id=org_id,
            user_id=user_id,
        )
    )


def begin_totp(org_id: str, user_id: str, sealed: bytes, now: int) -> Operation[bool]:
    """Keep a fresh secret until it is confirmed. False: a confirmed one stands, and stays."""
    begun = yield from one(
        "INSERT INTO totp_secrets (org_id, user_id, sealed, last_step, created_at)"
        " VALUES (:org_id, :user_id, :sealed, 0, :now) ON CONFLICT (org_id, user_id) DO UPDATE SET"
        " sealed = excluded.sealed, created_at = excluded.created_at, last_step = 0"
        " WHERE totp_secrets.confirmed_at IS NULL RETURNING user_id AS value",
        text,
        org_id=org_id,
        user_id=user_id,
        sealed=sealed,
        now=now,
    )
    return begun is not None


def confirm_totp(org_id: str, user_id: str, sealed: bytes, step: int, now: int) -> Operation[bool]:
    """The owner typed a code of this very secret: it counts from now on. True for exactly one caller."""
    confirmed = yield from one(
        "UPDATE totp_secrets SET confirmed_at = :now, last_step = :step WHERE org_id = :org_id AND user_id = :user_id"
        " AND confirmed_at IS NULL AND sealed = :sealed RETURNING user_id AS value",
        text,
        org_id=org_id,
        user_id=user_id,
        sealed=sealed,
        step=step,
        now=now,
    )
    if confirmed is None:
        return False
    yield from audit.record(org_id, now * 1000, user_id, "user:totp:confirm", user_id, {})
    return True


def use_step(org_id: str, user_id: str, step: int) -> Operation[bool]:
    """Use a time step up (RFC 6238 §5.2: a code is accepted once). True for exactly one caller."""
    used = yield from one(
        "UPDATE totp_secrets SET last_step = :step WHERE org_id = :org_id AND user_id = :user_id"
        " AND confirmed_at IS NOT NULL AND last_step < :step RETURNING user_id AS value",
        text,
        org_id=org_id,
        user_id=user_id,
        step=step,
    )
    return used is not None


def remove_totp(org_id: str, user_id: str, *, actor: str, now: int) -> Operation[None]:
    """Forget the authenticator app; the recovery codes go with the last second factor."""
    yield from execute(
        "DELETE FROM totp_secrets WHERE org_id = :org_id AND user_id = :user_id", org_id=org_id, user_id=user_id
    )
    yield from audit.record(org_id, now * 1000, actor, "user:totp:remove", user_id, {})
    yield from _forget_codes_of_nothing(org_id, user_id)


def remove_passkey(org_id: str, user_id: str, id: str, now: int) -> Operation[bool]:
    """Forget one of the user's passkeys. True for exactly one caller; another user's is not found."""
    if not (yield from passkeys.remove(org_id, user_id, id)):
        return False
    yield from audit.record(org_id, now * 1000, user_id, "user:passkey:remove", id, {})
    yield from _forget_codes_of_nothing(org_id, user_id)
    return True


def make_recovery_codes(org_id: str, user_id: str, digests: list[str], now: int) -> Operation[bool]:
    """Fresh recovery codes take the place of all before them. False: there is no second factor to stand in for."""
    if not (yield from of_user(org_id, user_id)).any:
        return False
    yield from set_recovery_codes(org_id, user_id, digests)
    yield from audit.record(org_id, now * 1000, user_id, "user:recovery_codes:create", user_id, {})
    return True


def set_recovery_codes(org_id: str, user_id: str, digests: list[str]) -> Operation[None]:
    """Fresh recovery codes take the place of all before them."""
    yield from execute(
        "DELETE FROM recovery_codes WHERE org_id = :org_id AND user_id = :user_id", org_id=org_id, user_id=user_id
    )
    for digest in digests:
        yield from execute(
            "INSERT INTO recovery_codes (org_id, user_id, digest) VALUES (:org_id, :user_id, :digest)",
            org_id=org_id,
            user_id=user_id,
            digest=digest,
        )


def use_recovery_code(org_id: str, user_id: str, digest: str, now: int) -> Operation[bool]:
    """Use a recovery code up. True for exactly one caller."""
    used = yield from one(
        "UPDATE recovery_codes SET used_at = :now WHERE org_id = :org_id AND user_id = :user_id AND digest = :digest"
        " AND used_at IS NULL RETURNING digest AS value",
        text,
        org_id=org_id,
        user_id=user_id,
        digest=digest,
        now=now,
    )
    return used is not None


def remove_all(org_id: str, user_id: str, *, actor: str, now: int) -> Operation[None]:
    """An administrator lets a user who lost everything in again by the password alone."""
    yield from passkeys.remove_all(org_id, user_id)
    yield from remove_totp(org_id, user_id, actor=actor, now=now)


def _forget_codes_of_nothing(org_id: str, user_id: str) -> Operation[None]:
    """Recovery codes stand in for a second factor; without any they open nothing and are removed."""
    if not (yield from of_user(org_id, user_id)).any:
        yield from set_recovery_codes(org_id, user_id, [])
