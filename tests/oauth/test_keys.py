"""Signing keys: a rotation that no verifier notices, keys of each org alone, and the algorithm that the org chose."""

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from gatelodge.cli.verbs import perform
from gatelodge.core.errors import Refused
from tests.house import House
from tests.oauth.scenes import add_app, add_org, add_user, connect, header_of, opens, person
from tests.people import OAuthClient
from tests.requirements import requirement

CACHED = 300
PUBLISHED_BEFORE = 600
LONGEST = 720 * 60
SCOPES = ("mcp_api", "refresh_token", "openid")


@pytest.fixture
def at(fresh_house: House) -> House:
    """A house of its own: what rotates here must not turn in another test."""
    return fresh_house


def rotate(house: House, org: str = "", **options: Any) -> dict[str, Any]:
    """What ``gatelodge keys rotate`` does beside a running server."""
    asked = {"org": org, "algorithm": "", "now": False} | options
    answer = house.run(perform(house.site, "keys rotate", asked))
    house.catch_up()
    return answer


def listed(house: House) -> dict[str, str]:
    """What each published key does now, by kid."""
    return {key["kid"]: key["state"] for key in house.run(perform(house.site, "keys list", {"org": ""}))}


def jwks(house: House, issuer: str = "") -> list[dict[str, str]]:
    return house.client().get(f"{issuer or house.issuer}/id/keys").json()["keys"]


def verifies(token: str, keys: list[dict[str, str]]) -> bool:
    """Whether a resource server that fetched these keys takes the token; it picks the key by kid, as all do."""
    named = [key for key in keys if key["kid"] == header_of(token)["kid"]]
    if not named:
        return False
    assert len(named) == 1 and named[0]["alg"] == header_of(token)["alg"]
    found = jwt.decode(token, KeySet.import_key_set({"keys": named}), algorithms=[named[0]["alg"]])
    return found.claims["iss"].startswith("http://localhost")


def refreshed(client: OAuthClient, held: dict[str, str]) -> str:
    """A fresh access token of the connection, whose newest refresh token is kept."""
    answer = client.refresh(held["refresh_token"])
    assert answer.status_code == 200, answer.text
    held.update(answer.json())
    return held["access_token"]


@requirement("keys:rotation-goes-unnoticed")
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_no_verifier_ever_lacks_a_key_across_a_rotation(fresh_house_on: House, algorithm: str):
    at = fresh_house_on
    client = add_app(at, scopes=SCOPES, access_token_minutes=720)
    held = connect(person(at), client, scope="mcp_api refresh_token")
    first = header_of(held["access_token"])["kid"]
    fetched, signed = [(0, jwks(at))], [(0, held["access_token"])]
    began = at.time
    for moment in (10, 100, 309, 310, 400, 609, 610, 700, 910, 1200, 20_000, LONGEST, LONGEST + 500):
        if moment == 100:
            fresh = rotate(at, algorithm=algorithm)
        at.time = began + moment
        at.catch_up()
        fetched.append((moment, jwks(at)))
        signed.append((moment, refreshed(client, held)))
    turns = {moment: header_of(token)["kid"] for moment, token in signed}
    began_to_sign = 100 - 90 + PUBLISHED_BEFORE  # the rotation was asked for at 10
    assert all((kid == first) == (moment < began_to_sign) for moment, kid in turns.items()), turns
    assert turns[LONGEST] == fresh["kid"]
    for moment, token in signed:
        for fetched_at, keys in fetched:
            # Keys that are at most as old as they may be cached, while the token lives.
            if moment - CACHED <= fetched_at < moment + LONGEST:
                assert verifies(token, keys), (moment, fetched_at)
    assert {key["kid"] for key in fetched[1][1]} == {first}
    assert {key["kid"] for key in fetched[2][1]} >= {first}


@requirement("keys:rotation-goes-unnoticed")
def test_tokens_of_the_old_key_open_mcp_servers_until_they_are_dead(at: House):
    client = add_app(at, scopes=SCOPES, access_token_minutes=60)
    held = connect(person(at), client)
    rotate(at)
    at.later(PUBLISHED_BEFORE - 1)
    late = refreshed(client, held)
    at.later(1)
    new = refreshed(client, held)
    assert header_of(late)["kid"] != header_of(new)["kid"]
    at.later(3598)
    assert opens(client, late) and opens(client, new)
    at.later(1)
    assert not opens(client, late) and opens(client, new)


@requirement("keys:old-ones-go")
def test_an_old_key_leaves_when_the_last_token_it_may_have_signed_is_dead(fresh_house_on: House):
    at = fresh_house_on
    first = jwks(at)[0]["kid"]
    second = rotate(at)["kid"]
    assert listed(at) == {first: "signs", second: "is next"}
    at.later(PUBLISHED_BEFORE)
    assert listed(at) == {first: "verifies", second: "signs"}
    at.later(LONGEST + 59)
    assert {key["kid"] for key in jwks(at)} == {first, second}
    at.later(1)
    assert {key["kid"] for key in jwks(at)} == {second} and listed(at) == {second: "signs"}
    at.run(at.app.clean())
    assert {key["kid"] for key in jwks(at)} == {second}


@requirement("keys:now")
def test_rotating_at_once_signs_at_once_and_no_key_that_waited_signs_after_it(fresh_house_on: House):
    at = fresh_house_on
    client = add_app(at, scopes=SCOPES)
    held = connect(person(at), client)
    before = header_of(held["access_token"])["kid"]
    waiting = rotate(at)["kid"]
    at.later(10)
    fresh = rotate(at, now=True)["kid"]
    assert listed(at) == {before: "verifies", fresh: "signs"} and waiting not in {key["kid"] for key in jwks(at)}
    for _ in range(3):
        at.later(400)
        token = refreshed(client, held)
        assert header_of(token)["kid"] == fresh and opens(client, token) and verifies(token, jwks(at))


@requirement("keys:rotation-goes-unnoticed")
def test_rotating_again_while_one_waits_lets_both_have_their_turn(at: House):
    client = add_app(at, scopes=SCOPES, access_token_minutes=720)
    held = connect(person(at), client)
    one = rotate(at)["kid"]
    at.later(200)
    two = rotate(at, algorithm="RS256")["kid"]
    at.later(450)
    first = refreshed(client, held)
    at.later(200)
    second = refreshed(client, held)
    assert (header_of(first)["kid"], header_of(second)["kid"]) == (one, two)
    at.later(LONGEST - 201)
    assert verifies(first, jwks(at)) and verifies(second, jwks(at)) and opens(client, second)


@requirement("keys:algorithm")
def test_the_orgs_algorithm_signs_access_and_id_tokens_and_stands_in_the_metadata(at: House):
    client = add_app(at, scopes=SCOPES)

    def said() -> list[str]:
        return at.client().get("/.well-known/openid-configuration").json()["id_token_signing_alg_values_supported"]

    assert said() == ["ES256"]
    rotate(at, algorithm="RS256")
    assert said() == ["ES256", "RS256"]
    at.later(PUBLISHED_BEFORE)
    assert said() == ["RS256"]
    tokens = connect(person(at), client, scope="openid mcp_api")
    for kind in ("access_token", "id_token"):
        assert header_of(tokens[kind])["alg"] == "RS256" and verifies(tokens[kind], jwks(at))
    assert opens(client, tokens["access_token"])
    rsa = next(key for key in jwks(at) if key["kid"] == header_of(tokens["id_token"])["kid"])
    assert set(rsa) == {"kty", "n", "e", "kid", "alg", "use"} and len(rsa["n"]) >= 342
    at.later(60)
    again = rotate(at)  # the next one is of the same algorithm, without saying so
    assert again["algorithm"] == "RS256"


@requirement("keys:by-org")
def test_each_org_signs_with_keys_of_its_own(at: House):
    org = add_org(at, "elsewhere")
    far, near = add_app(at, org=org), add_app(at)
    tokens = connect(add_user(at, org=org), far)
    rotate(at, org="elsewhere", algorithm="RS256")
    assert [key["alg"] for key in jwks(at)] == ["ES256"]
    assert sorted(key["alg"] for key in jwks(at, org.issuer)) == ["ES256", "RS256"]
    assert verifies(tokens["access_token"], jwks(at, org.issuer)) and not verifies(tokens["access_token"], jwks(at))
    assert opens(far, tokens["access_token"]) and not opens(near, tokens["access_token"])


@requirement("keys:refusals")
def test_another_algorithm_and_too_many_keys_are_refused(fresh_house: House):
    for algorithm in ("HS256", "none", "es256"):
        with pytest.raises(Refused, match="ES256, RS256"):
            rotate(fresh_house, algorithm=algorithm)
    for _ in range(99):
        fresh_house.later(10)
        rotate(fresh_house)
    with pytest.raises(Refused, match="100 keys"):
        rotate(fresh_house)
    assert len(jwks(fresh_house)) == 100
