"""DPoP proofs (RFC 9449 §4): a client shows, at each request, that it holds the key its tokens are bound to.

The key comes from the proof itself, so it proves nothing but that its holder is there: the rest is the token's ``cnf``.
URLs are compared with configured ones, never with the Host header.
"""

import base64
import hashlib
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from starlette.requests import Request

from gatelodge.core import secrets, used_once
from gatelodge.core.clock import Clock
from gatelodge.core.orgs import Org
from gatelodge.core.public_keys import PRIVATE, SMALLEST_RSA
from gatelodge.store import Store

HEADER = "dpop"
TYPE = "dpop+jwt"
ALGORITHMS = ("ES256", "RS256", "PS256")
"""Asymmetric ones alone (RFC 9449 §4.3)."""
LONGEST = 8192
WINDOW = 60
"""Seconds by which ``iat`` may lie behind or ahead; its jti is remembered as long."""
LONGEST_JTI = 256
LARGEST_RSA = 4096
"""Bits: who chooses the key must not choose what checking it costs."""
LONGEST_EXPONENT = 6
"""Characters of base64url: four bytes."""
SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
PORTS = {"https": 443, "http": 80}


class Registry(jws.JWSRegistry):
    """What the library reads: it expects no header as long as one with an RSA key."""

    max_header_length = LONGEST


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header that is accepted: no crit, no jku, no x5c (RFC 8725 §3)."""

    typ: str
    alg: str
    jwk: dict[str, Any]
    kid: str | None = None


class Proof(msgspec.Struct, frozen=True):
    """The claims that count (RFC 9449 §4.2). ``iat`` is in epoch seconds; ``ath`` goes with an access token."""

    jti: str
    htm: str
    htu: str
    iat: float
    ath: str = ""


class BadProof(Exception):
    """The proof is not to be believed (invalid_dpop_proof); the message says why."""


async def thumbprint_of(store: Store, clock: Clock, org: Org, request: Request, *, token: str = "") -> str:
    """The thumbprint of the key that this request proves to hold (RFC 7638), used up; "" without a proof.

    With ``token``, the proof must be made for that access token. Raises ``BadProof``.
    """
    sent = request.headers.getlist(HEADER)
    if not sent:
        return ""
    if len(sent) > 1:
        raise BadProof(f"send one DPoP header, not {len(sent)}")
    jkt, proof = verify(sent[0])
    _check(proof, method=request.method, url=_url(org, request), token=token, now=clock.now())
    # Last, so that a proof that is good for nothing uses no id up.
    value = secrets.digest(f"{jkt} {proof.jti}")
    if not await store.run(used_once.use, org.id, used_once.DPOP, value, expires_at=int(proof.iat) + WINDOW + 1):
        raise BadProof("its jti was used before: make a proof for each request")
    return jkt


def verify(text: str) -> tuple[str, Proof]:
    """The thumbprint of the key that made this proof, and what it says. Raises ``BadProof``."""
    if len(text) > LONGEST or not SHAPE.fullmatch(text):
        raise BadProof("it is no signed JWT")
    try:
        header = msgspec.json.decode(_decoded(text.partition(".")[0]), type=Header)
        if header.typ.lower() not in (TYPE, f"application/{TYPE}"):
            raise BadProof(f"its typ must be {TYPE}")
        if header.alg not in ALGORITHMS:
            raise BadProof(f"its alg must be one of {', '.join(ALGORITHMS)}")
        key = _key(header)
        checked = jws.deserialize_compact(text, key, registry=Registry(algorithms=[header.alg]))
        return key.thumbprint(), msgspec.json.decode(checked.payload, type=Proof)
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, KeyError, OverflowError):
        raise BadProof("it is not whole, or not signed with the key in its header") from None


def _key(header: Header) -> ECKey | RSAKey:
    """The public key in the header, of its required members alone (RFC 7638 §3.2)."""
    jwk = header.jwk
    if PRIVATE & set(jwk):
        raise BadProof("its jwk holds a private or symmetric key: send the public key alone, and make a new one")
    kty, is_ec = jwk.get("kty"), header.alg == "ES256"
    if kty != ("EC" if is_ec else "RSA") or (is_ec and jwk.get("crv") != "P-256"):
        raise BadProof("its jwk does not fit its alg: ES256 needs a P-256 key, RS256 and PS256 an RSA key")
    members = {name: jwk[name] for name in (("kty", "crv", "x", "y") if is_ec else ("kty", "n", "e"))}
    if not all(isinstance(value, str) for value in members.values()):
        raise BadProof("its jwk has a member that is no text")
    if is_ec:
        return ECKey.import_key(members)
    # Before the key is made: a large one would cost what its sender chooses.
    bits = int.from_bytes(_decoded(members["n"]), "big").bit_length()
    if not SMALLEST_RSA <= bits <= LARGEST_RSA or len(members["e"]) > LONGEST_EXPONENT:
        raise BadProof(f"its RSA key has {bits} bits: {SMALLEST_RSA} to {LARGEST_RSA} are allowed")
    return RSAKey.import_key(members)


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _check(proof: Proof, *, method: str, url: str, token: str, now: int) -> None:
    if proof.htm != method:
        raise BadProof(f"its htm must be {method}")
    if _normal(proof.htu) != _normal(url):
        raise BadProof(f"its htu must be {url}")
    if not -WINDOW <= proof.iat - now <= WINDOW:
        raise BadProof(f"its iat must be within {WINDOW} seconds of now")
    if not 1 <= len(proof.jti) <= LONGEST_JTI:
        raise BadProof(f"its jti must have 1 to {LONGEST_JTI} characters")
    if token and not secrets.are_equal(proof.ath, hash_of(token)):
        raise BadProof("its ath must be the hash of the access token that is sent with it")


def hash_of(token: str) -> str:
    """The ``ath`` of an access token (RFC 9449 §4.2)."""
    return secrets.base64url(hashlib.sha256(token.encode()).digest())


def _url(org: Org, request: Request) -> str:
    """This request's URL as it is configured, without its query."""
    return org.issuer[: len(org.issuer) - len(org.path)] + request.scope["path"]


def _normal(url: str) -> tuple[str, str, int | None, str] | None:
    """What counts of a URL: query and fragment don't (RFC 9449 §4.3), nor case and default port (RFC 3986 §6.2)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if "@" in parts.netloc or not parts.hostname:
        return None
    scheme = parts.scheme.lower()
    return scheme, parts.hostname.lower(), port or PORTS.get(scheme), parts.path or "/"
