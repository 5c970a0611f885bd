"""Discovery: what a client learns before it knows anybody, at every address where clients look for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatelodge.store.master_key import load
from tests.house import House
from tests.oauth.scenes import add_org, decoded
from tests.requirements import requirement

FORMS = ("oauth-authorization-server", "openid-configuration")
BASE = "http://localhost:8765/base"
ENDPOINTS = {
    "authorization_endpoint": "/services/oauth2/authorize",
    "token_endpoint": "/services/oauth2/token",
    "jwks_uri": "/id/keys",
}


@pytest.fixture
def under_a_path(tmp_path: Path) -> Iterator[House]:
    """A deployment whose public URL has a path."""
    with House(tmp_path / "based", public_url=BASE) as made:
        yield made


def addresses(issuer: str) -> list[str]:
    """Where clients look: path insertion (RFC 8414 §3.1) and the path appended (OpenID Connect Discovery §4)."""
    origin, _, path = issuer.removeprefix("http://").partition("/")
    inserted = f"/{path}" if path else ""
    return [f"http://{origin}/.well-known/{form}{inserted}" for form in FORMS] + [
        f"{issuer}/.well-known/{form}" for form in FORMS
    ]


def check_documents(house: House, issuer: str) -> None:
    found = [house.client().get(url) for url in addresses(issuer)]
    assert [answer.status_code for answer in found] == [200] * 4, [str(answer.url) for answer in found]
    assert all(answer.headers["content-type"] == "application/json" for answer in found)
    assert len({answer.content for answer in found}) == 1
    document = found[0].json()
    assert document["issuer"] == issuer
    assert {name: document[name] for name in ENDPOINTS} == {name: issuer + path for name, path in ENDPOINTS.items()}
    assert house.client().get(document["jwks_uri"]).status_code == 200
    # Each endpoint named is one that answers.
    assert house.client().get(document["authorization_endpoint"]).status_code == 400
    assert house.client().post(document["token_endpoint"], data={"grant_type": "x"}).status_code == 400


@requirement("discovery:every-form")
def test_the_first_org_is_found_by_every_form_and_each_names_its_issuer_byte_for_byte(house: House):
    check_documents(house, "http://localhost:8765")


@requirement("discovery:every-form", "discovery:issuer-with-a-path")
def test_an_issuer_with_a_path_is_found_by_insertion_and_by_appending(under_a_path: House):
    check_documents(under_a_path, BASE)


@requirement("discovery:every-form", "discovery:issuer-with-a-path")
def test_an_org_by_path_is_found_by_insertion_and_by_appending(house: House):
    add_org(house, "acme")
    check_documents(house, "http://localhost:8765/o/acme")


@requirement("discovery:issuer-with-a-path")
def test_an_org_by_path_of_a_deployment_with_a_path_is_found_too(under_a_path: House):
    add_org(under_a_path, "acme")
    check_documents(under_a_path, f"{BASE}/o/acme")


@requirement("discovery:issuer-with-a-path")
@pytest.mark.parametrize("form", FORMS)
def test_the_root_of_a_deployment_with_a_path_is_nobodys_issuer(under_a_path: House, form: str):
    for path in (
        f"/.well-known/{form}",
        f"/.well-known/{form}/",
        f"/.well-known/{form}/bas",
        f"/.well-known/{form}/basement",
    ):
        assert under_a_path.client().get(f"http://localhost:8765{path}").status_code == 404, path


@requirement("discovery:unknown-org")
def test_an_org_that_does_not_exist_has_no_documents(house: House):
    for path in (
        "/.well-known/oauth-authorization-server/o/nobody",
        "/o/nobody/.well-known/openid-configuration",
        "/o/nobody/id/keys",
    ):
        assert house.client().get(path).status_code == 404, path


@requirement("discovery:no-header-decides")
def test_no_header_changes_the_metadata(house: House):
    plain = house.client().get("/.well-known/oauth-authorization-server")
    for headers in (
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "X-Forwarded-Prefix": "/evil"},
        {"Forwarded": "host=evil.example;proto=https"},
        {"X-Original-URL": "/o/evil", "X-Rewrite-URL": "/o/evil"},
        {"Origin": "https://evil.example", "Referer": "https://evil.example/"},
        {"Accept": "text/html"},
    ):
        answer = house.client().get("/.well-known/oauth-authorization-server", headers=headers)
        assert (answer.status_code, answer.content) == (200, plain.content), headers


@requirement("discovery:foreign-host")
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost", "localhost:8766", "localhost:8765.evil.example", "127.0.0.1:8765", ""]
)
def test_a_host_that_no_org_answers_to_is_misdirected(house: House, host: str):
    for url in ("/.well-known/oauth-authorization-server", "/id/keys", "/services/oauth2/authorize"):
        answer = house.client().get(url, headers={"Host": host})
        assert answer.status_code == 421, (url, answer.status_code)
        assert "location" not in answer.headers
        assert f"http://localhost:8765{url}" in answer.text


@requirement("discovery:cors")
def test_any_web_page_may_read_discovery_and_use_the_token_endpoint_without_credentials(house: House):
    client = house.client()
    origin = {"Origin": "https://inspector.example"}
    answers = [client.get(path, headers=origin) for path in ("/.well-known/oauth-authorization-server", "/id/keys")]
    answers.append(client.post("/services/oauth2/token", data={}, headers=origin))
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    preflight = client.request(
        "OPTIONS", "/services/oauth2/token", headers=origin | {"Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in preflight.headers
    assert "POST" in preflight.headers["access-control-allow-methods"]


@requirement("discovery:cors")
def test_no_web_page_may_read_the_pages_of_the_flow(house: House):
    client = house.client()
    for path in ("/services/oauth2/authorize", "/flow"):
        answer = client.get(path, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers


@requirement("discovery:says-what-is-true")
def test_the_metadata_lists_what_is_supported_and_nothing_unsafe(house: House):
    document = house.client().get("/.well-known/oauth-authorization-server").json()
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["response_types_supported"] == ["code"]
    assert document["response_modes_supported"] == ["query"]
    assert document["grant_types_supported"] == [
        "authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange",
    ]  # fmt: skip
    assert document["dpop_signing_alg_values_supported"] == ["ES256", "RS256", "PS256"]
    methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
    assert document["token_endpoint_auth_methods_supported"] == methods
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["request_parameter_supported"] is document["request_uri_parameter_supported"] is False
    assert document["subject_types_supported"] == ["public"]


@requirement("discovery:offline-access")
def test_offline_access_is_listed_by_the_authorization_server_and_by_no_resource(house: House):
    client = house.client()
    assert client.get("/.well-known/openid-configuration").json()["scopes_supported"] == [
        "mcp_api", "refresh_token", "openid", "profile", "email", "id", "offline_access",
    ]  # fmt: skip
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp/sobject-reads"):
        listed = client.get(path).json().get("scopes_supported", [])
        assert not {"offline_access", "refresh_token"} & set(listed), path


@requirement("discovery:jwks")
def test_the_key_set_shows_public_members_only_and_each_key_id_once(house: House):
    add_org(house, "acme")
    first = house.client().get("/id/keys")
    assert first.headers["content-type"] == "application/json"
    other = house.client().get("/o/acme/id/keys").json()["keys"]
    keys = first.json()["keys"]
    assert keys
    for key in keys + other:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
        assert len(decoded(key["x"])) == len(decoded(key["y"])) == 32
    assert len({key["kid"] for key in keys + other}) == len(keys + other)


@requirement("discovery:jwks")
def test_the_private_half_of_a_signing_key_is_sealed_where_it_is_stored(fresh_house: House, tmp_path: Path):
    key = fresh_house.client().get("/id/keys").json()["keys"][0]
    stored = (tmp_path / "data" / "gatelodge.db").read_bytes() + (tmp_path / "data" / "gatelodge.db-wal").read_bytes()
    assert key["kid"].encode() in stored
    assert b'"d":' not in stored
    master = load(fresh_house.config.master_key_path)
    assert master.sub_key("signing-key") not in stored
