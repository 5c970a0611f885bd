"""Access tokens as a resource reads them: who presents one, and whether it still stands for anything.

MCP servers, userinfo and the identity URL ask here. A token's signature is checked once and remembered; everything that
may have changed since it was made (its connection, app, user and policies) is looked up at each call.
"""

import contextlib
import hashlib

import msgspec
from starlette.requests import Request

from gatelodge.config import Config
from gatelodge.core import connections, opaque, secrets, tokens
from gatelodge.core.apps import admission
from gatelodge.core.clock import Clock
from gatelodge.core.errors import Unavailable
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.tokens import Claims, Unacceptable
from gatelodge.live import LiveNode, LiveUser, OrgKeys
from gatelodge.store import Store
from gatelodge.web import dpop
from gatelodge.web.addresses import client_address
from gatelodge.web.noted import Noted

MOST_VERIFIED = 10_000
LONGEST_REASON = 400
BEARER = "bearer"
CLIENT_CREDENTIALS = "client_credentials"
SCHEMES = (BEARER, "dpop")
OPAQUE_REFUSED = (
    "an opaque access token opens no MCP server: have an administrator select Issue JSON Web Token (JWT)-based access"
    " tokens for named users in the app's Settings, then connect again"
)


class NotAccepted(Exception):
    """The token is turned away: ``status``, the code (RFC 6750 §3.1, "" for none) and why. ``is_dpop``: the DPoP
    challenge says so, since the client came with a proof, or must.
    """

    def __init__(self, status: int, error: str, why: str, *, is_dpop: bool = False) -> None:
        super().__init__(why)
        self.status, self.error, self.why, self.is_dpop = status, error, why, is_dpop


def challenges(refused: NotAccepted, parameters: str = "") -> str:
    """The value of WWW-Authenticate: Bearer with these parameters, and DPoP beside it (RFC 9449 §7.1).

    Bearer stands first, since many clients read one challenge. Without a token in the request no error is named
    (RFC 6750 §3).
    """
    error = f'error="{refused.error}", error_description="{quoted(refused.why)}"' if refused.error else ""
    algorithms = f'algs="{" ".join(dpop.ALGORITHMS)}"'
    bearer, bound = ("", error) if refused.is_dpop else (error, "")
    said = (", ".join(filter(None, each)) for each in ((bearer, parameters), (bound, algorithms)))
    return ", ".join(f"{scheme} {each}".rstrip() for scheme, each in zip(("Bearer", "DPoP"), said, strict=True))


def quoted(text: str) -> str:
    """What may stand in a quoted parameter of a header."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in text[:LONGEST_REASON])


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A token that stands: what it says, through which app, and for whom."""

    claims: Claims
    client: LiveClient
    user: LiveUser

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of this token that its app still has."""
        return tuple(scope for scope in self.claims.scope.split() if scope in self.client.scopes)


class Verified(msgspec.Struct, frozen=True):
    """A signature that was checked, and the org's keys as they were then."""

    claims: Claims
    keys: OrgKeys


class Passed(msgspec.Struct):
    """A bearer token that passed every check from one address, and what the checks asked besides its app and user. It
    was looked at last in this ``epoch`` of the node, and time alone changes nothing before ``until`` (epoch seconds).
    """

    accepted: Accepted
    org: Org
    keys: OrgKeys
    epoch: int
    until: int


class AccessTokens:
    """Checks access tokens. A verified signature is remembered for as long as the org's keys stay the same, and so is one
    that this node made. That a token passed is remembered for as long as all that the checks asked is the same.
    """

    def __init__(self, store: Store, clock: Clock, live: LiveNode, config: Config) -> None:
        self._store, self._clock, self._live, self._config = store, clock, live, config
        self._verified: dict[tuple[str, str | None], Verified] = {}
        self._passed: dict[tuple[bytes, str | None, str], Passed] = {}
        self._noted = Noted()

    async def check(self, org: Org, request: Request, *, audience: str | None, takes_opaque: bool = False) -> Accepted:
        """What the request's token stands for, at this audience (None: any of the org's). Raises ``NotAccepted``."""
        scheme, token = _presented(request)
        address = client_address(request, self._config)
        if scheme == BEARER and not opaque.SHAPE.fullmatch(token):
            return await self._check_again(org, request, token, audience, address)
        try:
            return await self._check(
                org, request, scheme, token, audience=audience, address=address, takes_opaque=takes_opaque
            )
        except NotAccepted as refused:
            refused.is_dpop |= scheme != BEARER
            raise

    async def _check_again(
        self, org: Org, request: Request, token: str, audience: str | None, address: str
    ) -> Accepted:  # fmt: skip
        """The answer of the first check, while whatever it stood on is the same."""
        known = (hashlib.sha256(token.encode()).digest(), audience, address)
        passed = self._passed.get(known)
        if passed is not None and self._is_as_before(passed, org):
            await self._note_use(org, passed.accepted.claims)
            return passed.accepted
        self._passed.pop(known, None)
        epoch, keys = self._live.epoch, await self._live.keys(org.id)
        accepted = await self._check(
            org, request, BEARER, token, audience=audience, address=address, takes_opaque=False
        )  # fmt: skip
        if len(self._passed) >= MOST_VERIFIED:
            self._passed.pop(next(iter(self._passed)))
        self._passed[known] = Passed(accepted, org, keys, epoch, self._stays_until(org, keys, accepted))
        return accepted

    def _is_as_before(self, passed: Passed, org: Org) -> bool:
        live, accepted, claims = self._live, passed.accepted, passed.accepted.claims
        if passed.org is not org or claims.exp <= self._clock.now():
            return False
        if passed.epoch == live.epoch and self._clock.now() < passed.until and live.is_fresh():
            return True
        epoch = live.epoch
        is_as_before = live.are_as_before(
            org.id, passed.keys, accepted.client, accepted.user, claims.authorization_id, claims.connection_id
        )
        if is_as_before:
            passed.epoch, passed.until = epoch, self._stays_until(org, passed.keys, accepted)
        return is_as_before

    def _stays_until(self, org: Org, keys: OrgKeys, accepted: Accepted) -> int:
        return min(accepted.claims.exp, self._live.stays_until(org.id, keys, accepted.client))

    async def _check(
        self,
        org: Org,
        request: Request,
        scheme: str,
        token: str,
        *,
        audience: str | None,
        address: str,
        takes_opaque: bool,
    ) -> Accepted:
        if opaque.SHAPE.fullmatch(token):
            if not takes_opaque:
                raise NotAccepted(401, "invalid_token", OPAQUE_REFUSED)
            claims = await self._opaque(org, token)
        else:
            claims = await self._claims(org, token, audience)
        await self._check_binding(org, request, scheme, token, claims)
        accepted = await self.still_there(org, claims)
        policies = accepted.client.policies
        refused = (
            admission.check_rules(org.app_rules, accepted.client.settings, policies)
            or admission.check_user(policies, accepted.user.access)
            or admission.check_address(policies, org.trusted_ranges, address, level=claims.acr or "STANDARD")
        )
        if refused:
            raise NotAccepted(401, "invalid_token", refused.why)
        await self._note_use(org, claims)
        return accepted

    async def _check_binding(self, org: Org, request: Request, scheme: str, token: str, claims: Claims) -> None:
        """A bound token comes with a proof of its key, and is no bearer token; others are (RFC 9449 §7)."""
        bound = claims.cnf.jkt if claims.cnf else ""
        if scheme == BEARER:
            if bound:
                why = "this access token is bound to a key: send Authorization: DPoP and a proof"
                raise NotAccepted(401, "invalid_token", why, is_dpop=True)
            return
        if not bound:
            why = "this access token is bound to no key: send Authorization: Bearer"
            raise NotAccepted(401, "invalid_token", why, is_dpop=True)
        try:
            jkt = await dpop.thumbprint_of(self._store, self._clock, org, request, token=token)
        except dpop.BadProof as error:
            raise NotAccepted(401, "invalid_dpop_proof", f"the proof is refused: {error}", is_dpop=True) from None
        if not jkt or not secrets.are_equal(jkt, bound):
            why = "the proof is made with another key" if jkt else "the header DPoP is missing"
            raise NotAccepted(401, "invalid_dpop_proof", why, is_dpop=True)

    async def _note_use(self, org: Org, claims: Claims) -> None:
        """Once a minute at most: its user sees when a connection was used last. No call waits on it in vain."""
        now = self._clock.now()
        if claims.connection_id and self._noted.is_due(claims.connection_id, now):
            with contextlib.suppress(Unavailable):
                await self._store.run(connections.note_use, org.id, claims.connection_id, now)

    async def read(self, org: Org, token: str) -> Claims | None:
        """What a token of this org says, JWT or opaque, while its time is not over; None: it is none of ours."""
        try:
            return await (self._opaque(org, token) if opaque.SHAPE.fullmatch(token) else self._claims(org, token, None))
        except NotAccepted:
            return None

    async def still_there(self, org: Org, claims: Claims) -> Accepted:
        """The app and the user of a token. Raises ``NotAccepted`` when one of them, or what joins them, has ended."""
        if await self._live.has_ended(claims.authorization_id, claims.connection_id):
            raise NotAccepted(401, "invalid_token", "the user's authorization of this app has ended; connect again")
        client = await self._live.client(org.id, claims.client_id)
        if client is None or not client.is_enabled:
            raise NotAccepted(401, "invalid_token", "the app was disabled or removed by an administrator")
        user = await self._live.user(org.id, claims.sub)
        if user is None:
            raise NotAccepted(401, "invalid_token", "the user is inactive")
        if claims.gty == CLIENT_CREDENTIALS and (
            ended := admission.check_run_as(client.settings, client.policies, user.user.username)
        ):
            raise NotAccepted(401, "invalid_token", ended.why)
        return Accepted(claims=claims, client=client, user=user)

    async def _claims(self, org: Org, token: str, audience: str | None) -> Claims:
        known = (secrets.digest(token), audience)
        now = self._clock.now()
        keys = await self._live.keys(org.id)
        verified = self._verified.get(known)
        if verified is None or verified.keys is not keys:
            try:
                claims = tokens.verify(token, keys.verifying, issuer=org.issuer, audience=audience, now=now)
            except Unacceptable as error:
                self._verified.pop(known, None)
                raise NotAccepted(401, "invalid_token", f"the access token is refused: {error}") from None
            verified = self._remember(known, Verified(claims, keys))
        if verified.claims.exp <= now:
            self._verified.pop(known, None)
            raise NotAccepted(401, "invalid_token", "the access token is refused: it has expired")
        return verified.claims

    def issued(self, token: str, claims: Claims, keys: OrgKeys) -> None:
        """Remember what this node has just signed itself, so that it need not verify it."""
        digest = secrets.digest(token)
        for audience in (None, claims.aud):
            _ = self._remember((digest, audience), Verified(claims, keys))

    def _remember(self, known: tuple[str, str | None], verified: Verified) -> Verified:
        if len(self._verified) >= MOST_VERIFIED:
            self._verified.pop(next(iter(self._verified)))
        self._verified[known] = verified
        return verified

    async def _opaque(self, org: Org, token: str) -> Claims:
        found = await self._store.read(opaque.find_claims, org.id, secrets.digest(token), org.issuer, self._clock.now())
        if found is None:
            raise NotAccepted(401, "invalid_token", "the access token is refused: it is unknown, expired or ended")
        return found


def _presented(request: Request) -> tuple[str, str]:
    """The scheme and the token of the Authorization header: nowhere else is one read (RFC 6750 §2, MCP: Token
    Requirements).
    """
    headers = request.headers.getlist("authorization")
    if not headers:
        raise NotAccepted(401, "", "an access token is needed")
    if len(headers) > 1:  # RFC 6750 §3.1: two programs could read two different tokens
        raise NotAccepted(400, "invalid_request", f"send one Authorization header, not {len(headers)}")
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() not in SCHEMES or not token.strip():  # RFC 9110 §11.1: the scheme has no case
        raise NotAccepted(401, "", "send Authorization: Bearer and an access token")
    return scheme.lower(), token.strip()
