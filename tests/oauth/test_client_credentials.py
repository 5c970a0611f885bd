"""The client credentials grant: both switches, a Run As user, and nothing written after the first call."""

import threading

import pytest

from gatelodge.core import authorizations, connections, users
from gatelodge.core.operation import one
from tests.house import House
from tests.oauth.flows import asserted, assertion, give_secret, jwk_set, post
from tests.oauth.scenes import (
    add_app,
    add_server,
    add_user,
    change_app,
    claims_of,
    opens,
    refused,
    set_active,
    user_id,
)
from tests.people import OAuthClient, Person, call_tool
from tests.requirements import requirement

ONE = ("sobject-reads",)
ON = {"client_credentials_flow": True, "client_credentials": True}


def working(house: House, *sets: str, **changes) -> tuple[OAuthClient, str, Person]:
    """An app that works as a user of its own, and its secret."""
    who = add_user(house, *(sets or ("Standard_User",)))
    client = add_app(house, **{"client_credentials_flow": True, "mcp_servers": ONE} | changes)
    secret = give_secret(house, client)
    change_app(house, client, client_credentials=True, run_as=who.username)
    return client, secret, who


def ask(client: OAuthClient, secret: str, **changes: str | None):
    sent = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": secret}
    return post(client, sent | changes)


def count(house: House, table: str) -> int:
    return house.read(lambda: one(f"SELECT COUNT(*) AS n FROM {table}", lambda n: n))


@requirement("grants:client-credentials", "grants:run-as")
def test_an_app_works_as_its_run_as_user_with_what_that_user_may_see(house_on: House):
    client, secret, who = working(house_on)
    answer = ask(client, secret)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert "refresh_token" not in body and "id_token" not in body and body["scope"] == "mcp_api"
    claims = claims_of(body["access_token"])
    assert claims["sub"] == user_id(house_on, who) and body["id"].endswith(claims["sub"])
    assert claims["aud"] == f"{house_on.issuer}/mcp/sobject-reads"
    said = call_tool(client.front, claims["aud"], body["access_token"], "soqlQuery", {"q": "SELECT Name FROM Lead"})
    assert said.json()["result"]["isError"], "Sam's permission set lacks Lead, and so does the app's call"
    by_key = add_app(house_on, public_keys=jwk_set(), client_credentials_flow=True)
    change_app(house_on, by_key, client_credentials=True, run_as=who.username)
    sent = {"grant_type": "client_credentials"} | asserted(assertion(house_on, by_key))
    assert post(by_key, sent).status_code == 200


@requirement("grants:client-credentials-switches")
@pytest.mark.parametrize(("setting", "policy"), [(False, False), (True, False), (False, True)])
def test_both_switches_are_needed_and_the_one_that_is_off_is_named(house: House, setting: bool, policy: bool):
    client, secret, _ = working(house)
    change_app(house, client, client_credentials_flow=setting, client_credentials=policy)
    said = refused(ask(client, secret), "unauthorized_client")
    assert ("Policies" if setting else "Settings") in said and "oauth_flow_disabled" in said
    change_app(house, client, client_credentials_flow=True, client_credentials=True)
    assert ask(client, secret).status_code == 200


@requirement("grants:client-credentials-proof")
def test_a_client_that_proves_nothing_gets_nothing(house: House):
    client, secret, _ = working(house)
    refused(ask(client, secret, client_secret=None), "invalid_client")
    refused(ask(client, "x"), "invalid_client")


@requirement("grants:run-as")
def test_without_an_active_run_as_user_the_error_is_the_originals(house: House):
    client, secret, who = working(house)
    token = ask(client, secret).json()["access_token"]
    set_active(house, who, is_active=False)
    assert refused(ask(client, secret), "invalid_grant").startswith("no client credentials user enabled")
    assert not opens(client, token)
    nobodys = add_app(house, checked=False, public_keys=jwk_set(), mcp_servers=ONE, **ON)
    sent = {"grant_type": "client_credentials"} | asserted(assertion(house, nobodys))
    assert "no client credentials user enabled" in refused(post(nobodys, sent), "invalid_grant")


@requirement("grants:client-credentials-scopes")
def test_nobody_signs_in_so_there_is_no_refresh_token_and_no_identity(house: House):
    client, secret, _ = working(house, scopes=("mcp_api", "refresh_token", "openid", "profile"))
    body = ask(client, secret).json()
    assert body["scope"] == "mcp_api profile" and "refresh_token" not in body and "id_token" not in body
    for scope in ("refresh_token", "offline_access", "openid", "mcp_api refresh_token"):
        refused(ask(client, secret, scope=scope), "invalid_scope")
    assert ask(client, secret, scope="mcp_api email").json()["scope"] == "mcp_api"
    refused(ask(client, secret, scope="email"), "invalid_scope")


@requirement("grants:client-credentials-audience")
def test_the_token_opens_the_server_that_is_asked_for_and_no_other(fresh_house: House):
    client, secret, _ = working(fresh_house, mcp_servers=None)
    second = add_server(fresh_house, "second")
    assert "resource" in refused(ask(client, secret), "invalid_target")
    token = ask(client, secret, resource=second).json()["access_token"]
    assert claims_of(token)["aud"] == second and not opens(client, token)
    refused(ask(client, secret, resource="https://evil.example/mcp"), "invalid_target")
    change_app(fresh_house, client, mcp_servers=("sobject-reads",))
    refused(ask(client, secret, resource=second), "invalid_target")


@requirement("grants:client-credentials-quiet")
def test_the_first_call_writes_one_connection_and_the_next_ones_nothing(house_on: House):
    client, secret, _ = working(house_on)
    before = count(house_on, "connections")
    ids = {claims_of(ask(client, secret).json()["access_token"])["connection_id"] for _ in range(5)}
    assert len(ids) == 1 and count(house_on, "connections") == before + 1
    other = claims_of(ask(client, secret, resource=house_on.issuer).json()["access_token"])["connection_id"]
    assert other not in ids, "another audience is another connection"
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(
                claims_of(ask(client, secret, resource=house_on.issuer).json()["access_token"])["connection_id"]
            )
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {other} and count(house_on, "connections") == before + 2


@requirement("grants:client-credentials-quiet")
def test_many_first_calls_at_once_share_one_connection(house_on: House):
    client, secret, _ = working(house_on)
    before, found = count(house_on, "connections"), []
    threads = [threading.Thread(target=lambda: found.append(ask(client, secret).json())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({claims_of(each["access_token"])["connection_id"] for each in found}) == 1
    assert count(house_on, "connections") == before + 1


@requirement("grants:client-credentials-ends")
def test_it_dies_with_its_connection_its_authorization_the_app_and_the_policy(house: House):
    client, secret, _ = working(house)
    token = ask(client, secret).json()["access_token"]
    claims, now = claims_of(token), house.site.clock.now()
    house.write(connections.end, house.org.id, claims["connection_id"], now, "test")
    house.catch_up()
    fresh = ask(client, secret).json()["access_token"]
    assert not opens(client, token) and opens(client, fresh)
    house.write(authorizations.end, house.org.id, claims["authorization_id"], now)
    house.catch_up()
    last = ask(client, secret).json()["access_token"]
    assert not opens(client, fresh) and opens(client, last)
    for off in ({"client_credentials": False}, {"client_credentials_flow": False}, {"is_enabled": False}):
        change_app(house, client, **off)
        assert not opens(client, last) and ask(client, secret).status_code == 400
        change_app(house, client, client_credentials=True, client_credentials_flow=True, is_enabled=True)
        assert opens(client, last)
    other = add_user(house, "Standard_User")
    change_app(house, client, run_as=other.username)
    assert not opens(client, last), "it runs as somebody else now"
    assert claims_of(ask(client, secret).json()["access_token"])["sub"] == user_id(house, other)


@requirement("grants:client-credentials-consent")
def test_what_an_administrator_allowed_a_robot_is_no_consent_of_its_user(house: House):
    client, secret, who = working(house)
    assert ask(client, secret).status_code == 200
    page = who.go(client.authorize_url())
    page = who.answer(page, username=who.username, password=who.password)
    assert "Allow" in page.text and 'value="allow"' in page.text


@requirement("grants:run-as")
def test_a_run_as_user_without_mcp_servers_or_outside_the_policies_is_refused(house: House):
    client, secret, _ = working(house, "No_MCP_Access")
    assert "MCP servers" in refused(ask(client, secret), "invalid_grant")
    client, secret, who = working(house)
    approved = {"permitted_users": "AdminApprovedPreAuthorized"}
    change_app(house, client, **approved, permission_sets=("Administrator",))
    assert "invalid_app_access" in refused(ask(client, secret), "invalid_grant")
    change_app(house, client, permission_sets=("Standard_User",), trusted_ranges=("198.51.100.0/24",))
    assert "ip restricted" in refused(ask(client, secret), "invalid_grant")
    assert house.read(users.find_by_username, house.org.id, who.username).is_active
