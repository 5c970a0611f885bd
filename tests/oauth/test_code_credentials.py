"""The Authorization Code and Credentials Flow: an app that asks for the password itself, and gets a code by POST."""

import logging
from urllib.parse import parse_qsl

import pytest

from gatelodge.core import authorizations
from tests.house import House
from tests.oauth.flows import basic
from tests.oauth.scenes import HTTPS, add_app, add_user, change_app, claims_of, refused, set_active, user_id
from tests.people import OAuthClient, Person
from tests.requirements import requirement

SCOPES = ("openid", "profile", "refresh_token")
NAMED_USER = {"Auth-Request-Type": "Named-User"}
AUTHORIZE = "/services/oauth2/authorize"


@pytest.fixture(scope="module")
def client(shared_house: House) -> OAuthClient:
    return headless(shared_house)


@pytest.fixture(scope="module")
def kim(shared_house: House) -> Person:
    return add_user(shared_house, "Standard_User")


def headless(house: House, **changes) -> OAuthClient:
    return add_app(house, HTTPS, **{"scopes": SCOPES, "code_credentials_flow": True} | changes)


def ask(client: OAuthClient, who: Person, headers: dict | None = None, **changes: str | None):
    sent = {
        "response_type": "code_credentials", "client_id": client.client_id, "redirect_uri": client.redirect_uri,
        "code_challenge": client.challenge, "code_challenge_method": "S256",
        "username": who.username, "password": who.password,
    }  # fmt: skip
    kept = {name: value for name, value in (sent | changes).items() if value is not None}
    shown = {name: value for name, value in (NAMED_USER | (headers or {})).items() if value is not None}
    return client.front.post(f"{client.issuer}{AUTHORIZE}", data=kept, headers=shown)


@requirement("grants:code-credentials")
def test_name_and_password_in_the_body_or_in_basic_bring_a_code_as_json(house_on: House):
    client, who = headless(house_on), add_user(house_on, "Standard_User")
    by_body = ask(client, who, state="mine")
    by_basic = ask(client, who, basic(who.username, who.password), username=None, password=None)
    assert by_body.status_code == by_basic.status_code == 200, (by_body.text, by_basic.text)
    assert set(by_body.json()) == {"code", "state", "iss"} and by_body.json()["state"] == "mine"
    assert set(by_basic.json()) == {"code", "iss"} and by_basic.json()["iss"] == client.issuer
    assert by_body.headers["cache-control"] == "no-store" and not by_body.cookies
    for answer in (by_body, by_basic):
        body = client.redeem(answer.json()["code"]).json()
        claims = claims_of(body["access_token"])
        assert claims["sub"] == user_id(house_on, who) and claims["amr"] == ["pwd"] and claims["acr"] == "STANDARD"
        assert claims["aud"] == client.issuer and body["refresh_token"] and body["id_token"]
    app = house_on.run(house_on.site.live.client(house_on.org.id, client.client_id))
    assert house_on.read(authorizations.find_live, house_on.org.id, user_id(house_on, who), app.app_id)


@requirement("grants:code-credentials-code")
def test_the_code_is_bound_like_every_other(shared_house: House, client: OAuthClient, kim: Person):
    code = ask(client, kim).json()["code"]
    refused(client.redeem(code, code_verifier="x" * 43), "invalid_grant")
    refused(client.redeem(code, redirect_uri="https://client.example/other"), "invalid_grant")
    refused(headless(shared_house).redeem(code), "invalid_grant")
    assert client.redeem(code).status_code == 200
    refused(client.redeem(code), "invalid_grant")
    late = ask(client, kim).json()["code"]
    shared_house.later(61)
    refused(client.redeem(late), "invalid_grant")


@requirement("grants:code-credentials-refusals")
def test_a_wrong_password_an_unknown_name_and_an_inactive_user_get_the_same_answer(shared_house, client, kim):
    gone = add_user(shared_house)
    set_active(shared_house, gone, is_active=False)
    answers = [
        ask(client, kim, password="wrong"),
        ask(client, kim, username="nobody@acme.example"),
        ask(client, gone),
        ask(client, kim, password=""),
        ask(client, kim, basic(kim.username, "wrong"), username=None, password=None),
    ]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert refused(answers[0], "invalid_grant") == "authentication failure"


BAD = {
    "no header": ({"Auth-Request-Type": ""}, {}, "invalid_request"),
    "no header at all": ({"Auth-Request-Type": None}, {}, "invalid_request"),
    "a guest": ({"Auth-Request-Type": "guest"}, {}, "invalid_request"),
    "a registration": ({"Auth-Request-Type": "user-registration"}, {}, "invalid_request"),
    "a code": ({}, {"response_type": "code"}, "unsupported_response_type"),
    "a token": ({}, {"response_type": "token"}, "unsupported_response_type"),
    "no PKCE": ({}, {"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    "plain PKCE": ({}, {"code_challenge_method": "plain"}, "invalid_request"),
    "another callback": ({}, {"redirect_uri": "https://evil.example/"}, "invalid_request"),
    "an unknown client": ({}, {"client_id": "3MVG9" + "x" * 80}, "invalid_request"),
    "no scope of the app": ({}, {"scope": "full"}, "invalid_scope"),
    "mcp_api alone": ({}, {"scope": "mcp_api"}, "invalid_scope"),
    "an MCP server": ({}, {"resource": "http://localhost:8765/mcp/sobject-reads"}, "invalid_target"),
    "both ways": (basic("a", "b"), {}, "invalid_request"),
    "no name": ({}, {"username": None, "password": None}, "invalid_request"),
    "another scheme": ({"Authorization": "Bearer x"}, {"username": None, "password": None}, "invalid_request"),
    "NUL in Basic": (basic("a\x00", "b"), {"username": None, "password": None}, "invalid_request"),
}


@requirement("grants:code-credentials-refusals")
@pytest.mark.parametrize("name", BAD)
def test_what_is_asked_wrongly_is_refused_in_json_before_the_password_is_looked_at(
    shared_house, client, kim, name: str
):
    headers, changes, error = BAD[name]
    said = refused(ask(client, kim, headers, **changes), error)
    assert kim.password not in said


@requirement("grants:code-credentials-option")
def test_only_an_app_with_the_option_and_without_mcp_api_may_ask(shared_house: House, kim: Person):
    off = headless(shared_house, code_credentials_flow=False)
    assert "Authorization Code and Credentials" in refused(ask(off, kim), "unauthorized_client")
    unsafe = headless(shared_house, scopes=("mcp_api", "profile"), checked=False)
    assert "mcp_api" in refused(ask(unsafe, kim), "unauthorized_client")
    disabled = headless(shared_house, is_enabled=False)
    refused(ask(disabled, kim), "unauthorized_client")


@requirement("grants:code-credentials-confidential")
def test_the_password_is_taken_from_no_url_and_told_to_no_log(shared_house, client, kim, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    sent = {"client_id": client.client_id, "response_type": "code_credentials"}
    query = f"username={kim.username}&password=correct+horse+battery"
    answer = client.front.post(f"{client.issuer}{AUTHORIZE}?{query}", data=sent, headers=NAMED_USER)
    refused(answer, "invalid_request")
    by_get = client.front.get(
        f"{client.issuer}{AUTHORIZE}?response_type=code_credentials&client_id={client.client_id}&{query}"
    )
    assert "unsupported_response_type" in by_get.headers["location"] and "battery" not in by_get.headers["location"]
    assert ask(client, kim).status_code == 200
    ask(client, kim, password=kim.password + "!")
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx2")]
    said = "\n".join((*ours, *capfd.readouterr()))
    assert kim.password not in said and "battery" not in said


@requirement("grants:code-credentials-policies")
def test_a_password_alone_is_no_high_assurance_and_policies_are_asked(shared_house: House, kim: Person):
    for changes, word in (
        ({"session_level": "HIGH_ASSURANCE", "below_level": "Block"}, "invalid_session_level"),
        ({"session_level": "HIGH_ASSURANCE", "below_level": "StepUpMFA"}, "invalid_session_level"),
        ({"trusted_ranges": ("198.51.100.0/24",)}, "ip_restricted"),
        ({"permitted_users": "AdminApprovedPreAuthorized"}, "OAUTH_APP_ACCESS_DENIED"),
    ):
        client = headless(shared_house, **changes)
        assert word in refused(ask(client, kim), "access_denied")
    client = headless(shared_house)
    change_app(shared_house, client, permitted_users="AdminApprovedPreAuthorized", permission_sets=("Standard_User",))
    assert ask(client, kim).status_code == 200


@requirement("authorize:post")
def test_an_authorization_request_may_come_by_post_as_well(shared_house: House, kim: Person):
    client = add_app(shared_house, HTTPS)
    sent = dict(parse_qsl(client.authorize_url().partition("?")[2]))
    who = Person(shared_house.client(), kim.username, kim.password)
    answer = who.front.post(f"{client.issuer}{AUTHORIZE}", data=sent)
    assert answer.status_code == 303 and answer.headers["location"].startswith(f"{client.issuer}/flow?request=")
    page = who.go(answer.headers["location"])
    page = who.answer(page, username=who.username, password=who.password)
    assert "code=" in who.answer(page, answer="allow").headers["location"]
