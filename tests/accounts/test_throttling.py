"""Guessing at passwords is slowed down, and keeps nobody out of their own account for good."""

import asyncio

from tests.factors import is_signed_in
from tests.house import House
from tests.oauth.scenes import add_user, person
from tests.people import Form, Person, form
from tests.requirements import requirement

WRONG = "not the password"


def guess(front, username: str, password: str = WRONG, page=None):
    page = page or front.get("/login")
    return front.post("/login", data=form(page, "/login") | {"username": username, "password": password})


def guess_from(house: House, addresses, username: str) -> list:
    """One guess from each address, in a browser that this name never signed in with."""
    front = house.client()
    page, answers = front.get("/login"), []
    for address in addresses:
        front.come_from(address)
        answers.append(guess(front, username, page=page))
    return answers


def guess_until_refused(front, username: str, most: int = 200) -> int:
    """How many guesses were looked at before the house had enough."""
    page = front.get("/login")
    for n in range(most):
        if guess(front, username, page=page).status_code == 429:
            return n
    raise AssertionError(f"{most} guesses were looked at")


@requirement("sign_in:throttled", "sign_in:retry-after")
def test_the_fifth_wrong_password_costs_a_wait_that_doubles_up_to_fifteen_minutes(house: House):
    who, thief = person(house, 1), house.client()
    page = thief.get("/login")
    assert guess_until_refused(thief, who.username) == 5
    waits = []
    for _ in range(14):
        refused = guess(thief, who.username, who.password, page)
        assert refused.status_code == 429 and "Wait" in refused.text
        waits.append(int(refused.headers["retry-after"]))
        house.later(waits[-1])
        assert guess(thief, who.username, page=page).status_code == 400
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]
    house.later(900)
    assert guess(thief, who.username, who.password).status_code == 303


@requirement("sign_in:throttled")
def test_a_day_without_a_try_is_forgotten(house: House):
    who, thief = person(house, 1), house.client()
    guess_until_refused(thief, who.username)
    house.later(24 * 3600 + 1)
    assert guess_until_refused(thief, who.username) == 5


@requirement("sign_in:no-oracle")
def test_an_unknown_name_is_throttled_and_answered_like_a_known_one(house_on: House):
    known = person(house_on, 1).username
    for n, username in enumerate((known, "nobody@acme.example")):
        front = house_on.client(f"198.51.100.{n}")
        answers = [guess(front, username) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [400] * 5 + [429]
        told = [answer.text.replace(username, "NAME") for answer in answers]
        assert told[0].count("isn&#39;t right") == 1
        if n == 0:
            first = [shape(text) for text in told]
        else:
            assert [shape(text) for text in told] == first


def shape(page: str) -> str:
    """The page without what is fresh in each."""
    for _, fields in Form(page).forms:
        page = page.replace(fields["form_token"], "TOKEN")
    return page.partition("data-options")[0]


@requirement("sign_in:owner-gets-in")
def test_guesses_from_elsewhere_do_not_delay_a_browser_that_signed_in_before(house_on: House):
    who = person(house_on, 1)
    assert who.sign_in_to_setup().status_code == 303
    sign_out(who)
    guess_from(house_on, (f"198.51.100.{n}" for n in range(52)), who.username)
    guess_until_refused(house_on.client(), who.username)
    assert who.sign_in_to_setup().status_code == 303, "the known browser has a budget of its own"
    sign_out(who)
    assert guess_until_refused(who.front, who.username) == 5, "which is not endless either"


def sign_out(who: Person) -> None:
    page = who.front.get("/setup")
    assert who.front.post("/logout", data=form(page, "/logout")).status_code == 303


@requirement("sign_in:owner-gets-in")
def test_a_device_cookie_of_another_user_or_of_another_hand_is_worth_nothing(house: House):
    thief, who = person(house, 2), person(house, 1)
    thief.sign_in_to_setup()
    sign_out(thief)
    guess_until_refused(house.client(), who.username)
    assert guess(thief.front, who.username).status_code == 429
    name = next(name for name in thief.front.cookies if name.startswith("gl-device"))
    thief.front.cookies.set(name, thief.front.cookies[name] + "~" + "A" * 43, domain="localhost.local")
    assert guess(thief.front, who.username).status_code == 429


@requirement("sign_in:owner-gets-in")
def test_guesses_from_one_address_keep_nobody_out_elsewhere(house: House):
    who = add_user(house)
    guess_until_refused(house.client("198.51.100.1"), who.username)
    assert guess(house.client("198.51.100.2"), who.username, who.password).status_code == 303


@requirement("sign_in:throttled", "sign_in:owner-gets-in")
def test_guesses_from_many_addresses_are_throttled_by_the_name_for_a_minute_at_most(house: House):
    who = add_user(house)
    answers = guess_from(house, (f"2001:db8:0:{n:x}::7" for n in range(52)), who.username)
    assert [answer.status_code for answer in answers].count(400) == 50
    front, waits = house.client("192.0.2.9"), []
    page = front.get("/login")
    for n in range(9):
        front.come_from(f"192.0.2.{n}")
        waits.append(int(guess(front, who.username, page=page).headers["retry-after"]))
        house.later(waits[-1])
        assert guess(front, who.username, page=page).status_code == 400
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    house.later(60)
    front.come_from("192.0.2.100")
    assert guess(front, who.username, who.password).status_code == 303


@requirement("sign_in:throttled")
def test_guesses_at_many_names_from_one_address_are_throttled_and_ipv6_counts_by_network(house_on: House):
    front = house_on.client()
    page, looked_at = front.get("/login"), []
    for n in range(1, 23):
        front.come_from(f"2001:db8::{n:x}")
        looked_at.append(guess(front, f"user{n}@acme.example", page=page).status_code)
    assert looked_at.count(400) == 20 and set(looked_at[20:]) == {429}
    front.come_from("2001:db8:1::1")
    assert guess(front, "user1@acme.example", page=page).status_code == 400


@requirement("sign_in:throttled")
def test_signing_in_as_oneself_buys_no_guesses_at_others(house: House):
    own, spent = person(house, 2), 0
    front = house.client()
    page = front.get("/login")
    for n in range(25):
        spent += guess(front, f"user{n}@acme.example", page=page).status_code == 400
        stranger = house.client()
        guess(stranger, own.username, own.password)
    assert spent == 20


@requirement("sign_in:throttled")
def test_guesses_at_the_same_time_are_counted_each(house_on: House):
    who = add_user(house_on)
    fronts = [house_on.client() for _ in range(20)]
    fields = [form(front.get("/login"), "/login") | {"username": who.username, "password": WRONG} for front in fronts]

    async def all_at_once():
        return await asyncio.gather(
            *(front._http.post("/login", data=data) for front, data in zip(fronts, fields, strict=True))
        )

    answers = [answer.status_code for answer in house_on.run(all_at_once())]
    assert sorted(set(answers)) == [400, 429] and answers.count(400) <= 5, answers


@requirement("sign_in:throttled")
def test_a_try_that_could_not_be_made_costs_nothing(house: House):
    who = person(house, 1)
    front = house.client()
    house.site.passwords._waiting = 64
    try:
        for _ in range(10):
            answer = guess(front, who.username, who.password)
            assert answer.status_code == 503 and answer.headers["retry-after"]
    finally:
        house.site.passwords._waiting = 0
    assert guess_until_refused(front, who.username) == 5


@requirement("sign_in:throttled")
def test_the_password_form_of_a_stolen_browser_is_throttled_too(house: House):
    who = person(house, 1)
    who.sign_in_to_setup()
    page = who.front.get("/setup/password")
    answers = []
    for _ in range(7):
        fields = form(page, "/password") | {"current": WRONG, "fresh": "a sentence that is long enough"}
        page = who.front.post("/setup/password", data=fields)
        answers.append(page.text)
    assert "This isn&#39;t your current password." in answers[4] and "Wait" in answers[6]
    assert is_signed_in(who)
