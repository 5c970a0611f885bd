"""Token exchange: fewer scopes, or another server that the user let the app use. Never more, never longer."""

import pytest

from gatelodge.core import authorizations, connections
from tests.house import House
from tests.oauth.flows import give_secret, post
from tests.oauth.scenes import (
    add_app,
    add_org,
    add_server,
    add_user,
    change_app,
    claims_of,
    connect,
    opens,
    person,
    refused,
    set_active,
)
from tests.people import OAuthClient
from tests.requirements import requirement

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ALL = "mcp_api refresh_token profile"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


def swapping(house: House, **changes) -> tuple[OAuthClient, str]:
    """A confidential app with the flow on, and its secret."""
    client = add_app(
        house,
        **{
            "token_exchange_flow": True,
            "scopes": ("mcp_api", "refresh_token", "profile"),
            "mcp_servers": ("sobject-reads",),
        }
        | changes,
    )
    secret = give_secret(house, client)
    change_app(house, client, token_exchange=True)
    return client, secret


def swap(client: OAuthClient, secret: str | None, subject: str, **changes: str | None):
    sent = {
        "grant_type": GRANT, "client_id": client.client_id, "client_secret": secret, "subject_token": subject,
        "subject_token_type": ACCESS,
    }  # fmt: skip
    return post(client, sent | changes)


def first(house: House) -> str:
    return f"{house.issuer}/mcp/sobject-reads"


@requirement("grants:exchange-narrows", "grants:exchange-answer")
@pytest.mark.parametrize("jwt", [True, False], ids=["jwt", "opaque"])
def test_a_token_is_swapped_for_one_with_fewer_scopes_under_the_same_connection(house_on: House, jwt: bool):
    client, secret = swapping(house_on, jwt_access_tokens=jwt)
    subject = connect(person(house_on), client, scope=ALL)["access_token"]
    answer = swap(client, secret, subject, scope="profile")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["issued_token_type"] == ACCESS and body["scope"] == "profile" and body["token_type"] == "Bearer"
    assert "refresh_token" not in body and answer.headers["cache-control"] == "no-store"
    ours, theirs = (
        house_on.run(house_on.site.access.read(house_on.org, each)) for each in (body["access_token"], subject)
    )
    assert ours.connection_id == theirs.connection_id and ours.aud == theirs.aud and ours.sub == theirs.sub
    assert swap(client, secret, body["access_token"], scope="profile").status_code == 200
    refused(swap(client, secret, body["access_token"], scope="profile mcp_api"), "invalid_scope")


@requirement("grants:exchange-target")
def test_it_reaches_another_server_only_if_the_user_let_the_app_use_that_one(fresh_house: House):
    client, secret = swapping(fresh_house, mcp_servers=None)
    second, third = add_server(fresh_house, "second"), add_server(fresh_house, "third")
    who = person(fresh_house)
    subject = connect(who, client, scope=ALL, resource=first(fresh_house))["access_token"]
    assert "approved" in refused(swap(client, secret, subject, resource=second), "invalid_target")
    connect(who, client, resource=second)
    body = swap(client, secret, subject, resource=second).json()
    assert claims_of(body["access_token"])["aud"] == second and not opens(client, body["access_token"])
    assert claims_of(swap(client, secret, subject, audience=second).json()["access_token"])["aud"] == second
    refused(swap(client, secret, subject, resource=second, audience=first(fresh_house)), "invalid_target")
    refused(swap(client, secret, subject, resource=third), "invalid_target")
    refused(swap(client, secret, subject, resource="https://evil.example/mcp"), "invalid_target")
    refused(swap(client, secret, subject, resource=second, scope="profile"), "invalid_target")
    change_app(fresh_house, client, mcp_servers=("sobject-reads", "third"))
    refused(swap(client, secret, subject, resource=second), "invalid_target")
    change_app(fresh_house, client, permitted_users="AdminApprovedPreAuthorized", permission_sets=("Administrator",))
    assert swap(client, secret, subject, resource=third).status_code == 200, "an administrator agreed for them"


@requirement("grants:exchange-lifetime")
def test_it_never_lives_longer_than_the_token_that_it_was_swapped_for(house: House):
    client, secret = swapping(house)
    subject = connect(person(house), client)["access_token"]
    house.later(540)
    change_app(house, client, access_token_minutes=720)
    body = swap(client, secret, subject).json()
    assert body["expires_in"] == 60 and claims_of(body["access_token"])["exp"] == claims_of(subject)["exp"]
    house.later(60)
    refused(swap(client, secret, subject), "invalid_request")
    change_app(house, client, access_token_minutes=1)
    late = connect(person(house), client)["access_token"]
    assert swap(client, secret, late).json()["expires_in"] == 60


@requirement("grants:exchange-subject")
def test_only_a_live_access_token_of_this_very_app_is_taken(house: House):
    client, secret = swapping(house)
    other, theirs = swapping(house)
    who = add_user(house)
    tokens = connect(who, client)
    subject = tokens["access_token"]
    assert "another app" in refused(swap(other, theirs, subject), "invalid_request")
    elsewhere = add_org(house, "elsewhere")
    foreign = add_app(house, org=elsewhere)
    for bad in ("x", subject[:-4], subject + "x", tokens["refresh_token"], "00D" + "x" * 12 + "!" + "y" * 43):
        refused(swap(client, secret, bad), "invalid_request")
    refused(post(foreign, {"grant_type": GRANT, "client_id": foreign.client_id}), "unauthorized_client")
    claims = claims_of(subject)
    house.write(connections.end, house.org.id, claims["connection_id"], house.site.clock.now(), "test")
    house.catch_up()
    assert "ended" in refused(swap(client, secret, subject), "invalid_request")
    again = connect(who, client)["access_token"]
    house.write(authorizations.end, house.org.id, claims["authorization_id"], house.site.clock.now())
    house.catch_up()
    refused(swap(client, secret, again), "invalid_request")
    last = connect(who, client)["access_token"]
    set_active(house, who, is_active=False)
    refused(swap(client, secret, last), "invalid_request")


@requirement("grants:exchange-requests")
def test_what_is_not_supported_is_refused_by_name(house: House):
    client, secret = swapping(house)
    subject = connect(person(house), client)["access_token"]
    for changes in (
        {"actor_token": subject, "actor_token_type": ACCESS},
        {"actor_token": subject},
        {"actor_token_type": ACCESS},
        {"subject_token": None},
        {"subject_token_type": None},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:saml2"},
    ):
        refused(swap(client, secret, subject, **changes), "invalid_request")
    body = swap(client, secret, subject, subject_token_type=JWT, requested_token_type=JWT).json()
    assert body["issued_token_type"] == JWT and opens(client, body["access_token"])


@requirement("grants:exchange-proof")
def test_a_stolen_token_is_worth_no_more_to_who_is_not_the_app(house: House):
    client, _ = swapping(house)
    subject = connect(person(house), client)["access_token"]
    refused(swap(client, None, subject), "invalid_client")
    refused(swap(client, "x", subject), "invalid_client")


@requirement("grants:exchange-switches")
@pytest.mark.parametrize(("setting", "policy"), [(False, False), (True, False), (False, True)])
def test_both_switches_are_needed(house: House, setting: bool, policy: bool):
    client, secret = swapping(house)
    subject = connect(person(house), client)["access_token"]
    change_app(house, client, token_exchange_flow=setting, token_exchange=policy)
    said = refused(swap(client, secret, subject), "unauthorized_client")
    assert ("Policies" if setting else "Settings") in said
