"""What the user is asked, when, and what their answer does."""

import html

import httpx2
import pytest

from gatelodge.core import authorizations
from tests.house import House
from tests.oauth.scenes import (
    CUSTOM,
    HTTPS,
    LOOPBACK,
    add_app,
    add_server,
    add_user,
    app_id,
    claims_of,
    code_for,
    connect,
    person,
    signed_in,
    user_id,
)
from tests.people import Person, form, returned
from tests.requirements import requirement


def asked(who: Person, url: str) -> httpx2.Response:
    """The page that waits for an answer."""
    page = who.go(url)
    if 'name="password"' in page.text:
        page = who.answer(page, username=who.username, password=who.password)
    assert page.status_code == 200 and 'value="allow"' in page.text, page.text
    return page


def is_consent(page: httpx2.Response) -> bool:
    return ">Allow</button>" in page.text


def is_continue(page: httpx2.Response) -> bool:
    return ">Continue</button>" in page.text


@requirement("flow:consent-page")
@pytest.mark.parametrize(
    ("callback", "host", "is_here"),
    [
        (HTTPS, "client.example", False),
        ("https://client.example:8443/a?b=c", "client.example:8443", False),
        (LOOPBACK, "localhost:8080 (this computer)", True),
        ("http://[::1]:7777/cb", "[::1]:7777 (this computer)", True),
        ("http://127.0.0.1/cb", "127.0.0.1 (this computer)", True),
        ("https://localhost:8443/cb", "localhost:8443 (this computer)", True),
        (CUSTOM, "an app on this computer (cursor:)", True),
        ("com.example.app:/cb", "an app on this computer (com.example.app:)", True),
    ],
)
def test_consent_names_the_app_who_registered_it_and_where_it_returns(
    house: House, callback: str, host: str, is_here: bool
):
    client, who = add_app(house, callback, label="Fancy & Client"), person(house)
    text = html.unescape(asked(who, client.authorize_url()).text)
    assert "Fancy & Client" in text and "robin@acme.example" in text
    assert f"<dt>Returns to</dt><dd>{host}</dd>" in text
    assert who.username in text and "SObject Reads" in text and "Acme" in text
    assert "Use your organisation's MCP servers" in text and "Stay connected" in text and "30 days" in text
    assert ("This app runs on your computer" in text) is is_here


@requirement("flow:consent-page", "authorize:loopback-port")
def test_consent_names_the_port_that_the_client_really_listens_on(house: House):
    client, who = add_app(house, LOOPBACK), person(house)
    page = asked(who, client.authorize_url(redirect_uri="http://localhost:50123/callback"))
    assert "localhost:50123" in page.text


@requirement("flow:consent-page", "authorize:refresh-added")
def test_consent_says_when_the_app_did_not_ask_to_stay_connected_but_will(house: House):
    client, who = add_app(house), person(house)
    said = "The app didn't ask for this"
    assert said in html.unescape(asked(who, client.authorize_url(scope="mcp_api")).text)
    assert said not in html.unescape(asked(who, client.authorize_url()).text)
    shorter = add_app(house, scopes=("mcp_api",))
    assert "Stay connected" not in asked(who, shorter.authorize_url()).text


@requirement("flow:consent-page")
def test_consent_names_the_server_that_was_asked_for(fresh_house: House):
    second = add_server(fresh_house, "second")
    client, who = add_app(fresh_house), person(fresh_house)
    text = asked(who, client.authorize_url(resource=second)).text
    assert "Server second" in text and "SObject Reads" not in text


@requirement("flow:deny")
@pytest.mark.parametrize("callback", [HTTPS, LOOPBACK, CUSTOM])
def test_who_denies_sends_access_denied_and_leaves_nothing_behind(house_on: House, callback: str):
    client, who = add_app(house_on, callback), person(house_on)
    back = returned(who.answer(asked(who, client.authorize_url()), answer="deny"))
    assert back == {
        "error": "access_denied",
        "error_description": "end-user denied authorization",
        "state": "the-state",
        "iss": house_on.issuer,
    }
    found = house_on.read(authorizations.find_live, house_on.org.id, user_id(house_on, who), app_id(house_on, client))
    assert found is None
    assert is_consent(asked(who, client.authorize_url()))


@requirement("flow:switch")
def test_the_user_may_sign_in_as_someone_else_and_that_one_is_asked(house: House):
    client, who, other = add_app(house), person(house), person(house, 1)
    page = who.answer(asked(who, client.authorize_url()), answer="switch")
    assert 'name="password"' in page.text
    page = who.answer(page, username=other.username, password=other.password)
    assert f"<dt>You are</dt><dd>{other.username}</dd>" in page.text
    tokens = client.redeem(returned(who.answer(page, answer="allow"))["code"]).json()
    assert claims_of(tokens["access_token"])["sub"] == user_id(house, other)
    assert house.read(authorizations.find_live, house.org.id, user_id(house, who), app_id(house, client)) is None


@requirement("flow:continue")
def test_a_remembered_https_client_gets_its_code_at_once(house: House):
    client, who = add_app(house), person(house)
    assert is_consent(asked(who, client.authorize_url()))
    who.allow(client.authorize_url())
    answer = who.front.get(client.authorize_url())
    assert answer.status_code == 303 and answer.headers["location"].startswith(HTTPS + "?code=")


@requirement("flow:continue")
@pytest.mark.parametrize(
    "callback",
    [
        LOOPBACK,
        "http://127.0.0.1:8080/cb",
        "http://[::1]:8080/cb",
        CUSTOM,
        "com.example.app:/cb",
        "https://localhost:8443/cb",
        "https://127.0.0.1/cb",
        "https://app.localhost/cb",
    ],
)
def test_a_remembered_client_on_this_computer_gets_a_continue_page_every_time(house: House, callback: str):
    client, who = add_app(house, callback), person(house)
    assert is_consent(asked(who, client.authorize_url()))
    who.allow(client.authorize_url())
    for _ in range(2):
        page = asked(who, client.authorize_url())
        assert is_continue(page) and not is_consent(page)
        assert "This app runs on your computer" in page.text
        assert client.redeem(returned(who.answer(page, answer="allow"))["code"]).status_code == 200


@requirement("flow:continue")
def test_each_way_back_of_an_app_is_judged_by_itself(house: House):
    client, who = add_app(house, HTTPS, LOOPBACK), person(house)
    who.allow(client.authorize_url())
    assert is_continue(asked(who, client.authorize_url(redirect_uri=LOOPBACK)))
    assert who.front.get(client.authorize_url()).headers["location"].startswith(HTTPS)


@requirement("flow:widening")
def test_more_than_was_agreed_to_is_asked_and_less_is_not(fresh_house_on: House):
    second = add_server(fresh_house_on, "second")
    reads = f"{fresh_house_on.issuer}/mcp/sobject-reads"
    client, who = add_app(fresh_house_on), person(fresh_house_on)
    who.allow(client.authorize_url(scope="refresh_token"))
    assert is_consent(asked(who, client.authorize_url(scope="mcp_api", resource=reads)))
    who.allow(client.authorize_url(scope="mcp_api", resource=reads))
    assert is_consent(asked(who, client.authorize_url(scope="mcp_api", resource=second)))
    who.allow(client.authorize_url(scope="mcp_api", resource=second))
    for scope, resource in (("refresh_token", None), ("mcp_api", reads), ("mcp_api refresh_token", second)):
        answer = who.front.get(client.authorize_url(scope=scope, resource=resource))
        assert answer.headers["location"].startswith(HTTPS + "?code="), (scope, resource)


@requirement("flow:widening")
def test_what_one_user_agreed_to_is_no_answer_of_another_or_for_another_app(house_on: House):
    one, two, who, other = add_app(house_on), add_app(house_on), person(house_on), person(house_on, 1)
    who.allow(one.authorize_url())
    assert is_consent(asked(who, two.authorize_url()))
    assert is_consent(asked(other, one.authorize_url()))


@requirement("flow:widening")
def test_an_authorization_that_was_ended_must_be_given_again(house_on: House):
    client, who = add_app(house_on), person(house_on)
    who.allow(client.authorize_url())
    held = house_on.read(authorizations.find_live, house_on.org.id, user_id(house_on, who), app_id(house_on, client))
    assert house_on.write(authorizations.end, house_on.org.id, held.id, house_on.site.clock.now()) is True
    assert house_on.write(authorizations.end, house_on.org.id, held.id, house_on.site.clock.now()) is False
    assert is_consent(asked(who, client.authorize_url()))
    tokens = connect(who, client)
    assert client.refresh(tokens["refresh_token"]).status_code == 200


@requirement("flow:not-permitted")
def test_a_user_without_the_permission_for_mcp_servers_is_told_and_may_go_back(house: House):
    client, who = add_app(house), person(house, 2)
    page = who.go(client.authorize_url())
    page = who.answer(page, username=who.username, password=who.password)
    assert page.status_code == 403 and "permission set" in page.text and 'value="allow"' not in page.text
    assert who.username in page.text
    forced = who.answer(page, answer="allow", shown=f"mcp_api refresh_token {house.issuer}/mcp/sobject-reads")
    assert forced.status_code == 403 and "location" not in forced.headers
    back = returned(who.answer(page, answer="deny"))
    assert back["error"] == "access_denied" and back["state"] == "the-state"


@requirement("flow:not-permitted", "flow:switch")
def test_a_user_who_may_not_can_hand_over_to_one_who_may(house: House):
    client, who, other = add_app(house), person(house, 2), add_user(house, "Standard_User")
    page = who.answer(who.go(client.authorize_url()), username=who.username, password=who.password)
    page = who.answer(page, answer="switch")
    page = who.answer(page, username=other.username, password=other.password)
    assert returned(who.answer(page, answer="allow"))["code"]


@requirement("flow:not-permitted")
def test_without_mcp_api_no_permission_for_mcp_servers_is_needed(house: House):
    assert code_for(person(house, 2), add_app(house), scope="refresh_token")


@requirement("flow:consent-page", "authorize:escaped")
def test_a_hostile_app_name_is_text_on_consent_and_on_the_way_back(house: House):
    name = '<b onmouseover="x">{{7*7}}</b>'
    for callback in (HTTPS, CUSTOM):
        client, who = add_app(house, callback, label=name), person(house)
        pages = [who.go(client.authorize_url())]
        pages.append(asked(who, client.authorize_url()))
        if callback == CUSTOM:
            pages.append(who.answer(pages[-1], answer="allow"))
        for page in pages:
            assert "<b " not in page.text and "49" not in html.unescape(page.text).split("<h1>")[1].split("</h1>")[0]
            assert name in html.unescape(page.text)


@requirement("flow:consent-page")
def test_consent_and_sign_in_need_no_script_and_name_only_our_own_form(house: House):
    client, who = add_app(house), person(house)
    signed_in(who, client)
    for page in (house.client().get(client.authorize_url()), asked(who, client.authorize_url())):
        assert "<script" not in page.text
    fields = form(asked(who, client.authorize_url()), "/flow")
    assert set(fields) == {"form_token", "request_id", "shown"}
