"""Signing in through another OpenID provider: node oidc-provider as it is meant to be, and one that lies."""

import base64
import contextlib
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from gatelodge.cli.verbs import perform
from tests.factors import enrol, is_signed_in
from tests.house import House
from tests.oauth.scenes import add_app, claims_of, person, set_active
from tests.people import Person, form, returned
from tests.postgres import _free_port
from tests.requirements import requirement

ROOT = Path(__file__).parents[2]
SECRET = "the secret of gatelodge & = + %"
ACCOUNTS = {
    "ada": {"email": "ada@corp.example", "email_verified": True, "name": "Ada Byron", "groups": ["staff", "admins"]},
    "bob": {"email": "bob@corp.example", "email_verified": True, "name": "Bob", "groups": ["staff"]},
    "mallory": {"email": "robin@acme.example", "email_verified": True, "name": "Robin?", "groups": []},
    "unverified": {"email": "eve@corp.example", "email_verified": False, "name": "Eve", "groups": []},
}


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """node oidc-provider on loopback: its issuer."""
    port = _free_port()
    given = {"redirect_uri": "http://localhost:8765/login/callback", "accounts": ACCOUNTS}
    command = [ROOT / ".tools/node/bin/node", Path(__file__).parent / "provider.mjs", str(port), json.dumps(given)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "listening\n"
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def add_provider(house: House, issuer: str, **changes: Any) -> dict[str, Any]:
    """What an operator types."""
    arguments = {
        "name": "corp", "label": "Corp", "issuer": issuer, "client_id": "gatelodge", "client_secret": SECRET,
        "scope": ["profile", "email", "groups"], "username_claim": "email", "groups_claim": "groups",
        "map": ["admins=Administrator"], "permission_sets": ["Standard_User"], "link_by_username": False,
        "allow_private_addresses": True,
    }  # fmt: skip
    return house.run(perform(house.site, "identity-provider add", arguments | changes))


def visit_provider(url: str, who: str) -> str:
    """The browser at the provider, until it is sent back: the URL that it is sent to."""
    with httpx2.Client(cookies={"who": who}, follow_redirects=False) as browser:
        for _ in range(12):
            answer = browser.get(url)
            assert answer.is_redirect, (answer.status_code, answer.text[:500])
            url = str(httpx2.URL(url).join(answer.headers["location"]))
            if url.startswith("http://localhost:8765"):
                return url
    raise AssertionError("the provider never came to an end")


def sign_in_as(front, who: str, begin: str = "/login/upstream/corp"):
    """The whole way there and back."""
    away = front.get(begin)
    assert away.status_code == 303, away.text
    return front.get(visit_provider(away.headers["location"], who))


def today(house: House) -> None:
    """The provider lives in the present, and so must the house."""
    house.later(max(0.0, time.time() - house.site.clock.exact()))


def stranger(house: House) -> Person:
    return Person(house.client(), "", "")


@pytest.mark.slow
@requirement("upstream:sign-in", "upstream:just-in-time", "upstream:mapping")
def test_the_first_sign_in_makes_a_user_with_the_mapped_permission_sets(house_on: House, node: str):
    today(house_on)
    told = add_provider(house_on, node)
    assert told["redirect_uri"] == f"{house_on.issuer}/login/callback"
    ada = stranger(house_on)
    assert "Sign in with Corp" in ada.front.get("/login").text
    done = sign_in_as(ada.front, "ada", "/login/upstream/corp?next=/setup/users")
    assert done.headers["location"] == f"{house_on.issuer}/setup/users"
    page = ada.front.get("/setup/users").text
    assert "ada@corp.example" in page and "Ada Byron" in page and "Administrator" in page
    bob = stranger(house_on)
    sign_in_as(bob.front, "bob")
    assert is_signed_in(bob) and bob.front.get("/setup/users").status_code == 403


@pytest.mark.slow
@requirement("upstream:within-flow")
def test_it_works_within_the_flow_and_comes_back_to_the_waiting_request(house: House, node: str):
    today(house)
    add_provider(house, node)
    client, ada = add_app(house), stranger(house)
    page = ada.go(client.authorize_url())
    link = page.text.split('class="btn" href="/login/upstream/corp', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    done = sign_in_as(ada.front, "ada", f"/login/upstream/corp{link}")
    assert done.status_code == 200 and 'content="0;url=' in done.text
    page = ada.go(done.text.split('id="continue" href="', 1)[1].split('"', 1)[0])
    answer = client.redeem(returned(ada.answer(page, answer="allow"))["code"])
    assert answer.status_code == 200
    assert claims_of(answer.json()["access_token"])["acr"] == "STANDARD"


@pytest.mark.slow
@requirement("upstream:just-in-time")
def test_later_sign_ins_find_the_same_user_and_follow_name_and_groups(house: House, node: str):
    today(house)
    add_provider(house, node)
    first, again = stranger(house), stranger(house)
    sign_in_as(first.front, "ada")
    before = house.read(_users, house.org.id)
    sign_in_as(again.front, "ada")
    assert house.read(_users, house.org.id) == before
    assert first.front.get("/setup/users").status_code == 200


def _users(org_id: str):
    from gatelodge.core import users

    return (yield from users.in_order(org_id))


@pytest.mark.slow
@requirement("upstream:no-takeover")
def test_a_user_who_was_here_before_is_not_taken_over_unless_the_provider_may_name_users(house: House, node: str):
    today(house)
    add_provider(house, node)
    mallory = stranger(house)
    answer = sign_in_as(mallory.front, "mallory")
    assert answer.status_code == 400 and "was here before" in answer.text and not is_signed_in(mallory)
    house.run(perform(house.site, "identity-provider remove", {"name": "corp"}))
    add_provider(house, node, link_by_username=True, map=[])
    assert sign_in_as(mallory.front, "mallory").status_code == 303
    assert mallory.front.get("/setup/users").status_code == 200


@pytest.mark.slow
@requirement("upstream:refused")
def test_a_deactivated_user_an_unverified_address_and_a_person_who_says_no_are_refused(house: House, node: str):
    today(house)
    add_provider(house, node)
    bob = stranger(house)
    sign_in_as(bob.front, "bob")
    bob.username = "bob@corp.example"
    set_active(house, bob, is_active=False)
    for who, why in (("bob", "is deactivated"), ("unverified", "not verified"), ("nobody", "the person said no")):
        visitor = stranger(house)
        answer = sign_in_as(visitor.front, who)
        assert answer.status_code == 400 and why in answer.text, who
        assert not is_signed_in(visitor)


@pytest.mark.slow
@requirement("upstream:state")
def test_an_answer_counts_once_in_its_own_browser_and_within_ten_minutes(house: House, node: str):
    today(house)
    add_provider(house, node)
    ada, thief = stranger(house), stranger(house)
    away = ada.front.get("/login/upstream/corp")
    back = visit_provider(away.headers["location"], "ada")
    assert thief.front.get("/login").status_code == 200
    stolen = thief.front.get(back)
    assert stolen.status_code == 400 and "another browser" in stolen.text and not is_signed_in(thief)
    assert ada.front.get(back).status_code == 303 and is_signed_in(ada)
    assert ada.front.get(back).status_code == 400
    late = stranger(house)
    back = visit_provider(late.front.get("/login/upstream/corp").headers["location"], "ada")
    house.later(601)
    assert late.front.get(back).status_code == 400 and not is_signed_in(late)


@pytest.mark.slow
@requirement("upstream:second-factor")
def test_a_users_own_second_factor_is_asked_for_where_the_provider_asked_for_none(house: House, node: str):
    today(house)
    add_provider(house, node)
    ada = stranger(house)
    sign_in_as(ada.front, "ada")
    app, _ = enrol(house, ada)
    elsewhere = stranger(house)
    page = sign_in_as(elsewhere.front, "ada")
    assert page.status_code == 200 and not is_signed_in(elsewhere)
    code = app.at(house.site.clock.now() + 30)
    assert elsewhere.front.post("/login", data=form(page, "/login") | {"code": code}).status_code == 303
    assert is_signed_in(elsewhere)


@pytest.mark.slow
@requirement("upstream:verification", "sign_in:verification")
def test_signing_in_again_there_verifies_who_has_no_password_here(house: House, node: str):
    today(house)
    add_provider(house, node)
    ada = stranger(house)
    sign_in_as(ada.front, "ada")
    house.later(601)
    page = ada.front.get(ada.front.get("/setup/second-factors").headers["location"])
    assert 'name="password"' not in page.text
    link = page.text.split('href="/login/upstream/corp', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    away = ada.front.get(f"/login/upstream/corp{link}")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert asked["prompt"] == ["login"] and asked["max_age"] == ["0"]


@requirement("upstream:no-password")
def test_a_user_without_a_password_is_let_in_by_none(house: House):
    from gatelodge.core import secrets, users
    from gatelodge.core.ids import USER

    house.write(
        users.create, id=secrets.new_id(USER), org_id=house.org.id, username="upstream@corp.example", name="U",
        email="u@corp.example", password_hash="", permission_sets=(), now=house.site.clock.now(),
    )  # fmt: skip
    person(house).sign_in_to_setup()
    for password in ("", "x", "nobody's password"):
        front = house.client()
        page = front.get("/login")
        fields = form(page, "/login") | {"username": "upstream@corp.example", "password": password}
        assert front.post("/login", data=fields).status_code == 400


# --- a provider that lies ---------------------------------------------------------------------------------------


class Liar:
    """An OpenID provider in a thread whose every answer a test can change."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256", "use": "sig"})
        self.metadata: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {"alg": "ES256", "kid": "one"}
        self.signs_with: Any = self.key
        self.jwks: list[dict[str, Any]] = [self.key.as_dict(private=False)]
        self.token: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.heard: list[tuple[str, str, str]] = []
        self.nonce = ""
        self.status, self.body = 200, b""

    def __enter__(self) -> "Liar":
        liar = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["content-length"])))

            def answer(self, body: bytes) -> None:
                liar.heard.append((self.path, self.headers.get("authorization", ""), body.decode()))
                status, text = liar.answer(self.path)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{liar.issuer}/jwks")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.issuer = f"http://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, bytes]:
        if self.body and path in self.body_at:
            return self.status, self.body
        if path == "/.well-known/openid-configuration":
            told = {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/auth",
                    "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/jwks"} | self.metadata  # fmt: skip
            if self.userinfo is not None:
                told["userinfo_endpoint"] = f"{self.issuer}/userinfo"
            return 200, msgspec.json.encode(told)
        if path == "/jwks":
            return 200, msgspec.json.encode({"keys": self.jwks})
        if path == "/userinfo":
            return 200, msgspec.json.encode(self.userinfo)
        return 200, msgspec.json.encode(
            {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token()} | self.token
        )

    body_at: tuple[str, ...] = ()

    def id_token(self) -> str:
        now = int(self.now())
        claims = {"iss": self.issuer, "aud": "gatelodge", "sub": "ada", "iat": now, "exp": now + 300,
                  "nonce": self.nonce, "email": "ada@corp.example", "name": "Ada"} | self.claims  # fmt: skip
        kept = {name: value for name, value in claims.items() if value is not None}
        if self.header["alg"] == "none":
            parts = [msgspec.json.encode(self.header), msgspec.json.encode(kept)]
            return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts) + "."
        return jwt.encode(self.header, kept, self.signs_with, algorithms=[self.header["alg"]])

    def now(self) -> float:
        return 1_790_000_000.0


@pytest.fixture
def liar(house: House) -> Iterator[Liar]:
    with Liar() as made:
        add_provider(house, made.issuer, map=[], scope=[])
        yield made


def come_back(house: House, liar: Liar, **changes: str | None):
    """A browser that went to the provider and is sent back with a code: what it is answered."""
    who = stranger(house)
    away = who.front.get("/login/upstream/corp")
    assert away.status_code == 303, away.text
    asked = {name: values[0] for name, values in parse_qs(urlsplit(away.headers["location"]).query).items()}
    liar.nonce = asked["nonce"]
    sent = {"code": "the code", "state": asked["state"]} | changes
    answer = who.front.get("/login/callback", params={name: value for name, value in sent.items() if value is not None})
    assert is_signed_in(who) is (answer.status_code == 303)
    return answer, asked


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
    "a username that is none": {"claims": {"email": "ada"}},
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
    assert answer.status_code == 400 and "Nobody was signed in" in answer.text, lie
    assert not is_signed_in(who)


@requirement("upstream:id-token")
def test_what_the_lies_are_measured_against_is_signed_in(house: House, liar: Liar):
    assert come_back(house, liar)[0].status_code == 303
    liar.claims = {"aud": ["gatelodge"], "email_verified": True, "name": None}
    liar.userinfo = {"sub": "ada", "name": "Ada of userinfo"}
    assert come_back(house, liar)[0].status_code == 303
    names = [user.name for user in house.read(_users, house.org.id)]
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
        assert answer.status_code == 400 and "Nobody was signed in" in answer.text, changes
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
        assert answer.status_code == 400 and "Nobody was signed in" in answer.text
    liar.body = b""
    house.run(perform(house.site, "identity-provider remove", {"name": "corp"}))
    with contextlib.suppress(Exception):
        add_provider(house, liar.issuer, allow_private_addresses=False)
    add_provider(house, f"https://localhost:{urlsplit(liar.issuer).port}", allow_private_addresses=False, scope=[])
    answer = house.client().get("/login/upstream/corp")
    assert answer.status_code == 400 and "no public address" in answer.text


@requirement("upstream:mapping")
def test_permission_sets_follow_the_claim_and_others_are_left_alone(house: House, liar: Liar):
    house.run(perform(house.site, "identity-provider remove", {"name": "corp"}))
    add_provider(house, liar.issuer)

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


@requirement("upstream:operated")
def test_the_command_line_adds_lists_and_removes_and_never_tells_the_secret(house_on: House):
    add_provider(house_on, "https://idp.example")
    told = house_on.run(perform(house_on.site, "identity-provider list", {}))
    assert told[0]["name"] == "corp" and SECRET not in json.dumps(told)
    for changes, why in (
        ({}, "exists already"), ({"name": "Corp!"}, "must be"), ({"name": "b", "issuer": "http://idp.example",
         "allow_private_addresses": False}, "https"), ({"name": "b", "map": ["x=Nope"]}, "no permission set"),
        ({"name": "b", "map": ["x"]}, "VALUE=PERMISSION_SET"), ({"name": "b", "issuer": "https://a.example/?x"}, "query"),
    ):  # fmt: skip
        with pytest.raises(Exception, match=why):
            add_provider(house_on, **({"issuer": "https://idp.example"} | changes))
    assert house_on.run(perform(house_on.site, "identity-provider remove", {"name": "corp"}))
    assert house_on.run(perform(house_on.site, "identity-provider list", {})) == []
    assert house_on.client().get("/login/upstream/corp").status_code == 400
