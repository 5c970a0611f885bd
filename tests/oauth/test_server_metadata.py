"""What the metadata says of the endpoints beside authorize and token, held against the endpoints themselves."""

import pytest

from gatelodge.core.apps.policies import LEVELS
from tests.house import House
from tests.oauth.confidential import add_confidential, asked, revoke
from tests.oauth.scenes import add_app, add_org, claims_of, connect, person
from tests.requirements import requirement

PROVEN = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
ENDPOINTS = {
    "revocation_endpoint": "/services/oauth2/revoke",
    "introspection_endpoint": "/services/oauth2/introspect",
    "userinfo_endpoint": "/services/oauth2/userinfo",
    "end_session_endpoint": "/services/auth/idp/oidc/logout",
    "jwks_uri": "/id/keys",
}


def metadata(house: House, issuer: str = "") -> dict[str, object]:
    return house.client().get(f"{issuer or house.issuer}/.well-known/openid-configuration").json()


@requirement("metadata:endpoints")
def test_each_endpoint_of_each_org_is_named_and_answers(house: House):
    org = add_org(house, "elsewhere")
    for issuer in (house.issuer, org.issuer):
        said = metadata(house, issuer)
        assert {name: said[name] for name in ENDPOINTS} == {name: issuer + path for name, path in ENDPOINTS.items()}
        front = house.client()
        assert front.post(said["revocation_endpoint"], data={"token": "x"}).status_code == 400
        assert front.post(said["introspection_endpoint"], data={"token": "x"}).status_code == 401
        assert front.get(said["userinfo_endpoint"]).status_code == 401
        assert front.get(said["end_session_endpoint"]).status_code == 200
        assert {key["alg"] for key in front.get(said["jwks_uri"]).json()["keys"]} == set(
            said["id_token_signing_alg_values_supported"]
        )


@requirement("metadata:client-authentication")
def test_the_methods_of_client_authentication_are_those_that_work(house: House):
    said = metadata(house)
    for endpoint in ("token", "revocation"):
        assert said[f"{endpoint}_endpoint_auth_methods_supported"] == ["none", *PROVEN]
    assert said["introspection_endpoint_auth_methods_supported"] == PROVEN
    for endpoint in ("token", "revocation", "introspection"):
        assert said[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] == ["ES256", "RS256"]
    held = add_confidential(house)
    public = add_app(house)
    for sent in ({"headers": held.basic, "client_id": None}, {**held.post}):
        assert revoke(held.client, "x", **sent).status_code == 200
        assert asked(held, "x", **({"headers": {}} | sent)).status_code == 200
    assert revoke(public, "x").status_code == 200
    assert asked(held, "x", headers={}, client_id=public.client_id).status_code == 401


@requirement("metadata:claims")
def test_the_claims_that_tokens_and_userinfo_hold_are_listed(house: House):
    client = add_app(
        house, scopes=("openid", "profile", "email", "refresh_token"), custom_attributes=("org = Organization.Name",)
    )
    tokens = connect(person(house), client, scope="openid profile email", nonce="n")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    told = set(client.front.get("/services/oauth2/userinfo", headers=bearer).json()) | set(
        claims_of(tokens["id_token"])
    )
    said = metadata(house)
    assert told == set(said["claims_supported"])
    assert said["acr_values_supported"] == list(LEVELS) and said["subject_types_supported"] == ["public"]
    assert claims_of(tokens["id_token"])["acr"] in said["acr_values_supported"]
    assert said["claims_parameter_supported"] is False


@requirement("metadata:the-same-for-all")
@pytest.mark.parametrize("name", ["", "elsewhere"])
def test_both_forms_are_the_same_under_any_header(house: House, name: str):
    issuer = add_org(house, name).issuer if name else house.issuer
    forms = [f"{issuer}/.well-known/{form}" for form in ("openid-configuration", "oauth-authorization-server")]
    headers = ({}, {"X-Forwarded-Host": "evil.example"}, {"Forwarded": "host=evil.example"}, {"Origin": "https://a.b"})
    assert len({house.client().get(url, headers=each).content for url in forms for each in headers}) == 1
    for host in ("evil.example", "localhost:1", "127.0.0.1:8765"):
        answer = house.client().get(forms[0], headers={"Host": host})
        assert answer.status_code == 421 and "evil.example/" not in answer.text
