"""What the RFCs demand of requests and answers, where no other test asks."""

import base64
import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.house import House
from tests.oauth.confidential import SECRET_FLOWS, add_confidential
from tests.oauth.scenes import add_app, add_org, claims_of, code_for, connect, refused
from tests.people import Person, returned
from tests.requirements import requirement
from tests.setup.offices import administrator

ALL = ("mcp_api", "refresh_token", "openid")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An org for the tests here: each has apps of its own."""
    with House(tmp_path_factory.mktemp("rfc") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def robin(place: House) -> Person:
    """The administrator, signed in once."""
    return administrator(place)


def escaped(text: str) -> str:
    """Every character by its code: lawful, and what no client sends unless it must."""
    return "".join(f"%{ord(c):02X}" for c in text)


@requirement("rfc6749:basic")
@pytest.mark.parametrize("spell", [quote, escaped, lambda text: escaped(text).lower()], ids=["bare", "upper", "lower"])
def test_both_halves_of_basic_are_form_encoded(place: House, robin: Person, spell: Any):
    app = add_confidential(place, **SECRET_FLOWS)
    pair = f"{spell(app.client.client_id)}:{spell(app.secret)}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    sent = {
        "grant_type": "authorization_code", "code": code_for(robin, app.client),
        "redirect_uri": app.client.redirect_uri, "code_verifier": app.client.verifier,
    }  # fmt: skip
    answer = app.client.front.post(f"{place.issuer}/services/oauth2/token", data=sent, headers=headers)
    assert answer.status_code == 200, answer.text


@requirement("rfc6749:empty-parameters", "rfc6749:unknown-parameters")
def test_the_token_endpoint_ignores_what_it_does_not_know_and_what_is_empty(place: House, robin: Person):
    client = add_app(place)
    answer = client.redeem(
        code_for(robin, client), resource="", client_secret="", favourite_colour="blue", dpop_jkt="x"
    )
    assert answer.status_code == 200, answer.text
    again = client.refresh(answer.json()["refresh_token"], scope="", resource="", nonsense="1")
    assert again.status_code == 200 and again.json()["scope"] == answer.json()["scope"]
    assert "missing" in refused(client.redeem(""), "invalid_request")


@requirement("rfc6749:unguessable", "rfc6749:guessed-secrets")
def test_secrets_that_are_given_out_cannot_be_guessed(place: House, robin: Person):
    app = add_confidential(place, jwt_access_tokens=False)
    codes = [code_for(robin, app.client) for _ in range(8)]
    given = [connect(robin, app.client) for _ in range(8)]
    kinds = {
        "code": codes,
        "access token": [each["access_token"].partition("!")[2] for each in given],
        "refresh token": [each["refresh_token"].rpartition(".")[2] for each in given],
        "family": [each["refresh_token"].split(".")[1] for each in given],
        "secret": [app.secret, *(add_confidential(place).secret for _ in range(3))],
    }
    for kind, values in kinds.items():
        assert all(len(value) * 6 >= 128 for value in values), kind
        for one, other in itertools.combinations(values, 2):
            alike = sum(a == b for a, b in zip(one, other, strict=False))
            assert alike < len(one) / 2, f"two of the kind {kind} have {alike} characters in common"


@requirement("rfc9700:self-asserted-client")
def test_no_client_id_can_be_a_users_id(place: House, robin: Person):
    client = add_app(place)
    claims = claims_of(connect(robin, client)["access_token"])
    assert claims["client_id"].startswith("3MVG9") and claims["sub"].startswith("005")
    assert claims["sub"] != claims["client_id"] and len(claims["sub"]) != len(claims["client_id"])


@requirement("rfc8707:absolute")
@pytest.mark.parametrize(
    "resource", ["/mcp/sobject-reads", "mcp/sobject-reads", "//localhost:8765/mcp/sobject-reads", "sobject-reads",
                 "{}#", "{}#x", "?x", "urn:", "{}?x=1"],
)  # fmt: skip
def test_a_resource_that_is_no_absolute_uri_or_has_a_fragment_is_invalid_target(
    place: House, robin: Person, resource: str
):
    client = add_app(place)
    asked = resource.format(f"{place.issuer}/mcp/sobject-reads")
    assert returned(robin.go(client.authorize_url(resource=asked)))["error"] == "invalid_target"
    code = code_for(robin, client)
    refused(client.redeem(code, resource=asked), "invalid_target")
    assert client.redeem(code).status_code == 200, "and nothing was used up"


@requirement("rfc9126:no-nesting")
@pytest.mark.parametrize("reference", ["urn:ietf:params:oauth:request_uri:x", "https://client.example/request.jwt"])
def test_a_pushed_request_may_not_hold_a_request_uri(place: House, reference: str):
    client = add_app(place)
    parameters = dict(pair.split("=") for pair in urlsplit(client.authorize_url()).query.split("&"))
    parameters |= {"redirect_uri": client.redirect_uri, "scope": "mcp_api"}
    url = f"{place.issuer}/services/oauth2/par"
    assert client.front.post(url, data=parameters).status_code == 201
    answer = client.front.post(url, data=parameters | {"request_uri": reference})
    assert answer.status_code == 400 and answer.json()["error"] in ("invalid_request", "request_uri_not_supported")
    assert "request_uri" in answer.json()["error_description"]


@requirement("rfc8414:no-none")
def test_algorithms_of_assertions_are_listed_and_none_is_not_among_them(place: House):
    said = place.client().get("/.well-known/oauth-authorization-server").json()
    for endpoint in ("token", "revocation", "introspection"):
        methods = said[f"{endpoint}_endpoint_auth_methods_supported"]
        algorithms = said[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert "private_key_jwt" in methods and algorithms
        assert not {"none", "HS256"} & set(algorithms)
    assert "none" not in said["dpop_signing_alg_values_supported"]
    listed = place.client().get("/.well-known/openid-configuration").json()["id_token_signing_alg_values_supported"]
    assert listed and "none" not in listed


@requirement("rfc8414:answer", "rfc9728:answer")
def test_no_member_of_any_metadata_is_empty(place: House):
    other = add_org(place, "elsewhere")
    for path in (
        "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration",
        f"/.well-known/oauth-authorization-server{other.path}", "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp/sobject-reads",
    ):  # fmt: skip
        answer = place.client().get(path)
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/json", path
        empty = [name for name, value in answer.json().items() if value in ("", [], {}, None)]
        assert not empty, (path, empty)
        issuer = urlsplit(answer.json().get("issuer", place.issuer))
        assert not issuer.query and not issuer.fragment
