"""How a client proves who it is at the token endpoint, and every way of failing to."""

import hmac as hashing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core import credentials
from tests.generated import MANY
from tests.house import House
from tests.oauth import flows
from tests.oauth.flows import EC, OTHER_EC, RSA, asserted, assertion, basic, give_secret, grant, jwk_set, post, segment
from tests.oauth.scenes import add_app, add_org, code_for, connect, person, refused
from tests.people import OAuthClient
from tests.requirements import requirement


@pytest.fixture(scope="module")
def robin(shared_house: House):
    return person(shared_house)


@pytest.fixture(scope="module")
def confidential(shared_house: House) -> tuple[OAuthClient, str]:
    """An app that must show something in both flows, with a secret and with keys."""
    client = add_app(
        shared_house,
        public_keys=jwk_set(),
        require_secret_for_web_server_flow=True,
        require_secret_for_refresh_token_flow=True,
    )
    return client, give_secret(shared_house, client)


@requirement("clients:secret")
def test_a_secret_is_taken_from_basic_and_from_the_body_and_the_client_then_gets_its_tokens(
    shared_house, robin, confidential
):
    client, secret = confidential
    by_basic = post(client, grant(client, code_for(robin, client)), **basic(client.client_id, secret))
    by_post = post(
        client, grant(client, code_for(robin, client)) | {"client_id": client.client_id, "client_secret": secret}
    )
    assert by_basic.status_code == by_post.status_code == 200, (by_basic.text, by_post.text)


@requirement("clients:secret", "clients:uniform")
def test_a_wrong_secret_is_refused_and_leaves_the_code_to_its_owner(shared_house, robin, confidential):
    client, secret = confidential
    sent = grant(client, code_for(robin, client))
    for wrong in ("x", secret[:-1], secret + "x", secret.swapcase(), "", " " + secret):
        answer = post(client, sent, **basic(client.client_id, wrong))
        said = refused(answer, "invalid_client", 401)
        assert answer.headers["www-authenticate"].startswith("Basic realm=") and (not wrong or wrong not in said)
        refused(post(client, sent | {"client_id": client.client_id, "client_secret": wrong}), "invalid_client")
    refused(post(client, sent | {"client_id": client.client_id}), "invalid_client")
    assert post(client, sent, **basic(client.client_id, secret)).status_code == 200


@requirement("clients:secret")
def test_nobody_can_tell_a_wrong_secret_from_one_of_an_app_of_another_org(shared_house, confidential):
    client, secret = confidential
    elsewhere = add_app(shared_house, org=add_org(shared_house, "elsewhere"))
    theirs = post(client, {"grant_type": "client_credentials"}, **basic(elsewhere.client_id, secret))
    nobodys = post(client, {"grant_type": "client_credentials"}, **basic("3MVG9" + "x" * 80, secret))
    assert theirs.status_code == nobodys.status_code == 401 and theirs.json() == nobodys.json()


OPTIONS = [
    (False, None, 200),
    (False, "right", 200),
    (False, "wrong", 400),
    (True, None, 400),
    (True, "right", 200),
    (True, "wrong", 400),
]


@requirement("clients:web-server-option")
@pytest.mark.parametrize(("required", "sent", "status"), OPTIONS)
def test_require_secret_for_web_server_flow(shared_house, robin, required: bool, sent: str | None, status: int):
    client = add_app(shared_house, require_secret_for_web_server_flow=required)
    secret = give_secret(shared_house, client)
    shown = {"right": secret, "wrong": "not the secret", None: None}[sent]
    answer = client.redeem(code_for(robin, client), client_secret=shown)
    assert answer.status_code == status, answer.text
    if status == 200:  # the other flow has an option of its own
        assert client.refresh(answer.json()["refresh_token"]).status_code == 200


@requirement("clients:refresh-option")
@pytest.mark.parametrize(("required", "sent", "status"), OPTIONS)
def test_require_secret_for_refresh_token_flow(shared_house, robin, required: bool, sent: str | None, status: int):
    client = add_app(shared_house, require_secret_for_refresh_token_flow=required)
    secret = give_secret(shared_house, client)
    held = connect(robin, client)["refresh_token"]
    shown = {"right": secret, "wrong": "not the secret", None: None}[sent]
    assert client.refresh(held, client_secret=shown).status_code == status
    assert client.refresh(held, client_secret=secret).status_code == 200, "a refusal uses nothing up"


@requirement("clients:private-key-jwt")
@pytest.mark.parametrize("key", [EC, RSA], ids=["ES256", "RS256"])
@pytest.mark.parametrize("names_itself", [True, False])
def test_a_signed_assertion_is_proof_for_our_issuer(shared_house, robin, confidential, key, names_itself: bool):
    client, _ = confidential
    sent = grant(client, code_for(robin, client)) | asserted(assertion(shared_house, client, key))
    answer = post(client, sent | ({"client_id": client.client_id} if names_itself else {}))
    assert answer.status_code == 200, answer.text
    again = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}
    refused(post(client, again | {"client_id": client.client_id}), "invalid_client")
    assert post(client, again | asserted(assertion(shared_house, client, key))).status_code == 200


def hmac(house: House, client: OAuthClient, secret: bytes) -> str:
    """An assertion whose MAC is keyed with what everybody knows."""
    claims = assertion(house, client).split(".")[1]
    text = f"{segment({'alg': 'HS256', 'kid': 'ours', 'typ': 'JWT'})}.{claims}"
    return f"{text}.{segment(hashing.digest(secret, text.encode(), 'sha256'))}"


def spliced(house: House, client: OAuthClient, header: object) -> str:
    """A good assertion under a header that it was not signed with."""
    _, claims, signature = assertion(house, client).split(".")
    return f"{segment(header)}.{claims}.{signature}"


ATTACKS = {
    "signed by another key of the same kid": lambda h, c: assertion(h, c, OTHER_EC),
    "for the token endpoint": lambda h, c: assertion(h, c, aud=f"{c.issuer}/services/oauth2/token"),
    "for the issuer with a slash": lambda h, c: assertion(h, c, aud=f"{c.issuer}/"),
    "for a list with our issuer": lambda h, c: assertion(h, c, aud=[c.issuer]),
    "for us and another": lambda h, c: assertion(h, c, aud=[c.issuer, "https://evil.example"]),
    "for another server": lambda h, c: assertion(h, c, aud="https://evil.example"),
    "for nobody": lambda h, c: assertion(h, c, aud=None),
    "by another issuer": lambda h, c: assertion(h, c, iss="3MVG9" + "x" * 80),
    "by nobody": lambda h, c: assertion(h, c, iss=None),
    "about another client": lambda h, c: assertion(h, c, sub="3MVG9" + "x" * 80),
    "about a user": lambda h, c: assertion(h, c, sub="robin@acme.example"),
    "about nobody": lambda h, c: assertion(h, c, sub=None),
    "expired": lambda h, c: assertion(h, c, exp=h.site.clock.now() - 1),
    "without end": lambda h, c: assertion(h, c, exp=None),
    "for a year": lambda h, c: assertion(h, c, exp=h.site.clock.now() + 31_536_000),
    "until the end of numbers": lambda h, c: assertion(h, c, exp=1e308),
    "with an end in words": lambda h, c: assertion(h, c, exp="tomorrow"),
    "from the future": lambda h, c: assertion(h, c, iat=h.site.clock.now() + 3600),
    "not valid before tomorrow": lambda h, c: assertion(h, c, nbf=h.site.clock.now() + 86_400),
    "without jti": lambda h, c: assertion(h, c, jti=None),
    "with an empty jti": lambda h, c: assertion(h, c, jti=""),
    "with an endless jti": lambda h, c: assertion(h, c, jti="x" * 2000),
    "alg none": lambda h, c: ".".join((*spliced(h, c, {"alg": "none", "kid": "ours"}).split(".")[:2], "")),
    "alg none with a signature": lambda h, c: spliced(h, c, {"alg": "none", "kid": "ours"}),
    "HS256 with the public key in PEM": lambda h, c: hmac(h, c, EC.as_pem(private=False)),
    "HS256 with the public key in DER": lambda h, c: hmac(h, c, EC.as_der(private=False)),
    "HS256 with the JWK Set": lambda h, c: hmac(h, c, jwk_set().encode()),
    "its own jwk": lambda h, c: assertion(h, c, OTHER_EC, header={"jwk": flows.public(OTHER_EC)}),
    "a jku of its own": lambda h, c: assertion(h, c, OTHER_EC, header={"jku": "https://evil.example/keys"}),
    "an x5u of its own": lambda h, c: assertion(h, c, OTHER_EC, header={"x5u": "https://evil.example/cert"}),
    "crit": lambda h, c: spliced(h, c, {"alg": "ES256", "kid": "ours", "crit": ["exp"]}),
    "an unknown kid": lambda h, c: assertion(h, c, header={"kid": "theirs"}),
    "a kid that is a path": lambda h, c: assertion(h, c, header={"kid": "../../etc/passwd"}),
    "no kid among two keys": lambda h, c: assertion(h, c, header={"kid": None}),
    "the kid of the other key": lambda h, c: assertion(h, c, header={"kid": "ours-rsa"}),
    "RS256 under the kid of the EC key": lambda h, c: assertion(h, c, RSA, header={"kid": "ours"}),
    "without a signature": lambda h, c: assertion(h, c).rpartition(".")[0] + ".",
    "with a signature that is cut": lambda h, c: assertion(h, c)[:-4],
    "two parts": lambda h, c: assertion(h, c).rpartition(".")[0],
    "four parts": lambda h, c: assertion(h, c) + ".x",
    "longer than anything": lambda h, c: assertion(h, c, pad="x" * 9000)[:8190],
    "empty": lambda h, c: "x",
}


@requirement("clients:assertion-attacks")
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_assertion_that_is_not_this_apps_own_for_us_now_is_refused(shared_house, confidential, attack: str):
    client, _ = confidential
    forged = ATTACKS[attack](shared_house, client)
    answer = post(
        client, {"grant_type": "refresh_token", "refresh_token": "x", "client_id": client.client_id} | asserted(forged)
    )
    said = refused(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"].startswith("Basic ") and forged not in said
    assert not any(word in answer.text for word in ("Traceback", "Error", "evil.example"))


@requirement("clients:assertion-once")
def test_an_assertion_is_believed_once_and_for_as_long_as_it_lives(house_on: House):
    client = add_app(house_on, public_keys=jwk_set(EC), require_secret_for_refresh_token_flow=True)
    held = connect(person(house_on), client)["refresh_token"]
    text = assertion(house_on, client, exp=house_on.site.clock.now() + 500)
    sent = {"grant_type": "refresh_token", "refresh_token": held} | asserted(text)
    assert post(client, sent).status_code == 200
    for wait in (0, 60, 400):
        house_on.later(wait)
        assert "bad_jti_claim" in refused(post(client, sent), "invalid_client", 401)
    house_on.later(60)
    assert "expired" in refused(post(client, sent), "invalid_client", 401)


@requirement("clients:assertion-once")
def test_a_jti_belongs_to_its_app(shared_house, robin, confidential):
    client, _ = confidential
    other = add_app(shared_house, public_keys=jwk_set(), require_secret_for_web_server_flow=True)
    for each in (client, other):
        sent = grant(each, code_for(robin, each)) | asserted(assertion(shared_house, each, jti="the same"))
        assert post(each, sent).status_code == 200


@requirement("clients:private-key-jwt")
def test_an_app_without_keys_takes_no_assertion_and_one_with_a_pem_certificate_does(shared_house, robin):
    client = add_app(shared_house)
    sent = grant(client, code_for(robin, client))
    assert "Settings" in refused(post(client, sent | asserted(assertion(shared_house, client))), "invalid_client", 401)
    certified = add_app(shared_house, public_keys=certificate(), require_secret_for_web_server_flow=True)
    text = assertion(shared_house, certified, header={"kid": None})
    assert post(certified, grant(certified, code_for(robin, certified)) | asserted(text)).status_code == 200


def certificate() -> str:
    """A self-signed certificate over the app's EC key."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client.example")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(EC.public_key).serial_number(1)
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).not_valid_after(dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
        .sign(EC.private_key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM).decode()


@requirement("clients:one-way")
def test_two_ways_at_once_are_refused_and_so_is_a_strange_assertion_type(shared_house, confidential):
    client, secret = confidential
    sent = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": client.client_id}
    text = asserted(assertion(shared_house, client))
    refused(post(client, sent | text | {"client_secret": secret}), "invalid_request")
    refused(post(client, sent | text, **basic(client.client_id, secret)), "invalid_request")
    refused(post(client, sent | text | {"client_assertion_type": "urn:x"}), "invalid_request")
    refused(post(client, sent | {"client_assertion": text["client_assertion"]}), "invalid_request")
    assert post(client, sent | text).json()["error"] == "invalid_grant", "nothing of this used the assertion up"


@requirement("clients:last-use")
def test_the_last_use_of_a_secret_is_written_down_to_the_minute(shared_house, robin, confidential):
    client, secret = confidential
    shared_house.later(3600)
    assert post(client, grant(client, code_for(robin, client)), **basic(client.client_id, secret)).status_code == 200
    app = flows.app_of(shared_house, client)
    own = shared_house.read(credentials.of_app, app.org_id, app.id, shared_house.site.clock.now())[0]
    assert own.last_used_at == shared_house.site.clock.now()


@requirement("clients:assertion-any-text")
def test_no_assertion_whatever_its_parts_is_answered_with_a_fault_of_ours(shared_house, confidential):
    client, _ = confidential
    scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
    objects = st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "crit", "jwk"]),
        st.one_of(scalars, st.lists(scalars, max_size=3), st.just(client.client_id), st.just(client.issuer)),
    )
    parts = st.one_of(
        objects.map(segment),
        st.text(max_size=40).map(segment),
        st.binary(max_size=40).map(segment),
        st.text(max_size=20),
    )
    texts = st.one_of(st.text(max_size=200), st.tuples(parts, parts, parts).map(".".join))

    @MANY
    @given(texts, st.sampled_from(["client_assertion", "assertion"]))
    def check(text: str, name: str) -> None:
        sent = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "client_id": client.client_id}
        extra = asserted(text) if name == "client_assertion" else {"assertion": text}
        answer = post(client, {key: value for key, value in (sent | extra).items() if value})
        refused(answer, answer.json()["error"], answer.status_code)
        assert answer.status_code in (400, 401)

    check()
