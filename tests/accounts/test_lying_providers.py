"""An OpenID provider that lies, floods or forgets signs nobody in."""

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey

from gatelodge.cli.verbs import perform
from tests.accounts.providers import SECRET, Liar, add_provider, come_back, stranger, users_of
from tests.factors import is_signed_in
from tests.house import House
from tests.requirements import requirement


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Liar]]:
    """One house with one provider for all of them."""
    with House(tmp_path_factory.mktemp("lies") / "data") as house, Liar() as made:
        add_provider(house, made.issuer, map=[], scope=[])
        yield house, made


@pytest.fixture
def house(settled: tuple[House, Liar]) -> House:
    return settled[0]


@pytest.fixture
def liar(settled: tuple[House, Liar]) -> Liar:
    settled[1].be_honest()
    return settled[1]


def replaced(house: House, issuer: str, **changes: Any) -> None:
    """The operator removes the provider and adds it in another way."""
    house.run(perform(house.site, "identity-provider remove", {"name": "corp"}))
    add_provider(house, issuer, **changes)


@requirement("upstream:request")
def test_the_request_has_pkce_nonce_and_state_and_the_code_is_redeemed_with_the_verifier(house: House, liar: Liar):
    import hashlib

    answer, asked = come_back(house, liar)
    assert answer.status_code == 303
    assert asked["response_type"] == "code" and asked["client_id"] == "gatelodge" and "openid" in asked["scope"].split()
    assert asked["code_challenge_method"] == "S256" and len(asked["nonce"]) >= 32
    _, authorization, body = next(each for each in liar.heard if each[0] == "/token")
    sent = {name: values[0] for name, values in parse_qs(body).items()}
    digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
    assert sent["redirect_uri"] == asked["redirect_uri"] == f"{house.issuer}/login/callback"
    pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
    assert pair == "gatelodge:the+secret+of+gatelodge+%26+%3D+%2B+%25"
    assert len({come_back(house, liar)[1]["nonce"] for _ in range(3)}) == 3


@requirement("upstream:request")
def test_a_provider_that_takes_the_secret_in_the_body_alone_gets_it_there(house: House, liar: Liar):
    liar.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert come_back(house, liar)[0].status_code == 303
    _, authorization, body = next(each for each in liar.heard if each[0] == "/token")
    assert not authorization and parse_qs(body)["client_secret"] == [SECRET]
    liar.metadata = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
    assert come_back(house, liar)[0].status_code == 400


LIES: dict[str, dict[str, Any]] = {
    "another nonce": {"claims": {"nonce": "other"}},
    "no nonce": {"claims": {"nonce": None}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another audience": {"claims": {"aud": "somebody"}},
    "many audiences without azp": {"claims": {"aud": ["gatelodge", "somebody"]}},
    "another azp": {"claims": {"aud": ["gatelodge", "somebody"], "azp": "somebody"}},
    "expired": {"claims": {"iat": 1_789_990_000, "exp": 1_789_999_000}},
    "no expiry": {"claims": {"exp": None}},
    "from the future": {"claims": {"iat": 1_790_009_000, "nbf": 1_790_009_000, "exp": 1_790_010_000}},
    "no subject": {"claims": {"sub": None}},
    "an empty subject": {"claims": {"sub": ""}},
    "a subject that is no text": {"claims": {"sub": 1}},
    "an endless subject": {"claims": {"sub": "x" * 256}},
    "another access token": {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
    "no username": {"claims": {"email": None}},
    "a username that is none": {"claims": {"email": "ada", "sub": "new"}},
    "an unverified address": {"claims": {"email_verified": False}},
    "an unsigned token": {"header": {"alg": "none"}},
    "another key": {"signs_with": ECKey.generate_key("P-256", {"kid": "one"})},
    "a kid nobody published": {"header": {"alg": "ES256", "kid": "two"}},
    "a shared secret": {"header": {"alg": "HS256"}, "signs_with": OctKey.import_key(SECRET)},
    "a critical header": {"header": {"alg": "ES256", "kid": "one", "crit": ["exp"], "exp": 1}},
    "no ID token": {"token": {"id_token": None}},
    "a refused code": {"token": {"id_token": None, "error": "invalid_grant"}},
    "a token that is too long": {"claims": {"filler": "x" * 20_000}},
    "somebody else's userinfo": {"claims": {"name": None}, "userinfo": {"sub": "eve", "email": "ada@corp.example"}},
    "metadata of another issuer": {"metadata": {"issuer": "https://evil.example"}},
    "metadata without keys": {"metadata": {"jwks_uri": None}},
    "a key set with no keys": {"jwks": []},
    "a key set with a shared key": {"jwks": [{"kty": "oct", "k": "AAAA", "kid": "one"}]},
}  # fmt: skip


@requirement("upstream:id-token")
@pytest.mark.parametrize("lie", LIES)
def test_a_provider_that_lies_signs_nobody_in(house: House, liar: Liar, lie: str):
    who = stranger(house)
    away = who.front.get("/login/upstream/corp")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(away.headers["location"]).query).items()}
    liar.nonce = asked["nonce"]
    for name, value in LIES[lie].items():
        setattr(liar, name, value)
    answer = who.front.get("/login/callback", params={"code": "c", "state": asked["state"]})
    assert answer.status_code == 400 and "Not signed in" in answer.text, lie
    assert not is_signed_in(who)


@requirement("upstream:id-token")
def test_what_the_lies_are_measured_against_is_signed_in(house: House, liar: Liar):
    assert come_back(house, liar)[0].status_code == 303
    liar.claims = {"aud": ["gatelodge"], "email_verified": True, "name": None}
    liar.userinfo = {"sub": "ada", "name": "Ada of userinfo"}
    assert come_back(house, liar)[0].status_code == 303
    names = [user.name for user in house.read(users_of, house.org.id)]
    assert "Ada of userinfo" in names


@requirement("upstream:issuer")
def test_an_answer_that_names_another_issuer_or_none_where_it_should_is_refused(house: House, liar: Liar):
    assert come_back(house, liar, iss=liar.issuer)[0].status_code == 303
    answer, _ = come_back(house, liar, iss="https://evil.example")
    assert answer.status_code == 400 and "came from the issuer" in answer.text
    liar.metadata = {"authorization_response_iss_parameter_supported": True}
    assert come_back(house, liar)[0].status_code == 400
    assert come_back(house, liar, iss=liar.issuer)[0].status_code == 303


@requirement("upstream:state")
def test_an_answer_without_a_code_a_state_or_with_a_changed_one_is_refused(house: House, liar: Liar):
    for changes in ({"code": None}, {"state": None}, {"state": "x"}, {"state": "a.b"}, {"error": "server_error"}):
        answer, _ = come_back(house, liar, **changes)
        assert answer.status_code == 400 and "Not signed in" in answer.text, changes
    assert not [each for each in liar.heard if each[0] == "/token"]


@requirement("upstream:guarded")
def test_a_provider_that_redirects_floods_or_is_private_without_leave_is_not_asked(house: House, liar: Liar):
    for status, body, at in (
        (302, b"x", ("/.well-known/openid-configuration",)),
        (200, b"{" + b" " * 70_000 + b"}", ("/.well-known/openid-configuration",)),
        (200, b"[]", ("/.well-known/openid-configuration",)),
        (500, b"{}", ("/.well-known/openid-configuration",)),
    ):
        liar.status, liar.body, liar.body_at = status, body, at
        answer = house.client().get("/login/upstream/corp")
        assert answer.status_code == 400 and "Not signed in" in answer.text
    liar.body = b""
    private = f"https://localhost:{urlsplit(liar.issuer).port}"
    replaced(house, private, allow_private_addresses=False, scope=[])
    answer = house.client().get("/login/upstream/corp")
    assert answer.status_code == 400 and "no public address" in answer.text
    replaced(house, liar.issuer, map=[], scope=[])


@requirement("upstream:mapping")
def test_permission_sets_follow_the_claim_and_others_are_left_alone(house: House, liar: Liar):
    replaced(house, liar.issuer, link_by_username=True)

    def sets() -> list[str]:
        from gatelodge.core import permissions, users

        user = house.read(users.find_by_username, house.org.id, "ada@corp.example")
        return [each.api_name for each in house.read(permissions.access_of, house.org.id, user.id).sets]

    for groups, expected in (
        (["staff"], ["Standard_User"]),
        (["admins", 7, {"x": 1}], ["Administrator", "Standard_User"]),
        ("admins", ["Administrator", "Standard_User"]),
        ([], ["Standard_User"]),
        (None, ["Standard_User"]),
        ({"admins": True}, ["Standard_User"]),
    ):
        liar.claims = {"groups": groups}
        assert come_back(house, liar)[0].status_code == 303
        assert sets() == expected, groups


@requirement("upstream:second-factor")
def test_a_provider_that_asked_for_two_factors_is_believed(house: House, liar: Liar):
    liar.claims = {"amr": ["pwd", "mfa", "unheard-of"]}
    who = stranger(house)
    away = who.front.get("/login/upstream/corp")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    liar.nonce = asked["nonce"][0]
    who.front.get("/login/callback", params={"code": "c", "state": asked["state"][0]})
    assert "with a second factor" in who.front.get("/setup/sessions").text


@requirement("upstream:verification")
def test_who_did_not_really_sign_in_again_there_is_not_verified(house: House, liar: Liar):
    liar.claims = {"auth_time": 1_789_990_000}
    who = stranger(house)
    for begin, verified in (("?next=/setup", False), ("?again=1&next=/setup", False)):
        away = who.front.get(f"/login/upstream/corp{begin}")
        asked = parse_qs(urlsplit(away.headers["location"]).query)
        liar.nonce = asked["nonce"][0]
        who.front.get("/login/callback", params={"code": "c", "state": asked["state"][0]})
        assert (who.front.get("/setup/second-factors").status_code == 200) is verified
    liar.claims = {"auth_time": 1_790_000_000}
    away = who.front.get("/login/upstream/corp?again=1&next=/setup")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    liar.nonce = asked["nonce"][0]
    who.front.get("/login/callback", params={"code": "c", "state": asked["state"][0]})
    assert who.front.get("/setup/second-factors").status_code == 200
