"""The JWT bearer grant: an app signs for a user who has agreed before."""

import pytest

from gatelodge.core import authorizations
from gatelodge.core.operation import one
from tests.house import House
from tests.oauth.flows import EC, OTHER_EC, RSA, assertion, jwk_set, post
from tests.oauth.scenes import (
    add_app,
    add_server,
    add_user,
    change_app,
    claims_of,
    connect,
    opens,
    refused,
    set_active,
    user_id,
)
from tests.people import OAuthClient, Person
from tests.requirements import requirement

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
NOT_APPROVED = "user hasn't approved this consumer"


def signing(house: House, **changes) -> tuple[OAuthClient, Person]:
    """An app with keys, and a user who doesn't know it."""
    return add_app(house, jwt_bearer_flow=True, public_keys=jwk_set(), **changes), add_user(house, "Standard_User")


def ask(house: House, client: OAuthClient, who: Person, key=EC, *, claims: dict | None = None, **changes: str):
    text = assertion(house, client, key, **{"sub": who.username} | (claims or {}))
    return post(client, {"grant_type": GRANT, "assertion": text} | changes)


@requirement("grants:jwt-bearer")
def test_a_user_who_agreed_before_is_signed_for(house_on: House):
    client, who = signing(house_on)
    said = refused(ask(house_on, client, who), "invalid_grant")
    assert said.startswith(NOT_APPROVED)
    connect(who, client)
    for key in (EC, RSA):
        answer = ask(house_on, client, who, key)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert "refresh_token" not in body and "id_token" not in body and body["scope"] == "mcp_api"
        assert claims_of(body["access_token"])["sub"] == user_id(house_on, who) and opens(client, body["access_token"])
    assert post(client, {"grant_type": GRANT, "client_id": client.client_id, "assertion": assertion(
        house_on, client, sub=who.username.upper())}).status_code == 200  # fmt: skip


@requirement("grants:jwt-bearer-approval")
def test_the_agreement_must_cover_the_scopes_and_the_server(fresh_house: House):
    client, who = signing(fresh_house, scopes=("mcp_api", "refresh_token", "profile"))
    second = add_server(fresh_house, "second")
    first = f"{fresh_house.issuer}/mcp/sobject-reads"
    connect(who, client, scope="mcp_api", resource=first)
    assert ask(fresh_house, client, who, resource=first).json()["scope"] == "mcp_api"
    assert NOT_APPROVED in refused(
        ask(fresh_house, client, who, resource=first, scope="mcp_api profile"), "invalid_grant"
    )
    assert NOT_APPROVED in refused(ask(fresh_house, client, who, resource=second), "invalid_grant")
    refused(ask(fresh_house, client, who, resource=first, scope="refresh_token"), "invalid_scope")
    refused(ask(fresh_house, client, who, resource="https://evil.example"), "invalid_target")
    change_app(fresh_house, client, mcp_servers=("second",))
    refused(ask(fresh_house, client, who, resource=first), "invalid_target")


@requirement("grants:jwt-bearer-preauthorized")
def test_an_administrator_may_agree_for_the_users_of_a_permission_set(shared_house: House):
    client, who = signing(shared_house, mcp_servers=("sobject-reads",))
    approved = {"permitted_users": "AdminApprovedPreAuthorized", "permission_sets": ("Standard_User",)}
    change_app(shared_house, client, **approved)
    token = ask(shared_house, client, who).json()["access_token"]
    assert opens(client, token)
    stranger = add_user(shared_house, "Administrator")
    assert "invalid_app_access" in refused(ask(shared_house, client, stranger), "invalid_grant")
    change_app(shared_house, client, permitted_users="AllSelfAuthorized")
    assert NOT_APPROVED in refused(ask(shared_house, client, who), "invalid_grant"), (
        "that was never the user's own consent"
    )


@requirement("grants:jwt-bearer-no-oracle")
def test_an_unknown_user_is_told_what_one_is_told_who_has_not_agreed(shared_house: House):
    client, who = signing(shared_house, mcp_servers=("sobject-reads",))
    nobody = Person(shared_house.client(), "nobody@acme.example", "x")
    gone = add_user(shared_house)
    set_active(shared_house, gone, is_active=False)
    answers = {ask(shared_house, client, each).text for each in (who, nobody, gone)}
    assert len(answers) == 1
    change_app(shared_house, client, permitted_users="AdminApprovedPreAuthorized", permission_sets=("No_MCP_Access",))
    assert len({ask(shared_house, client, each).text for each in (who, nobody, gone)}) == 1


@requirement("grants:jwt-bearer-ends")
def test_a_revoked_agreement_and_an_inactive_user_end_it(shared_house: House):
    client, who = signing(shared_house, mcp_servers=("sobject-reads",))
    connect(who, client)
    token = ask(shared_house, client, who).json()["access_token"]
    shared_house.write(
        authorizations.end, shared_house.org.id, claims_of(token)["authorization_id"], shared_house.site.clock.now()
    )
    shared_house.catch_up()
    assert not opens(client, token)
    assert NOT_APPROVED in refused(ask(shared_house, client, who), "invalid_grant")
    connect(who, client)
    set_active(shared_house, who, is_active=False)
    assert NOT_APPROVED in refused(ask(shared_house, client, who), "invalid_grant")


@requirement("grants:jwt-bearer")
def test_a_statement_is_believed_once_and_many_of_them_share_a_connection(shared_house: House):
    client, who = signing(shared_house, mcp_servers=("sobject-reads",))
    connect(who, client)
    text = assertion(shared_house, client, sub=who.username)
    before = shared_house.read(lambda: one("SELECT COUNT(*) AS n FROM connections", lambda n: n))
    assert post(client, {"grant_type": GRANT, "assertion": text}).status_code == 200
    assert "bad_jti_claim" in refused(post(client, {"grant_type": GRANT, "assertion": text}), "invalid_grant")
    assert all(ask(shared_house, client, who).status_code == 200 for _ in range(3))
    assert shared_house.read(lambda: one("SELECT COUNT(*) AS n FROM connections", lambda n: n)) == before + 1


BAD = {
    "another key": (OTHER_EC, {}),
    "another audience": (EC, {"aud": "https://evil.example"}),
    "a list of audiences": (EC, {"aud": ["http://localhost:8765"]}),
    "the token endpoint": (EC, {"aud": "http://localhost:8765/services/oauth2/token"}),
    "expired": (EC, {"exp": 1}),
    "for a day": (EC, {"exp": 1_790_000_000 + 90_000_000}),
    "without jti": (EC, {"jti": None}),
    "about nobody": (EC, {"sub": None}),
}


@requirement("grants:jwt-bearer-attacks")
@pytest.mark.parametrize("name", BAD)
def test_a_statement_that_is_not_the_apps_for_us_now_is_refused(shared_house: House, name: str):
    client, who = signing(shared_house, mcp_servers=("sobject-reads",))
    connect(who, client)
    key, claims = BAD[name]
    refused(ask(shared_house, client, who, key, claims=claims), "invalid_grant")


@requirement("grants:jwt-bearer-attacks")
def test_one_app_can_not_sign_for_another(shared_house: House):
    ours, who = signing(shared_house, mcp_servers=("sobject-reads",))
    connect(who, ours)
    theirs = add_app(shared_house, jwt_bearer_flow=True, public_keys=jwk_set(OTHER_EC))
    text = assertion(shared_house, theirs, OTHER_EC, iss=ours.client_id, sub=who.username)
    for named in ({}, {"client_id": theirs.client_id}, {"client_id": ours.client_id}):
        assert post(theirs, {"grant_type": GRANT, "assertion": text} | named).json()["error"] == "invalid_grant"
    text = assertion(shared_house, theirs, OTHER_EC, sub=who.username)
    assert NOT_APPROVED in refused(post(theirs, {"grant_type": GRANT, "assertion": text}), "invalid_grant")


@requirement("grants:jwt-bearer-switch")
def test_the_flow_is_off_until_settings_turn_it_on(shared_house: House):
    client, who = signing(shared_house, mcp_servers=("sobject-reads",))
    connect(who, client)
    change_app(shared_house, client, jwt_bearer_flow=False)
    assert "Enable JWT Bearer Flow" in refused(ask(shared_house, client, who), "unauthorized_client")
    change_app(shared_house, client, jwt_bearer_flow=True)
    assert ask(shared_house, client, who).status_code == 200
    refused(post(client, {"grant_type": GRANT, "client_id": client.client_id}), "invalid_request")
