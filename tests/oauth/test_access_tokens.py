"""Access tokens as any resource server sees them, verified with nothing but the published keys."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from gatelodge.core import authorizations, keys, tokens
from gatelodge.core.apps.policies import Policies
from tests.house import House
from tests.oauth.scenes import (
    add_app,
    add_org,
    add_user,
    app_id,
    change_app,
    claims_of,
    connect,
    decoded,
    header_of,
    opens,
    person,
    set_active,
    user_id,
)
from tests.requirements import requirement


def verify(token: str, jwk: dict[str, str]) -> None:
    """Raises unless the key signed the token: ES256 written out (RFC 7518 §3.4)."""
    x, y = (int.from_bytes(decoded(jwk[name]), "big") for name in ("x", "y"))
    signed, _, signature = token.rpartition(".")
    raw = decoded(signature)
    assert len(raw) == 64
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().verify(der, signed.encode(), ec.ECDSA(SHA256()))


@requirement("token:rfc9068", "token:jwt-for-resource")
def test_an_access_token_verifies_with_the_published_keys_and_says_what_the_rfc_asks(house: House):
    client, who = add_app(house), person(house)
    connect(who, client)
    house.later(50)
    answer = connect(who, client)
    token = answer["access_token"]
    header, claims = header_of(token), claims_of(token)
    assert set(header) == {"alg", "kid", "typ"} and header["typ"] == "at+jwt" and header["alg"] == "ES256"
    (jwk,) = [key for key in house.client().get("/id/keys").json()["keys"] if key["kid"] == header["kid"]]
    verify(token, jwk)
    assert set(claims) == {
        "iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time", "authorization_id", "connection_id",
        "acr", "amr",
    }  # fmt: skip
    assert (claims["acr"], claims["amr"]) == ("STANDARD", ["pwd"])
    now = house.site.clock.now()
    assert claims["iss"] == house.issuer and claims["aud"] == f"{house.issuer}/mcp/sobject-reads"
    assert claims["sub"] == user_id(house, who) and claims["client_id"] == client.client_id
    assert (claims["iat"], claims["exp"]) == (now, now + answer["expires_in"]) and claims["auth_time"] == now - 50
    assert claims["scope"] == answer["scope"]
    assert all(type(claims[name]) is int for name in ("iat", "exp", "auth_time"))
    assert claims["authorization_id"][:3] == "0uA" and claims["connection_id"][:3] == "0uC"


@requirement("token:rfc9068")
def test_no_two_access_tokens_have_one_id(house: House):
    client = add_app(house)
    found = connect(person(house), client)
    ids = {claims_of(found["access_token"])["jti"]}
    for _ in range(20):
        found = client.refresh(found["refresh_token"]).json()
        ids.add(claims_of(found["access_token"])["jti"])
    assert len(ids) == 21


@requirement("token:rfc9068", "authorize:orgs-apart")
def test_each_org_signs_with_its_own_key_and_verifies_no_others(house: House):
    org = add_org(house, "acme")
    ours, theirs = add_app(house), add_app(house, org=org)
    mine, other = (
        connect(person(house), ours)["access_token"],
        connect(add_user(house, org=org), theirs)["access_token"],
    )
    assert header_of(mine)["kid"] != header_of(other)["kid"]
    assert opens(ours, mine) and opens(theirs, other)
    assert not opens(ours, other) and not opens(theirs, mine)


@requirement("token:rfc9068")
def test_a_newer_key_signs_and_the_older_one_still_verifies(fresh_house: House):
    client, who = add_app(fresh_house), person(fresh_house)
    before = connect(who, client)["access_token"]
    fresh_house.later(5)
    org_id = fresh_house.org.id
    now = fresh_house.site.clock.now()
    made = keys.generate(fresh_house.site.ring, org_id=org_id, algorithm="ES256", now=now, signs_from=now)
    fresh_house.write(keys.add, made)
    fresh_house.site.live._keys.drop(org_id)
    after = connect(who, client)["access_token"]
    assert header_of(after)["kid"] == made.kid != header_of(before)["kid"]
    published = {key["kid"]: key for key in fresh_house.client().get("/id/keys").json()["keys"]}
    for token in (before, after):
        verify(token, published[header_of(token)["kid"]])
        assert opens(client, token)


@requirement("token:ends-at-once")
def test_a_token_lives_ten_minutes(house: House):
    client = add_app(house)
    token = connect(person(house), client)["access_token"]
    house.later(Policies().access_token_minutes * 60 - 1)
    assert opens(client, token)
    house.later(1)
    assert not opens(client, token)


@requirement("token:ends-at-once")
@pytest.mark.parametrize("what", ["user", "app", "authorization"])
def test_a_token_is_refused_once_what_it_stands_on_has_ended(house_on: House, what: str):
    client, who = add_app(house_on), add_user(house_on)
    other, bystander = add_app(house_on), person(house_on)
    token = connect(who, client)["access_token"]
    spared = connect(bystander, other)["access_token"]
    assert opens(client, token)
    if what == "user":
        set_active(house_on, who, is_active=False)
    elif what == "app":
        change_app(house_on, client, is_enabled=False)
    else:
        held = house_on.read(
            authorizations.find_live, house_on.org.id, user_id(house_on, who), app_id(house_on, client)
        )
        house_on.write(authorizations.end, house_on.org.id, held.id, house_on.site.clock.now())
        house_on.catch_up()
    assert not opens(client, token)
    assert opens(other, spared)


@requirement("token:rfc9068")
def test_a_token_with_one_character_changed_is_refused(house: House):
    client = add_app(house)
    token = connect(person(house), client)["access_token"]
    for at in range(0, len(token), 7):
        flipped = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert not opens(client, flipped), at


@requirement("token:rfc9068")
def test_no_other_type_of_jwt_of_the_same_key_opens_a_server(house: House):
    client = add_app(house)
    token = connect(person(house), client)["access_token"]
    live = house.run(house.site.live.keys(house.org.id))
    claims = msgspec.convert(claims_of(token), tokens.Claims)
    assert opens(client, tokens.sign(live.signer.key, live.signer.algorithm, live.signer.kid, claims))
    for changes in ({"aud": house.issuer}, {"iss": "https://evil.example"}, {"exp": claims.iat}):
        wrong = msgspec.structs.replace(claims, **changes)
        assert not opens(client, tokens.sign(live.signer.key, live.signer.algorithm, live.signer.kid, wrong)), changes
