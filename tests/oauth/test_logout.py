"""Signing out through an app: a person is asked, and goes only where the app's registration says."""

import html
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from tests.house import House
from tests.oauth.scenes import add_app, add_org, change_app, connect, is_signed_in, opens, person
from tests.people import OAuthClient, Person, form
from tests.requirements import requirement

PATH = "/services/auth/idp/oidc/logout"
BYE = "https://client.example/bye"
SCOPES = ("openid", "refresh_token", "mcp_api")


@pytest.fixture
def client(house: House) -> OAuthClient:
    return add_app(
        house, scopes=SCOPES, logout_urls=(BYE, "https://client.example/bye?from=acme", "com.example.app://signed/out")
    )


@pytest.fixture
def who(house: House) -> Person:
    return person(house)


def url(house: House, **sent: str) -> str:
    return f"{house.issuer}{PATH}?{urlencode(sent)}"


def say(who: Person, page: httpx2.Response, answer: str = "sign_out") -> httpx2.Response:
    assert page.status_code == 200, page.text
    return who.front.post(str(page.url), data=form(page, PATH) | {"answer": answer})


@requirement("logout:asked-first")
def test_a_get_asks_and_signs_nobody_out(house: House, client: OAuthClient, who: Person):
    hint = connect(who, client, scope="openid")["id_token"]
    for sent in ({}, {"id_token_hint": hint}, {"id_token_hint": hint, "post_logout_redirect_uri": BYE}):
        page = who.go(url(house, **sent))
        assert page.status_code == 200 and who.username in page.text and "Sign out of" in page.text
        assert is_signed_in(who)
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@requirement("logout:asked-first")
def test_the_answer_signs_out_and_the_old_cookie_is_dead(house: House, client: OAuthClient, who: Person):
    connect(who, client)
    before = dict(who.front.cookies)
    answer = say(who, who.go(url(house)))
    assert answer.status_code == 303 and urlsplit(answer.headers["location"]).path == PATH
    assert "You are signed out" in who.go(answer.headers["location"]).text
    assert not is_signed_in(who)
    for name, value in before.items():
        who.front.cookies.set(name, value)
    assert not is_signed_in(who)


@requirement("logout:asked-first")
def test_who_stays_stays(house: House, client: OAuthClient, who: Person):
    hint = connect(who, client, scope="openid")["id_token"]
    page = say(who, who.go(url(house, id_token_hint=hint, post_logout_redirect_uri=BYE)), "stay")
    assert page.status_code == 200 and "still signed in" in page.text and BYE not in page.text
    assert is_signed_in(who)


@requirement("logout:asked-first")
def test_no_other_site_can_answer_for_the_person(house: House, client: OAuthClient, who: Person):
    other = person(house, 1)
    connect(who, client)
    connect(other, client)
    page = who.go(url(house))
    fields = form(page, PATH) | {"answer": "sign_out"}
    for token in ("x", form(other.go(url(house)), PATH)["form_token"]):
        assert who.front.post(str(page.url), data=fields | {"form_token": token}).status_code == 403
    foreign = who.front.post(str(page.url), data=fields, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    # Without a form token a POST is an app's request (§2): asked again by GET, and nothing has ended.
    asked = who.front.post(f"{house.issuer}{PATH}", data={"answer": "sign_out", "client_id": client.client_id})
    assert asked.status_code == 303
    assert parse_qs(urlsplit(asked.headers["location"]).query) == {"client_id": [client.client_id]}
    assert is_signed_in(who)


@requirement("logout:way-back")
@pytest.mark.parametrize("says", ["hint", "client_id", "both"])
def test_the_way_back_is_a_registered_url_with_the_state(house: House, client: OAuthClient, who: Person, says: str):
    hint = connect(who, client, scope="openid")["id_token"]
    who_asks = {"hint": {"id_token_hint": hint}, "client_id": {"client_id": client.client_id}}
    sent = who_asks["hint"] | who_asks["client_id"] if says == "both" else who_asks[says]
    page = who.go(url(house, **sent, post_logout_redirect_uri=BYE, state="a b&c"))
    assert "https://client.example" in page.headers["content-security-policy"]
    answer = say(who, page)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{BYE}?state=a+b%26c")
    assert not is_signed_in(who)
    # Nobody is signed in any more: nothing is sent on, and a link says where one may go.
    again = who.go(url(house, **sent, post_logout_redirect_uri=BYE, state="s"))
    assert again.status_code == 200 and f'id="return" href="{BYE}?state=s"' in again.text


@requirement("logout:way-back")
def test_a_registered_query_is_kept_and_an_app_on_the_computer_gets_a_link(
    house: House, client: OAuthClient, who: Person
):
    connect(who, client)
    sent = {"client_id": client.client_id, "state": "s"}
    answer = say(who, who.go(url(house, **sent, post_logout_redirect_uri=f"{BYE}?from=acme")))
    assert answer.headers["location"] == f"{BYE}?from=acme&state=s"
    connect(who, client)
    page = say(who, who.go(url(house, **sent, post_logout_redirect_uri="com.example.app://signed/out")))
    assert page.status_code == 200 and 'href="com.example.app://signed/out?state=s"' in page.text
    assert not is_signed_in(who)


@requirement("logout:no-open-redirect")
@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/", "https://client.example/bye/", "https://client.example/bye?x=1",
        "https://CLIENT.example/bye", "https://client.example/bye#x", "https://client.example/by",
        "https://client.example@evil.example/bye", "https://client.example/callback", "//evil.example",
        "javascript:alert(1)", "https://client.example/bye%00", "https://client.example/x/../bye", "/setup",
    ],
)  # fmt: skip
def test_any_other_way_back_is_told_to_the_person_and_signs_nobody_out(
    house: House, client: OAuthClient, who: Person, wanted: str
):
    hint = connect(who, client, scope="openid")["id_token"]
    for sent in ({"id_token_hint": hint}, {"client_id": client.client_id}, {}):
        answer = who.front.get(url(house, **sent, post_logout_redirect_uri=wanted))
        assert answer.status_code == 400 and "location" not in answer.headers, sent
        assert f'href="{html.escape(wanted)}"' not in answer.text
    page = who.go(url(house))
    posted = form(page, PATH) | {
        "answer": "sign_out", "client_id": client.client_id, "post_logout_redirect_uri": wanted.replace("%00", "\x00"),
    }  # fmt: skip
    answer = who.front.post(str(page.url), data=posted)
    assert answer.status_code == 400 and "location" not in answer.headers
    assert is_signed_in(who)


@requirement("logout:no-open-redirect")
def test_a_url_of_another_app_or_of_a_disabled_one_is_no_way_back(house: House, client: OAuthClient, who: Person):
    other = add_app(house, scopes=SCOPES)
    hint = connect(who, other, scope="openid")["id_token"]
    for sent in (
        {"id_token_hint": hint},
        {"client_id": other.client_id},
        {"id_token_hint": hint, "client_id": client.client_id},
        {"client_id": "3MVG9" + "x" * 80},
    ):
        assert who.front.get(url(house, **sent, post_logout_redirect_uri=BYE)).status_code == 400, sent
    change_app(house, client, is_enabled=False)
    assert who.front.get(url(house, client_id=client.client_id, post_logout_redirect_uri=BYE)).status_code == 400


@requirement("logout:hint")
def test_an_expired_hint_is_taken_and_one_that_is_not_ours_refused(house: House, client: OAuthClient, who: Person):
    tokens = connect(who, client, scope="openid")
    house.later(7 * 86_400)
    assert who.front.get(url(house, id_token_hint=tokens["id_token"])).status_code == 200
    org = add_org(house, "elsewhere")
    far = add_app(house, scopes=SCOPES, org=org)
    forged = tokens["id_token"].rsplit(".", 1)[0] + "." + "A" * 86
    for hint in (tokens["access_token"], forged, "x", "a.b.c", tokens["id_token"][:-3]):
        answer = who.front.get(url(house, id_token_hint=hint))
        assert answer.status_code == 400 and "id_token_hint" in answer.text, hint
    assert who.front.get(f"{org.issuer}{PATH}?{urlencode({'id_token_hint': tokens['id_token']})}").status_code == 400
    assert who.front.get(f"{org.issuer}{PATH}?client_id={far.client_id}").status_code == 200


@requirement("logout:the-app-goes-on")
def test_signing_out_ends_the_browsers_session_and_no_connection(house: House, client: OAuthClient, who: Person):
    tokens = connect(who, client, scope="openid refresh_token mcp_api")
    say(who, who.go(url(house, id_token_hint=tokens["id_token"])))
    assert not is_signed_in(who)
    assert opens(client, tokens["access_token"]) and client.refresh(tokens["refresh_token"]).status_code == 200


@requirement("logout:asked-first")
def test_repeated_parameters_are_refused(house: House, client: OAuthClient, who: Person):
    twice = f"{house.issuer}{PATH}?client_id={client.client_id}&client_id={client.client_id}"
    assert who.front.get(twice).status_code == 400
