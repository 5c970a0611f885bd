"""Authenticator apps and recovery codes, from setting one up to signing in with it."""

import asyncio
import html

import pytest

from tests.factors import SECOND_FACTORS, act, codes_on, enrol, is_signed_in, with_code, with_password
from tests.house import House
from tests.oauth.scenes import add_app, add_user, claims_of, person
from tests.people import Person, form, form_token, returned
from tests.requirements import requirement


@pytest.fixture
def who(house: House) -> Person:
    made = add_user(house)
    made.sign_in_to_setup()
    return made


def next_code(house: House, app) -> str:
    """The code of the step to come, which is taken already: the one of now was used to set the app up."""
    return app.at(house.site.clock.now() + 30)


def elsewhere(house: House, who: Person) -> Person:
    """The same person at a browser that knows nothing."""
    return Person(house.client(), who.username, who.password)


@requirement("second_factor:asked", "second_factor:totp")
def test_who_has_an_authenticator_app_is_asked_for_its_code_after_the_password(house_on: House):
    owner = add_user(house_on)
    owner.sign_in_to_setup()
    app, codes = enrol(house_on, owner)
    assert len(set(codes)) == 10
    browser = elsewhere(house_on, owner)
    page = with_password(browser)
    assert page.status_code == 200 and 'autocomplete="one-time-code"' in page.text
    assert not is_signed_in(browser), "no session before the second factor"
    assert with_code(browser, page, "000000").status_code == 400 and not is_signed_in(browser)
    assert with_code(browser, page, next_code(house_on, app)).status_code == 303
    assert is_signed_in(browser)


@requirement("second_factor:totp")
def test_a_code_is_accepted_once_even_by_two_browsers_at_the_same_time(house_on: House):
    owner = add_user(house_on)
    owner.sign_in_to_setup()
    app, _ = enrol(house_on, owner)
    code = next_code(house_on, app)
    browsers = [elsewhere(house_on, owner) for _ in range(3)]
    fields = [form(with_password(each), "/login") | {"code": code} for each in browsers]

    async def at_once():
        posts = (each.front._http.post("/login", data=data) for each, data in zip(browsers, fields, strict=True))
        return await asyncio.gather(*posts)

    answers = sorted(answer.status_code for answer in house_on.run(at_once()))
    assert answers == [303, 400, 400]
    assert sum(map(is_signed_in, browsers)) == 1


@requirement("second_factor:totp")
def test_a_code_of_the_step_before_or_after_is_taken_and_no_older_one(house: House, who: Person):
    app, _ = enrol(house, who)
    for steps, taken in ((-2, False), (-1, True), (1, True), (2, False)):
        house.later(3600)
        browser = elsewhere(house, who)
        page = with_password(browser)
        assert (with_code(browser, page, app.at(int(house.time) + 30 * steps)).status_code == 303) is taken


@requirement("second_factor:confirmed")
def test_a_secret_counts_only_after_a_code_of_it_was_typed(house: House, who: Person):
    act(who, SECOND_FACTORS, act="begin-totp")
    page = who.front.get(f"{SECOND_FACTORS}/totp")
    assert "<svg" in page.text and "style=" not in page.text
    wrong = who.front.post(f"{SECOND_FACTORS}/totp", data=form(page, "/totp") | {"code": "123456"})
    assert wrong.status_code == 422 and "Check the clock" in wrong.text
    assert with_password(elsewhere(house, who)).status_code == 303


@requirement("second_factor:confirmed")
def test_a_confirmed_secret_is_neither_shown_again_nor_replaced(house: House, who: Person):
    app, _ = enrol(house, who)
    assert act(who, SECOND_FACTORS, act="begin-totp").headers["location"].endswith(SECOND_FACTORS)
    assert who.front.get(f"{SECOND_FACTORS}/totp").status_code == 303
    assert app.secret not in who.front.get(SECOND_FACTORS).text


@requirement("second_factor:recovery-codes")
def test_a_recovery_code_lets_in_once_in_any_spelling_and_new_ones_replace_all(house_on: House):
    owner = add_user(house_on)
    owner.sign_in_to_setup()
    _, codes = enrol(house_on, owner)
    browser = elsewhere(house_on, owner)
    assert with_code(browser, with_password(browser), codes[0].upper().replace("-", " ")).status_code == 303
    again = elsewhere(house_on, owner)
    page = with_password(again)
    assert with_code(again, page, codes[0]).status_code == 400
    assert "9 left" in owner.front.get(SECOND_FACTORS).text
    fresh = codes_on(act(owner, SECOND_FACTORS, act="make-codes"))
    assert len(fresh) == 10 and not set(fresh) & set(codes)
    assert codes_on(owner.front.get(SECOND_FACTORS)) == []
    assert with_code(again, page, codes[1]).status_code == 400
    assert with_code(again, page, fresh[0]).status_code == 303


@requirement("second_factor:storage")
def test_the_database_holds_the_secret_sealed_and_the_codes_as_digests(house: House, who: Person):
    app, codes = enrol(house, who)
    from pathlib import Path

    stored = b"".join(
        path.read_bytes() for path in Path(house.config.data).iterdir() if path.name.startswith("gatelodge.db")
    )
    assert stored
    for text in (app.secret, app.byte_secret().hex(), *codes, *(code.replace("-", "") for code in codes)):
        assert text.encode() not in stored
    assert app.byte_secret() not in stored


@requirement("second_factor:removal", "sign_in:verification")
def test_removing_it_needs_a_fresh_proof_of_identity_and_takes_the_codes_along(house: House, who: Person):
    app, _ = enrol(house, who)
    house.later(601)
    refused = act_with_old_proof(who, act="remove-totp")
    assert refused.headers["location"] == f"{house.issuer}/setup/verify?next=/setup/second-factors"
    assert with_password(elsewhere(house, who)).status_code == 200, "it is still there"
    page = who.front.get(refused.headers["location"])
    verified = who.front.post("/setup/verify", data=form(page, "/verify") | {"code": app.at(int(house.time))})
    assert verified.headers["location"] == f"{house.issuer}{SECOND_FACTORS}"
    assert act(who, SECOND_FACTORS, act="remove-totp").status_code == 303
    browser = elsewhere(house, who)
    assert with_password(browser).status_code == 303
    assert "Make new recovery codes" not in browser.front.get(SECOND_FACTORS).text


def act_with_old_proof(who: Person, **fields: str):
    """Post to the page of second factors with a token from another page, since this one is not shown any more."""
    return who.front.post(SECOND_FACTORS, data={"form_token": form_token(who.front.get("/setup/sessions"))} | fields)


@requirement("second_factor:ticket")
def test_the_step_after_the_password_belongs_to_its_browser_its_minutes_and_one_success(house: House, who: Person):
    app, _ = enrol(house, who)
    house.later(60)
    browser, thief = elsewhere(house, who), house.client()
    page = with_password(browser)
    ticket = form(page, "/login")["ticket"]
    own = form(thief.get("/login"), "/login")
    stolen = thief.post("/login", data=own | {"ticket": ticket, "code": app.at(int(house.time))})
    assert stolen.status_code == 400 and "Sign in again" in stolen.text
    for spoiled in (ticket[:-1], ticket + "A", ticket.rpartition(".")[0], "A.B", "."):
        answer = browser.front.post("/login", data=form(page, "/login") | {"ticket": spoiled, "code": "1"})
        assert answer.status_code == 400 and "Sign in again" in answer.text
    assert with_code(browser, page, app.at(int(house.time))).status_code == 303
    house.later(60)
    fields = form(browser.front.get("/login"), "/login") | {"ticket": ticket, "code": app.at(int(house.time))}
    assert browser.front.post("/login", data=fields).status_code == 400, "used"
    other = elsewhere(house, who)
    page = with_password(other)
    house.later(301)
    assert "Sign in again" in with_code(other, page, app.at(int(house.time))).text


@requirement("second_factor:throttled")
def test_guessing_at_codes_is_slowed_down_and_keeps_the_owner_out_nowhere(house: House, who: Person):
    app, _ = enrol(house, who)
    thief = elsewhere(house, who)
    page = with_password(thief)
    told = [html.unescape(with_code(thief, page, f"{n:06}").text) for n in range(7)]
    assert "This code isn't right" in told[4] and "Wait 1 second," in told[5] and "Wait 1 second," in told[6]
    house.later(0.5)
    who.front.get("/setup")
    own = Person(who.front, who.username, who.password)
    page = with_password(own)
    house.later(30)
    assert with_code(own, page, app.at(int(house.time))).status_code == 303


@requirement("second_factor:level")
def test_tokens_say_that_the_user_signed_in_with_two_factors(house: House, who: Person):
    app, _ = enrol(house, who)
    house.later(60)
    client, browser = add_app(house), elsewhere(house, who)
    page = browser.go(client.authorize_url())
    page = browser.answer(page, username=who.username, password=who.password)
    assert (
        "Verify it" in page.text
        and "form-action 'self' https://client.example" in page.headers["content-security-policy"]
    )
    page = browser.answer(page, code=app.at(int(house.time)))
    tokens = client.redeem(returned(browser.answer(page, answer="allow"))["code"]).json()
    claims = claims_of(tokens["access_token"])
    assert claims["acr"] == "HIGH_ASSURANCE" and claims["amr"] == ["pwd", "otp", "mfa"]


@requirement("second_factor:step-up", "sign_in:renewed-value")
def test_a_session_is_raised_by_a_second_factor_and_goes_on_to_the_waiting_request(house_on: House):
    owner = add_user(house_on)
    owner.sign_in_to_setup()
    app, _ = enrol(house_on, owner)
    before = dict(owner.front.cookies)
    page = owner.front.get("/login/factor?next=/flow?request=abc-_1")
    assert page.status_code == 200 and "needs a second factor" in page.text
    assert with_code(owner, page, "111111", "/login/factor").status_code == 400
    done = with_code(owner, page, next_code(house_on, app), "/login/factor")
    assert f'content="0;url={house_on.issuer}/flow?request=abc-_1"' in done.text
    name = next(name for name in before if name.startswith("gl-00D"))
    assert owner.front.cookies[name] != before[name]
    stale = house_on.client()
    stale.cookies.set(name, before[name])
    assert stale.get("/setup").status_code == 303, "the old value is useless"
    on = owner.front.get("/login/factor?next=/setup/apps")
    assert on.status_code == 303 and on.headers["location"] == f"{house_on.issuer}/setup/apps"


@requirement("second_factor:step-up")
def test_who_has_no_second_factor_is_told_where_to_set_one_up(house: House):
    who = person(house, 1)
    assert "/login" in who.front.get("/login/factor?next=/setup").text
    who.sign_in_to_setup()
    page = who.front.get("/login/factor?next=/setup")
    assert "You have no second factor yet" in page.text and "/setup/second-factors" in page.text


@requirement("second_factor:ticket")
def test_a_user_who_is_deactivated_between_the_steps_gets_no_session(house: House, who: Person):
    from tests.oauth.scenes import set_active

    app, _ = enrol(house, who)
    house.later(60)
    browser = elsewhere(house, who)
    page = with_password(browser)
    set_active(house, who, is_active=False)
    assert with_code(browser, page, app.at(int(house.time))).status_code == 400
    assert not is_signed_in(browser)


@requirement("second_factor:removal")
def test_an_administrator_takes_away_factors_that_were_lost(house: House, who: Person):
    from tests.oauth.scenes import user_id

    enrol(house, who)
    robin = person(house, 0)
    robin.sign_in_to_setup()
    path = f"/setup/users/{user_id(house, who)}"
    assert "Authenticator app" in robin.front.get(path).text
    assert act(robin, path, act="remove-factors").status_code == 303
    assert with_password(elsewhere(house, who)).status_code == 303


@requirement("second_factor:storage")
def test_a_recovery_code_has_eighty_bits(house: House):
    from gatelodge.web import factors

    codes = [code for _ in range(50) for code in factors.new_recovery_codes()]
    assert len(set(codes)) == 500
    letters = "".join(codes).replace("-", "")
    assert set(letters) == set(factors.RECOVERY_LETTERS) and len(factors.RECOVERY_LETTERS) == 32
    assert len(letters) == 500 * 16
