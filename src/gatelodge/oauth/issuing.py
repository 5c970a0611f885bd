"""Making the tokens that a grant has earned: a JWT or an opaque access token, and an ID token for ``openid``."""

import hashlib

import msgspec

from gatelodge.core import opaque, secrets, tokens
from gatelodge.core.apps.policies import attributes
from gatelodge.core.opaque import OpaqueToken
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import OPENID
from gatelodge.live import LiveUser
from gatelodge.oauth.grants.granted import Granted
from gatelodge.web.site import Site

ID_TOKEN_LIFETIME = 120
"""Seconds: as long as the original's ID tokens live."""


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """An access token as text, its format (jwt or opaque) and its lifetime in seconds."""

    text: str
    format: str
    lifetime: int

    def __repr__(self) -> str:
        return f"Issued({self.format}, {self.lifetime})"


class IdToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """OpenID Connect Core §2."""

    iss: str
    sub: str
    aud: str
    iat: int
    exp: int
    auth_time: int
    at_hash: str
    sid: str
    acr: str
    amr: tuple[str, ...] = ()
    nonce: str = ""


async def access_token(site: Site, org: Org, client: LiveClient, granted: Granted, *, dpop_jkt: str) -> Issued:
    """The access token of this exchange, in the format that the app's Settings choose, bound to the key with this
    thumbprint ("": a bearer token).
    """
    now = site.clock.now()
    lifetime = client.policies.access_token_minutes * 60
    if granted.ends_at:
        lifetime = min(lifetime, granted.ends_at - now)
    connection = msgspec.structs.replace(
        granted.connection, scopes=granted.scopes, resource=granted.audience, dpop_jkt=dpop_jkt
    )
    if client.settings.jwt_access_tokens:
        keys = await site.live.keys(org.id)
        claims = tokens.claims(
            connection,
            issuer=org.issuer,
            client_id=client.client_id,
            jti=secrets.new_token()[:22],
            now=now,
            lifetime=lifetime,
            custom_attributes=await custom_attributes(site, org, client, connection.user_id),
        )
        text = tokens.sign(keys.signer.key, keys.signer.algorithm, keys.signer.kid, claims)
        site.access.issued(text, claims, keys)
        return Issued(text=text, format="jwt", lifetime=lifetime)
    text = opaque.new_text(org.id)
    made = OpaqueToken(
        digest=secrets.digest(text),
        org_id=org.id,
        connection_id=connection.id,
        client_id=client.client_id,
        scopes=connection.scopes,
        audience=connection.resource,
        dpop_jkt=dpop_jkt,
        issued_at=now,
        expires_at=now + lifetime,
    )
    await site.store.run(opaque.issue, made)
    return Issued(text=text, format="opaque", lifetime=lifetime)


async def id_token(site: Site, org: Org, client: LiveClient, granted: Granted, issued: Issued) -> str:
    """The ID token for a sign-in with the scope ``openid``; "" without."""
    if OPENID not in granted.scopes or not granted.has_id_token:
        return ""
    signer, connection, now = (await site.live.keys(org.id)).signer, granted.connection, site.clock.now()
    digest = hashlib.sha256(issued.text.encode()).digest()
    claims = IdToken(
        iss=org.issuer,
        sub=connection.user_id,
        aud=client.client_id,
        iat=now,
        exp=now + ID_TOKEN_LIFETIME,
        auth_time=connection.signed_in_at,
        at_hash=secrets.base64url(digest[:16]),  # the left half (§3.1.3.6)
        sid=connection.id,
        acr=connection.level,
        amr=connection.methods,
        nonce=granted.nonce,
    )
    return tokens.sign(signer.key, signer.algorithm, signer.kid, claims, type="JWT")


async def custom_attributes(site: Site, org: Org, client: LiveClient, user_id: str) -> dict[str, str]:
    """What the app's Policies have tokens and userinfo say of the user and the org."""
    named = attributes(client.policies)
    live_user = await site.live.user(org.id, user_id) if named else None
    return {key: _value(source, org, live_user) for key, source in named.items()} if live_user else {}


def _value(source: str, org: Org, live_user: LiveUser) -> str:
    user = live_user.user
    return {
        "User.Id": user.id,
        "User.Username": user.username,
        "User.Name": user.name,
        "User.Email": user.email,
        "User.TimeZone": user.time_zone,
        "User.PermissionSets": ";".join(each.api_name for each in live_user.access.sets),
        "Organization.Id": org.id,
        "Organization.Name": org.label,
        "Organization.Kind": org.kind,
    }[source]
