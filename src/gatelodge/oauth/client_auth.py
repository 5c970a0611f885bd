"""Which client is here, and how it proved that (RFC 6749 §2.3): by nothing, by its secret, or by a signed assertion.

A secret or assertion that is sent is checked, even where none is needed.
"""

import base64
import binascii
from typing import Literal
from urllib.parse import unquote_plus

import msgspec
from starlette.requests import Request

from gatelodge.core import credentials, secrets
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.oauth import assertions
from gatelodge.oauth.assertions import Unproven
from gatelodge.oauth.errors import OAuthError
from gatelodge.web.addresses import client_address
from gatelodge.web.errors import TooMany
from gatelodge.web.site import Site

Method = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
METHODS: tuple[Method, ...] = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Authenticated(msgspec.Struct, frozen=True):
    """A live, enabled client, the way in which it said who it is, and the challenge for it if that wasn't enough."""

    client: LiveClient
    method: Method
    challenge: str = ""

    @property
    def is_proven(self) -> bool:
        """Whether it showed something that only this client has."""
        return self.method != "none"


class Claim(msgspec.Struct, frozen=True):
    """Who the caller says it is, and what it shows for that."""

    client_id: str
    method: Method
    shown: str

    def __repr__(self) -> str:
        return f"Claim({self.client_id}, {self.method})"


async def authenticate(site: Site, org: Org, request: Request, form: dict[str, str]) -> Authenticated:
    """The client of this request. Raises ``OAuthError`` (invalid_client, RFC 6749 §5.2)."""
    # 401 and its challenge answer the Authorization header and signed assertions alone (RFC 6749 §5.2, RFC 9110
    # §15.5.2): many public clients read no body behind a challenge, and so would not see why.
    is_challenged = "authorization" in request.headers or "client_assertion" in form
    challenge = f'Basic realm="{org.issuer}"' if is_challenged else ""
    claim = _claimed(request, form, challenge)
    if not claim.client_id:
        raise invalid("client_id is missing: send the app's consumer key", challenge)
    check_rate(site, org, request, claim.client_id)
    client = await site.live.client(org.id, claim.client_id)
    if client is None:
        raise invalid(await _why_unknown(site, org, claim.client_id), challenge)
    await _check(site, org, client, claim, challenge)
    if not client.is_enabled:
        raise invalid("app_blocked: an administrator has disabled this app", challenge)
    return Authenticated(client, claim.method, challenge)


def check_rate(site: Site, org: Org, request: Request, client_id: str) -> None:
    """Count a request, before the database is asked. Raises ``OAuthError`` (429, RFC 6585 §4)."""
    try:
        site.limits.check(org.id, client_id, client_address(request, site.config), site.clock.now_ms())
    except TooMany as error:
        raise OAuthError(
            "temporarily_unavailable", f"rate_limit_exceeded: {error}", 429, retry_after=error.retry_after
        ) from None


def invalid(description: str, challenge: str = "") -> OAuthError:
    """The refusal of a client that didn't prove who it is."""
    return OAuthError("invalid_client", description, 401 if challenge else 400, challenge)


def needs_more(authenticated: Authenticated) -> OAuthError:
    """The refusal of a client that proved nothing where its app must."""
    why = "invalid client credentials: this app must send its secret, or sign an assertion, in this flow"
    return invalid(why, authenticated.challenge)


async def _why_unknown(site: Site, org: Org, client_id: str) -> str:
    connected = await site.live.connected_app(org.id, client_id)
    if connected is None:
        return "client identifier invalid: no app of this org has it"
    return (
        f"client identifier invalid: {connected.name} is a Connected App, and these can't be used; make an External"
        " Client App"
    )


async def _check(site: Site, org: Org, client: LiveClient, claim: Claim, challenge: str) -> None:
    match claim.method:
        case "none":
            return
        case "private_key_jwt":
            try:
                await assertions.check_client(site, org, client, claim.shown)
            except Unproven as error:
                raise invalid(f"invalid client credentials: {error}", challenge) from None
        case _:
            if not client.secret_digest:
                raise invalid("invalid client credentials: this app has no secret; send none", challenge)
            # 256 bits of chance need no slow hash, and the digests are compared in constant time.
            if not secrets.are_equal(secrets.digest(claim.shown), client.secret_digest):
                raise invalid("invalid client credentials: the secret is wrong", challenge)
    if site.noted.is_due(client.client_id, site.clock.now()):
        await site.store.run(credentials.note_use, org.id, client.client_id, site.clock.now())


def _claimed(request: Request, form: dict[str, str], challenge: str) -> Claim:
    headers = request.headers.getlist("authorization")
    ways = len(headers) + ("client_secret" in form) + ("client_assertion" in form)
    if ways > 1:
        raise OAuthError("invalid_request", "use one way of client authentication, not two (RFC 6749 2.3)")
    if "client_assertion" in form:
        return _asserted(form)
    if not headers:
        secret = form.get("client_secret", "")
        # RFC 7523 §2.1: who sends a JWT bearer assertion need not say again who it is.
        client_id = form.get("client_id") or assertions.issuer_of(form.get("assertion", ""))
        return Claim(client_id, "client_secret_post" if secret else "none", secret)
    client_id, secret = _basic(headers[0], challenge)
    if form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "client_id in the body differs from the one in the Authorization header")
    return Claim(client_id, "client_secret_basic" if secret else "none", secret)


def _asserted(form: dict[str, str]) -> Claim:
    """RFC 7523 §2.2. ``client_id`` may be left out: the assertion names it, and is not believed before it is checked."""
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise OAuthError("invalid_request", f"invalid_assertion_type: client_assertion_type must be {ASSERTION_TYPE}")
    assertion = form["client_assertion"]
    return Claim(form.get("client_id") or assertions.issuer_of(assertion), "private_key_jwt", assertion)


def _basic(header: str, challenge: str) -> tuple[str, str]:
    """The two parts of HTTP Basic, each form-urlencoded (RFC 6749 §2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    client_id, separator, secret = text.partition(":")
    if not separator:
        raise invalid("invalid_basic_auth_header: Authorization must be Basic", challenge)
    return unquote_plus(client_id), unquote_plus(secret)
