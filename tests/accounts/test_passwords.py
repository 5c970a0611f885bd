"""Changing a password, and setting a new one by the link that an administrator handed over."""

import asyncio
import re

from tests.factors import act, enrol, is_signed_in, with_password
from tests.house import House
from tests.oauth.scenes import add_app, add_user, connect, opens, person, set_active, user_id
from tests.people import Person, form, form_token
from tests.requirements import requirement

FRESH = "a sentence that is long enough"


def link_for(house: House, who: Person) -> str:
    """What an administrator gets to hand over, as a path."""
    robin = person(house, 0)
    robin.sign_in_to_setup()
    path = f"/setup/users/{user_id(house, who)}"
    shown = act(robin, path, act="reset-link")
    found = re.search(r'id="reset-link">([^<]+)<', shown.text)
    assert found, shown.text
    assert found[1] not in robin.front.get(path).text, "shown once"
    return found[1].removeprefix(house.issuer)


def set_by(front, link: str, fresh: str = FRESH):
    page = front.get(link)
    return front.post("/login/reset", data=form(page, "/reset") | {"fresh": fresh})


@requirement("password:change")
def test_changing_the_password_ends_the_other_sessions_and_the_old_password(house_on: House):
    here, there = add_user(house_on), None
    there = Person(house_on.client(), here.username, here.password)
    here.sign_in_to_setup()
    there.sign_in_to_setup()
    page = here.front.get("/setup/password")
    fields = form(page, "/password") | {"current": here.password, "fresh": FRESH}
    assert "Your password is changed." in here.front.post("/setup/password", data=fields).text
    assert is_signed_in(here) and not is_signed_in(there)
    assert with_password(there).status_code == 400
    assert with_password(Person(house_on.client(), here.username, FRESH)).status_code == 303


@requirement("password:reset")
def test_the_link_sets_a_new_password_once_and_ends_every_session_and_no_connection(house_on: House):
    who, client = add_user(house_on), add_app(house_on)
    tokens = connect(who, client)
    link, browser = link_for(house_on, who), house_on.client()
    for _ in range(3):
        assert browser.get(link).status_code == 200, "looking uses nothing up"
    short = set_by(browser, link, "short")
    assert short.status_code == 422 and "at least 12" in short.text
    done = set_by(browser, link)
    assert done.status_code == 200 and "is changed" in done.text
    assert not is_signed_in(who)
    assert opens(client, tokens["access_token"]), "what apps were allowed stays"
    assert browser.get(link).status_code == 410
    assert with_password(Person(house_on.client(), who.username, FRESH)).status_code == 303


@requirement("password:reset")
def test_of_many_who_use_the_link_at_once_one_sets_the_password(house_on: House):
    who = add_user(house_on)
    link = link_for(house_on, who)
    fronts = [house_on.client() for _ in range(6)]
    fields = [form(front.get(link), "/reset") | {"fresh": f"{FRESH} {n}"} for n, front in enumerate(fronts)]

    async def at_once():
        posts = (front._http.post("/login/reset", data=data) for front, data in zip(fronts, fields, strict=True))
        return await asyncio.gather(*posts)

    answers = [answer.status_code for answer in house_on.run(at_once())]
    assert sorted(answers) == [200] + [410] * 5
    winner = Person(house_on.client(), who.username, f"{FRESH} {answers.index(200)}")
    assert with_password(winner).status_code == 303


@requirement("password:reset")
def test_a_link_is_over_after_thirty_minutes_after_a_newer_one_and_with_its_user(house: House):
    who = add_user(house)
    first = link_for(house, who)
    second = link_for(house, who)
    assert house.client().get(first).status_code == 410
    assert house.client().get(second).status_code == 200
    set_active(house, who, is_active=False)
    assert house.client().get(second).status_code == 410
    set_active(house, who, is_active=True)
    house.later(1800)
    assert house.client().get(second).status_code == 410
    assert house.client().get("/login/reset?token=" + "A" * 43).status_code == 410


@requirement("password:reset", "sign_in:owner-gets-in")
def test_the_link_lets_its_owner_past_whoever_guesses_and_past_no_second_factor(house: House):
    who = add_user(house)
    who.sign_in_to_setup()
    enrol(house, who)
    link, browser = link_for(house, who), Person(house.client("192.0.2.3"), who.username, FRESH)
    page = browser.front.get("/login")
    for _ in range(6):
        guess = form(page, "/login") | {"username": who.username, "password": "wrong"}
        browser.front.post("/login", data=guess)
    assert with_password(browser).status_code == 429
    assert set_by(browser.front, link).status_code == 200
    asked = with_password(browser)
    assert asked.status_code == 200 and 'name="code"' in asked.text and not is_signed_in(browser)


@requirement("password:reset", "sign_in:verification")
def test_making_a_link_needs_the_permission_and_a_fresh_proof(house: House):
    who, robin = person(house, 1), person(house, 0)
    who.sign_in_to_setup()
    robin.sign_in_to_setup()
    path = f"/setup/users/{user_id(house, robin)}"
    token = form_token(who.front.get("/setup"))
    assert who.front.post(path, data={"form_token": token, "act": "reset-link"}).status_code == 403
    house.later(601)
    answer = act(robin, path, act="reset-link")
    assert answer.headers["location"] == f"{house.issuer}/setup/verify?next={path}"


@requirement("password:reset-cli")
def test_the_command_line_prints_a_link(house: House):
    from gatelodge.cli.verbs import perform

    who = add_user(house)
    told = house.run(perform(house.site, "user reset-link", {"username": who.username.upper()}))
    assert set_by(house.client(), told["link"].removeprefix(house.issuer)).status_code == 200
