"""Each security option and each policy of tokens, per value, at the authorization and the token endpoint."""

import pytest

from tests.house import House
from tests.oauth.flows import give_secret
from tests.oauth.scenes import (
    add_app,
    change_app,
    claims_of,
    code_for,
    connect,
    opens,
    person,
    refused,
    user_id,
)
from tests.people import OAuthClient, Person, returned
from tests.requirements import requirement

DAY = 86_400
SECRET = {"require_secret_for_web_server_flow": True}


@pytest.fixture(scope="module")
def robin(shared_house: House) -> Person:
    return person(shared_house)


# --- PKCE -----------------------------------------------------------------------------------------------------------


def no_pkce(house: House) -> tuple[OAuthClient, str]:
    client = add_app(house, require_pkce=False, **SECRET)
    return client, give_secret(house, client)


@requirement("options:pkce")
def test_without_require_pkce_an_app_with_a_secret_may_leave_it_out(shared_house: House, robin: Person):
    client, secret = no_pkce(shared_house)
    bare = {"code_challenge": None, "code_challenge_method": None}
    code = code_for(robin, client, **bare)
    verifier = refused(client.redeem(code, client_secret=secret), "invalid_grant")
    assert "verifier" in verifier, "a verifier without a challenge (RFC 9700 §4.8.2)"
    assert client.redeem(code, client_secret=secret, code_verifier=None).status_code == 200


@requirement("options:pkce")
def test_a_challenge_that_is_sent_is_checked_even_where_none_is_required(shared_house: House, robin: Person):
    client, secret = no_pkce(shared_house)
    code = code_for(robin, client)
    for wrong in (None, "x" * 43, "short"):
        refused(client.redeem(code, client_secret=secret, code_verifier=wrong), "invalid_grant")
    assert client.redeem(code, client_secret=secret).status_code == 200
    for changes in (
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "short"},
        {"code_challenge": None},
    ):
        assert returned(robin.front.get(client.authorize_url(**changes)))["error"] == "invalid_request"


@requirement("options:pkce")
def test_require_pkce_refuses_without_it_and_an_app_without_a_secret_always_does(shared_house: House, robin: Person):
    bare = {"code_challenge": None, "code_challenge_method": None}
    for client in (
        add_app(shared_house, **SECRET),
        add_app(shared_house),
        add_app(shared_house, require_pkce=False, checked=False),
    ):
        assert returned(robin.front.get(client.authorize_url(**bare)))["error"] == "invalid_request"


# --- tokens ---------------------------------------------------------------------------------------------------------


@requirement("options:jwt")
@pytest.mark.parametrize("is_jwt", [True, False])
def test_issue_jwt_based_access_tokens(shared_house: House, robin: Person, is_jwt: bool):
    client = add_app(shared_house, jwt_access_tokens=is_jwt)
    body = connect(robin, client)
    assert body["token_format"] == ("jwt" if is_jwt else "opaque") and (body["access_token"].count(".") == 2) == is_jwt
    assert opens(client, body["access_token"]) == is_jwt
    header = {"Authorization": f"Bearer {body['access_token']}"}
    answer = client.front.get(f"{client.issuer}/mcp/sobject-reads", headers=header)
    assert is_jwt or "Issue JSON Web Token" in answer.json()["error_description"]
    again = client.refresh(body["refresh_token"]).json()
    assert again["token_format"] == body["token_format"] and again["access_token"] != body["access_token"]


@requirement("options:answer")
def test_the_answer_has_the_originals_fields_beside_the_rfcs(shared_house: House, robin: Person):
    client = add_app(shared_house, scopes=("mcp_api", "refresh_token", "openid"))
    body = connect(robin, client, scope=None)
    assert set(body) == {
        "access_token", "token_type", "expires_in", "refresh_token", "id_token", "scope", "instance_url", "id",
        "issued_at", "token_format",
    }  # fmt: skip
    assert body["instance_url"] == client.issuer and body["issued_at"] == str(shared_house.site.clock.now_ms())
    assert body["id"] == f"{client.issuer}/id/{shared_house.org.id}/{user_id(shared_house, robin)}"
    assert claims_of(body["id_token"])["aud"] == client.client_id
    again = client.refresh(body["refresh_token"]).json()
    assert set(again) == set(body)


@requirement("options:rotation")
@pytest.mark.parametrize("rotates", [True, False])
def test_enable_refresh_token_rotation(shared_house: House, robin: Person, rotates: bool):
    client = add_app(shared_house, refresh_token_rotation=rotates, require_secret_for_refresh_token_flow=True)
    secret = give_secret(shared_house, client)
    first = connect(robin, client)["refresh_token"]
    second = client.refresh(first, client_secret=secret).json()["refresh_token"]
    assert (second != first) == rotates
    shared_house.later(60)
    replay = client.refresh(first, client_secret=secret)
    assert replay.status_code == (400 if rotates else 200)
    assert client.refresh(second, client_secret=secret).status_code == (400 if rotates else 200)


@requirement("options:lifetime")
@pytest.mark.parametrize("minutes", [1, 10, 720])
def test_access_token_lifetime(shared_house: House, robin: Person, minutes: int):
    client = add_app(shared_house, access_token_minutes=minutes)
    body = connect(robin, client)
    claims = claims_of(body["access_token"])
    assert body["expires_in"] == claims["exp"] - claims["iat"] == minutes * 60
    shared_house.later(minutes * 60 - 1)
    assert opens(client, body["access_token"])
    shared_house.later(1)
    assert not opens(client, body["access_token"])


@requirement("options:attributes")
def test_custom_attributes_stand_in_tokens(shared_house: House, robin: Person):
    said = ("who = User.Username", "team=User.PermissionSets", "where = Organization.Name")
    client = add_app(shared_house, custom_attributes=said)
    claims = claims_of(connect(robin, client)["access_token"])
    assert claims["custom_attributes"] == {"who": robin.username, "team": "Administrator", "where": "Acme"}
    change_app(shared_house, client, custom_attributes=())
    assert "custom_attributes" not in claims_of(connect(robin, client)["access_token"])


# --- Refresh Token Policy ---------------------------------------------------------------------------------------------

PERIODS = [(1, "Hours", 3600), (2, "Days", 2 * DAY), (1, "Months", 30 * DAY)]


@requirement("options:refresh-policy")
def test_valid_until_revoked_has_no_end(house_on: House):
    client = add_app(house_on, refresh_token_policy="Infinite")
    held = connect(person(house_on), client)["refresh_token"]
    house_on.later(3000 * DAY)
    assert client.refresh(held).status_code == 200


@requirement("options:refresh-policy")
def test_immediately_expire_gives_none_and_ends_those_that_are_out(shared_house: House, robin: Person):
    client = add_app(shared_house)
    held = connect(robin, client)["refresh_token"]
    change_app(shared_house, client, refresh_token_policy="Zero")
    assert "refresh_token" not in connect(robin, client)
    assert "policy" in refused(client.refresh(held), "invalid_grant")
    change_app(shared_house, client, refresh_token_policy="Infinite")
    assert client.refresh(held).status_code == 200, "the policy is asked, the token was never touched"


@requirement("options:refresh-policy")
@pytest.mark.parametrize(("period", "unit", "seconds"), PERIODS)
def test_expire_if_not_used_slides_with_each_use(
    shared_house: House, robin: Person, period: int, unit: str, seconds: int
):
    client = add_app(
        shared_house, refresh_token_policy="SpecificInactivity", refresh_token_period=period, refresh_token_unit=unit
    )
    held = connect(robin, client)["refresh_token"]
    for _ in range(3):
        shared_house.later(seconds - 1)
        held = client.refresh(held).json()["refresh_token"]
    shared_house.later(seconds)
    assert f"{period} {unit.lower()}" in refused(client.refresh(held), "invalid_grant")


@requirement("options:refresh-policy")
@pytest.mark.parametrize(("period", "unit", "seconds"), PERIODS)
def test_expire_after_does_not_slide(shared_house: House, robin: Person, period: int, unit: str, seconds: int):
    client = add_app(
        shared_house, refresh_token_policy="SpecificLifetime", refresh_token_period=period, refresh_token_unit=unit
    )
    held = connect(robin, client)["refresh_token"]
    shared_house.later(seconds - 1)
    held = client.refresh(held).json()["refresh_token"]
    shared_house.later(1)
    assert f"{period} {unit.lower()}" in refused(client.refresh(held), "invalid_grant")


@requirement("options:refresh-policy")
def test_a_stricter_policy_bites_on_families_that_exist(shared_house: House, robin: Person):
    client = add_app(shared_house, refresh_token_policy="Infinite")
    held = connect(robin, client)["refresh_token"]
    shared_house.later(2 * DAY)
    change_app(
        shared_house, client, refresh_token_policy="SpecificLifetime", refresh_token_period=1, refresh_token_unit="Days"
    )  # fmt: skip
    refused(client.refresh(held), "invalid_grant")
