"""What tests of the flows hold in their hands: keys of an app's own, secrets, assertions, DPoP proofs, strong sessions."""

import base64
import hashlib
import itertools
import json
import warnings
from typing import Any

import httpx2
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from gatelodge.core import credentials, rotation, secrets, sessions
from gatelodge.core.apps import registry
from gatelodge.core.credentials import Credential
from gatelodge.core.ids import SESSION
from gatelodge.web import browser, cookies
from tests.house import House
from tests.oauth.scenes import user_id
from tests.people import OAuthClient, Person

EC = ECKey.generate_key("P-256", {"kid": "ours"})
OTHER_EC = ECKey.generate_key("P-256", {"kid": "ours"})
RSA = RSAKey.generate_key(2048, {"kid": "ours-rsa"})
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # too small a key is the point of it
    SMALL_RSA = RSAKey.generate_key(1024)
COUNT = itertools.count(1)
TOKEN = "/services/oauth2/token"


def jwk_set(*keys: Any) -> str:
    """The public halves, as an app's Settings hold them."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys or (EC, RSA)]})


def segment(value: Any) -> str:
    """One part of a JWT; text and bytes as they are, anything else as JSON."""
    raw = (
        value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
    )
    return secrets.base64url(raw)


def signed(claims: dict[str, Any], key: Any = EC, **header: Any) -> str:
    """A JWS by this key. A header member of None is left out."""
    algorithm = "ES256" if isinstance(key, ECKey) else "RS256"
    protected = {"alg": algorithm, "kid": key.kid, "typ": "JWT"} | header
    protected = {name: value for name, value in protected.items() if value is not None}
    return jws.serialize_compact(protected, json.dumps(claims), key, algorithms=[protected["alg"]])


def assertion(
    house: House, client: OAuthClient, key: Any = EC, *, header: dict[str, Any] | None = None, **changes: Any
) -> str:
    """A statement of this client about itself, good unless changed; a claim of None is left out."""
    now = house.site.clock.now()
    claims = {
        "iss": client.client_id, "sub": client.client_id, "aud": client.issuer, "iat": now, "exp": now + 60,
        "jti": f"jti-{next(COUNT)}",
    } | changes  # fmt: skip
    return signed({name: value for name, value in claims.items() if value is not None}, key, **(header or {}))


def asserted(text: str) -> dict[str, str]:
    """The parameters of private_key_jwt."""
    return {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": text,
    }


def app_of(house: House, client: OAuthClient) -> registry.ExternalClientApp:
    """The app that this client is, in whichever org, as it is being edited."""
    org = next(org for org in house.site.live.orgs() if org.issuer == client.issuer)
    live = house.run(house.site.live.client(org.id, client.client_id))
    return house.read(registry.find, org.id, live.app_id)


def give_secret(house: House, client: OAuthClient) -> str:
    """An administrator makes the app's secret."""
    value = secrets.new_token()
    app = app_of(house, client)
    house.write(rotation.make_secret, app, secrets.digest(value), actor="robin", now_ms=house.site.clock.now_ms())
    house.catch_up()
    return value


def stage(house: House, client: OAuthClient) -> tuple[OAuthClient, str]:
    """An administrator stages a second pair: a client that has it, and its secret."""
    value, app, now = secrets.new_token(), app_of(house, client), house.site.clock.now()
    staged = Credential(
        client_id=secrets.new_consumer_key(), org_id=app.org_id, app_id=app.id, secret_digest=secrets.digest(value),
        made_by="robin", made_at=now, expires_at=now + credentials.STAGED_FOR,
    )  # fmt: skip
    house.write(rotation.stage, app, staged, actor="robin", now_ms=house.site.clock.now_ms())
    house.catch_up()
    changed = OAuthClient(
        front=client.front, issuer=client.issuer, client_id=staged.client_id, redirect_uri=client.redirect_uri
    )
    return changed, value


def basic(name: str, secret: str = "") -> dict[str, str]:
    """HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def post(client: OAuthClient, data: dict[str, str | None], **headers: str) -> httpx2.Response:
    """A request to the token endpoint that says no more than it is given."""
    sent = {name: value for name, value in data.items() if value is not None}
    return client.front.post(f"{client.issuer}{TOKEN}", data=sent, headers=headers)


def grant(client: OAuthClient, code: str) -> dict[str, str]:
    """What redeems a code, without client authentication."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": client.verifier,
    }


def proof(
    house: House,
    url: str,
    key: Any = EC,
    *,
    method: str = "POST",
    token: str = "",
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A DPoP proof, good unless changed; a claim of None is left out."""
    claims = {"jti": f"proof-{next(COUNT)}", "htm": method, "htu": url, "iat": house.site.clock.now()}
    claims |= {"ath": ath(token)} if token else {}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    protected = {"typ": "dpop+jwt", "kid": None, "jwk": public(key)} | (header or {})
    return signed(claims, key, **protected)


def public(key: Any) -> dict[str, Any]:
    """The public JWK with its required members alone."""
    return {
        name: value for name, value in key.as_dict(private=False).items() if name in ("kty", "crv", "x", "y", "n", "e")
    }


def ath(token: str) -> str:
    """The hash of an access token."""
    return secrets.base64url(hashlib.sha256(token.encode()).digest())


def sign_in_strongly(house: House, who: Person, *, level: str = "HIGH_ASSURANCE") -> Person:
    """The person comes back from the second factor's page: a session of this level in a browser of their own."""
    value, now = secrets.new_token(), house.site.clock.now()
    row = sessions.Row(
        digest=secrets.digest(value), id=secrets.new_id(SESSION), org_id=house.org.id, user_id=user_id(house, who),
        level=level, methods="pwd otp", address="203.0.113.7", agent="", signed_in_at=now, verified_at=now,
        seen_at=now,
    )  # fmt: skip
    house.write(sessions.begin, row, sessions.Terms(), now)
    name = cookies.cookie_name(house.site, house.org, browser.SESSION)
    for each in [cookie for cookie in who.front.cookies.jar if cookie.name == name]:
        who.front.cookies.jar.clear(each.domain, each.path, each.name)
    who.front.cookies.set(name, value)
    return who
