"""Signing in through another OpenID provider: the authorization code flow with PKCE, state and nonce (OpenID Core §3.1).

Built from Authlib's pieces without its sessions, since every fetch goes through ``outbound`` (decision 0021). State is
a ticket; verifier and nonce are derived from it, so that nothing of a sign-in under way is stored.
"""

import base64
from typing import Any
from urllib.parse import quote_plus

import msgspec
from starlette.requests import Request

from gatelodge.core import identity_providers, secrets
from gatelodge.core.identity_providers import Arrived, IdentityProvider
from gatelodge.core.orgs import Org
from gatelodge.web import tickets
from gatelodge.web.outbound import Fetched, NotFetched
from gatelodge.web.site import Site
from gatelodge.words import Because, Reason, mark, reason

STATE = "upstream"
LIFETIME = 600
"""Seconds that somebody may take at the provider's pages."""
LEEWAY = 60
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a key pair alone: with a shared secret, whoever can verify can sign."""
LONGEST_TOKEN = 16 * 1024
KNOWN_METHODS = ("pwd", "otp", "hwk", "swk", "mfa", "fpt", "face", "pin", "sc", "sms")
"""Of RFC 8176; others are not passed on."""


class NotVouched(Because):
    """The provider vouches for nobody."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that comes back: through which provider, where it leads, and whether the person had to sign in anew."""

    provider: str
    target: str
    is_again: bool


class Vouched(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the provider vouches for, how the person signed in there (RFC 8176), and when ("auth_time")."""

    who: Arrived
    methods: tuple[str, ...]
    signed_in_at: int | None


def redirect_uri(org: Org) -> str:
    """What a provider must have registered for this org."""
    return f"{org.issuer}/login/callback"


async def authorization_url(
    site: Site, org: Org, request: Request, via: IdentityProvider, *, target: str, is_again: bool
) -> str:
    """Where the browser goes to sign in. Raises ``NotVouched`` when the provider can't be asked."""
    from authlib.oauth2.client import OAuth2Client  # noqa: PLC0415 - after readiness alone

    metadata = await discover(site, via)
    state = tickets.issue(site, org, request, STATE, via.name, target, "again" if is_again else "", lifetime=LIFETIME)
    # A client without a session: it writes the request, and the browser carries it.
    client = OAuth2Client(
        None,
        client_id=via.client_id,
        scope=" ".join(via.rules.scopes),
        redirect_uri=redirect_uri(org),
        code_challenge_method="S256",
    )
    again = {"prompt": "login", "max_age": "0"} if is_again else {}
    url, _ = client.create_authorization_url(
        metadata["authorization_endpoint"],
        state=state,
        code_verifier=_derived(site, "verifier", state),
        nonce=_derived(site, "nonce", state),
        **again,
    )
    return str(url)


async def start_of(site: Site, org: Org, request: Request, state: str) -> Start:
    """The sign-in that this state belongs to, used up now. Raises ``NotVouched`` for another browser's or a used one."""
    content = await tickets.use(site, org, request, STATE, state)
    if content is None:
        raise NotVouched(
            reason(
                "this sign-in was begun in another browser, is older than 10 minutes, or came back before; begin again"
            )
        )
    name, target, again = content
    return Start(provider=name, target=target, is_again=again != "")


async def vouched(site: Site, org: Org, via: IdentityProvider, start: Start, returned: dict[str, str]) -> Vouched:
    """Whom the provider vouches for, by the code that came back. Raises ``NotVouched``."""
    metadata = await discover(site, via)
    _check_issuer(via, metadata, returned)
    if "error" in returned:
        raise NotVouched(
            reason(
                "{provider} answered {error!r}: {description!r}",
                provider=via.label,
                error=returned["error"][:80],
                description=returned.get("error_description", ""),
            )
        )
    state = returned.get("state", "")
    token = await _token(site, org, via, metadata, returned.get("code", ""), _derived(site, "verifier", state))
    claims = await _claims(site, via, metadata, token, nonce=_derived(site, "nonce", state), is_again=start.is_again)
    methods = tuple(each for each in claims.get("amr") or () if each in KNOWN_METHODS)
    signed_in_at = claims.get("auth_time")
    return Vouched(
        who=arrived(via, await _with_userinfo(site, via, metadata, token, claims)),
        methods=methods,
        signed_in_at=int(signed_in_at) if isinstance(signed_in_at, int | float) else None,
    )


async def discover(site: Site, via: IdentityProvider) -> dict[str, Any]:
    """The provider's metadata (OpenID Discovery §4), whose issuer is byte for byte the one that was configured."""
    url = f"{via.issuer.removesuffix('/')}/.well-known/openid-configuration"
    metadata = _object(via, mark("its metadata"), await _fetch(site, via, url))
    if metadata.get("issuer") != via.issuer:
        named = metadata.get("issuer")
        raise NotVouched(
            reason(
                "the metadata at {url} names the issuer {named!r}, not {issuer!r}",
                url=url, named=named, issuer=via.issuer,
            )
        )  # fmt: skip
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not isinstance(metadata.get(name), str) or not metadata[name].startswith(("https://", "http://")):
            raise NotVouched(reason("the metadata at {url} has no {name}", url=url, name=name))
    if metadata["authorization_endpoint"].startswith("http://") and not via.rules.allows_private_addresses:
        raise NotVouched(reason("the authorization_endpoint of {issuer} is not https", issuer=via.issuer))
    return metadata


def arrived(via: IdentityProvider, claims: dict[str, Any]) -> Arrived:
    """What the claims say of the person. Raises ``NotVouched`` without a usable username."""
    rules = via.rules
    username = claims.get(rules.username_claim)
    if not isinstance(username, str) or not username or not username.isprintable():
        claim = rules.username_claim
        raise NotVouched(
            reason("{provider} sent no claim {claim!r}, which names users here", provider=via.label, claim=claim)
        )
    if rules.username_claim == "email" and claims.get("email_verified") is False:
        raise NotVouched(
            reason(
                "{provider} says that the e-mail address {email!r} is not verified",
                provider=via.label, email=username[:80],
            )
        )  # fmt: skip
    groups = claims.get(rules.groups_claim, ())
    listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return Arrived(
        subject=claims["sub"],
        username=username,
        name=_text(claims.get("name")),
        email=_text(claims.get("email")),
        groups=tuple(each for each in listed if isinstance(each, str)),
    )


def _check_issuer(via: IdentityProvider, metadata: dict[str, Any], returned: dict[str, str]) -> None:
    """RFC 9207 §2.4: an answer of another provider is refused, and one that should name its issuer must."""
    if "iss" in returned and returned["iss"] != via.issuer:
        raise NotVouched(
            reason(
                "the answer came from the issuer {named!r}, not from {issuer!r}",
                named=returned["iss"], issuer=via.issuer,
            )
        )  # fmt: skip
    if metadata.get("authorization_response_iss_parameter_supported") is True and "iss" not in returned:
        raise NotVouched(reason("the answer does not name its issuer, as those of {issuer!r} do", issuer=via.issuer))


async def _token(
    site: Site, org: Org, via: IdentityProvider, metadata: dict[str, Any], code: str, verifier: str
) -> dict[str, Any]:
    from authlib.oauth2.rfc6749.parameters import prepare_token_request  # noqa: PLC0415 - after readiness alone

    if not code:
        raise NotVouched(reason("{provider} sent no code", provider=via.label))
    headers, credentials = _authentication(site, via, metadata)
    body = prepare_token_request(
        "authorization_code", redirect_uri=redirect_uri(org), code=code, code_verifier=verifier, **credentials
    )
    fetched = await _fetch(site, via, metadata["token_endpoint"], method="POST", headers=headers, body=body.encode())
    answer = _object(via, mark("a token"), fetched, any_status=True)
    if fetched.status != 200 or not isinstance(answer.get("id_token"), str):  # noqa: PLR2004 - RFC 6749 §5.1
        error = answer.get("error", f"status {fetched.status}")
        raise NotVouched(
            reason(
                "{provider} refused the code: {error!r} {description!r}",
                provider=via.label,
                error=error,
                description=answer.get("error_description", ""),
            )
        )
    return answer


def _authentication(
    site: Site, via: IdentityProvider, metadata: dict[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and the parameters by which we authenticate (RFC 6749 §2.3.1): Basic, with both parts form-encoded
    as Authlib's own does not, or in the body, or by the client_id alone.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    secret = site.ring.open(
        identity_providers.PURPOSE, via.sealed, identity_providers.row_name(via.org_id, via.name)
    ).decode()
    if not secret:
        return headers, {"client_id": via.client_id}
    supported = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    if "client_secret_basic" in supported:
        pair = f"{quote_plus(via.client_id)}:{quote_plus(secret)}"
        return headers | {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, {}
    if "client_secret_post" in supported:
        return headers, {"client_id": via.client_id, "client_secret": secret}
    raise NotVouched(reason("{provider} takes neither client_secret_basic nor client_secret_post", provider=via.label))


async def _claims(
    site: Site, via: IdentityProvider, metadata: dict[str, Any], token: dict[str, Any], *, nonce: str, is_again: bool
) -> dict[str, Any]:
    """The ID token's claims, once its signature and every rule of OpenID Core §3.1.3.7 hold."""
    from authlib.oidc.core import CodeIDToken  # noqa: PLC0415
    from joserfc import jwt  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import KeySet  # noqa: PLC0415

    if len(token["id_token"]) > LONGEST_TOKEN:
        raise NotVouched(
            reason("the ID token of {provider} is longer than {n} characters", provider=via.label, n=LONGEST_TOKEN)
        )
    published = _object(via, mark("its keys"), await _fetch(site, via, metadata["jwks_uri"]))
    keys = [key for key in published.get("keys") or () if isinstance(key, dict) and key.get("kty") != "oct"]
    try:
        read = jwt.decode(token["id_token"], KeySet.import_key_set({"keys": keys}), algorithms=list(ALGORITHMS))
        claims = CodeIDToken(
            read.claims,
            read.header,
            options={
                "iss": {"essential": True, "value": via.issuer},
                "aud": {"essential": True, "value": via.client_id},
                "sub": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            params={"nonce": nonce, "client_id": via.client_id, "access_token": token.get("access_token")},
        )
        claims.validate(now=site.clock.now(), leeway=LEEWAY)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        why = reason("the ID token of {provider} is refused: {error}", provider=via.label, error=error)
        raise NotVouched(why) from None
    if not _is_subject(claims["sub"]):
        raise NotVouched(reason("the ID token of {provider} names no subject", provider=via.label))
    if is_again and not _is_recent(claims.get("auth_time"), site.clock.now()):
        raise NotVouched(
            reason("{provider} did not ask you to sign in again, which verifies that it is you", provider=via.label)
        )
    return dict(claims)


async def _with_userinfo(
    site: Site, via: IdentityProvider, metadata: dict[str, Any], token: dict[str, Any], claims: dict[str, Any]
) -> dict[str, Any]:
    """The claims, and those that the provider tells at its userinfo endpoint alone (OpenID Core §5.3, §5.4)."""
    wanted = {via.rules.username_claim, "name", *([via.rules.groups_claim] if via.rules.mapping else [])}
    url, access_token = metadata.get("userinfo_endpoint"), token.get("access_token")
    if wanted <= claims.keys() or not isinstance(url, str) or not isinstance(access_token, str):
        return claims
    headers = {"Authorization": f"Bearer {access_token}"}
    told = _object(via, mark("userinfo"), await _fetch(site, via, url, headers=headers))
    if told.get("sub") != claims["sub"]:  # OpenID Core §5.3.2: else it may be somebody else's
        raise NotVouched(
            reason("the userinfo of {provider} is about somebody else than its ID token", provider=via.label)
        )
    return told | claims


def _is_subject(value: object) -> bool:
    """OpenID Connect Core §2: at most 255 characters. JSON can also write NUL and half surrogate pairs, which no
    database here takes.
    """
    return isinstance(value, str) and 1 <= len(value) <= identity_providers.LONGEST_SUBJECT and value.isprintable()


def _is_recent(auth_time: object, now: int) -> bool:
    return isinstance(auth_time, int | float) and auth_time >= now - LIFETIME


def _derived(site: Site, purpose: str, state: str) -> str:
    """A value that only this deployment can make of a state: 256 bits, a verifier's shape (RFC 7636 §4.1)."""
    key_id = secrets.digest(state)  # the state may hold anything; its digest is bounded
    made = site.ring.mac(f"upstream-{purpose}", key_id)
    assert made is not None  # the current key is on the ring
    return made


async def _fetch(site: Site, via: IdentityProvider, url: str, **request: Any) -> Fetched:
    try:
        return await site.outbound.fetch(url, allows_private=via.rules.allows_private_addresses, **request)
    except NotFetched as error:
        raise NotVouched(reason("{provider} can't be asked: {why}", provider=via.label, why=error.reason)) from None


def _object(via: IdentityProvider, what: str, fetched: Fetched, *, any_status: bool = False) -> dict[str, Any]:
    if fetched.status != 200 and not any_status:  # noqa: PLR2004 - OpenID Discovery §4.2
        raise NotVouched(
            reason(
                "{provider} answered the request for {what} with status {status}",
                provider=via.label, what=Reason(what), status=fetched.status,
            )
        )  # fmt: skip
    try:
        return msgspec.json.decode(fetched.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise NotVouched(
            reason(
                "{provider} answered the request for {what} with something that is no JSON object",
                provider=via.label, what=Reason(what),
            )
        ) from None  # fmt: skip


def _text(value: object) -> str:
    return value[:255] if isinstance(value, str) and value.isprintable() else ""
