"""An app's public keys: a PEM certificate or a JWK Set, pasted into its Settings. Nothing is ever fetched for them."""

import re
from functools import lru_cache
from typing import Any, cast

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from gatelodge.words import _

LONGEST = 16_384
MOST_KEYS = 10
SMALLEST_RSA = 2048
"""Bits (RFC 8725 §3.5, RFC 7518 §3.3)."""
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
PEM = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")

Key = ECKey | RSAKey


class NoKeys(ValueError):
    """The text holds no keys that can be used; the message says why."""


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Key, ...]:
    """The public keys of a certificate or a JWK Set, in order. Raises ``NoKeys``."""
    if len(text) > LONGEST:
        raise NoKeys(_("it has {n} characters; at most {longest} are allowed").format(n=len(text), longest=LONGEST))
    keys = _of_certificates(text) if "-----BEGIN" in text else _of_set(text)
    if not 1 <= len(keys) <= MOST_KEYS:
        raise NoKeys(_("it holds {n} keys; 1 to {most_keys} are allowed").format(n=len(keys), most_keys=MOST_KEYS))
    for key in keys:
        _check_strength(key)
    return tuple(keys)


def problem(text: str) -> str:
    """Why this text can't be an app's public keys, as a sentence; "" when it can."""
    try:
        _parsed = parse(text)
    except NoKeys as error:
        return _("This is no PEM certificate or JWK Set that can be used: {error}.").format(error=error)
    return ""


def algorithms_of(key: Key) -> list[str]:
    """The one algorithm that a key verifies: it follows from the key, never from the token (RFC 8725 §3.1)."""
    return ["ES256"] if isinstance(key, ECKey) else ["RS256"]


def of_kid(keys: tuple[Key, ...], kid: str | None) -> Key | None:
    """The key with this id; without an id, the only one."""
    if kid is None:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if kid in (key.kid, key.thumbprint())), None)


def _of_certificates(text: str) -> list[Key]:
    if "PRIVATE KEY" in text:
        raise NoKeys(_("it holds a private key, which must never leave the app; paste the certificate alone"))
    found: list[Key] = []
    for block in PEM.findall(text):
        try:
            public = x509.load_pem_x509_certificate(block.encode()).public_key()
            pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        except ValueError as error:
            raise NoKeys(_("the certificate can't be read: {error}").format(error=error)) from None
        found.append(_imported(pem))
    return found


def _imported(pem: bytes) -> Key:
    for kind in (ECKey, RSAKey):
        try:
            return kind.import_key(pem)
        except (JoseError, ValueError, TypeError, AttributeError):
            continue
    raise NoKeys(_("its key is of a kind that isn't supported; use RSA or P-256"))


def _of_set(text: str) -> list[Key]:
    try:
        found: Any = msgspec.json.decode(text)
        members: list[dict[str, Any]] = found.get("keys", [found])
        if any(PRIVATE & set(member) for member in members):
            raise NoKeys(_("it holds a private or symmetric key; paste the public keys alone"))
        keys = cast("list[Any]", KeySet.import_key_set({"keys": members}).keys)  # type: ignore[typeddict-item]
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
        raise error if isinstance(error, NoKeys) else NoKeys(str(error)) from None
    if any(not isinstance(key, ECKey | RSAKey) for key in keys):
        raise NoKeys(_("a key is of a kind that isn't supported; use RSA or P-256"))
    return keys


def _check_strength(key: Key) -> None:
    if isinstance(key, ECKey):
        if key.curve_name != "P-256":
            raise NoKeys(_("the curve {curve_name} isn't supported; use P-256").format(curve_name=key.curve_name))
    elif key.public_key.key_size < SMALLEST_RSA:
        raise NoKeys(
            _("an RSA key has {key_size} bits; at least {smallest_rsa} are needed").format(
                key_size=key.public_key.key_size, smallest_rsa=SMALLEST_RSA
            )
        )
