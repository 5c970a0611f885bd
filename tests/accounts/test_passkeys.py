"""Passkeys, spoken as a browser and a security key would speak; and what every copy and forgery meets."""

import asyncio
import json

import pytest

from tests.factors import (
    SECOND_FACTORS,
    Authenticator,
    act,
    add_passkey,
    codes_on,
    is_signed_in,
    options_on,
    passkey_form,
    with_password,
)
from tests.house import PUBLIC_URL, House
from tests.oauth.scenes import add_app, add_org, add_user, claims_of, decoded, set_active
from tests.people import Person, form, returned
from tests.requirements import requirement


@pytest.fixture
def who(house: House) -> Person:
    made = add_user(house)
    made.sign_in_to_setup()
    return made


@pytest.fixture
def key(who: Person) -> Authenticator:
    made = Authenticator(PUBLIC_URL)
    answer = add_passkey(who, made)
    assert answer.status_code == 200 and len(codes_on(answer)) == 10
    return made


def answer_with(front, key: Authenticator, page=None, **changes):
    """Sign in with the passkey alone."""
    page = page or front.get("/login")
    return front.post("/login", data=passkey_form(page, "/login") | {"passkey": key.get(options_on(page), **changes)})


@requirement("passkey:first-factor", "passkey:register")
def test_a_passkey_signs_in_without_a_name_or_a_password_and_without_more(house_on: House):
    owner, made = add_user(house_on), Authenticator(PUBLIC_URL)
    owner.sign_in_to_setup()
    assert len(codes_on(add_passkey(owner, made))) == 10
    browser = Person(house_on.client(), owner.username, "")
    assert answer_with(browser.front, made).status_code == 303
    assert is_signed_in(browser)
    assert "with a second factor" in browser.front.get("/setup/sessions").text


@requirement("passkey:second-factor")
def test_a_passkey_is_asked_for_after_the_password_even_one_that_verifies_nobody(house: House, who: Person):
    plain = Authenticator(PUBLIC_URL, verifies=False)
    add_passkey(who, plain)
    browser = Person(house.client(), who.username, who.password)
    page = with_password(browser)
    options = options_on(page)
    assert [decoded(each["id"]) for each in options["allowCredentials"]] == [plain.id]
    assert options["userVerification"] == "preferred" and not is_signed_in(browser)
    done = browser.front.post("/login", data=passkey_form(page, "/login") | {"passkey": plain.get(options)})
    assert done.status_code == 303 and is_signed_in(browser)


@requirement("passkey:verifies-person")
def test_alone_only_a_passkey_that_verifies_the_person_is_enough(house: House, who: Person):
    plain = Authenticator(PUBLIC_URL, verifies=False)
    add_passkey(who, plain)
    browser = house.client()
    assert options_on(browser.get("/login"))["userVerification"] == "required"
    assert answer_with(browser, plain).status_code == 400


@requirement("passkey:second-factor", "second_factor:level")
def test_a_passkey_signs_in_within_the_flow_and_tokens_say_so(house: House, key: Authenticator):
    client = add_app(house)
    browser = Person(house.client(), "", "")
    page = browser.go(client.authorize_url())
    page = browser.front.post("/flow", data=passkey_form(page, "/flow") | {"passkey": key.get(options_on(page))})
    page = browser.go(page.headers["location"])
    tokens = client.redeem(returned(browser.answer(page, answer="allow"))["code"]).json()
    claims = claims_of(tokens["access_token"])
    assert claims["acr"] == "HIGH_ASSURANCE" and claims["amr"] == ["hwk", "mfa"]


@requirement("passkey:challenge")
def test_a_challenge_is_for_one_browser_one_answer_and_five_minutes(house_on: House):
    owner, key = add_user(house_on), Authenticator(PUBLIC_URL)
    owner.sign_in_to_setup()
    add_passkey(owner, key)
    browser, thief = house_on.client(), house_on.client()
    page = browser.get("/login")
    signed = key.get(options_on(page))
    stolen = thief.post("/login", data=passkey_form(thief.get("/login"), "/login") | {"passkey": signed})
    assert stolen.status_code == 400 and "older than five minutes" in stolen.text
    data = passkey_form(page, "/login") | {"passkey": signed}

    async def at_once():
        return await asyncio.gather(*(browser._http.post("/login", data=data) for _ in range(4)))

    answers = sorted(answer.status_code for answer in house_on.run(at_once()))
    assert answers.count(303) == 1, answers


@requirement("passkey:challenge")
def test_an_old_challenge_and_one_for_another_purpose_are_refused(house: House, who: Person, key: Authenticator):
    front = house.client()
    page = front.get("/login")
    house.later(301)
    assert answer_with(front, key, page).status_code == 400
    asked = Person(house.client(), who.username, who.password)
    for_factor = options_on(with_password(asked))
    page = asked.front.get("/login")
    done = asked.front.post("/login", data=passkey_form(page, "/login") | {"passkey": key.get(for_factor)})
    assert done.status_code == 400, "a challenge for the second factor is none for the first"


@requirement("passkey:origin")
def test_another_origin_or_relying_party_is_refused(house: House, key: Authenticator):
    front = house.client()
    assert answer_with(front, key, rp_id="evil.example").status_code == 400
    for origin in ("https://evil.example", "http://localhost:8766", "https://localhost:8765", "null"):
        key.origin = origin
        assert answer_with(front, key).status_code == 400
    key.origin = PUBLIC_URL
    assert answer_with(front, key).status_code == 303


@requirement("passkey:copied")
def test_a_copy_whose_counter_lags_behind_is_refused(house: House, key: Authenticator):
    assert answer_with(house.client(), key).status_code == 303
    key.count -= 1
    answer = answer_with(house.client(), key)
    assert answer.status_code == 400 and "as a copy&#39;s would" in answer.text
    assert answer_with(house.client(), key).status_code == 303


@requirement("passkey:origin")
def test_a_changed_signature_another_key_or_handle_and_nonsense_are_refused(house: House, key: Authenticator):
    front = house.client()
    page = front.get("/login")
    signed = json.loads(key.get(options_on(page)))
    signed["response"]["signature"] = signed["response"]["signature"][:-8] + "AAAAAAAA"
    posted = front.post("/login", data=passkey_form(page, "/login") | {"passkey": json.dumps(signed)})
    assert posted.status_code == 400
    other = Authenticator(PUBLIC_URL)
    other.id = key.id
    assert answer_with(front, other, handle=key.user_handle).status_code == 400
    assert answer_with(front, key, handle=b"0050000000000000AA").status_code == 400
    for nonsense in ("{}", "[]", "1", "{", '{"id":1,"response":[]}', '{"response":{"clientDataJSON":"e30"}}', "[" * 9000,
                     '{"response":{"clientDataJSON":"eyJjaGFsbGVuZ2UiOjF9"}}'):  # fmt: skip
        page = front.get("/login")
        answer = front.post("/login", data=passkey_form(page, "/login") | {"passkey": nonsense})
        assert answer.status_code == 400 and "Sign in" in answer.text, nonsense[:40]


@requirement("passkey:register")
def test_a_key_is_registered_once_and_by_its_own_challenge_alone(house: House, who: Person, key: Authenticator):
    page = who.front.get(f"{SECOND_FACTORS}/passkey")
    options = options_on(page)
    assert [decoded(each["id"]) for each in options["excludeCredentials"]] == [key.id]
    again = who.front.post(
        f"{SECOND_FACTORS}/passkey", data=form(page, "/passkey") | {"label": "Twice", "passkey": key.create(options)}
    )
    assert again.status_code == 422 and "registered already" in again.text
    fresh = Authenticator(PUBLIC_URL)
    stale = who.front.post(
        f"{SECOND_FACTORS}/passkey", data=form(page, "/passkey") | {"label": "Old", "passkey": fresh.create(options)}
    )
    assert stale.status_code == 422, "the challenge was used"
    fresh.origin = "https://evil.example"
    assert add_passkey(who, fresh).status_code == 422


@requirement("passkey:own-only")
def test_a_key_opens_one_user_of_one_org(house: House, who: Person, key: Authenticator):
    other, theirs = add_user(house), Authenticator(PUBLIC_URL)
    other.sign_in_to_setup()
    add_passkey(other, theirs)
    browser = Person(house.client(), other.username, other.password)
    page = with_password(browser)
    options = options_on(page)
    fields = passkey_form(page, "/login") | {"passkey": key.get(options)}
    assert browser.front.post("/login", data=fields).status_code == 400 and not is_signed_in(browser)
    add_org(house, "other")
    page = browser.front.get("/o/other/login")
    fields = passkey_form(page, "/login") | {"passkey": key.get(options_on(page))}
    refused = browser.front.post("/o/other/login", data=fields)
    assert refused.status_code == 400 and "not registered in this org" in refused.text


@requirement("passkey:own-only")
def test_a_deactivated_users_key_opens_nothing(house: House, who: Person, key: Authenticator):
    set_active(house, who, is_active=False)
    assert answer_with(house.client(), key).status_code == 400


@requirement("passkey:register", "second_factor:removal")
def test_the_owner_removes_a_key_and_with_the_last_factor_go_the_codes(house: House, who: Person, key: Authenticator):
    import re

    listed = who.front.get(SECOND_FACTORS).text
    assert "Laptop" in listed
    (known,) = re.findall(r'name="id" value="(0uP\w+)"', listed)
    stranger = add_user(house)
    stranger.sign_in_to_setup()
    assert act(stranger, SECOND_FACTORS, act="remove-passkey", id=known).status_code == 404
    assert act(who, SECOND_FACTORS, act="remove-passkey", id=known).status_code == 303
    assert answer_with(house.client(), key).status_code == 400
    assert with_password(Person(house.client(), who.username, who.password)).status_code == 303


@requirement("passkey:verification", "sign_in:verification")
def test_a_passkey_verifies_identity_for_its_own_session_alone(house: House, who: Person, key: Authenticator):
    other = add_user(house)
    other.sign_in_to_setup()
    add_passkey(other, theirs := Authenticator(PUBLIC_URL))
    house.later(601)
    page = who.front.get("/setup/verify?next=/setup/second-factors")
    fields = passkey_form(page, "/verify") | {"passkey": theirs.get(options_on(page))}
    assert who.front.post("/setup/verify", data=fields).status_code == 422
    page = who.front.get("/setup/verify?next=/setup/second-factors")
    fields = passkey_form(page, "/verify") | {"passkey": key.get(options_on(page))}
    assert who.front.post("/setup/verify", data=fields).status_code == 303
    assert who.front.get(SECOND_FACTORS).status_code == 200


@requirement("passkey:domain")
def test_an_org_at_an_address_offers_no_passkeys_and_says_why(tmp_path):
    with House(tmp_path / "data", public_url="http://127.0.0.1:8765") as house:
        who = add_user(house)
        assert "data-passkey" not in house.client().get("/login").text
        who.sign_in_to_setup()
        assert "Passkeys need a domain" in who.front.get(SECOND_FACTORS).text
        assert who.front.get(f"{SECOND_FACTORS}/passkey").status_code == 400
