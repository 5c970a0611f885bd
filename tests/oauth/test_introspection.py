"""Introspection: what a token means now, for whom it concerns."""

import time

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from gatelodge.core import connections
from tests.house import House
from tests.oauth.confidential import Confidential, add_confidential, asked, give_secret, introspect, revoke
from tests.oauth.scenes import (
    HTTPS,
    add_app,
    add_org,
    add_user,
    change_app,
    claims_of,
    connect,
    person,
    refused,
    set_active,
)  # fmt: skip
from tests.requirements import requirement

INACTIVE = {"active": False}
SCOPES = ("mcp_api", "refresh_token", "openid")


@pytest.fixture
def held(house_on: House) -> Confidential:
    """An app that may use MCP servers and can prove who it is."""
    return add_confidential(house_on, scopes=SCOPES)


@requirement("introspect:what-is-told")
def test_a_jwt_access_token_is_explained_by_its_own_claims(house_on: House, held: Confidential):
    who = person(house_on)
    tokens = connect(who, held.client)
    claims = claims_of(tokens["access_token"])
    said = introspect(held, tokens["access_token"])
    same = ("scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti", "auth_time", "acr")
    assert said == {"active": True, "username": who.username, "token_type": "Bearer"} | {
        name: claims[name] for name in same
    }
    assert said["aud"] == f"{house_on.issuer}/mcp/sobject-reads" and said["exp"] - said["iat"] == 600


@requirement("introspect:what-is-told")
def test_an_opaque_access_token_and_a_refresh_token_are_explained_too(house_on: House):
    held = add_confidential(house_on, jwt_access_tokens=False, scopes=("openid", "refresh_token"))
    who = person(house_on)
    tokens = connect(who, held.client, scope="openid refresh_token")
    assert tokens["token_format"] == "opaque"
    access, refresh = (introspect(held, tokens[kind]) for kind in ("access_token", "refresh_token"))
    for said in (access, refresh):
        assert said["active"] is True and said["username"] == who.username and said["iss"] == house_on.issuer
        assert said["scope"] == "openid refresh_token" and said["client_id"] == held.client.client_id
        assert said["aud"] == house_on.issuer and said["iat"] == house_on.site.clock.now()
    assert access["token_type"] == "Bearer" and access["exp"] == access["iat"] + 600
    assert refresh["token_type"] == "refresh_token" and refresh["exp"] == refresh["iat"] + 30 * 86_400


@requirement("introspect:what-is-told")
def test_custom_attributes_stand_in_the_answer(house: House):
    held = add_confidential(house, custom_attributes=("org = Organization.Name",))
    said = introspect(held, connect(person(house), held.client)["access_token"])
    assert said["custom_attributes"] == {"org": "Acme"}


@requirement("introspect:inactive")
def test_after_its_time_a_token_is_inactive_and_not_a_word_more_is_said(house_on: House, held: Confidential):
    tokens = connect(person(house_on), held.client)
    house_on.later(599)
    assert introspect(held, tokens["access_token"])["active"]
    house_on.later(1)
    assert introspect(held, tokens["access_token"]) == INACTIVE
    house_on.later(30 * 86_400)
    assert introspect(held, tokens["refresh_token"]) == INACTIVE


@requirement("introspect:inactive")
def test_a_superseded_refresh_token_is_inactive_and_the_newest_one_active(house_on: House, held: Confidential):
    first = connect(person(house_on), held.client)["refresh_token"]
    second = held.client.refresh(first).json()["refresh_token"]
    assert introspect(held, first) == INACTIVE
    assert introspect(held, second)["active"]


@requirement("introspect:inactive")
def test_what_has_ended_is_inactive(house_on: House, held: Confidential):
    who = add_user(house_on)

    def both(tokens: dict[str, str]) -> set[bool]:
        return {introspect(held, tokens[kind])["active"] for kind in ("access_token", "refresh_token")}

    ended = connect(who, held.client)
    assert both(ended) == {True}
    revoke(held.client, ended["access_token"])
    assert introspect(held, ended["access_token"]) == introspect(held, ended["refresh_token"]) == INACTIVE
    tokens = connect(who, held.client)
    set_active(house_on, who, is_active=False)
    assert introspect(held, tokens["access_token"]) == introspect(held, tokens["refresh_token"]) == INACTIVE
    set_active(house_on, who, is_active=True)
    assert both(tokens) == {True}


@requirement("introspect:inactive")
def test_tokens_of_a_disabled_app_and_of_users_who_lost_their_approval_are_inactive(house_on: House):
    asking = add_confidential(house_on, introspect_all_tokens=True)
    client, who = add_app(house_on), add_user(house_on, "Standard_User")
    tokens = connect(who, client)
    assert introspect(asking, tokens["access_token"])["active"]
    approved = {"permitted_users": "AdminApprovedPreAuthorized", "permission_sets": ("Administrator",)}
    change_app(house_on, client, **approved)
    assert introspect(asking, tokens["access_token"]) == introspect(asking, tokens["refresh_token"]) == INACTIVE
    change_app(house_on, client, permitted_users="AllSelfAuthorized")
    assert introspect(asking, tokens["access_token"])["active"]
    change_app(house_on, client, is_enabled=False)
    assert introspect(asking, tokens["access_token"]) == introspect(asking, tokens["refresh_token"]) == INACTIVE


@requirement("introspect:inactive")
def test_what_is_no_token_of_this_org_is_inactive(house_on: House, held: Confidential):
    org = add_org(house_on, "elsewhere")
    far = add_confidential(house_on, org=org, introspect_all_tokens=True)
    who = add_user(house_on, org=org)
    tokens = connect(who, far.client)
    assert introspect(far, tokens["access_token"])["active"]
    own = connect(person(house_on), held.client)
    forged = jwt.encode(
        {"alg": "ES256", "kid": "x", "typ": "at+jwt"}, claims_of(own["access_token"]), ECKey.generate_key()
    )
    for token in (*tokens.values(), forged, "x", "a.b.c", own["access_token"][:-2], own["refresh_token"] + "x", "é"):
        assert introspect(held, str(token)) == INACTIVE, token
    assert introspect(far, own["access_token"]) == INACTIVE


@requirement("introspect:own-tokens")
def test_an_app_sees_its_own_tokens_and_with_the_setting_every_one_of_the_org(house_on: House, held: Confidential):
    other, auditor = add_confidential(house_on), add_confidential(house_on, introspect_all_tokens=True)
    tokens = connect(person(house_on), held.client)
    for kind in ("access_token", "refresh_token"):
        assert introspect(held, tokens[kind])["active"]
        assert introspect(other, tokens[kind]) == INACTIVE
        assert introspect(auditor, tokens[kind])["active"]


@requirement("introspect:caller")
def test_nobody_asks_without_proof_of_who_they_are(house_on: House, held: Confidential):
    public = add_app(house_on)
    token = connect(person(house_on), held.client)["access_token"]
    for sent in (
        {"headers": {}, "client_id": held.client.client_id},
        {"headers": {}, "client_id": public.client_id},
        {"headers": {}},
        {"headers": {}, **held.post, "client_secret": "wrong"},
        {"headers": {"Authorization": "Basic eDp5"}},
        {"headers": {"Authorization": f"Bearer {token}"}},
    ):
        answer = asked(held, token, **sent)
        refused(answer, "invalid_client", 401)
        assert answer.headers["www-authenticate"].startswith("Basic "), sent
    assert asked(held, token, headers={}, **held.post).json()["active"]


@requirement("introspect:caller")
def test_an_app_proves_itself_by_an_assertion_that_it_signs(house_on: House):
    key = ECKey.generate_key("P-256")
    public = msgspec.json.encode({"keys": [key.as_dict(private=False)]}).decode()
    client = add_app(house_on, HTTPS, public_keys=public)
    caller = Confidential(client, "")
    now = house_on.site.clock.now()
    claims = {
        "iss": client.client_id, "sub": client.client_id, "aud": house_on.issuer, "jti": f"one{time.monotonic_ns()}",
        "iat": now, "exp": now + 60,
    }  # fmt: skip
    proof = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({"alg": "ES256"}, claims, key),
    }
    token = connect(person(house_on), client)["access_token"]
    assert asked(caller, token, headers={}, **proof).json()["active"]
    refused(asked(caller, token, headers={}, **proof), "invalid_client", 401)  # once


@requirement("introspect:requests")
def test_only_a_form_with_a_token_is_read(house: House):
    held = add_confidential(house)
    refused(asked(held, None), "invalid_request")
    url = f"{house.issuer}/services/oauth2/introspect"
    got = held.client.front.get(f"{url}?token=x", headers=held.basic)
    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    refused(held.client.front.post(f"{url}?token=x", data={"token": "x"}, headers=held.basic), "invalid_request")
    refused(held.client.front.post(url, json={"token": "x"}, headers=held.basic), "invalid_request")
    twice = {"Content-Type": "application/x-www-form-urlencoded", **held.basic}
    refused(held.client.front.post(url, content=b"token=x&token=x", headers=twice), "invalid_request")
    other = held.client.front.post(url, data={"token": "x"}, headers=held.basic | {"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in other.headers


@requirement("introspect:own-tokens")
def test_a_secret_given_later_opens_the_tokens_of_before(house: House):
    client = add_app(house)
    tokens = connect(person(house), client)
    late = Confidential(client, give_secret(house, client))
    assert introspect(late, tokens["access_token"])["active"]
    found = house.read(connections.find, house.org.id, claims_of(tokens["access_token"])["connection_id"])
    assert found.client_id == client.client_id
