"""Requests that wait for their user: repeatable, bounded, tied to one browser, answered once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from gatelodge.core import authorizations
from tests.house import House
from tests.oauth.scenes import HTTPS, add_app, change_app, connect, person, signed_in
from tests.people import Person, form, returned
from tests.requirements import requirement


def at_consent(who: Person, url: str):
    page = who.go(url)
    if 'name="password"' in page.text:
        page = who.answer(page, username=who.username, password=who.password)
    assert 'value="allow"' in page.text, page.text
    return page


@requirement("flow:get-repeatable")
def test_authorize_and_each_page_may_be_fetched_again_and_again(house_on: House):
    client, who = add_app(house_on), person(house_on)
    url = client.authorize_url()
    for _ in range(3):
        first = who.go(url)
        assert first.status_code == 200 and who.go(str(first.url)).status_code == 200
    page = at_consent(who, url)
    for _ in range(3):
        assert 'value="allow"' in who.go(str(page.url)).text
    assert returned(who.answer(page, answer="allow"))["code"]


@requirement("flow:get-repeatable")
def test_a_head_and_a_fetch_by_somebody_else_use_nothing_up(house: House):
    client, who = add_app(house), person(house)
    page = at_consent(who, client.authorize_url())
    scanner = house.client()
    assert scanner.request("HEAD", client.authorize_url()).status_code == 303
    assert scanner.get(client.authorize_url()).status_code == 303
    assert scanner.get(str(page.url)).status_code == 400
    assert scanner.request("HEAD", str(page.url)).status_code == 400
    assert returned(who.answer(page, answer="allow"))["code"]


@requirement("flow:get-repeatable")
def test_each_fetch_of_a_remembered_client_brings_a_fresh_code_and_each_is_good(house: House):
    client, who = add_app(house), person(house)
    who.allow(client.authorize_url())
    codes = [returned(who.front.get(client.authorize_url()))["code"] for _ in range(3)]
    assert len(set(codes)) == 3
    assert [client.redeem(code).status_code for code in codes] == [200] * 3


@requirement("flow:held")
def test_a_request_waits_ten_minutes_and_not_a_second_longer(house_on: House):
    client, who = add_app(house_on), person(house_on)
    page = at_consent(who, client.authorize_url())
    house_on.later(599)
    assert 'value="allow"' in who.go(str(page.url)).text
    house_on.later(1)
    for answer in (who.go(str(page.url)), who.answer(page, answer="allow"), who.answer(page, answer="deny")):
        assert answer.status_code == 400 and "expired_request" in answer.text
        assert "connect again" in answer.text and "location" not in answer.headers


@requirement("flow:held", "flow:one-code")
@pytest.mark.parametrize("first", ["allow", "deny"])
@pytest.mark.parametrize("second", ["allow", "deny"])
def test_an_answered_request_is_gone(house_on: House, first: str, second: str):
    client, who = add_app(house_on), person(house_on)
    page = at_consent(who, client.authorize_url())
    assert ("code" in returned(who.answer(page, answer=first))) is (first == "allow")
    for answer in (who.answer(page, answer=second), who.go(str(page.url))):
        assert answer.status_code == 400 and "expired_request" in answer.text and "location" not in answer.headers


@requirement("flow:one-code")
def test_of_many_answers_at_once_one_brings_a_code(house_on: House):
    client, who = add_app(house_on), person(house_on)
    page = at_consent(who, client.authorize_url())
    fields = form(page, "/flow") | {"answer": "allow"}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: who.front.post(str(page.url), data=fields), range(8)))
    sent = [answer for answer in answers if answer.headers.get("location", "").startswith(HTTPS)]
    assert len(sent) == 1
    assert client.redeem(returned(sent[0])["code"]).status_code == 200
    for other in answers:
        if other is not sent[0]:
            assert other.status_code == 400 or other.headers["location"].startswith(f"{house_on.issuer}/flow?request=")


@requirement("flow:browser-tie")
def test_another_browser_can_neither_see_nor_answer_a_request(house: House):
    client, victim, attacker = add_app(house), person(house), person(house, 1)
    page = at_consent(attacker, client.authorize_url(state="attacker"))
    link = str(page.url)
    at_consent(victim, client.authorize_url())  # signed in, with cookies of their own
    seen = victim.front.get(link)
    assert seen.status_code == 400 and "attacker" not in seen.text and client.client_id not in seen.text
    own = form(victim.go(client.authorize_url()), "/flow")
    stolen = own | {
        "request_id": form(page, "/flow")["request_id"],
        "shown": form(page, "/flow")["shown"],
        "answer": "allow",
    }
    answer = victim.front.post(link, data=stolen)
    assert answer.status_code == 400 and "location" not in answer.headers
    assert returned(attacker.answer(page, answer="allow"))["state"] == "attacker"


@requirement("flow:browser-tie")
def test_the_request_id_alone_opens_nothing_and_the_tie_outlives_sign_in(house: House):
    client, who = add_app(house), person(house)
    first = who.go(client.authorize_url())
    tie = {name: value for name, value in who.front.cookies.items() if "browser" in name}
    assert len(tie) == 1
    page = who.answer(first, username=who.username, password=who.password)
    assert {name: value for name, value in who.front.cookies.items() if "browser" in name} == tie
    assert 'value="allow"' in page.text
    who.front.cookies.clear()
    assert who.go(str(page.url)).status_code == 400


@requirement("flow:held")
def test_a_request_id_that_was_never_given_is_over(house: House):
    for request_id in ("", "x", "x" * 8000, "%00", "é"):
        answer = house.client().get(f"/flow?request={request_id}")
        assert answer.status_code == 400 and "location" not in answer.headers
    assert house.client().get("/flow").status_code == 400
    assert house.client().get("/flow?request=a&request=b").status_code == 400


@requirement("flow:held")
def test_one_address_can_have_two_hundred_requests_waiting_and_time_frees_them(fresh_house_on: House):
    client = add_app(fresh_house_on)
    for _ in range(authorizations.MOST_HELD_PER_ADDRESS):
        assert "/flow" in fresh_house_on.client().get(client.authorize_url()).headers["location"]
    full = returned(fresh_house_on.client().get(client.authorize_url()))
    assert full["error"] == "temporarily_unavailable" and "200 sign-ins" in full["error_description"]
    assert full["state"] == "the-state"
    fresh_house_on.later(600)
    assert "/flow" in fresh_house_on.client().get(client.authorize_url()).headers["location"]


@requirement("flow:held")
def test_who_owes_no_answer_needs_no_place_among_the_waiting(fresh_house: House):
    client, who = add_app(fresh_house), person(fresh_house)
    who.allow(client.authorize_url())
    for _ in range(authorizations.MOST_HELD_PER_ADDRESS + 1):
        fresh_house.client().get(client.authorize_url())
    assert returned(who.front.get(client.authorize_url()))["code"]


@requirement("flow:held", "authorize:disabled-app")
def test_a_waiting_request_is_checked_anew_at_each_step(house: House):
    client, who = add_app(house), person(house)
    page = at_consent(who, client.authorize_url())
    change_app(house, client, is_enabled=False)
    back = returned(who.answer(page, answer="allow"))
    assert back["error"] == "unauthorized_client"
    change_app(house, client, is_enabled=True, callback_urls=("https://new.example/callback",))
    answer = who.answer(page, answer="allow")
    assert answer.status_code == 400 and "redirect_uri_mismatch" in answer.text and "location" not in answer.headers


@requirement("flow:consent-shown")
def test_what_changed_after_the_page_was_shown_is_shown_before_it_is_agreed_to(house: House):
    client, who = add_app(house, scopes=("mcp_api",)), person(house)
    page = at_consent(who, client.authorize_url(scope=None))
    assert "Perform" not in page.text and "Stay connected" not in page.text
    change_app(house, client, scopes=("mcp_api", "refresh_token"))
    again = who.answer(page, answer="allow")
    assert again.status_code == 200 and "Stay connected" in again.text
    tokens = client.redeem(returned(who.answer(again, answer="allow"))["code"]).json()
    assert tokens["scope"] == "mcp_api refresh_token"


@requirement("flow:consent-shown", "authorize:scopes")
def test_an_answer_without_what_was_shown_agrees_to_nothing(house: House):
    client, who = add_app(house), person(house)
    page = at_consent(who, client.authorize_url(scope="mcp_api"))
    for shown in ("", "mcp_api", "mcp_api refresh_token full"):
        again = who.answer(page, answer="allow", shown=shown)
        assert again.status_code == 200 and 'value="allow"' in again.text
    assert client.redeem("x" * 43).status_code == 400


@requirement("flow:held", "flow:browser-tie")
def test_two_requests_of_one_browser_wait_side_by_side(house: House):
    one, two, who = add_app(house), add_app(house), person(house)
    signed_in(who, one)
    first, second = at_consent(who, one.authorize_url(state="1")), at_consent(who, two.authorize_url(state="2"))
    assert returned(who.answer(second, answer="deny"))["state"] == "2"
    assert returned(who.answer(first, answer="allow"))["state"] == "1"
    assert connect(who, two)["access_token"]
