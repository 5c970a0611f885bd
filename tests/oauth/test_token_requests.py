"""What the token endpoint reads, and how it refuses what it can't."""

from urllib.parse import quote_plus, urlencode

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generated import MANY
from tests.house import House
from tests.oauth.flows import basic, grant
from tests.oauth.scenes import add_app, add_org, change_app, code_for, person, refused
from tests.people import OAuthClient
from tests.requirements import requirement

TOKEN = "/services/oauth2/token"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def ready(house: House) -> tuple[OAuthClient, dict[str, str]]:
    """A client and the request that would succeed."""
    client = add_app(house)
    return client, grant(client, code_for(person(house), client)) | {"client_id": client.client_id}


@requirement("token:answer")
def test_the_answer_is_json_that_nobody_may_store(ready):
    client, sent = ready
    answer = client.front.post(TOKEN, data=sent)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store" and answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert set(body) == {
        "access_token", "token_type", "expires_in", "scope", "refresh_token",
        "token_format", "issued_at", "instance_url", "id",
    }  # fmt: skip
    assert (body["token_type"], body["expires_in"], body["token_format"]) == ("Bearer", 600, "jwt")


@requirement("token:requests")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_only_post_is_answered(ready, method: str):
    client, sent = ready
    answer = client.front.request(method, f"{TOKEN}?{urlencode(sent)}")
    assert answer.status_code == 405 and "POST" in answer.headers["allow"]
    assert client.front.post(TOKEN, data=sent).status_code == 200


@requirement("token:requests")
def test_parameters_in_the_url_are_refused(ready):
    client, sent = ready
    refused(client.front.post(f"{TOKEN}?{urlencode(sent)}", headers=FORM), "invalid_request")
    for name in sent:
        rest = {key: value for key, value in sent.items() if key != name}
        refused(client.front.post(f"{TOKEN}?{urlencode({name: sent[name]})}", data=rest), "invalid_request")
    refused(client.front.post(f"{TOKEN}?x=1", data=sent), "invalid_request")
    assert client.front.post(TOKEN, data=sent).status_code == 200


@requirement("token:requests", "token:errors")
def test_no_other_kind_of_body_is_read(ready):
    client, sent = ready
    for answer in (
        client.front.post(TOKEN, json=sent),
        client.front.post(TOKEN, files={name: (None, value) for name, value in sent.items()}),
        client.front.post(TOKEN, content=urlencode(sent).encode()),
        client.front.post(TOKEN, content=urlencode(sent).encode(), headers={"Content-Type": "text/plain"}),
        client.front.post(
            TOKEN, content=urlencode(sent).encode(), headers={"Content-Type": FORM["Content-Type"] + "x"}
        ),
    ):
        assert "application/x-www-form-urlencoded" in refused(answer, "invalid_request")
    upper = {"Content-Type": "Application/X-WWW-Form-URLEncoded; charset=utf-8"}
    assert client.front.post(TOKEN, content=urlencode(sent).encode(), headers=upper).status_code == 200


@requirement("token:requests")
def test_no_parameter_may_come_twice(ready):
    client, sent = ready
    for name, value in sent.items():
        for second in (value, "other"):
            body = f"{urlencode(sent)}&{urlencode({name: second})}"
            assert name in refused(client.front.post(TOKEN, content=body.encode(), headers=FORM), "invalid_request")
    two = f"{urlencode(sent)}&resource=a&resource=b"
    refused(client.front.post(TOKEN, content=two.encode(), headers=FORM), "invalid_request")
    empty = f"{urlencode(sent)}&code=&code=&x"
    assert client.front.post(TOKEN, content=empty.encode(), headers=FORM).status_code == 200


@requirement("token:requests", "token:any-bytes")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"&", 400),
        (b"=", 400),
        (b"grant_type=%00", 400),
        (b"grant_type=%ff", 400),
        (b"client_id=%ed%a0%80", 400),
        (b"grant_type=\xff\xfe", 400),
        (b"grant_type=%", 400),
        (b"x=" + b"y" * 9000, 400),
        (b"&".join(b"x%d=1" % n for n in range(200)), 400),
        (b"x=" + b"y" * 70_000, 413),
        (b"{}", 400),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_json(house: House, body: bytes, status: int):
    answer = house.client().post(TOKEN, content=body, headers=FORM)
    refused(answer, "invalid_client" if answer.json()["error"] == "invalid_client" else "invalid_request", status)


@requirement("token:clients", "token:errors")
@pytest.mark.parametrize("client_id", [None, "", "nobody", "3MVG9" + "x" * 80, "é", '"\\', "x" * 5000])
def test_a_client_that_nobody_knows_is_refused_without_a_challenge(ready, client_id: str | None):
    client, sent = ready
    answer = client.token(**sent | {"client_id": client_id})
    refused(answer, "invalid_client")
    assert "www-authenticate" not in answer.headers
    assert client.front.post(TOKEN, data=sent).status_code == 200


@requirement("token:clients", "authorize:orgs-apart")
def test_a_client_of_another_org_is_unknown(house: House):
    client = add_app(house, org=add_org(house, "acme"))
    refused(house.client().post(TOKEN, data=grant(client, "x" * 43)), "invalid_client")


@requirement("token:clients")
def test_a_disabled_app_is_refused_with_the_reason(house: House, ready):
    client, sent = ready
    change_app(house, client, is_enabled=False)
    assert "disabled" in refused(client.front.post(TOKEN, data=sent), "invalid_client")


@requirement("token:clients")
def test_a_secret_where_there_is_none_is_refused(ready):
    client, sent = ready
    refused(client.front.post(TOKEN, data=sent | {"client_secret": "guess"}), "invalid_client")
    answer = client.front.post(TOKEN, data=sent, headers=basic(client.client_id, "guess"))
    refused(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"] == 'Basic realm="http://localhost:8765"'
    assert client.front.post(TOKEN, data=sent | {"client_secret": ""}).status_code == 200


@requirement("token:clients")
def test_a_client_may_say_who_it_is_by_http_basic_without_a_secret(ready):
    client, sent = ready
    del sent["client_id"]
    assert client.front.post(TOKEN, data=sent, headers=basic(quote_plus(client.client_id))).status_code == 200


@requirement("token:clients")
def test_two_ways_of_client_authentication_are_refused(ready):
    client, sent = ready
    header = basic(client.client_id)
    refused(client.front.post(TOKEN, data=sent | {"client_secret": "x"}, headers=header), "invalid_request")
    refused(client.front.post(TOKEN, data=sent | {"client_id": "other"}, headers=header), "invalid_request")
    twice = httpx2.Headers([("Authorization", header["Authorization"])] * 2)
    refused(client.front.post(TOKEN, data=sent, headers=twice), "invalid_request")
    assert client.front.post(TOKEN, data=sent, headers=header).status_code == 200


@requirement("token:clients")
@pytest.mark.parametrize(
    "value", ["Basic", "Basic ", "Basic !!!", "Basic eA==", "Bearer x", "basic /w==", "Digest a=b", "x", "Basic Og=="]
)
def test_an_authorization_header_that_is_not_basic_gets_401_and_the_challenge(ready, value: str):
    client, sent = ready
    answer = client.front.post(TOKEN, data={**sent, "client_id": ""}, headers={"Authorization": value})
    refused(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


@requirement("token:errors")
@pytest.mark.parametrize(
    "grant_type",
    [
        "password",
        "implicit",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
        "urn:openid:params:grant-type:ciba",
        "AUTHORIZATION_CODE",
        "authorization_code ",
        "é",
    ],
)
def test_a_grant_type_that_is_not_supported_is_named_so_with_the_ones_that_are(ready, grant_type: str):
    client, sent = ready
    description = refused(client.front.post(TOKEN, data=sent | {"grant_type": grant_type}), "unsupported_grant_type")
    assert description.endswith(
        "authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:device_code,"
        " urn:ietf:params:oauth:grant-type:jwt-bearer, urn:ietf:params:oauth:grant-type:token-exchange"
    )


@requirement("token:errors")
@pytest.mark.parametrize(
    ("grant_type", "option"),
    [
        ("client_credentials", "Enable Client Credentials Flow"),
        ("urn:ietf:params:oauth:grant-type:device_code", "Enable Device Flow"),
        ("urn:ietf:params:oauth:grant-type:jwt-bearer", "Enable JWT Bearer Flow"),
        ("urn:ietf:params:oauth:grant-type:token-exchange", "Enable Token Exchange Flow"),
    ],
)
def test_a_grant_type_that_the_app_lacks_is_refused_by_the_name_of_its_option(ready, grant_type: str, option: str):
    client, sent = ready
    description = refused(client.front.post(TOKEN, data=sent | {"grant_type": grant_type}), "unauthorized_client")
    assert f"lacks {option} (Settings)" in description
    assert client.front.post(TOKEN, data=sent).status_code == 200, "the code is as good as before"


@requirement("token:errors")
def test_a_grant_type_that_is_missing_is_a_bad_request(ready):
    client, sent = ready
    for value in (None, ""):
        assert "grant_type" in refused(client.token(**sent | {"grant_type": value}), "invalid_request")


@requirement("token:any-bytes")
def test_no_body_whatever_its_bytes_is_answered_with_a_fault_of_ours(house: House):
    client = add_app(house)
    names = st.sampled_from(["grant_type", "code", "client_id", "code_verifier", "refresh_token", "resource", "scope"])
    values = st.one_of(st.text(max_size=50), st.sampled_from(["authorization_code", "refresh_token", client.client_id]))
    bodies = st.one_of(
        st.binary(max_size=300),
        st.lists(st.tuples(names, values), max_size=10).map(lambda pairs: urlencode(pairs).encode()),
    )
    front = house.client()

    @MANY
    @given(bodies)
    def check(body: bytes) -> None:
        answer = front.post(TOKEN, content=body, headers=FORM)
        refused(answer, answer.json()["error"], answer.status_code)
        assert answer.status_code in (400, 413)

    check()
