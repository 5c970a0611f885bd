"""Sessions: how long they last, how their owner sees and ends them, and the proof of identity that secrets ask for."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gatelodge.web.sign_in_pages import is_way_on
from tests.factors import act, enrol, is_signed_in
from tests.generated import MANY
from tests.house import House
from tests.oauth.scenes import add_org, add_user, person, user_id
from tests.people import form, form_token
from tests.requirements import requirement

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@requirement("sign_in:sessions-end")
def test_a_session_ends_two_hours_after_its_last_page_and_twelve_after_signing_in(house: House):
    who, idle = person(house, 1), person(house, 2)
    who.sign_in_to_setup()
    idle.sign_in_to_setup()
    for hour in range(1, 12):
        house.later(3600)
        assert is_signed_in(who), hour
    assert not is_signed_in(idle)
    house.later(3600)
    assert not is_signed_in(who)


@requirement("sign_in:sessions-listed")
def test_a_user_sees_each_browser_and_ends_one_of_them(house_on: House):
    here, there = person(house_on, 1), person(house_on, 1)
    here.sign_in_to_setup()
    there.front._http.headers["user-agent"] = FIREFOX
    there.front.come_from("198.51.100.9")
    there.sign_in_to_setup()
    page = here.front.get("/setup/sessions")
    assert "Firefox on Linux" in page.text and "198.51.100.9" in page.text and "This browser" in page.text
    (other,) = re.findall(r'name="id" value="(0Ak\w+)"', page.text)
    assert act(here, "/setup/sessions", act="end", id=other).status_code == 303
    assert is_signed_in(here) and not is_signed_in(there)
    assert act(here, "/setup/sessions", act="end", id=other).status_code == 404


@requirement("sign_in:sessions-listed")
def test_ending_all_others_leaves_this_one(house: House):
    browsers = [person(house, 1) for _ in range(4)]
    for each in browsers:
        each.sign_in_to_setup()
    assert act(browsers[2], "/setup/sessions", act="end-others").status_code == 303
    assert [is_signed_in(each) for each in browsers] == [False, False, True, False]


@requirement("sign_in:sessions-listed")
def test_nobody_ends_a_session_of_somebody_else_or_of_another_org(house: House):
    sam, robin = person(house, 1), person(house, 0)
    sam.sign_in_to_setup()
    robin.sign_in_to_setup()
    robin_again = person(house, 0)
    robin_again.sign_in_to_setup()
    theirs = re.findall(r'name="id" value="(0Ak\w+)"', robin.front.get("/setup/sessions").text)
    assert theirs and act(sam, "/setup/sessions", act="end", id=theirs[0]).status_code == 404
    org = add_org(house, "other")
    stranger = add_user(house, org=org)
    page = stranger.front.get("/o/other/login")
    stranger.front.post(
        "/o/other/login",
        data=form(page, "/login") | {"username": stranger.username, "password": stranger.password},
    )
    token = form_token(stranger.front.get("/o/other/setup/sessions"))
    answer = stranger.front.post("/o/other/setup/sessions", data={"form_token": token, "act": "end", "id": theirs[0]})
    assert answer.status_code == 404 and is_signed_in(robin_again)


@requirement("sign_in:sessions-by-administrator")
def test_an_administrator_ends_every_session_of_a_user_and_a_user_without_permission_does_not(house_on: House):
    who, robin = person(house_on, 1), person(house_on, 0)
    who.sign_in_to_setup()
    path = f"/setup/users/{user_id(house_on, who)}"
    assert who.front.get(path).status_code == 403
    robin.sign_in_to_setup()
    assert act(robin, path, act="end-sessions").status_code == 303
    assert not is_signed_in(who) and is_signed_in(robin)


@requirement("sign_in:verification")
def test_a_page_with_secrets_asks_for_the_password_again_after_ten_minutes(house: House):
    who = person(house, 1)
    who.sign_in_to_setup()
    assert who.front.get("/setup/second-factors").status_code == 200, "signing in was a proof"
    house.later(601)
    asked = who.front.get("/setup/second-factors")
    assert asked.headers["location"] == f"{house.issuer}/setup/verify?next=/setup/second-factors"
    page = who.front.get(asked.headers["location"])
    assert 'autocomplete="current-password"' in page.text and 'name="code"' not in page.text
    wrong = who.front.post("/setup/verify", data=form(page, "/verify") | {"password": "nonsense"})
    assert wrong.status_code == 422 and "This isn&#39;t your password." in wrong.text
    assert who.front.get("/setup/second-factors").status_code == 303
    other = who.front.post("/setup/verify", data=form(page, "/verify") | {"code": "123456"})
    assert other.status_code == 422
    right = who.front.post("/setup/verify", data=form(page, "/verify") | {"password": who.password})
    assert right.headers["location"] == f"{house.issuer}/setup/second-factors"
    assert who.front.get("/setup/second-factors").status_code == 200
    house.later(600)
    assert who.front.get("/setup/second-factors").status_code == 303


@requirement("sign_in:verification", "sign_in:renewed-value")
def test_the_proof_renews_the_cookie_and_a_code_proves_it_too(house: House):
    who = add_user(house)
    who.sign_in_to_setup()
    app, _ = enrol(house, who)
    house.later(601)
    name = next(name for name in who.front.cookies if name.startswith("gl-00D"))
    before = who.front.cookies[name]
    page = who.front.get("/setup/verify?next=/setup/second-factors")
    fields = form(page, "/verify") | {"code": app.at(int(house.time))}
    assert who.front.post("/setup/verify", data=fields).status_code == 303
    assert who.front.cookies[name] != before
    stale = house.client()
    stale.cookies.set(name, before)
    assert stale.get("/setup").status_code == 303


@requirement("sign_in:way-on")
def test_signing_in_leads_to_the_page_that_was_asked_for_with_its_query(house: House):
    who = person(house, 0)
    asked = who.front.get("/setup/apps?after=Zed&find=a+b")
    page = who.front.get(asked.headers["location"])
    done = who.front.post("/login", data=form(page, "/login") | {"username": who.username, "password": who.password})
    assert done.headers["location"] == f"{house.issuer}/setup/apps?after=Zed&find=a+b"


@requirement("sign_in:way-on")
def test_after_signing_in_a_waiting_request_is_reached_by_a_page_of_its_own(house: House):
    who = person(house, 0)
    page = who.front.get("/login?next=/flow?request=xyz")
    done = who.front.post("/login", data=form(page, "/login") | {"username": who.username, "password": who.password})
    assert done.status_code == 200 and f'href="{house.issuer}/flow?request=xyz"' in done.text


@requirement("sign_in:way-on")
@MANY
@given(st.one_of(st.text(max_size=40), st.text("/\\:.?#@setupflow%", max_size=24)))
def test_no_text_makes_the_way_on_leave_the_org(text: str):
    for target in (text, f"/setup{text}", f"/flow{text}", f"//{text}"):
        if is_way_on(target):
            assert target.startswith(("/setup", "/flow")) and "//" not in target.partition("?")[0]
            assert not set(target) & set("\\#@\r\n\t ")
