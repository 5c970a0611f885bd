"""Web pages of other origins: what they may read and send, and where none may call."""

import pytest

from gatelodge.cli.verbs import perform
from tests.house import House
from tests.oauth.scenes import add_app, add_org, connect, person
from tests.people import tools_list
from tests.requirements import requirement

PAGE = "https://app.example.com"
OPEN = {
    "/.well-known/oauth-authorization-server": "GET",
    "/.well-known/openid-configuration": "GET",
    "/.well-known/oauth-protected-resource": "GET",
    "/.well-known/oauth-protected-resource/mcp/sobject-reads": "GET",
    "/id/keys": "GET",
    "/id/00D/005": "GET",
    "/services/oauth2/token": "POST",
    "/services/oauth2/revoke": "POST",
    "/services/oauth2/userinfo": "GET",
}
SENT = "authorization, content-type, dpop, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id"


def words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}


def allow(house: House, verb: str = "allow-origin", origin: str = PAGE, org: str = "") -> None:
    house.run(perform(house.site, f"server {verb}", {"org": org, "name": "sobject-reads", "origin": origin}))
    house.catch_up()


@requirement("cors:any-origin")
@pytest.mark.parametrize("path", OPEN)
def test_a_page_of_any_origin_reads_answers_and_refusals_without_credentials(house: House, path: str):
    for origin in (PAGE, "null", house.issuer):
        answer = house.client().request(OPEN[path], path, headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        exposed = words(answer.headers["access-control-expose-headers"])
        assert exposed >= {"www-authenticate", "mcp-session-id", "mcp-protocol-version", "retry-after"}


@requirement("cors:any-origin")
@pytest.mark.parametrize("path", OPEN)
def test_a_browser_that_asks_first_is_told_what_may_be_sent(house: House, path: str):
    asked = {
        "Origin": PAGE, "Access-Control-Request-Method": OPEN[path], "Access-Control-Request-Headers": SENT,
    }  # fmt: skip
    answer = house.client().request("OPTIONS", path, headers=asked)
    assert answer.status_code == 204 and answer.content == b""
    assert answer.headers["access-control-allow-origin"] == "*"
    assert OPEN[path].lower() in words(answer.headers["access-control-allow-methods"])
    assert words(answer.headers["access-control-allow-headers"]) >= words(SENT)
    assert "access-control-allow-credentials" not in answer.headers


@requirement("cors:any-origin")
def test_a_page_can_read_why_its_request_was_unreadable(house: House):
    for content, kind in ((b"x=%ff", "application/x-www-form-urlencoded"), (b"{}", "application/json")):
        answer = house.client().post(
            "/services/oauth2/token", content=content, headers={"Origin": PAGE, "Content-Type": kind}
        )
        assert 400 <= answer.status_code < 500 and answer.headers["access-control-allow-origin"] == "*"


@requirement("cors:nothing-else")
def test_no_page_of_another_origin_reads_pages_or_introspection(house: House):
    for method, path in (
        ("GET", "/services/oauth2/authorize"), ("GET", "/flow"), ("POST", "/flow"), ("GET", "/login"), ("GET", "/setup"),
        ("POST", "/services/oauth2/introspect"), ("GET", "/services/auth/idp/oidc/logout"),
    ):  # fmt: skip
        answer = house.client().request(method, path, headers={"Origin": PAGE})
        assert "access-control-allow-origin" not in answer.headers, path
        asked = {"Origin": PAGE, "Access-Control-Request-Method": method}
        assert house.client().request("OPTIONS", path, headers=asked).status_code == 405, path


@requirement("cors:mcp-servers")
def test_only_pages_of_the_servers_own_origin_and_of_those_listed_may_call_it(fresh_house: House):
    house, url = fresh_house, f"{fresh_house.issuer}/mcp/sobject-reads"
    client = add_app(house)
    token = connect(person(house), client)["access_token"]

    def status(origin: str) -> int:
        return tools_list(client.front, url, token, Origin=origin).status_code

    assert status(house.issuer) == 200
    assert status(PAGE) == 403
    allow(house)
    assert status(PAGE) == 200
    for origin in (
        "https://app.example.com:8443", "http://app.example.com", "https://APP.example.com", "https://example.com",
        "https://app.example.com.evil.example", "https://app.example.com/", "null", "",
    ):  # fmt: skip
        assert status(origin) == 403, origin
    both = [("Origin", PAGE), ("Origin", "https://evil.example"), ("Authorization", f"Bearer {token}")]
    assert client.front.post(url, headers=both).status_code == 403
    allow(house, "refuse-origin")
    assert status(PAGE) == 403


@requirement("cors:mcp-servers")
def test_a_listed_page_reads_answers_challenges_and_refusals_and_nobody_else_may_cache_them(fresh_house: House):
    house, url = fresh_house, f"{fresh_house.issuer}/mcp/sobject-reads"
    allow(house)
    client = add_app(house)
    token = connect(person(house), client)["access_token"]
    answers = {
        200: tools_list(client.front, url, token, Origin=PAGE),
        401: tools_list(client.front, url, None, Origin=PAGE),
        405: client.front.get(url, headers={"Origin": PAGE, "Authorization": f"Bearer {token}"}),
        415: client.front.post(url, content=b"x", headers={"Origin": PAGE, "Authorization": f"Bearer {token}"}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert answer.headers["access-control-allow-origin"] == PAGE and answer.headers["vary"] == "Origin"
        exposed = words(answer.headers["access-control-expose-headers"])
        assert exposed >= {"www-authenticate", "mcp-session-id", "mcp-protocol-version", "retry-after"}
        assert "access-control-allow-credentials" not in answer.headers
    refused = client.front.post(url, headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers
    assert PAGE in refused.json()["error_description"]


@requirement("cors:mcp-servers")
def test_a_browser_asks_first_for_a_listed_page_and_in_vain_for_any_other(fresh_house: House):
    house, url = fresh_house, f"{fresh_house.issuer}/mcp/sobject-reads"
    allow(house)
    wanted = f"{SENT}, mcp-param-region, x-evil"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    answer = house.client().request("OPTIONS", url, headers=asked | {"Origin": PAGE})
    assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == PAGE
    assert words(answer.headers["access-control-allow-methods"]) == {"post"}
    headers = words(answer.headers["access-control-allow-headers"])
    assert headers >= words(SENT) | {"mcp-param-region"} and "x-evil" not in headers
    refused = house.client().request("OPTIONS", url, headers=asked | {"Origin": "https://evil.example"})
    assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers
    assert house.client().request("OPTIONS", url).status_code == 401  # nobody's preflight: a request like any other


@requirement("cors:mcp-servers")
def test_a_listed_origin_counts_for_its_server_in_its_org_alone(fresh_house: House):
    org = add_org(fresh_house, "elsewhere")
    allow(fresh_house)
    for url, status in ((f"{org.issuer}/mcp/sobject-reads", 403), (f"{fresh_house.issuer}/mcp/nothing", 403),
                        (f"{fresh_house.issuer}/mcp/sobject-reads", 401)):  # fmt: skip
        assert fresh_house.client().post(url, headers={"Origin": PAGE}).status_code == status, url
