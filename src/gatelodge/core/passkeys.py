"""Passkeys (Web Authentication): public keys of users. A sign count that does not grow tells of a copied key."""

import msgspec

from gatelodge.core import audit
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, Value, execute, many, number, one, text
from gatelodge.words import _

MOST_PASSKEYS = 20
LONGEST_LABEL = 60


class Passkey(msgspec.Struct, frozen=True, kw_only=True):
    """One key as it is stored. ``credential_id`` is base64url, ``public_key`` a COSE key."""

    id: str
    org_id: str
    user_id: str
    credential_id: str
    public_key: bytes
    sign_count: int
    label: str
    created_at: int
    last_used_at: int | None = None


COLUMNS = "id, org_id, user_id, credential_id, public_key, sign_count, label, created_at, last_used_at"


def add(made: Passkey) -> Operation[None]:
    """Keep a key. Raises ``Refused`` when it is known already, or the user has too many."""
    kept = yield from count(made.org_id, made.user_id)
    if kept >= MOST_PASSKEYS:
        raise Refused(
            _("You have {kept} passkeys, which is as many as are kept; remove one first.").format(kept=kept), "label"
        )
    added = yield from one(
        f"INSERT INTO passkeys ({COLUMNS}) VALUES (:id, :org_id, :user_id, :credential_id, :public_key, :sign_count,"
        " :label, :created_at, :last_used_at) ON CONFLICT (org_id, credential_id) DO NOTHING RETURNING id AS value",
        text,
        **msgspec.structs.asdict(made),
    )
    if added is None:
        raise Refused(_("This passkey is registered already."), "label")
    yield from audit.record(made.org_id, made.created_at * 1000, made.user_id, "user:passkey:add", made.id, {})


def has_any_sql(user_column: str) -> str:
    """A condition for another module's statement of the org ``:org_id``: the user that this column names has one."""
    return f"EXISTS (SELECT 1 FROM passkeys k WHERE k.org_id = :org_id AND k.user_id = {user_column})"


def who_have(org_id: str, user_ids: tuple[str, ...]) -> Operation[list[str]]:
    """Those of these users who have a passkey."""
    values: dict[str, Value] = {f"user_{n}": user_id for n, user_id in enumerate(user_ids)}
    return (
        yield from many(
            "SELECT DISTINCT user_id AS value FROM passkeys WHERE org_id = :org_id AND user_id IN"
            f" ({', '.join(f':{name}' for name in values) or 'NULL'}) ORDER BY value LIMIT :limit",
            text,
            org_id=org_id,
            limit=max(1, len(values)),
            **values,
        )
    )


def count(org_id: str, user_id: str) -> Operation[int]:
    """How many keys the user has."""
    found = yield from one(
        "SELECT COUNT(*) AS n FROM passkeys WHERE org_id = :org_id AND user_id = :user_id",
        number,
        org_id=org_id,
        user_id=user_id,
    )
    return found or 0


def of_user(org_id: str, user_id: str) -> Operation[list[Passkey]]:
    """The user's keys, the oldest first."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM passkeys WHERE org_id = :org_id AND user_id = :user_id"
            " ORDER BY created_at, id LIMIT :limit",
            Passkey,
            org_id=org_id,
            user_id=user_id,
            limit=MOST_PASSKEYS,
        )
    )


def find(org_id: str, credential_id: str) -> Operation[Passkey | None]:
    """The key with this credential id, of this org alone."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM passkeys WHERE org_id = :org_id AND credential_id = :credential_id",
            Passkey,
            org_id=org_id,
            credential_id=credential_id,
        )
    )


def use(org_id: str, id: str, sign_count: int, now: int) -> Operation[bool]:
    """The key signed. False when its count did not grow (Web Authentication §6.1.1); keys that don't count stay at 0."""
    used = yield from one(
        "UPDATE passkeys SET sign_count = :sign_count, last_used_at = :now WHERE org_id = :org_id AND id = :id"
        " AND (sign_count < :sign_count OR (sign_count = 0 AND :sign_count = 0)) RETURNING id AS value",
        text,
        org_id=org_id,
        id=id,
        sign_count=sign_count,
        now=now,
    )
    return used is not None


def remove(org_id: str, user_id: str, id: str) -> Operation[bool]:
    """Forget one of the user's keys. True for exactly one caller; another user's is not found."""
    removed = yield from one(
        "DELETE FROM passkeys WHERE org_id = :org_id AND user_id = :user_id AND id = :id RETURNING id AS value",
        text,
        org_id=org_id,
        user_id=user_id,
        id=id,
    )
    return removed is not None


def remove_all(org_id: str, user_id: str) -> Operation[None]:
    """Forget all of the user's keys."""
    yield from execute(
        "DELETE FROM passkeys WHERE org_id = :org_id AND user_id = :user_id", org_id=org_id, user_id=user_id
    )
