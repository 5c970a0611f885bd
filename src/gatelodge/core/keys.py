"""Signing keys of an org: made once, sealed under the master key and bound to their row, published as a JWK Set."""

from typing import Any, cast

import msgspec
from joserfc.jwk import ECKey

from gatelodge.core.operation import Operation, execute, many
from gatelodge.core.secrets import KeyRing

ALGORITHM = "ES256"
PURPOSE = "signing-key"
MOST_KEYS = 100


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key pair as it is stored: the private half only as sealed bytes."""

    kid: str
    org_id: str
    algorithm: str
    public_jwk: str
    sealed: bytes
    created_at: int

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"


def generate(keys: KeyRing, *, org_id: str, now: int) -> SigningKey:
    """A fresh ES256 key pair for an org; its ``kid`` is its thumbprint (RFC 7638)."""
    made = ECKey.generate_key("P-256")
    kid = made.thumbprint()
    return SigningKey(
        kid=kid,
        org_id=org_id,
        algorithm=ALGORITHM,
        public_jwk=msgspec.json.encode(made.as_dict(private=False)).decode(),
        sealed=keys.seal(PURPOSE, msgspec.json.encode(made.as_dict(private=True)), f"{org_id}/{kid}"),
        created_at=now,
    )


def unseal(keys: KeyRing, key: SigningKey) -> ECKey:
    """The private key, ready to sign. Raises ``KeyMissing`` when the master key it needs is gone."""
    raw = keys.open(PURPOSE, key.sealed, f"{key.org_id}/{key.kid}")
    return ECKey.import_key(msgspec.json.decode(raw))


def public_key(key: SigningKey) -> ECKey:
    """The public key, ready to verify."""
    return ECKey.import_key(msgspec.json.decode(key.public_jwk))


def jwk_set(keys: list[SigningKey]) -> dict[str, list[dict[str, Any]]]:
    """The JWK Set of an org (RFC 7517 §5): public members, algorithm and use."""
    published = (
        cast("dict[str, Any]", msgspec.json.decode(key.public_jwk))
        | {"kid": key.kid, "alg": key.algorithm, "use": "sig"}
        for key in keys
    )
    return {"keys": list(published)}


def add(key: SigningKey) -> Operation[None]:
    """Keep a key."""
    yield from execute(
        "INSERT INTO signing_keys (kid, org_id, algorithm, public_jwk, sealed, created_at)"
        " VALUES (:kid, :org_id, :algorithm, :public_jwk, :sealed, :created_at)",
        kid=key.kid,
        org_id=key.org_id,
        algorithm=key.algorithm,
        public_jwk=key.public_jwk,
        sealed=key.sealed,
        created_at=key.created_at,
    )


def of_org(org_id: str) -> Operation[list[SigningKey]]:
    """The org's keys, the newest first: that one signs, all of them verify."""
    return (
        yield from many(
            "SELECT kid, org_id, algorithm, public_jwk, sealed, created_at FROM signing_keys"
            " WHERE org_id = :org_id ORDER BY created_at DESC, kid LIMIT :limit",
            SigningKey,
            org_id=org_id,
            limit=MOST_KEYS,
        )
    )
