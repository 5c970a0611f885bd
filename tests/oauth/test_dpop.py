"""DPoP: tokens bound to a key, at the token endpoint and at every resource."""

import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core import connections
from tests.generated import MANY
from tests.house import House
from tests.oauth import flows
from tests.oauth.flows import EC, OTHER_EC, RSA, SMALL_RSA, ath, give_secret, proof, public, segment
from tests.oauth.scenes import add_app, change_app, claims_of, code_for, connect, opens, person, refused
from tests.people import OAuthClient, tools_list
from tests.requirements import requirement


@pytest.fixture(scope="module")
def client(shared_house: House) -> OAuthClient:
    return add_app(shared_house)


@pytest.fixture(scope="module")
def robin(shared_house: House):
    return person(shared_house)


def token_url(client: OAuthClient) -> str:
    return f"{client.issuer}/services/oauth2/token"


def server(client: OAuthClient) -> str:
    return f"{client.issuer}/mcp/sobject-reads"


def ask(client: OAuthClient, shown: str | None, **sent: str) -> httpx2.Response:
    headers = {"DPoP": shown} if shown is not None else {}
    return client.front.post(token_url(client), data={"client_id": client.client_id} | sent, headers=headers)


def redeem(client: OAuthClient, code: str, shown: str | None, **more: str) -> httpx2.Response:
    return ask(client, shown, **flows.grant(client, code), **more)


def bound(house: House, who, client: OAuthClient, key=EC, **changes: str) -> dict:
    answer = redeem(client, code_for(who, client, **changes), proof(house, token_url(client), key))
    assert answer.status_code == 200, answer.text
    return answer.json()


def call(client: OAuthClient, token: str, shown: str | None, scheme: str = "DPoP") -> httpx2.Response:
    headers = {"Authorization": f"{scheme} {token}"} | ({"DPoP": shown} if shown is not None else {})
    return tools_list(client.front, server(client), None, **headers)


@requirement("dpop:bound", "dpop:resource")
@pytest.mark.parametrize("key", [EC, RSA], ids=["ES256", "RS256"])
def test_a_token_is_bound_to_the_key_of_the_proof_and_opens_the_server_with_it(house_on: House, key):
    client, who = add_app(house_on), person(house_on)
    body = bound(house_on, who, client, key)
    assert body["token_type"] == "DPoP"
    assert claims_of(body["access_token"])["cnf"] == {"jkt": key.thumbprint()}
    shown = proof(house_on, server(client), key, token=body["access_token"])
    answer = call(client, body["access_token"], shown)
    assert answer.status_code == 200 and answer.json()["result"]["tools"]
    replay = call(client, body["access_token"], shown)
    assert replay.status_code == 401 and 'DPoP error="invalid_dpop_proof"' in replay.headers["www-authenticate"]
    assert (
        call(client, body["access_token"], proof(house_on, server(client), key, token=body["access_token"])).status_code
        == 200
    )


@requirement("dpop:schemes")
def test_a_bound_token_is_no_bearer_token_and_a_bearer_token_is_not_bound(shared_house: House, robin, client):
    theirs = bound(shared_house, robin, client)["access_token"]
    for shown in (None, proof(shared_house, server(client), token=theirs)):
        answer = call(client, theirs, shown, scheme="Bearer")
        assert answer.status_code == 401
        assert 'DPoP error="invalid_token"' in answer.headers["www-authenticate"]
    plain = connect(robin, client)["access_token"]
    assert opens(client, plain)
    answer = call(client, plain, proof(shared_house, server(client), token=plain))
    assert answer.status_code == 401 and "bound to no key" in answer.headers["www-authenticate"]
    assert call(client, theirs, proof(shared_house, server(client), token=theirs), scheme="dpop").status_code == 200


@requirement("dpop:challenge")
def test_the_challenge_names_both_schemes_bearer_first(shared_house: House, client):
    header = call(client, "x", None, scheme="Basic").headers["www-authenticate"]
    assert header.startswith("Bearer resource_metadata=") and 'scope="mcp_api"' in header
    assert header.endswith('DPoP algs="ES256 RS256 PS256"') and "error" not in header
    bad = call(client, "a.b.c", None).headers["www-authenticate"]
    assert 'DPoP error="invalid_token"' in bad and "Bearer error" not in bad


def without(house: House, url: str, member: str) -> str:
    jwk = public(EC)
    jwk.pop(member)
    return proof(house, url, header={"jwk": jwk})


def respliced(text: str, header: dict) -> str:
    return ".".join((segment(header), *text.split(".")[1:]))


HEAD = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(EC)}
BAD = {
    "another method": lambda h, u, **t: proof(h, u, htm="GET", **t),
    "the method in small letters": lambda h, u, **t: proof(h, u, htm="post", **t),
    "no method": lambda h, u, **t: proof(h, u, htm=None, **t),
    "another path": lambda h, u, **t: proof(h, u + "/x", **t),
    "another host": lambda h, u, **t: proof(h, u.replace("localhost:8765", "evil.example"), **t),
    "another port": lambda h, u, **t: proof(h, u.replace("8765", "8766"), **t),
    "another scheme": lambda h, u, **t: proof(h, u.replace("http:", "https:"), **t),
    "a user in the URL": lambda h, u, **t: proof(h, u.replace("localhost", "evil@localhost"), **t),
    "no URL": lambda h, u, **t: proof(h, u, htu=None, **t),
    "no kind of URL": lambda h, u, **t: proof(h, u, htu="http://[", **t),
    "an old proof": lambda h, u, **t: proof(h, u, iat=h.site.clock.now() - 61, **t),
    "a proof of tomorrow": lambda h, u, **t: proof(h, u, iat=h.site.clock.now() + 61, **t),
    "no time": lambda h, u, **t: proof(h, u, iat=None, **t),
    "a time in words": lambda h, u, **t: proof(h, u, iat="now", **t),
    "a time beyond all": lambda h, u, **t: proof(h, u, iat=1e308, **t),
    "no jti": lambda h, u, **t: proof(h, u, jti=None, **t),
    "an empty jti": lambda h, u, **t: proof(h, u, jti="", **t),
    "an endless jti": lambda h, u, **t: proof(h, u, jti="x" * 300, **t),
    "typ JWT": lambda h, u, **t: proof(h, u, header={"typ": "JWT"}, **t),
    "no typ": lambda h, u, **t: proof(h, u, header={"typ": None}, **t),
    "alg none": lambda h, u, **t: respliced(proof(h, u, **t), HEAD | {"alg": "none"}),
    "alg HS256": lambda h, u, **t: respliced(proof(h, u, **t), HEAD | {"alg": "HS256"}),
    "alg ES384": lambda h, u, **t: respliced(proof(h, u, **t), HEAD | {"alg": "ES384"}),
    "no jwk": lambda h, u, **t: proof(h, u, header={"jwk": None}, **t),
    "a private jwk": lambda h, u, **t: proof(h, u, header={"jwk": EC.as_dict(private=True)}, **t),
    "a symmetric jwk": lambda h, u, **t: respliced(proof(h, u, **t), HEAD | {"jwk": {"kty": "oct", "k": "AAAA"}}),
    "another jwk than the signer's": lambda h, u, **t: proof(h, u, header={"jwk": public(OTHER_EC)}, **t),
    "a jwk without y": lambda h, u, **t: without(h, u, "y"),
    "a jwk of another curve": lambda h, u, **t: proof(h, u, header={"jwk": public(EC) | {"crv": "P-384"}}, **t),
    "a point that is on no curve": lambda h, u, **t: proof(
        h, u, header={"jwk": public(EC) | {"x": public(EC)["y"]}}, **t
    ),
    "a jwk that is a list": lambda h, u, **t: respliced(proof(h, u, **t), HEAD | {"jwk": [public(EC)]}),
    "a member that is a number": lambda h, u, **t: respliced(proof(h, u, **t), HEAD | {"jwk": public(EC) | {"x": 1}}),
    "an enormous RSA key": lambda h, u, **t: respliced(
        proof(h, u, RSA, **t), {"typ": "dpop+jwt", "alg": "RS256", "jwk": public(RSA) | {"n": "A" + "z" * 4000}}
    ),
    "an enormous exponent": lambda h, u, **t: respliced(
        proof(h, u, RSA, **t), {"typ": "dpop+jwt", "alg": "RS256", "jwk": public(RSA) | {"e": "z" * 300}}
    ),
    "crit": lambda h, u, **t: respliced(proof(h, u, **t), HEAD | {"crit": ["exp"]}),
    "a jku": lambda h, u, **t: respliced(proof(h, u, **t), HEAD | {"jku": "https://evil.example"}),
    "no signature": lambda h, u, **t: proof(h, u, **t).rpartition(".")[0] + ".",
    "a cut signature": lambda h, u, **t: proof(h, u, **t)[:-3],
    "two parts": lambda h, u, **t: proof(h, u, **t).rpartition(".")[0],
    "too long": lambda h, u, **t: proof(h, u, pad="x" * 9000, **t),
    "empty": lambda h, u, **t: "",
    "words": lambda h, u, **t: "not a proof",
}


def weak(house: House, url: str, token: str = "") -> str:
    """A proof by an RSA key of 1024 bits, signed by hand since our library refuses to."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    claims = proof(house, url, token=token).split(".")[1]
    text = f"{segment({'typ': 'dpop+jwt', 'alg': 'RS256', 'jwk': public(SMALL_RSA)})}.{claims}"
    return f"{text}.{segment(SMALL_RSA.private_key.sign(text.encode(), PKCS1v15(), hashes.SHA256()))}"


BAD["a small RSA key"] = weak


@pytest.fixture(scope="module")
def token(shared_house: House, robin, client) -> str:
    change_app(shared_house, client, access_token_minutes=720)
    return bound(shared_house, robin, client)["access_token"]


@requirement("dpop:bad-proofs")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_proof_is_refused_at_the_token_endpoint_and_at_the_server(
    shared_house: House, robin, client, token, name: str
):
    shown = BAD[name](shared_house, token_url(client))
    said = refused(ask(client, shown, grant_type="refresh_token", refresh_token="x"), "invalid_dpop_proof")
    assert "evil.example" not in said and (not shown or shown not in said)
    at_server = BAD[name](shared_house, server(client), token=token)
    answer = call(client, token, at_server)
    assert answer.status_code == 401, answer.text
    assert 'DPoP error="invalid_dpop_proof"' in answer.headers["www-authenticate"]


@requirement("dpop:bad-proofs", "dpop:resource")
def test_at_a_server_the_proof_must_be_for_this_token_and_by_its_key(shared_house: House, robin, client, token):
    other = bound(shared_house, robin, client)["access_token"]
    for shown in (
        None,
        proof(shared_house, server(client)),
        proof(shared_house, server(client), token=other),
        proof(shared_house, server(client), ath=ath(token)[:-1]),
        proof(shared_house, server(client), OTHER_EC, token=token),
        proof(shared_house, token_url(client), token=token),
    ):
        answer = call(client, token, shown)
        assert answer.status_code == 401 and "invalid_dpop_proof" in answer.headers["www-authenticate"]
    assert call(client, token, proof(shared_house, server(client), token=token)).status_code == 200
    two = [("DPoP", proof(shared_house, server(client), token=token)) for _ in range(2)]
    sent = client.front.post(server(client), headers=[("Authorization", f"DPoP {token}"), *two])
    assert sent.status_code == 401


@requirement("dpop:configured-url")
def test_the_url_is_the_configured_one_and_query_case_and_default_port_do_not_count(
    shared_house: House, robin, client, token
):
    for url in (
        server(client) + "?a=b",
        server(client) + "#x",
        server(client).replace("localhost", "LOCALHOST").replace("http", "HTTP"),
    ):
        assert call(client, token, proof(shared_house, url, token=token)).status_code == 200
    lied = proof(shared_house, server(client).replace("localhost:8765", "evil.example"), token=token)
    answer = tools_list(
        client.front,
        server(client),
        None,
        Authorization=f"DPoP {token}",
        DPoP=lied,
        **{"X-Forwarded-Host": "evil.example"},
    )
    assert answer.status_code == 401


@requirement("dpop:window")
def test_a_proof_is_good_for_a_minute_on_either_side_and_for_one_use_in_it(shared_house: House, client, token):
    for seconds in (-60, 60):
        shown = proof(shared_house, server(client), token=token, iat=shared_house.site.clock.now() + seconds)
        assert call(client, token, shown).status_code == 200
        assert call(client, token, shown).status_code == 401
    ahead = proof(shared_house, server(client), token=token, iat=shared_house.site.clock.now() + 60)
    assert call(client, token, ahead).status_code == 200
    for seconds in (59, 60, 2):
        shared_house.later(seconds)
        assert call(client, token, ahead).status_code == 401


@requirement("dpop:code")
def test_a_code_asked_for_with_a_key_is_redeemed_with_that_key_alone(shared_house: House, robin, client):
    code = code_for(robin, client, dpop_jkt=EC.thumbprint())
    refused(redeem(client, code, None), "invalid_grant")
    refused(redeem(client, code, proof(shared_house, token_url(client), OTHER_EC)), "invalid_grant")
    body = redeem(client, code, proof(shared_house, token_url(client))).json()
    assert claims_of(body["access_token"])["cnf"]["jkt"] == EC.thumbprint()
    answer = client.front.get(client.authorize_url(dpop_jkt="x"))
    assert "error=invalid_request" in answer.headers["location"]


@requirement("dpop:refresh")
def test_a_public_clients_refresh_token_needs_the_same_key(shared_house: House, robin, client):
    held = bound(shared_house, robin, client)["refresh_token"]
    sent = {"grant_type": "refresh_token", "refresh_token": held}
    refused(ask(client, None, **sent), "invalid_grant")
    refused(ask(client, proof(shared_house, token_url(client), OTHER_EC), **sent), "invalid_grant")
    body = ask(client, proof(shared_house, token_url(client)), **sent).json()
    assert body["token_type"] == "DPoP" and claims_of(body["access_token"])["cnf"]["jkt"] == EC.thumbprint()


@requirement("dpop:refresh")
def test_a_client_that_proves_who_it_is_may_change_the_key_and_never_drop_it(shared_house: House, robin):
    client = add_app(shared_house, require_secret_for_refresh_token_flow=True)
    secret = give_secret(shared_house, client)
    held = bound(shared_house, robin, client)["refresh_token"]
    sent = {"grant_type": "refresh_token", "refresh_token": held, "client_secret": secret}
    refused(ask(client, None, **sent), "invalid_grant")
    body = ask(client, proof(shared_house, token_url(client), OTHER_EC), **sent).json()
    fresh = body["access_token"]
    assert claims_of(fresh)["cnf"]["jkt"] == OTHER_EC.thumbprint()
    assert call(client, fresh, proof(shared_house, server(client), OTHER_EC, token=fresh)).status_code == 200
    assert call(client, fresh, proof(shared_house, server(client), EC, token=fresh)).status_code == 401


@requirement("dpop:bound")
def test_a_bearer_connection_may_have_bound_tokens_too(shared_house: House, robin, client):
    tokens = connect(robin, client)
    body = ask(
        client,
        proof(shared_house, token_url(client)),
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
    ).json()
    assert body["token_type"] == "DPoP" and not opens(client, body["access_token"])


@requirement("dpop:opaque")
def test_an_opaque_token_is_bound_in_the_database(house_on: House):
    client = add_app(house_on, jwt_access_tokens=False)
    text = bound(house_on, person(house_on), client)["access_token"]
    claims = house_on.run(house_on.site.access.read(house_on.org, text))
    assert claims.cnf.jkt == EC.thumbprint()


@requirement("dpop:other-grants")
def test_every_grant_binds_and_an_exchange_needs_the_subjects_key(shared_house: House, robin):
    client = add_app(shared_house, token_exchange_flow=True, client_credentials_flow=True)
    secret = give_secret(shared_house, client)
    change_app(shared_house, client, token_exchange=True, client_credentials=True, run_as="sam@acme.example")
    body = ask(
        client, proof(shared_house, token_url(client)), grant_type="client_credentials", client_secret=secret
    ).json()
    assert body["token_type"] == "DPoP" and claims_of(body["access_token"])["cnf"]["jkt"] == EC.thumbprint()
    plain = ask(client, None, grant_type="client_credentials", client_secret=secret).json()
    assert plain["token_type"] == "Bearer" and "cnf" not in claims_of(plain["access_token"])
    swap = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "client_secret": secret,
        "subject_token": bound(shared_house, robin, client)["access_token"],
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }  # fmt: skip
    refused(ask(client, None, **swap), "invalid_dpop_proof")
    refused(ask(client, proof(shared_house, token_url(client), OTHER_EC), **swap), "invalid_dpop_proof")
    assert ask(client, proof(shared_house, token_url(client)), **swap).json()["token_type"] == "DPoP"


@requirement("dpop:resource")
def test_a_bound_token_of_an_ended_connection_is_refused_whatever_the_proof(shared_house: House, robin, client):
    text = bound(shared_house, robin, client)["access_token"]
    shared_house.write(
        connections.end, shared_house.org.id, claims_of(text)["connection_id"], shared_house.site.clock.now(), "test"
    )
    shared_house.catch_up()
    assert call(client, text, proof(shared_house, server(client), token=text)).status_code == 401


@requirement("dpop:metadata")
def test_the_metadata_lists_the_algorithms(shared_house: House, client):
    document = client.front.get(f"{client.issuer}/.well-known/oauth-authorization-server").json()
    assert document["dpop_signing_alg_values_supported"] == ["ES256", "RS256", "PS256"]
    assert document["pushed_authorization_request_endpoint"] == f"{client.issuer}/services/oauth2/par"
    assert document["device_authorization_endpoint"] == f"{client.issuer}/services/oauth2/device"
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ["ES256", "RS256"]


@requirement("dpop:any-text")
def test_no_proof_whatever_its_parts_is_answered_with_a_fault_of_ours(shared_house: House, client):
    scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
    jwks = st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d"]),
        st.one_of(scalars, st.sampled_from(["EC", "RSA", "P-256", "AQAB", public(EC)["x"], public(RSA)["n"]])),
    )
    headers = st.fixed_dictionaries(
        {
            "typ": st.one_of(st.just("dpop+jwt"), scalars),
            "alg": st.one_of(st.sampled_from(["ES256", "RS256", "PS256"]), scalars),
            "jwk": st.one_of(jwks, st.just(public(EC)), st.just(public(RSA)), scalars),
        }
    )
    payloads = st.dictionaries(
        st.sampled_from(["jti", "htm", "htu", "iat", "ath"]), st.one_of(scalars, st.just(token_url(client)))
    )
    ends = st.one_of(st.binary(max_size=80).map(segment), st.just(""))
    texts = st.one_of(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200),
        st.tuples(
            st.one_of(headers.map(segment), scalars.map(lambda v: segment(json.dumps(v)))), payloads.map(segment), ends
        ).map(".".join),
        st.builds(lambda claims: flows.signed(claims, EC, typ="dpop+jwt", kid=None, jwk=public(EC)), payloads),
    )

    @MANY
    @given(texts)
    def check(text: str) -> None:
        refused(ask(client, text, grant_type="refresh_token", refresh_token="x"), "invalid_dpop_proof")

    check()
