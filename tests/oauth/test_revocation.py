"""Revocation: a client says that it is done, and everything of that sign-in is over."""

import pytest

from tests.house import House
from tests.oauth.confidential import SECRET_FLOWS, add_confidential, revoke
from tests.oauth.scenes import LOOPBACK, add_app, add_org, add_user, code_for, connect, opens, person, refused
from tests.people import OAuthClient
from tests.requirements import requirement


def is_alive(client: OAuthClient, tokens: dict[str, str]) -> bool:
    """Whether the access token opens its server and the refresh token refreshes (which must not disagree)."""
    opened = opens(client, tokens["access_token"])
    answer = client.refresh(tokens["refresh_token"])
    assert (answer.status_code == 200) == opened, answer.text
    return opened


@requirement("revoke:ends-the-connection")
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", [None, "right", "wrong", "nonsense"])
def test_revoking_either_token_ends_the_sign_in_at_once_whatever_the_hint(house_on: House, kind: str, hint: str | None):
    client, who = add_app(house_on), person(house_on)
    tokens, others = connect(who, client), connect(who, client)
    wrong = "refresh_token" if kind == "access_token" else "access_token"
    said = {None: None, "right": kind, "wrong": wrong, "nonsense": "cookie"}[hint]
    answer = revoke(client, tokens[kind], token_type_hint=said)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not opens(client, tokens["access_token"])
    refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
    assert is_alive(client, others)  # another sign-in of the same user through the same app goes on


@requirement("revoke:ends-the-connection")
def test_an_opaque_access_token_is_revoked_with_its_connection(house_on: House):
    client, who = add_app(house_on, jwt_access_tokens=False, scopes=("openid", "refresh_token")), person(house_on)
    tokens = connect(who, client, scope="openid refresh_token")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.front.get("/services/oauth2/userinfo", headers=bearer).status_code == 200
    assert revoke(client, tokens["access_token"]).status_code == 200
    assert client.front.get("/services/oauth2/userinfo", headers=bearer).status_code == 401
    refused(client.refresh(tokens["refresh_token"]), "invalid_grant")


@requirement("revoke:ends-the-connection")
def test_a_superseded_refresh_token_still_names_its_connection(house: House):
    client = add_app(house)
    tokens = connect(person(house), client)
    newer = client.refresh(tokens["refresh_token"]).json()
    assert revoke(client, tokens["refresh_token"]).status_code == 200
    assert not is_alive(client, newer)


@requirement("revoke:unknown")
def test_what_is_no_token_gets_the_same_answer_as_one_that_was_revoked(house: House):
    client = add_app(house)
    tokens = connect(person(house), client)
    right = revoke(client, tokens["refresh_token"])
    house.later(3600)
    for token in (
        "nonsense", "a.b.c", tokens["refresh_token"], tokens["access_token"], tokens["access_token"] + "x",
        tokens["refresh_token"][:-1] + "_", "00D000000000000!" + "x" * 43, "é\u2028",
    ):  # fmt: skip
        answer = revoke(client, token)
        assert (answer.status_code, answer.content, dict(answer.headers)) == (200, b"", dict(right.headers)), token


@requirement("revoke:unknown")
def test_a_request_without_a_token_is_malformed(house: House):
    client = add_app(house)
    assert "token" in refused(revoke(client, None), "invalid_request")


@requirement("revoke:foreign")
def test_another_client_can_not_revoke_and_learns_nothing(house_on: House):
    client, stranger = add_app(house_on), add_app(house_on)
    tokens = connect(person(house_on), client)
    unknown = revoke(stranger, "nonsense")
    for kind in ("access_token", "refresh_token"):
        answer = revoke(stranger, tokens[kind])
        assert (answer.status_code, answer.content) == (unknown.status_code, unknown.content)
        assert dict(answer.headers) == dict(unknown.headers)
    assert is_alive(client, tokens)


@requirement("revoke:foreign")
def test_another_org_can_not_revoke(house: House):
    other = add_org(house, "elsewhere")
    client, stranger = add_app(house), add_app(house, org=other)
    tokens = connect(person(house), client)
    for kind in ("access_token", "refresh_token"):
        assert revoke(stranger, tokens[kind]).status_code == 200
    assert is_alive(client, tokens)


@requirement("revoke:client-authentication")
def test_an_app_that_must_show_its_secret_must_do_so_here_too(house: House):
    held = add_confidential(house, **SECRET_FLOWS)
    code = code_for(person(house), held.client)
    tokens = held.client.redeem(code, client_secret=held.secret).json()
    refused(revoke(held.client, tokens["refresh_token"]), "invalid_client")
    refused(revoke(held.client, tokens["refresh_token"], client_secret="wrong"), "invalid_client")
    wrong = {"Authorization": "Basic eDp5"}
    answer = revoke(held.client, tokens["refresh_token"], client_id=None, headers=wrong)
    refused(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert opens(held.client, tokens["access_token"])
    assert revoke(held.client, tokens["refresh_token"], client_id=None, headers=held.basic).status_code == 200
    assert not opens(held.client, tokens["access_token"])


@requirement("revoke:client-authentication")
def test_a_client_that_nobody_knows_is_refused(house: House):
    client = add_app(house)
    refused(revoke(client, "x", client_id="3MVG9" + "x" * 80), "invalid_client")
    refused(revoke(client, "x", client_id=None), "invalid_client")


@requirement("revoke:body-alone")
def test_a_token_in_a_url_is_never_read(house: House):
    client = add_app(house, LOOPBACK)
    tokens = connect(add_user(house), client)
    asked = f"/services/oauth2/revoke?client_id={client.client_id}&token={tokens['refresh_token']}"
    answer = client.front.get(asked)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    refused(client.front.post(asked, headers={"Content-Type": "application/x-www-form-urlencoded"}), "invalid_request")
    assert is_alive(client, tokens)
