"""ID tokens: what they say of a sign-in, and that they open nothing."""

import base64
import hashlib

import pytest

from tests.house import House
from tests.oauth.scenes import (
    add_app,
    claims_of,
    code_for,
    connect,
    header_of,
    opens,
    person,
    user_id,
)  # fmt: skip
from tests.people import OAuthClient
from tests.requirements import requirement

SCOPES = ("openid", "mcp_api", "refresh_token")


@pytest.fixture
def client(house: House) -> OAuthClient:
    return add_app(house, scopes=SCOPES)


@requirement("id-token:claims")
def test_an_id_token_tells_who_signed_in_how_and_for_whom(house: House, client: OAuthClient):
    who = person(house)
    signed_in_at = house.site.clock.now()
    code = code_for(who, client, scope="openid", nonce="n-0S6_WzA2Mj")
    house.later(20)
    tokens = client.redeem(code).json()
    claims = claims_of(tokens["id_token"])
    now = house.site.clock.now()
    assert claims == {
        "iss": house.issuer, "sub": user_id(house, who), "aud": client.client_id, "iat": now, "exp": now + 120,
        "auth_time": signed_in_at, "nonce": "n-0S6_WzA2Mj", "acr": "STANDARD", "amr": ["pwd"],
        "sid": claims_of(tokens["access_token"])["connection_id"], "at_hash": at_hash(tokens["access_token"]),
    }  # fmt: skip


@requirement("id-token:claims")
def test_at_hash_fits_an_opaque_access_token_too(house: House):
    client = add_app(house, scopes=SCOPES, jwt_access_tokens=False)
    tokens = connect(person(house), client, scope="openid")
    assert claims_of(tokens["id_token"])["at_hash"] == at_hash(tokens["access_token"])


@requirement("id-token:when")
def test_there_is_one_with_the_scope_openid_alone_and_no_nonce_that_was_not_sent(house: House, client: OAuthClient):
    assert "id_token" not in connect(person(house), client, scope="mcp_api refresh_token")
    tokens = connect(person(house), client, scope="openid refresh_token")
    assert "nonce" not in claims_of(tokens["id_token"])


@requirement("id-token:when")
def test_a_refresh_brings_a_fresh_one_of_the_same_sign_in_without_its_nonce(house: House, client: OAuthClient):
    tokens = connect(person(house), client, scope="openid refresh_token", nonce="once")
    before = claims_of(tokens["id_token"])
    house.later(1000)
    refreshed = client.refresh(tokens["refresh_token"]).json()
    after = claims_of(refreshed["id_token"])
    kept = ("iss", "sub", "aud", "auth_time", "sid", "acr", "amr")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["iat"] == before["iat"] + 1000 and "nonce" not in after
    assert after["at_hash"] == at_hash(refreshed["access_token"])
    narrower = client.refresh(refreshed["refresh_token"], scope="refresh_token").json()
    assert "id_token" not in narrower


@requirement("id-token:opens-nothing")
def test_mcp_servers_and_userinfo_refuse_it_as_an_access_token(house: House, client: OAuthClient):
    tokens = connect(person(house), client, scope="openid mcp_api")
    assert header_of(tokens["id_token"])["typ"] == "JWT" and header_of(tokens["access_token"])["typ"] == "at+jwt"
    assert opens(client, tokens["access_token"]) and not opens(client, tokens["id_token"])
    bearer = {"Authorization": f"Bearer {tokens['id_token']}"}
    assert client.front.get("/services/oauth2/userinfo", headers=bearer).status_code == 401


def at_hash(token: str) -> str:
    """OpenID Connect Core §3.1.3.6."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()
