"""Statements that a client signs with a key of its own (RFC 7523): who it is, or for whom it asks.

The key is the app's, from its Settings; it fixes the algorithm, and nothing else in the header is used. A statement is
for our issuer and nobody else's (RFC 7523bis), is short-lived, and is believed once.
"""

import base64
import re
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from gatelodge.core import public_keys, secrets, used_once
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.web.site import Site

LONGEST = 8192
MOST_AHEAD = 600
"""Seconds that a statement may still live when it is shown: its jti is remembered as long."""
LEEWAY = 60
SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header that is accepted: no crit, no jwk, no jku (RFC 8725 §3)."""

    alg: str
    kid: str | None = None
    typ: str = "JWT"


class Statement(msgspec.Struct, frozen=True):
    """The claims that count (RFC 7523 §3). Times are epoch seconds."""

    iss: str
    sub: str
    aud: str
    exp: float
    jti: str = ""
    iat: float = 0
    nbf: float = 0


class Issuer(msgspec.Struct, frozen=True):
    """What tells whose keys to look at."""

    iss: str


class Unproven(Exception):
    """The statement is not to be believed; the message says why."""


def issuer_of(text: str) -> str:
    """Who the statement says has made it, unchecked; "" when it can't be read."""
    try:
        return _decoded(text.split(".")[1], Issuer).iss if _has_shape(text) else ""
    except (msgspec.MsgspecError, ValueError):
        return ""


async def check_client(site: Site, org: Org, client: LiveClient, text: str) -> None:
    """A client's proof of itself (RFC 7523 §3: ``iss`` and ``sub`` are the client id). Raises ``Unproven``."""
    statement = await read(site, org, client, text)
    if statement.sub != client.client_id:
        raise Unproven("the assertion's sub must be the client_id")


async def read(site: Site, org: Org, client: LiveClient, text: str) -> Statement:
    """The statement that this client signed, used up. Raises ``Unproven``."""
    statement = _verified(client, text)
    now = site.clock.now()
    if statement.iss != client.client_id:
        raise Unproven("the assertion's iss must be the client_id")
    if statement.aud != org.issuer:  # RFC 7523bis: a list, even of one, could be meant for others too
        raise Unproven(f"the assertion's aud must be {org.issuer}, as one string")
    if statement.exp <= now:
        raise Unproven("the assertion has expired")
    if not statement.exp <= now + MOST_AHEAD or statement.iat > now + LEEWAY or statement.nbf > now + LEEWAY:
        raise Unproven(f"the assertion must be valid now, and for {MOST_AHEAD} seconds at most")
    if "\x00" in statement.sub:  # no name here has it, and the databases disagree on what it is
        raise Unproven("the assertion's sub contains the character NUL")
    if not 1 <= len(statement.jti) <= 256:  # noqa: PLR2004 - an identifier's length
        raise Unproven("the assertion needs a jti of at most 256 characters")
    # Last, so that only the app itself can use an id up.
    value = secrets.digest(f"{client.client_id} {statement.jti}")
    if not await site.store.run(used_once.use, org.id, used_once.ASSERTION, value, expires_at=int(statement.exp) + 1):
        raise Unproven("bad_jti_claim: this assertion was used before")
    return statement


def _verified(client: LiveClient, text: str) -> Statement:
    if not client.settings.public_keys:
        raise Unproven("this app has no certificate or JWK Set in its Settings")
    if not _has_shape(text):
        raise Unproven("the assertion is no signed JWT")
    try:
        header = _decoded(text.split(".", maxsplit=1)[0], Header)
        key = public_keys.of_kid(public_keys.parse(client.settings.public_keys), header.kid)
        if key is None or [header.alg] != public_keys.algorithms_of(key):
            raise Unproven("no key of this app has the assertion's kid and alg")
        checked = jws.deserialize_compact(text, key, algorithms=[header.alg])
        return msgspec.json.decode(checked.payload, type=Statement)
    except msgspec.ValidationError as error:  # it names a member and its type, never a value
        raise Unproven(f"the assertion can't be read: {error}") from None
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, OverflowError):
        raise Unproven("the assertion does not verify: it is not signed with a key of this app") from None


def _has_shape(text: str) -> bool:
    return len(text) <= LONGEST and bool(SHAPE.fullmatch(text))


def _decoded(segment: str, type: Any) -> Any:
    return msgspec.json.decode(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)), type=type)
