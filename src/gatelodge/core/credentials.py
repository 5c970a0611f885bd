"""Consumer keys and secrets. An app has one key of its own; a staged pair works beside it until it takes its place.

A secret is 256 bits of chance, shown once and kept as a digest. Only apps that need one have one.
"""

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, execute, many, one, text
from gatelodge.words import _

STAGED_FOR = 30 * 86_400
"""Seconds that a staged pair waits to be applied."""
MOST = 10
USED_EVERY = 60
"""Seconds between two notes of a pair's last use."""

MOST_ENDING = 20
"""Staged pairs that are told of at once."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer key, and the digest of its secret ("" for none). ``expires_at`` is set while it is staged."""

    client_id: str
    org_id: str
    app_id: str
    secret_digest: str
    made_by: str
    made_at: int
    expires_at: int | None = None
    last_used_at: int | None = None

    def __repr__(self) -> str:
        return f"Credential({self.client_id})"


COLUMNS = "client_id, org_id, app_id, secret_digest, made_by, made_at, expires_at, last_used_at"


def add(made: Credential) -> Operation[None]:
    """Keep a pair."""
    yield from execute(
        f"INSERT INTO credentials ({COLUMNS}) VALUES (:client_id, :org_id, :app_id, :secret_digest, :made_by,"
        " :made_at, :expires_at, :last_used_at)",
        **msgspec.structs.asdict(made),
    )


def of_app(org_id: str, app_id: str, now: int) -> Operation[list[Credential]]:
    """The pairs of an app that work: its own, and a staged one whose time is not over."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM credentials WHERE org_id = :org_id AND app_id = :app_id"
            " AND (expires_at IS NULL OR expires_at > :now) ORDER BY made_at, client_id LIMIT :limit",
            Credential,
            org_id=org_id,
            app_id=app_id,
            now=now,
            limit=MOST,
        )
    )


def set_secret(org_id: str, client_id: str, secret_digest: str, now: int) -> Operation[None]:
    """Give a key its first secret. Raises ``Refused`` when it has one: that one is replaced by a staged pair."""
    given = yield from one(
        "UPDATE credentials SET secret_digest = :secret_digest, made_at = :now WHERE org_id = :org_id"
        " AND client_id = :client_id AND secret_digest = '' RETURNING client_id AS value",
        text,
        secret_digest=secret_digest,
        now=now,
        org_id=org_id,
        client_id=client_id,
    )
    if given is None:
        raise Refused(_("This app has a secret already. To replace it, stage a new consumer key and secret."))


def stage(made: Credential, now: int) -> Operation[None]:
    """Keep a second pair for 30 days. Raises ``Refused`` when one is staged already."""
    yield from execute(
        "DELETE FROM credentials WHERE org_id = :org_id AND app_id = :app_id AND expires_at <= :now",
        org_id=made.org_id,
        app_id=made.app_id,
        now=now,
    )
    known = yield from of_app(made.org_id, made.app_id, now)
    if any(each.expires_at is not None for each in known):
        raise Refused(_("A pair is staged already. Apply it or discard it first."))
    yield from add(made)


def apply_staged(org_id: str, app_id: str, now: int) -> Operation[Credential]:
    """The staged pair takes the place of the app's own. Raises ``Refused`` when none is staged (any more)."""
    applied = yield from one(
        "UPDATE credentials SET expires_at = NULL WHERE org_id = :org_id AND app_id = :app_id AND expires_at > :now"
        f" RETURNING {COLUMNS}",
        Credential,
        org_id=org_id,
        app_id=app_id,
        now=now,
    )
    if applied is None:
        raise Refused(_("No pair is staged: it was applied or discarded, or its 30 days are over."))
    yield from execute(
        "DELETE FROM credentials WHERE org_id = :org_id AND app_id = :app_id AND client_id <> :client_id",
        org_id=org_id,
        app_id=app_id,
        client_id=applied.client_id,
    )
    return applied


def discard_staged(org_id: str, app_id: str) -> Operation[str | None]:
    """Forget the staged pair; its consumer key, or None when there was none."""
    return (
        yield from one(
            "DELETE FROM credentials WHERE org_id = :org_id AND app_id = :app_id AND expires_at IS NOT NULL"
            " RETURNING client_id AS value",
            text,
            org_id=org_id,
            app_id=app_id,
        )
    )


def take_all(org_id: str, app_id: str) -> Operation[list[Credential]]:
    """Take every pair of an app away; those that there were."""
    taken = yield from many(
        f"SELECT {COLUMNS} FROM credentials WHERE org_id = :org_id AND app_id = :app_id ORDER BY made_at, client_id"
        " LIMIT :limit",
        Credential,
        org_id=org_id,
        app_id=app_id,
        limit=MOST,
    )
    yield from execute(
        "DELETE FROM credentials WHERE org_id = :org_id AND app_id = :app_id", org_id=org_id, app_id=app_id
    )
    return taken


def note_use(org_id: str, client_id: str, now: int) -> Operation[None]:
    """Remember when a pair was last used, to the minute."""
    yield from execute(
        "UPDATE credentials SET last_used_at = :now WHERE org_id = :org_id AND client_id = :client_id"
        " AND (last_used_at IS NULL OR last_used_at < :then)",
        now=now,
        then=now - USED_EVERY,
        org_id=org_id,
        client_id=client_id,
    )


def ending(org_id: str, before: int, now: int) -> Operation[list[Credential]]:
    """The org's staged pairs that end by then, the one that ends first in front."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM credentials WHERE org_id = :org_id AND expires_at > :now AND expires_at <= :before"
            " ORDER BY expires_at, client_id LIMIT :limit",
            Credential,
            org_id=org_id,
            now=now,
            before=before,
            limit=MOST_ENDING,
        )
    )
