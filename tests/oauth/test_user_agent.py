"""Issue access tokens in access_token parameter: the legacy user-agent flow, for the apps that have the option alone."""

from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from gatelodge.core import connections
from gatelodge.core.operation import one
from tests.house import House
from tests.oauth.flows import sign_in_strongly
from tests.oauth.scenes import CUSTOM, HTTPS, LOOPBACK, add_app, add_user, change_app, claims_of, person, signed_in
from tests.people import OAuthClient, Person
from tests.requirements import requirement

SCOPES = ("openid", "profile", "refresh_token")


def legacy(house: House, *urls: str, **changes) -> OAuthClient:
    return add_app(house, *(urls or (HTTPS,)), **{"scopes": SCOPES, "access_token_parameter": True} | changes)


def url(client: OAuthClient, **changes: str | None) -> str:
    plain = {"response_type": "token", "scope": "openid profile", "code_challenge": None, "code_challenge_method": None}
    return client.authorize_url(**plain | changes)


def fragment(answer: httpx2.Response) -> dict[str, str]:
    """What the fragment brings; the query brings nothing of ours."""
    assert answer.status_code == 303, (answer.status_code, answer.text[:500])
    assert answer.headers["referrer-policy"] == "no-referrer" and answer.headers["cache-control"] == "no-store"
    parts = urlsplit(answer.headers["location"])
    pairs = parse_qsl(parts.fragment, strict_parsing=True)
    assert not parts.query and len(dict(pairs)) == len(pairs)
    return dict(pairs)


def allowed(who: Person, client: OAuthClient, **changes: str | None) -> httpx2.Response:
    """The answer to a person who signs in and says yes as far as asked."""
    page = who.go(url(client, **changes))
    if page.status_code == 200 and 'name="password"' in page.text:
        page = who.answer(page, username=who.username, password=who.password)
    return who.answer(page, answer="allow") if page.status_code == 200 else page


@requirement("grants:user-agent")
def test_the_token_comes_back_in_the_fragment_and_never_a_refresh_token(house_on: House):
    client, who = legacy(house_on), person(house_on)
    body = fragment(allowed(who, client))
    assert set(body) == {
        "access_token", "token_type", "expires_in", "scope", "state", "iss", "instance_url", "id", "issued_at",
    }  # fmt: skip
    assert (body["token_type"], body["expires_in"], body["state"]) == ("Bearer", "600", "the-state")
    assert body["scope"] == "openid profile" and body["iss"] == body["instance_url"] == client.issuer
    assert int(body["issued_at"]) == house_on.site.clock.now_ms() and body["id"].startswith(f"{client.issuer}/id/")
    claims = claims_of(body["access_token"])
    assert claims["aud"] == client.issuer and claims["scope"] == "openid profile"
    again = fragment(who.front.get(url(client)))
    assert claims_of(again["access_token"])["connection_id"] != claims["connection_id"]
    house_on.write(connections.end, house_on.org.id, claims["connection_id"], house_on.site.clock.now(), "test")
    house_on.catch_up()
    assert house_on.run(house_on.site.live.has_ended(claims["connection_id"]))
    families = house_on.read(lambda: one("SELECT COUNT(*) AS n FROM refresh_families", lambda n: n))
    assert families == 0


@requirement("grants:user-agent-scopes")
def test_refresh_token_is_dropped_from_the_scopes(shared_house: House):
    client, who = legacy(shared_house), person(shared_house)
    assert fragment(allowed(who, client, scope=None))["scope"] == "openid profile"
    assert fragment(who.front.get(url(client, scope="profile offline_access")))["scope"] == "profile"
    assert fragment(who.front.get(url(client, scope="refresh_token")))["error"] == "invalid_scope"


@requirement("grants:user-agent-option")
@pytest.mark.parametrize(
    "changes",
    [
        {"access_token_parameter": False},
        {"scopes": ("mcp_api", "profile"), "checked": False},
        {"scopes": ("mcp_api",), "access_token_parameter": False},
    ],
    ids=["off", "on beside mcp_api", "as an MCP client has it"],
)
def test_without_the_option_or_beside_mcp_api_there_is_no_such_flow(shared_house: House, changes: dict):
    client = legacy(shared_house, **changes)
    who = person(shared_house)
    for each in (url(client), url(client, response_mode="fragment")):
        answer = who.front.get(each)
        target = answer.headers["location"]
        assert target.startswith(f"{HTTPS}?error=unsupported_response_type") and "#" not in target


@requirement("grants:user-agent-option")
def test_the_option_bites_again_when_the_user_answers(shared_house: House):
    client, who = legacy(shared_house), signed_in(person(shared_house), add_app(shared_house))
    page = who.go(url(client))
    change_app(shared_house, client, access_token_parameter=False)
    answer = who.answer(page, answer="allow")
    assert "error=unsupported_response_type" in answer.headers["location"] and "access_token" not in answer.text


@requirement("grants:user-agent-errors")
def test_errors_come_back_in_the_fragment(shared_house: House):
    client, who = legacy(shared_house), person(shared_house)
    for changes, error in (
        ({"prompt": "none"}, "login_required"),
        ({"scope": "full"}, "invalid_scope"),
        ({"resource": "https://evil.example"}, "invalid_target"),
        ({"response_mode": "query"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"dpop_jkt": "x" * 43}, "invalid_request"),
    ):
        body = fragment(shared_house.client().get(url(client, **changes)))
        assert set(body) == {"error", "error_description", "state", "iss"} and body["error"] == error
    page = signed_in(who, add_app(shared_house)).go(url(client))
    assert fragment(who.answer(page, answer="deny"))["error"] == "access_denied"
    assert "access_token" in fragment(allowed(who, client, response_mode="fragment"))


@requirement("grants:user-agent-modes")
def test_a_code_never_travels_in_a_fragment(shared_house: House):
    client = legacy(shared_house)
    for mode in ("fragment", "form_post", "web_message"):
        answer = client.front.get(client.authorize_url(response_mode=mode, scope="profile"))
        assert answer.headers["location"].startswith(f"{HTTPS}?error=invalid_request")


@requirement("grants:user-agent-pages")
@pytest.mark.parametrize(
    ("redirect_uri", "source"),
    [(HTTPS, "https://client.example"), (LOOPBACK, "http://localhost:8080"), (CUSTOM, "cursor:")],
)
def test_the_browser_may_go_back_to_the_client_after_each_form(shared_house: House, redirect_uri: str, source: str):
    client, who = legacy(shared_house, redirect_uri), person(shared_house)
    page = who.go(url(client))
    assert f"form-action 'self' {source};" in page.headers["content-security-policy"]
    page = who.answer(page, username=who.username, password=who.password)
    assert f"form-action 'self' {source};" in page.headers["content-security-policy"]
    answer = who.answer(page, answer="allow")
    if redirect_uri == CUSTOM:
        assert "#access_token=" in answer.text and "?access_token" not in answer.text
    else:
        assert "access_token" in fragment(answer)


@requirement("grants:user-agent-metadata")
def test_no_metadata_lists_it(shared_house: House):
    legacy(shared_house)
    for name in ("oauth-authorization-server", "openid-configuration"):
        document = shared_house.client().get(f"/.well-known/{name}").json()
        assert (
            document["response_types_supported"] == ["code"] and "fragment" not in document["response_modes_supported"]
        )
        assert "implicit" not in document["grant_types_supported"]


@requirement("grants:user-agent-policies")
def test_policies_and_consent_are_asked_as_for_codes(shared_house: House):
    client, who = legacy(shared_house, session_level="HIGH_ASSURANCE", below_level="Block"), add_user(shared_house)
    page = signed_in(who, add_app(shared_house)).go(url(client))
    assert page.status_code == 403 and "invalid_session_level" in page.text
    strong = sign_in_strongly(shared_house, Person(shared_house.client(), who.username, who.password))
    assert claims_of(fragment(allowed(strong, client))["access_token"])["acr"] == "HIGH_ASSURANCE"
    change_app(shared_house, client, is_enabled=False)
    assert fragment(strong.front.get(url(client)))["error"] == "unauthorized_client"
