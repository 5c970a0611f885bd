"""The gate: what a call without a good token is told, in which order, and where a token is never looked for."""

import re
from pathlib import Path

import msgspec
import pytest

from gatelodge.core import orgs
from tests.gateway.speaking import LIFETIME, SERVER, Client, token
from tests.house import House
from tests.requirements import requirement

METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS")


def challenge(answer) -> dict[str, str]:
    """The parameters of the Bearer challenge. DPoP is offered behind it, with no error of its own."""
    bearer, dpop = re.fullmatch(r"Bearer (.+), (DPoP .+)", answer.headers["www-authenticate"]).groups()
    assert dpop == 'DPoP algs="ES256 RS256 PS256"'
    return dict(re.findall(r'(\w+)="([^"]*)"', bearer))


@pytest.mark.parametrize("method", METHODS)
@requirement("gateway:401-before-405")
def test_without_a_token_every_method_is_told_where_to_get_one(org: House, method: str):
    answer = org.client().request(method, f"{org.issuer}/mcp/{SERVER}")
    assert answer.status_code == 401
    said = challenge(answer)
    assert said == {
        "resource_metadata": f"{org.issuer}/.well-known/oauth-protected-resource/mcp/{SERVER}",
        "scope": "mcp_api",
    }, "RFC 6750 §3: no error without a token"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", [m for m in METHODS if m != "POST"])
@requirement("gateway:401-before-405")
def test_with_a_token_a_method_that_is_not_post_is_not_allowed(org: House, method: str):
    answer = org.client().request(
        method, f"{org.issuer}/mcp/{SERVER}", headers={"Authorization": f"Bearer {token(org)}"}
    )
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("method", METHODS)
@requirement("gateway:bad-token-is-told")
def test_with_a_bad_token_every_method_says_invalid_token(org: House, method: str):
    answer = org.client().request(method, f"{org.issuer}/mcp/{SERVER}", headers={"Authorization": "Bearer a.b.c"})
    assert answer.status_code == 401
    said = challenge(answer)
    assert said["error"] == "invalid_token" and said["error_description"]
    assert said["scope"] == "mcp_api" and said["resource_metadata"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer    ",
        "Basic dXNlcjpwYXNz",
        "Digest x",
        "DPoP",
        "DPoPa.b.c",
        "a.b.c",
        "Bearera.b.c",
    ],
)
@requirement("gateway:401-before-405")
def test_a_header_without_a_token_counts_as_none(org: House, header: str):
    answer = org.client().post(f"{org.issuer}/mcp/{SERVER}", headers={"Authorization": header}, json={})
    assert answer.status_code == 401 and "error" not in challenge(answer)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer", "bEaReR"])
@requirement("gateway:scheme-has-no-case")
def test_the_scheme_has_no_case(org: House, scheme: str):
    client = Client(org, None)
    client.headers = {"Authorization": f"{scheme} {token(org)}"}
    assert client.modern("tools/list").status_code == 200


@pytest.mark.parametrize("order", [1, -1])
@requirement("gateway:one-authorization-header")
def test_two_authorization_headers_are_malformed_even_if_one_is_good(org: House, order: int):
    pair = [("Authorization", f"Bearer {token(org)}"), ("Authorization", "Bearer a.b.c")][::order]
    answer = org.client().post(f"{org.issuer}/mcp/{SERVER}", headers=pair, content=b"{}")
    assert answer.status_code == 400 and challenge(answer)["error"] == "invalid_request"


@requirement("gateway:token-in-the-header-alone")
def test_a_token_in_the_query_in_the_body_or_in_a_cookie_is_not_read(org: House):
    good, url = token(org), f"{org.issuer}/mcp/{SERVER}"
    front = org.client()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for answer in (
        front.post(f"{url}?access_token={good}", json={}),
        front.post(url, content=f"access_token={good}".encode(), headers=form),
        front.post(url, json={"access_token": good}),
        front.post(url, json={}, headers={"Cookie": f"access_token={good}; token={good}"}),
        front.post(url, json={}, headers={"X-Access-Token": good, "Proxy-Authorization": f"Bearer {good}"}),
    ):
        assert answer.status_code == 401 and "error" not in challenge(answer)
        assert good not in answer.text and good not in str(answer.headers)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:8766", "https://localhost:8765", "http://127.0.0.1:8765",
               "http://localhost:8765.evil.example", "http://localhost:8765/", "HTTP://LOCALHOST:8765", ""],
)  # fmt: skip
@requirement("gateway:origin-is-checked")
def test_a_page_of_another_origin_may_not_call_with_or_without_a_token(org: House, origin: str):
    for bearer in (None, token(org)):
        answer = Client(org, bearer).modern("tools/list", headers={"Origin": origin})
        assert answer.status_code == 403 and "www-authenticate" not in answer.headers


@requirement("gateway:origin-is-checked")
def test_a_page_of_our_own_origin_may_call_and_a_second_origin_spoils_it(org: House, robin: Client):
    assert robin.modern("tools/list", headers={"Origin": org.issuer}).status_code == 200
    both = [("Origin", org.issuer), ("Origin", "https://evil.example"), *robin.headers.items()]
    assert robin.front.post(robin.url, headers=both, content=b"{}").status_code == 403


@pytest.mark.parametrize("scope", ["", "refresh_token", "openid profile", "mcp_apis", "MCP_API", "mcp_api:read"])
@requirement("gateway:insufficient-scope-names-all")
def test_a_token_without_the_scope_is_told_every_scope_that_is_needed(org: House, scope: str):
    answer = Client(org, token(org, scope=scope)).modern("tools/list")
    assert answer.status_code == 403
    said = challenge(answer)
    assert said["error"] == "insufficient_scope" and said["scope"] == "mcp_api"
    assert said["resource_metadata"] == f"{org.issuer}/.well-known/oauth-protected-resource/mcp/{SERVER}"


@requirement("gateway:permission-to-use-mcp")
def test_a_user_without_the_permission_is_refused_by_name_and_not_sent_for_another_token(org: House):
    answer = Client(org, token(org, 2)).modern("tools/list")
    assert answer.status_code == 403 and "www-authenticate" not in answer.headers
    assert "noor@acme.example" in answer.json()["error_description"]


@requirement("gateway:tokens-expire")
def test_a_token_that_was_good_a_moment_ago_is_refused_when_it_has_expired(house: House):
    client = Client(house, token(house))
    assert client.modern("tools/list").status_code == 200
    house.later(LIFETIME - 1)
    assert client.modern("tools/list").status_code == 200
    house.later(1)
    for _ in range(2):
        answer = client.modern("tools/list")
        assert answer.status_code == 401 and challenge(answer)["error"] == "invalid_token"


@requirement("gateway:token-opens-one-server")
def test_a_token_opens_the_server_that_it_was_issued_for_and_no_other(org: House):
    for other in (org.issuer, f"{org.issuer}/mcp/sobject-all", f"{org.issuer}/mcp/", f"{org.issuer}/mcp/{SERVER}/"):
        answer = Client(org, token(org, aud=other)).modern("tools/list")
        assert answer.status_code == 401 and other in challenge(answer)["error_description"]


@requirement("gateway:passed-again")
def test_a_token_that_has_passed_is_refused_from_elsewhere_and_after_its_end(tmp_path: Path):
    with House(tmp_path / "data") as house:
        house.write(orgs.change, msgspec.structs.replace(house.org, trusted_ranges=("203.0.113.0/24",)))
        house.catch_up()
        client = Client(house, token(house))
        for address, status in (("203.0.113.7", 200), ("198.51.100.7", 401), ("203.0.113.7", 200)):
            client.front.come_from(address)
            assert client.modern("tools/list").status_code == status
        house.later(LIFETIME)
        assert client.modern("tools/list").status_code == 401
