"""Which scopes a token has and which one server it opens, decided when the user is asked."""

import pytest

from tests.house import House
from tests.oauth.scenes import (
    add_app,
    add_org,
    add_server,
    add_user,
    change_app,
    claims_of,
    code_for,
    connect,
    opens,
    person,
    refused,
)
from tests.people import OAuthClient, returned
from tests.requirements import requirement

READS = "/mcp/sobject-reads"


def refusal(client: OAuthClient, **changes: str | None) -> tuple[str, str]:
    back = returned(client.front.get(client.authorize_url(**changes)))
    return back["error"], back["error_description"]


@requirement("authorize:scopes", "authorize:refresh-added")
@pytest.mark.parametrize(
    ("asked", "granted", "has_refresh"),
    [
        ("mcp_api refresh_token", "mcp_api refresh_token", True),
        ("refresh_token mcp_api", "refresh_token mcp_api", True),
        ("mcp_api", "mcp_api refresh_token", True),
        ("mcp_api offline_access", "mcp_api refresh_token", True),
        ("offline_access refresh_token mcp_api mcp_api", "refresh_token mcp_api", True),
        ("refresh_token", "refresh_token", True),
        ("openid profile mcp_api full web", "mcp_api refresh_token", True),
        ("  mcp_api   api ", "mcp_api refresh_token", True),
        (None, "mcp_api refresh_token", True),
        ("", "mcp_api refresh_token", True),
    ],
)
def test_the_answer_says_what_was_granted_of_what_was_asked(
    house: House, asked: str | None, granted: str, has_refresh: bool
):
    client = add_app(house)
    tokens = connect(person(house), client, scope=asked)
    assert tokens["scope"] == granted == claims_of(tokens["access_token"])["scope"]
    assert ("refresh_token" in tokens) is has_refresh


@requirement("authorize:scopes", "authorize:refresh-added")
@pytest.mark.parametrize("asked", ["mcp_api", "mcp_api refresh_token", "mcp_api offline_access", None])
def test_an_app_without_refresh_token_gets_none_whatever_is_asked(house: House, asked: str | None):
    tokens = connect(person(house), add_app(house, scopes=("mcp_api",)), scope=asked)
    assert tokens["scope"] == "mcp_api" and "refresh_token" not in tokens


@requirement("authorize:scopes")
@pytest.mark.parametrize(
    "asked", ["openid", "MCP_API", "mcp_api,refresh_token", "mcp_api\trefresh_token", " ", "*", "é"]
)
def test_nothing_left_of_the_scopes_is_a_refusal_that_says_what_there_is(house: House, asked: str):
    error, description = refusal(add_app(house), scope=asked)
    assert error == "invalid_scope" and "mcp_api refresh_token" in description


@requirement("authorize:scopes")
def test_an_app_cannot_ask_for_a_scope_of_another(house: House):
    client = add_app(house, scopes=("refresh_token",))
    assert refusal(client, scope="mcp_api")[0] == "invalid_scope"
    tokens = connect(person(house), client, scope="mcp_api refresh_token")
    assert tokens["scope"] == "refresh_token" and claims_of(tokens["access_token"])["aud"] == house.issuer


@requirement("authorize:scopes")
def test_a_code_exchange_reads_no_scope(house: House):
    client = add_app(house)
    code = code_for(person(house), client, scope="refresh_token")
    assert client.redeem(code, scope="mcp_api refresh_token").json()["scope"] == "refresh_token"


@requirement("authorize:audience")
@pytest.mark.parametrize(
    "spelled",
    [
        "http://localhost:8765/mcp/sobject-reads",
        "http://localhost:8765/mcp/sobject-reads/",
        "HTTP://LOCALHOST:8765/mcp/sobject-reads",
        "Http://Localhost:8765/mcp/sobject-reads/",
        None,
    ],
)
def test_every_spelling_that_mcp_allows_gives_the_one_canonical_audience(house: House, spelled: str | None):
    client, who = add_app(house), person(house)
    code = code_for(who, client, resource=spelled)
    tokens = client.redeem(code, resource=spelled).json()
    assert claims_of(tokens["access_token"])["aud"] == f"{house.issuer}{READS}"
    assert opens(client, tokens["access_token"])
    again = client.refresh(tokens["refresh_token"], resource=spelled).json()
    assert claims_of(again["access_token"])["aud"] == f"{house.issuer}{READS}"


@requirement("authorize:audience")
@pytest.mark.parametrize(
    "resource",
    [
        "https://localhost:8765/mcp/sobject-reads",
        "http://localhost:8765/mcp/sobject-reads//",
        "http://localhost:8765/MCP/sobject-reads",
        "http://localhost:8765/mcp/sobject-reads?x=1",
        "http://localhost:8765/mcp/sobject-reads#x",
        "http://localhost:8765/mcp/sobject%2Dreads",
        "http://localhost:8765/mcp/x/../sobject-reads",
        "http://localhost:8765/mcp/",
        "http://localhost:8765/mcp/nothing",
        "http://localhost/mcp/sobject-reads",
        "http://user@localhost:8765/mcp/sobject-reads",
        "http://127.0.0.1:8765/mcp/sobject-reads",
        "http://localhost:8765/o/acme/mcp/sobject-reads",
        "/mcp/sobject-reads",
        "sobject-reads",
        "://",
        "*",
    ],
)
def test_any_other_resource_is_refused_with_the_ones_that_would_do(house: House, resource: str):
    add_org(house, "acme")
    error, description = refusal(add_app(house), resource=resource)
    assert error == "invalid_target" and f"{house.issuer}{READS}" in description


@requirement("authorize:audience", "authorize:orgs-apart")
def test_a_server_is_a_resource_at_its_own_org_only(house: House):
    org = add_org(house, "acme")
    client, who = add_app(house, org=org), add_user(house, org=org)
    tokens = connect(who, client)
    assert claims_of(tokens["access_token"])["aud"] == f"{org.issuer}{READS}"
    assert claims_of(tokens["access_token"])["iss"] == org.issuer
    assert refusal(client, resource=f"{house.issuer}{READS}")[0] == "invalid_target"


@requirement("authorize:audience")
def test_with_several_servers_a_client_must_name_one_or_the_policies_do(fresh_house: House):
    second = add_server(fresh_house, "second")
    client = add_app(fresh_house)
    error, description = refusal(client)
    assert error == "invalid_target"
    assert second in description and READS in description and "Default MCP server" in description
    assert claims_of(connect(person(fresh_house), client, resource=second)["access_token"])["aud"] == second
    change_app(fresh_house, client, default_mcp_server="second")
    assert claims_of(connect(person(fresh_house), client)["access_token"])["aud"] == second
    assert claims_of(connect(person(fresh_house), client, resource=fresh_house.issuer + READS)["access_token"])[
        "aud"
    ].endswith(READS)


@requirement("authorize:audience")
def test_an_inactive_server_and_one_that_the_policies_leave_out_are_no_choice(fresh_house: House):
    inactive, other = add_server(fresh_house, "inactive", is_active=False), add_server(fresh_house, "other")
    client = add_app(fresh_house, mcp_servers=("sobject-reads", "inactive"))
    assert claims_of(connect(person(fresh_house), client)["access_token"])["aud"] == fresh_house.issuer + READS
    for resource in (inactive, other):
        error, description = refusal(client, resource=resource)
        assert error == "invalid_target" and resource not in description.partition("it may use:")[2]


@requirement("authorize:audience")
def test_an_app_that_may_use_no_server_is_told_so(house: House):
    client = add_app(house, mcp_servers=())
    assert refusal(client) == (
        "invalid_target",
        "send the parameter resource, or name a Default MCP server; no MCP server is active for it",
    )


@requirement("authorize:audience")
def test_without_mcp_api_the_audience_is_the_issuer_and_no_server_can_be_asked_for(house: House):
    client = add_app(house)
    tokens = connect(person(house), client, scope="refresh_token")
    assert claims_of(tokens["access_token"])["aud"] == house.issuer
    assert not opens(client, tokens["access_token"])
    error, description = refusal(client, scope="refresh_token", resource=house.issuer + READS)
    assert error == "invalid_target" and "mcp_api" in description
    slash = connect(person(house), client, scope="refresh_token", resource=house.issuer + "/")
    assert claims_of(slash["access_token"])["aud"] == house.issuer


@requirement("authorize:audience")
def test_a_token_for_one_server_does_not_open_another(fresh_house: House):
    second = add_server(fresh_house, "second")
    client = add_app(fresh_house)
    assert not opens(client, connect(person(fresh_house), client, resource=second)["access_token"])


@requirement("authorize:audience")
def test_the_token_endpoint_takes_only_the_resource_that_was_authorized(fresh_house: House):
    second = add_server(fresh_house, "second")
    client, who = add_app(fresh_house), person(fresh_house)
    code = code_for(who, client, resource=fresh_house.issuer + READS)
    for wrong in (second, fresh_house.issuer, "https://evil.example/mcp"):
        assert fresh_house.issuer + READS in refused(client.redeem(code, resource=wrong), "invalid_target")
    tokens = client.redeem(code).json()  # nothing was used up
    for wrong in (second, fresh_house.issuer):
        refused(client.refresh(tokens["refresh_token"], resource=wrong), "invalid_target")
    assert client.refresh(tokens["refresh_token"]).status_code == 200
