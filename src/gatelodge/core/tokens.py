"""JWT access tokens for named users (RFC 9068): what is in them, how they are signed, and every reason to refuse one."""

import base64
import re
from functools import lru_cache
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jws
from joserfc.errors import JoseError

from gatelodge.core.apps.policies import LONGEST_ACCESS
from gatelodge.core.connections import Connection
from gatelodge.core.keys import Key
from gatelodge.core.secrets import base64url

ES256 = ECDSA(hashes.SHA256())
LONGEST_LIFETIME = LONGEST_ACCESS * 60
"""Seconds that an access token lives at most, whatever the app's policies say."""
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256. Where (r, s) is a signature, (r, ORDER - s) is one too: the smaller s is written and accepted,
so that a token has one spelling.
"""
LONGEST = 8192
"""Characters; a longer token is refused before anything decodes it."""
TYPE = "at+jwt"
CODE = "authorization_code"
ID_TOKEN = "jwt"
"""How ``typ`` is compared: media types have no case (RFC 7515 §4.1.9)."""
LEEWAY = 60
"""Seconds by which ``iat`` may lie ahead: the clocks of two nodes differ."""
KEY_OUTLIVES = LONGEST_LIFETIME + LEEWAY
"""Seconds that a key stays after the last moment at which it may have signed: the longest token, and clocks differ."""
SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The only protected header we sign and accept: no crit, no jwk, no jku, no x5c (RFC 8725 §3)."""

    alg: str
    kid: str
    typ: str


class Confirmation(msgspec.Struct, frozen=True):
    """The key that a token is bound to (RFC 9449 §6.1)."""

    jkt: str


class VerifyingKey(msgspec.Struct, frozen=True):
    """A public key of the org with the one algorithm it is for."""

    algorithm: str
    key: Key


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claims of an access token (RFC 9068 §2.2), and the two ids that let MCP servers refuse what has ended.

    ``gty`` is the grant that began the connection, "" for a code: a policy may end what a grant gives.
    """

    iss: str
    sub: str
    aud: str
    client_id: str
    scope: str
    iat: int
    exp: int
    jti: str
    auth_time: int
    authorization_id: str
    connection_id: str
    gty: str = ""
    acr: str = ""
    amr: tuple[str, ...] = ()
    cnf: Confirmation | None = None
    custom_attributes: dict[str, str] = {}


class Hint(msgspec.Struct, frozen=True):
    """Of an ID token, what tells whose it was."""

    iss: str
    sub: str
    aud: str


Said = TypeVar("Said", Claims, Hint)


class Unacceptable(Exception):
    """This is not an access token of ours for this resource; the message says why."""


def claims(
    connection: Connection,
    *,
    issuer: str,
    client_id: str,
    jti: str,
    now: int,
    lifetime: int,
    custom_attributes: dict[str, str],
) -> Claims:
    """What a fresh access token of a connection says. ``aud`` is always one string (RFC 8707 §2); ``lifetime`` is in
    seconds.
    """
    return Claims(
        iss=issuer,
        sub=connection.user_id,
        aud=connection.resource,
        client_id=client_id,
        scope=" ".join(connection.scopes),
        iat=now,
        exp=now + lifetime,
        jti=jti,
        auth_time=connection.signed_in_at,
        authorization_id=connection.authorization_id,
        connection_id=connection.id,
        gty="" if connection.grant_type == CODE else connection.grant_type,
        acr=connection.level,
        amr=connection.methods,
        cnf=Confirmation(connection.dpop_jkt) if connection.dpop_jkt else None,
        custom_attributes=custom_attributes,
    )


def sign(key: Key, algorithm: str, kid: str, what: msgspec.Struct, *, type: str = TYPE) -> str:
    """The token as text (RFC 9068 §2.1: ``typ`` is ``at+jwt``): a JWS in compact form, its header written once.

    RFC 7518 §3.4: an ES256 signature is r and s, 32 bytes each, not the DER that the library makes (decision 0012).
    """
    signed = f"{_header(algorithm, kid, type)}.{base64url(msgspec.json.encode(what))}"
    private = key.private_key
    if isinstance(private, EllipticCurvePrivateKey):
        r, s = decode_dss_signature(private.sign(signed.encode(), ES256))
        s = min(s, ORDER - s)
        return f"{signed}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    assert private is not None  # the key was unsealed, so it has its private half
    return f"{signed}.{base64url(private.sign(signed.encode(), PKCS1v15(), hashes.SHA256()))}"


@lru_cache(maxsize=1024)
def _header(algorithm: str, kid: str, type: str) -> str:
    return base64url(msgspec.json.encode(Header(alg=algorithm, kid=kid, typ=type)))


def verify(token: str, keys: dict[str, VerifyingKey], *, issuer: str, audience: str | None, now: int) -> Claims:
    """The claims of a token that is ours, whole, for this audience (None: any of ours) and not expired.

    Raises ``Unacceptable``.

    The key is looked up by ``kid`` among the org's own and fixes the algorithm; nothing else in the header is used.
    """
    found = _signed_by_us(token, keys, issuer, TYPE, Claims)
    if audience is not None and found.aud != audience:
        raise Unacceptable(f"it was issued for {found.aud}, not for {audience}")
    if found.exp <= now or found.iat > now + LEEWAY:
        raise Unacceptable("it has expired")
    return found


def read_id_token(token: str, keys: dict[str, VerifyingKey], *, issuer: str) -> Hint:
    """What an ID token of ours says of itself, however old it is (RP-Initiated Logout §2). Raises ``Unacceptable``."""
    return _signed_by_us(token, keys, issuer, ID_TOKEN, Hint)


def _signed_by_us(token: str, keys: dict[str, VerifyingKey], issuer: str, typ: str, claims: type[Said]) -> Said:
    if len(token) > LONGEST or not SHAPE.fullmatch(token):
        raise Unacceptable("it does not have the shape of a JWT")
    try:
        header = msgspec.json.decode(base64.urlsafe_b64decode(_padded(token.partition(".")[0])), type=Header)
        known = keys.get(header.kid)
        if known is None or header.alg != known.algorithm or header.typ.lower() not in (typ, f"application/{typ}"):
            raise Unacceptable("its kid, alg or typ is none of ours")
        found = msgspec.json.decode(
            jws.deserialize_compact(token, known.key, algorithms=[known.algorithm]).payload, type=claims
        )
        signature = base64.urlsafe_b64decode(_padded(token.rpartition(".")[2]))
        if known.algorithm == "ES256" and int.from_bytes(signature[32:], "big") > ORDER // 2:
            raise Unacceptable("its signature is not written as ours are")
    except (JoseError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unacceptable(f"it does not verify: {error}") from None
    if found.iss != issuer:
        raise Unacceptable(f"its issuer is {found.iss}, not {issuer}")
    return found


def _padded(segment: str) -> str:
    return segment + "=" * (-len(segment) % 4)
