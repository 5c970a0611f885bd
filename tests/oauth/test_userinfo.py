"""Userinfo and the identity URL: who the user is, as far as the scopes reach, for an app that was let in."""

from typing import Any

import httpx2
import pytest

from tests.house import House
from tests.oauth.scenes import (
    add_app,
    add_org,
    add_user,
    change_app,
    claims_of,
    connect,
    person,
    set_active,
    user_id,
)  # fmt: skip
from tests.people import OAuthClient
from tests.requirements import requirement

OPENID = ("openid", "profile", "email", "id", "mcp_api", "refresh_token")
IDS = {"sub", "user_id", "organization_id"}
PROFILE = {"name", "preferred_username", "zoneinfo", "profile", "active"}
SAID_OF_ALL = {"id", "asserted_user", "user_id", "organization_id", "active", "urls"}
NAMES = {"username", "display_name", "timezone"}


def token_of(house: House, client: OAuthClient, scope: str = "openid", **changes: str) -> str:
    return connect(person(house), client, scope=scope, **changes)["access_token"]


def ask(client: OAuthClient, token: str, url: str = "", method: str = "GET", **options: Any) -> httpx2.Response:
    url = url or f"{client.issuer}/services/oauth2/userinfo"
    headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
    return client.front.request(method, url, headers=headers, **options)


@requirement("userinfo:claims-by-scope")
@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("openid", IDS),
        ("openid profile", IDS | PROFILE),
        ("openid email", IDS | {"email"}),
        ("openid id", IDS),
        ("openid profile email", IDS | PROFILE | {"email"}),
    ],
)
def test_scopes_decide_which_claims_are_told(house: House, scope: str, told: set[str]):
    client = add_app(house, scopes=OPENID)
    answer = ask(client, token_of(house, client, scope))
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == told


@requirement("userinfo:claims-by-scope")
def test_the_claims_are_the_users_own_and_sub_is_that_of_the_id_token(house_on: House):
    client, who = add_app(house_on, scopes=OPENID), person(house_on)
    tokens = connect(who, client, scope="openid profile email")
    said = ask(client, tokens["access_token"]).json()
    assert said["sub"] == said["user_id"] == claims_of(tokens["id_token"])["sub"] == user_id(house_on, who)
    assert said["organization_id"] == house_on.org.id and said["email"] == said["preferred_username"] == who.username
    assert said["name"] == "Robin Okafor" and said["zoneinfo"] == "UTC" and said["profile"] == tokens["id"]


@requirement("userinfo:claims-by-scope")
def test_custom_attributes_are_told_as_the_policies_have_them_now(house: House):
    client = add_app(house, scopes=OPENID, custom_attributes=("org = Organization.Name",))
    token = token_of(house, client)
    assert ask(client, token).json()["custom_attributes"] == {"org": "Acme"}
    change_app(house, client, custom_attributes=("sets = User.PermissionSets",))
    assert ask(client, token).json()["custom_attributes"] == {"sets": "Administrator"}


@requirement("userinfo:every-token-of-the-org")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_for_an_mcp_server_and_an_opaque_one_open_userinfo(house_on: House, method: str):
    for client in (add_app(house_on, scopes=OPENID), add_app(house_on, scopes=OPENID, jwt_access_tokens=False)):
        token = token_of(house_on, client, "openid mcp_api")
        assert ask(client, token, method=method).status_code == 200


@requirement("userinfo:bearer")
def test_a_token_without_openid_is_refused_with_the_scope_that_is_needed(house: House):
    client = add_app(house, scopes=OPENID)
    answer = ask(client, token_of(house, client, "profile email"))
    assert answer.status_code == 403 and answer.json()["error"] == "insufficient_scope"
    challenge = answer.headers["www-authenticate"]
    assert (
        challenge.startswith("Bearer ") and 'error="insufficient_scope"' in challenge and 'scope="openid"' in challenge
    )


@requirement("userinfo:bearer")
def test_without_a_token_or_with_one_elsewhere_there_is_a_challenge_without_an_error(house: House):
    client = add_app(house, scopes=OPENID)
    token, url = token_of(house, client), f"{house.issuer}/services/oauth2/userinfo"
    for answer in (
        client.front.get(url),
        client.front.post(url, data={"access_token": token}),
        client.front.get(f"{url}?access_token={token}"),
        client.front.get(url, headers={"Authorization": "Basic eDp5"}),
    ):
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith(f'Bearer realm="{house.issuer}"') and "error" not in challenge
    both = [("Authorization", f"Bearer {token}")] * 2
    assert client.front.get(url, headers=both).status_code == 400


@requirement("userinfo:bearer")
def test_tokens_that_no_longer_stand_are_refused(house_on: House):
    client, who = add_app(house_on, scopes=OPENID), add_user(house_on)
    tokens = connect(who, client, scope="openid refresh_token")
    for token in (tokens["refresh_token"], tokens["id_token"], "x", tokens["access_token"] + "x"):
        answer = ask(client, token)
        assert answer.status_code == 401 and 'error="invalid_token"' in answer.headers["www-authenticate"], token
    assert ask(client, tokens["access_token"]).status_code == 200
    set_active(house_on, who, is_active=False)
    assert ask(client, tokens["access_token"]).status_code == 401
    set_active(house_on, who, is_active=True)
    change_app(house_on, client, is_enabled=False)
    assert ask(client, tokens["access_token"]).status_code == 401
    change_app(house_on, client, is_enabled=True)
    house_on.later(601)
    assert ask(client, tokens["access_token"]).status_code == 401


@requirement("identity:own-user")
@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("id", SAID_OF_ALL | NAMES | {"email"}),
        ("openid", SAID_OF_ALL),
        ("profile", SAID_OF_ALL | NAMES),
        ("email", SAID_OF_ALL | {"email"}),
    ],
)
def test_the_identity_url_says_what_the_scopes_reach_in_the_originals_words(house: House, scope: str, told: set[str]):
    client = add_app(house, scopes=OPENID)
    tokens = connect(person(house), client, scope=scope)
    assert tokens["id"] == f"{house.issuer}/id/{house.org.id}/{claims_of(tokens['access_token'])['sub']}"
    answer = ask(client, tokens["access_token"], tokens["id"])
    assert answer.status_code == 200 and set(answer.json()) == told
    said = answer.json()
    assert said["id"] == tokens["id"] and said["asserted_user"] is True and said["organization_id"] == house.org.id
    if "username" in said:
        assert said["username"] == "robin@acme.example" and said["display_name"] == "Robin Okafor"


@requirement("identity:own-user")
def test_the_identity_url_opens_with_ids_of_15_characters_and_with_opaque_tokens(house_on: House):
    client = add_app(house_on, scopes=OPENID, jwt_access_tokens=False)
    tokens = connect(person(house_on), client, scope="id")
    short = "/".join(part[:15] if len(part) == 18 else part for part in tokens["id"].split("/"))
    assert short != tokens["id"]
    assert ask(client, tokens["access_token"], short).json() == ask(client, tokens["access_token"], tokens["id"]).json()


@requirement("identity:own-user")
def test_anybody_elses_identity_is_not_found(house: House):
    org, client = add_org(house, "elsewhere"), add_app(house, scopes=OPENID)
    stranger = user_id(house, add_user(house))
    tokens = connect(person(house), client, scope="id")
    own = tokens["id"].rsplit("/", 1)[1]
    for url in (
        f"{house.issuer}/id/{house.org.id}/{stranger}",
        f"{house.issuer}/id/{org.id}/{own}",
        f"{house.issuer}/id/{house.org.id}/{own[:-1]}",
        f"{house.issuer}/id/{house.org.id}/x",
    ):
        assert ask(client, tokens["access_token"], url).status_code == 404, url
    assert ask(client, tokens["access_token"], f"{org.issuer}/id/{org.id}/{own}").status_code == 401
    assert client.front.get(tokens["id"]).status_code == 401


@requirement("identity:own-user")
def test_a_token_that_says_nothing_of_its_user_opens_no_identity(house: House):
    client = add_app(house, scopes=OPENID)
    tokens = connect(person(house), client, scope="mcp_api refresh_token")
    answer = ask(client, tokens["access_token"], tokens["id"])
    assert answer.status_code == 403 and 'scope="id openid profile email"' in answer.headers["www-authenticate"]
