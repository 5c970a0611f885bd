"""Where sessions, second factors, providers and strangers meet."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.accounts.providers import Liar, add_provider, stranger
from tests.factors import Authenticator, add_passkey, is_signed_in, options_on, passkey_form, with_password
from tests.house import PUBLIC_URL, House
from tests.oauth.scenes import add_app, add_user, person, user_id
from tests.people import Person, form
from tests.requirements import requirement
from tests.setup.offices import administrator, audited, send, token


@pytest.fixture
def liar() -> Iterator[Liar]:
    with Liar() as made:
        yield made


def through(who: Person, liar: Liar, begin: str) -> None:
    """To the provider and back."""
    away = who.front.get(f"/login/upstream/corp{begin}")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    liar.nonce = asked["nonce"][0]
    assert who.front.get("/login/callback", params={"code": "c", "state": asked["state"][0]}).status_code in (200, 303)


@requirement("together:not-verified-by-a-silent-sign-in")
def test_a_provider_that_tells_no_time_of_sign_in_verifies_nobody(house: House, liar: Liar):
    add_provider(house, liar.issuer, map=[], scope=[])
    liar.claims.pop("auth_time", None)
    who = stranger(house)
    through(who, liar, "?next=/setup")
    assert is_signed_in(who)
    assert "/setup/verify" in who.front.get("/setup/second-factors").headers["location"]
    liar.claims = {"auth_time": house.site.clock.now()}
    through(who, liar, "?again=1&next=/setup")
    assert who.front.get("/setup/second-factors").status_code == 200


@requirement("together:strangers-hash-nothing")
def test_wrong_setup_links_at_once_keep_nobody_from_signing_in(house: House):
    front = house.client()
    fields = form(front.get("/login"), "/login") | {"token": "made up", "username": "a@b.example", "password": "p" * 20}

    async def at_once() -> list[int]:
        posts = (front._http.post("/setup/first", data=fields) for _ in range(80))
        return [answer.status_code for answer in await asyncio.gather(*posts)]

    assert set(house.run(at_once())) == {303}
    assert person(house).sign_in_to_setup().status_code == 303


@requirement("together:nul-in-json")
@pytest.mark.parametrize("name", ["id", "rawId"])
def test_a_passkeys_answer_with_nul_is_refused_and_no_incident(house: House, name: str):
    owner, key = add_user(house), Authenticator(PUBLIC_URL)
    owner.sign_in_to_setup()
    add_passkey(owner, key)
    front = house.client()
    page = front.get("/login")
    answer = json.loads(key.get(options_on(page))) | {name: "a\0b"}
    said = front.post("/login", data=passkey_form(page, "/login") | {"passkey": json.dumps(answer)})
    assert said.status_code == 400, said.text
    assert "Incident" not in said.text


@requirement("together:nul-in-json")
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize("claim", ["sub", "email", "name", "amr", "groups"])
def test_a_providers_claims_with_nul_are_refused_and_no_incident(house: House, liar: Liar, claim: str, text: str):
    add_provider(house, liar.issuer)
    liar.claims = {claim: [text] if claim in ("amr", "groups") else f"{text}@corp.example"}
    who = stranger(house)
    away = who.front.get("/login/upstream/corp?next=/setup")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    liar.nonce = asked["nonce"][0]
    said = who.front.get("/login/callback", params={"code": "c", "state": asked["state"][0]})
    assert said.status_code in (303, 400) and "Incident" not in said.text


@requirement("together:password-change-is-told")
def test_a_changed_password_is_written_down_and_ends_the_links_made_before(house_on: House):
    robin, kim = administrator(house_on), add_user(house_on)
    kim.sign_in_to_setup()
    kim_id = user_id(house_on, kim)
    page = robin.front.post(f"/setup/users/{kim_id}", data={"form_token": token(robin), "act": "reset-link"})
    link = page.text.split("/login/reset?token=", 1)[1][:43]
    assert house_on.client().get(f"/login/reset?token={link}").status_code == 200
    changed = send(kim, "/setup/password", current=kim.password, fresh="another long password")
    assert changed.status_code == 200 and "user:password:change" in str(audited(house_on, kim_id))
    assert house_on.client().get(f"/login/reset?token={link}").status_code == 410
    again = Person(house_on.client(), kim.username, "another long password")
    assert with_password(again).status_code == 303


@requirement("together:flows-are-limited")
def test_the_way_to_a_provider_and_the_credentials_flow_count_too(tmp_path: Path, liar: Liar):
    with House(tmp_path / "data", rate_limit=2) as house:
        add_provider(house, liar.issuer)
        client, front = add_app(house, scopes=("openid",), code_credentials_flow=True), house.client()
        assert [front.get("/login/upstream/corp").status_code for _ in range(3)] == [303, 303, 429]
        sent = {"client_id": client.client_id, "response_type": "code_credentials"}
        named = {"Auth-Request-Type": "Named-User"}
        told = [front.post("/services/oauth2/authorize", data=sent, headers=named) for _ in range(3)]
        assert [answer.status_code for answer in told] == [400, 400, 429] and told[2].headers["retry-after"]


@requirement("together:a-fresh-sign-in-is-fresh-there-too")
@pytest.mark.parametrize(("changes", "again"), [({"prompt": "login"}, True), ({"max_age": "60"}, True), ({}, False)])
def test_a_client_that_wants_a_fresh_sign_in_gets_one_at_the_provider_too(
    house: House, liar: Liar, changes: dict[str, str], again: bool
):
    add_provider(house, liar.issuer)
    who, client = stranger(house), add_app(house)
    page = who.go(client.authorize_url(**changes))
    link = page.text.split('class="btn" href="/login/upstream/corp', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    asked = parse_qs(urlsplit(who.front.get(f"/login/upstream/corp{link}").headers["location"]).query)
    assert ("max_age" in asked and asked["prompt"] == ["login"]) is again
