"""Signing keys of an org: sealed under the master key and bound to their row, published as a JWK Set.

A new key is published before it signs, so that no cache lacks it, and an old one stays until its last token is dead.
"""

from typing import Any, cast

import msgspec
from joserfc.jwk import ECKey, RSAKey

from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, announce, execute, many, remove_some
from gatelodge.core.secrets import KeyRing
from gatelodge.words import _

ALGORITHMS = ("ES256", "RS256")
PURPOSE = "signing-key"
MOST_KEYS = 100
CACHED_FOR = 300
"""Seconds that others may keep our JWK Set: a new key waits so long before it signs, and a little longer."""
PUBLISHED_BEFORE = 2 * CACHED_FOR
RSA_BITS = 2048

Key = ECKey | RSAKey


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key pair as it is stored: the private half only as sealed bytes. It signs from ``signs_from`` (epoch
    seconds) until a newer one does, and leaves the JWK Set at ``gone_at``.
    """

    kid: str
    org_id: str
    algorithm: str
    public_jwk: str
    sealed: bytes
    created_at: int
    signs_from: int
    gone_at: int | None = None

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"


def generate(keys: KeyRing, *, org_id: str, algorithm: str, now: int, signs_from: int) -> SigningKey:
    """A fresh key pair for an org; its ``kid`` is its thumbprint (RFC 7638)."""
    made: Key = ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(RSA_BITS)
    kid = made.thumbprint()
    return SigningKey(
        kid=kid,
        org_id=org_id,
        algorithm=algorithm,
        public_jwk=msgspec.json.encode(made.as_dict(private=False)).decode(),
        sealed=keys.seal(PURPOSE, msgspec.json.encode(made.as_dict(private=True)), f"{org_id}/{kid}"),
        created_at=now,
        signs_from=signs_from,
    )


def unseal(keys: KeyRing, key: SigningKey) -> Key:
    """The private key, ready to sign. Raises ``KeyMissing`` when the master key it needs is gone."""
    raw = keys.open(PURPOSE, key.sealed, f"{key.org_id}/{key.kid}")
    return _imported(key.algorithm, raw)


def public_key(key: SigningKey) -> Key:
    """The public key, ready to verify."""
    return _imported(key.algorithm, key.public_jwk.encode())


def _imported(algorithm: str, jwk: bytes) -> Key:
    kind = ECKey if algorithm == "ES256" else RSAKey
    return kind.import_key(msgspec.json.decode(jwk))


def jwk_set(keys: list[SigningKey]) -> dict[str, list[dict[str, Any]]]:
    """The JWK Set of an org (RFC 7517 §5): public members, algorithm and use."""
    published = (
        cast("dict[str, Any]", msgspec.json.decode(key.public_jwk))
        | {"kid": key.kid, "alg": key.algorithm, "use": "sig"}
        for key in keys
    )
    return {"keys": list(published)}


def signing(keys: list[SigningKey], now: int) -> SigningKey:
    """The key that signs now: of those whose time has come, the latest; of two of one second, the one that stays."""
    begun = [key for key in keys if key.signs_from <= now] or keys[-1:]
    return max(begun, key=lambda key: (key.signs_from, key.gone_at is None, key.kid))


COLUMNS = "kid, org_id, algorithm, public_jwk, sealed, created_at, signs_from, gone_at"


def add(key: SigningKey) -> Operation[None]:
    """Keep a key, and publish it."""
    yield from execute(
        f"INSERT INTO signing_keys ({COLUMNS}) VALUES (:kid, :org_id, :algorithm, :public_jwk, :sealed, :created_at,"
        " :signs_from, :gone_at)",
        **msgspec.structs.asdict(key),
    )
    yield from announce(key.org_id, "keys", key.kid)


def rotate(fresh: SigningKey, *, longest_token: int) -> Operation[None]:
    """Publish a key that will sign, and let the others go once the last token they signed is dead.

    ``longest_token`` is in seconds. A key that still waits for a later turn than the fresh one's never gets it: it
    would sign again after the fresh one, and be gone before its last token. Raises ``Refused`` when too many are
    published already.
    """
    published = yield from of_org(fresh.org_id, fresh.created_at)
    if len(published) >= MOST_KEYS:
        first = min(key.gone_at or key.signs_from for key in published)
        raise Refused(
            _("{n} keys of this org are published, as many as may be; the first one goes in {value} seconds").format(
                n=len(published), value=max(0, first - fresh.created_at)
            )
        )
    yield from execute(
        # One that began in this very second may have signed already: it goes as those before it do.
        "DELETE FROM signing_keys WHERE org_id = :org_id AND signs_from >= :signs_from AND signs_from > :now",
        org_id=fresh.org_id,
        signs_from=fresh.signs_from,
        now=fresh.created_at,
    )
    yield from execute(
        "UPDATE signing_keys SET gone_at = :gone_at WHERE org_id = :org_id AND gone_at IS NULL",
        org_id=fresh.org_id,
        gone_at=fresh.signs_from + longest_token,
    )
    yield from add(fresh)


def of_org(org_id: str, now: int) -> Operation[list[SigningKey]]:
    """The org's published keys, by the time from which they sign."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM signing_keys WHERE org_id = :org_id AND (gone_at IS NULL OR gone_at > :now)"
            " ORDER BY signs_from, kid LIMIT :limit",
            SigningKey,
            org_id=org_id,
            now=now,
            limit=MOST_KEYS,
        )
    )


def forget_old(now: int) -> Operation[bool]:
    """Remove some of the keys whose last token is dead. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM signing_keys WHERE kid IN (SELECT kid FROM signing_keys WHERE gone_at <= :now"
            " ORDER BY gone_at LIMIT :limit) RETURNING kid",
            now=now,
        )
    )
