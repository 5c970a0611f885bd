"""Signing in on the way to consent: who gets in, what the browser holds afterwards, and whose forms are believed."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.house import House
from tests.oauth.scenes import add_app, add_org, add_user, code_for, connect, person, set_active, signed_in
from tests.people import Form, Person, form, returned
from tests.requirements import requirement

ON_HTTPS = "https://localhost:8765"


@pytest.fixture
def on_https(tmp_path: Path) -> Iterator[House]:
    """A deployment whose people come by https."""
    with House(tmp_path / "https", public_url=ON_HTTPS) as made:
        yield made


def session_cookies(who: Person) -> dict[str, str]:
    return {
        name: value
        for name, value in who.front.cookies.items()
        if "browser" not in name and "device" not in name and "theme" not in name
    }


def at_sign_in(who: Person, url: str) -> httpx2.Response:
    page = who.go(url)
    assert 'name="password"' in page.text, page.text
    return page


@requirement("flow:sign-in")
def test_a_wrong_password_an_unknown_name_and_an_inactive_user_get_the_same_answer(house_on: House):
    client, gone = add_app(house_on), add_user(house_on)
    set_active(house_on, gone, is_active=False)
    bodies = []
    for username, password in (
        (house_on.told.users[0]["username"], "wrong"),
        (house_on.told.users[0]["username"], house_on.told.users[1]["password"]),
        ("nobody@acme.example", "wrong"),
        (gone.username, gone.password),
        ("", ""),
        ("x" * 5000, "y" * 5000),
        ("' OR 1=1 --", "' OR 1=1 --"),
    ):
        who = Person(house_on.client(), username, password)
        page = who.answer(at_sign_in(who, client.authorize_url()), username=username, password=password)
        assert page.status_code == (400 if username else 200), username
        assert not session_cookies(who), username
        assert "location" not in page.headers
        fields = form(page, "/flow")
        said = page.text.split('role="alert"')[1].split("</div>")[0] if username else ""
        bodies.append(said)
        assert 'name="password"' in page.text and fields["request_id"]
        assert password == "" or f'value="{password}"' not in page.text
    assert len(set(bodies) - {""}) == 1


@requirement("flow:sign-in")
def test_after_a_wrong_password_the_right_one_goes_on(house: House):
    client, who = add_app(house), person(house)
    page = who.answer(at_sign_in(who, client.authorize_url()), username=who.username, password="wrong")
    assert f'value="{who.username}"' in page.text
    page = who.answer(page, username=who.username.upper(), password=who.password)
    assert returned(who.answer(page, answer="allow"))["code"]


@requirement("flow:session-fixation")
def test_signing_in_gives_a_new_value_and_the_old_one_opens_nothing(house_on: House):
    client, who = add_app(house_on), person(house_on)
    signed_in(who, client)
    before = session_cookies(who)
    page = at_sign_in(who, client.authorize_url(prompt="login"))
    who.answer(page, username=who.username, password=who.password)
    after = session_cookies(who)
    assert before.keys() == after.keys() and len(after) == 1 and set(before.values()).isdisjoint(after.values())
    thief = person(house_on)
    for name, value in before.items():
        thief.front.cookies.set(name, value)
    assert 'name="password"' in thief.go(client.authorize_url()).text
    assert 'value="allow"' in who.go(client.authorize_url()).text


@requirement("flow:session-fixation")
def test_a_value_planted_before_sign_in_is_nobodys(house: House):
    client, victim = add_app(house), person(house)
    signed_in(probe := person(house, 1), client)
    (name,) = session_cookies(probe)
    victim.front.cookies.set(name, "planted")
    signed_in(victim, client)
    attacker = house.client()
    attacker.cookies.set(name, "planted")
    assert 'name="password"' in Person(attacker, "", "").go(client.authorize_url()).text


@requirement("flow:session-fixation")
def test_a_session_ends_after_twelve_hours_and_with_its_user(house_on: House):
    client, who, other = add_app(house_on), add_user(house_on), add_user(house_on)
    signed_in(who, client), signed_in(other, client)
    assert 'value="allow"' in who.go(client.authorize_url()).text
    set_active(house_on, other, is_active=False)
    assert 'name="password"' in other.go(client.authorize_url()).text
    for _ in range(11):  # a session that is used stays awake, and ends all the same
        house_on.later(3600)
        assert 'value="allow"' in who.go(client.authorize_url()).text
    house_on.later(3599)
    assert 'value="allow"' in who.go(client.authorize_url()).text
    house_on.later(1)
    assert 'name="password"' in who.go(client.authorize_url()).text


@requirement("flow:cookies")
def test_cookies_are_host_only_and_out_of_reach_of_scripts(house: House, on_https: House):
    for place, prefix, secure in ((house, "", False), (on_https, "__Host-", True)):
        client, who = add_app(place), person(place)
        page = who.front.get(client.authorize_url())
        signed = who.front.post(
            f"{place.issuer}/flow",
            data=form(who.go(page.headers["location"]), "/flow") | {"username": who.username, "password": who.password},
        )
        for answer, kind in ((page, "gl-browser"), (signed, "gl")):
            begins = f"{prefix}{kind}-{place.org.id}="
            (cookie,) = (each for each in answer.headers.get_list("set-cookie") if each.startswith(begins))
            name, *attributes = cookie.split("; ")
            assert len(name) > len(begins), cookie
            assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(attributes)
            assert ("Secure" in attributes) is secure
            assert not any(each.lower().startswith(("domain", "max-age", "expires")) for each in attributes)


@requirement("flow:csrf")
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:8766", "http://127.0.0.1:8765", "http://localhost", ""]
)
def test_a_form_sent_from_another_origin_is_refused(house: House, origin: str):
    client, who = add_app(house), person(house)
    page = at_sign_in(who, client.authorize_url())
    fields = form(page, "/flow") | {"username": who.username, "password": who.password}
    answer = who.front.post(str(page.url), data=fields, headers={"Origin": origin})
    assert answer.status_code == 403 and not session_cookies(who) and "location" not in answer.headers
    ours = who.front.post(str(page.url), data=fields, headers={"Origin": "http://localhost:8765"})
    assert ours.status_code == 303 and session_cookies(who)


@requirement("flow:csrf")
@pytest.mark.parametrize("token", [None, "", "x", "x" * 43, "é"])
def test_a_form_without_its_token_is_refused_at_every_step(house: House, token: str | None):
    client, who = add_app(house), person(house)

    def spoiled(page: httpx2.Response, **answers: str) -> httpx2.Response:
        fields = form(page, "/flow") | answers
        assert fields.pop("form_token")
        return who.front.post(str(page.url), data=fields if token is None else fields | {"form_token": token})

    page = at_sign_in(who, client.authorize_url())
    assert spoiled(page, username=who.username, password=who.password).status_code == 403
    assert not session_cookies(who)
    page = who.answer(page, username=who.username, password=who.password)
    for choice in ("allow", "deny", "switch"):
        assert spoiled(page, answer=choice).status_code == 403
    assert returned(who.answer(page, answer="allow"))["code"]


@requirement("flow:csrf", "flow:browser-tie")
def test_a_form_made_for_another_browser_is_refused(house: House):
    client, victim, attacker = add_app(house), person(house), person(house, 1)
    page = at_sign_in(attacker, client.authorize_url())
    at_sign_in(victim, client.authorize_url())
    fields = form(page, "/flow") | {"username": attacker.username, "password": attacker.password}
    assert victim.front.post(str(page.url), data=fields).status_code == 403  # login CSRF
    assert not session_cookies(victim)
    assert house.client().post(str(page.url), data=fields).status_code == 403


@requirement("flow:csrf")
def test_a_form_shown_to_one_user_is_refused_after_another_signed_in(house: House):
    client, who, other = add_app(house), person(house), person(house, 1)
    page = signed_in(who, client).go(client.authorize_url())
    switched = who.answer(page, answer="switch")
    who.answer(switched, username=other.username, password=other.password)
    answer = who.answer(page, answer="allow")
    assert answer.status_code == 403 and "location" not in answer.headers


@requirement("flow:csrf", "authorize:orgs-apart")
def test_a_form_and_a_session_of_one_org_mean_nothing_at_another(house: House):
    org = add_org(house, "acme")
    ours, theirs, who, them = add_app(house), add_app(house, org=org), person(house), add_user(house, org=org)
    them = Person(who.front, them.username, them.password)  # one browser, signed in at both
    signed_in(who, ours), signed_in(them, theirs)
    page, other = who.go(ours.authorize_url()), who.go(theirs.authorize_url())
    for at, fields in ((f"{org.issuer}/flow", form(page, "/flow")), (f"{house.issuer}/flow", form(other, "/flow"))):
        answer = who.front.post(at, data=fields | {"answer": "allow"})
        assert answer.status_code == 403 and "location" not in answer.headers
    mixed = form(other, "/flow") | {"request_id": form(page, "/flow")["request_id"], "answer": "allow"}
    answer = who.front.post(f"{org.issuer}/flow", data=mixed)
    assert answer.status_code == 400 and "expired_request" in answer.text


@requirement("authorize:orgs-apart", "flow:session-fixation")
def test_a_session_value_carried_to_another_org_is_nobodys(house: House):
    org = add_org(house, "acme")
    ours, theirs, who = add_app(house), add_app(house, org=org), person(house)
    signed_in(who, ours)
    ((name, value),) = session_cookies(who).items()
    who.front.cookies.set(name.replace(house.org.id, org.id), value)
    assert 'name="password"' in who.go(theirs.authorize_url()).text
    page = who.go(theirs.authorize_url())
    assert who.answer(page, username=who.username, password=who.password).status_code == 400


@requirement("authorize:orgs-apart")
def test_a_code_and_a_refresh_token_of_one_org_mean_nothing_at_another(house_on: House):
    org = add_org(house_on, "acme")
    ours, theirs = add_app(house_on), add_app(house_on, org=org)
    code = code_for(person(house_on), ours)
    for client_id in (ours.client_id, theirs.client_id):
        assert theirs.redeem(code, client_id=client_id, code_verifier=ours.verifier).status_code in (400, 401)
    tokens = ours.redeem(code).json()
    for client_id in (ours.client_id, theirs.client_id):
        assert theirs.refresh(tokens["refresh_token"], client_id=client_id).status_code in (400, 401)
    assert ours.refresh(tokens["refresh_token"]).status_code == 200
    there = theirs.front.get(
        f"{org.issuer}/mcp/sobject-reads", headers={"Authorization": f"Bearer {tokens['access_token']}"}
    )
    assert there.status_code == 401


@requirement("flow:csrf")
def test_flow_pages_take_no_other_body_than_a_form(house: House):
    who, client = person(house), add_app(house)
    page = at_sign_in(who, client.authorize_url())
    fields = form(page, "/flow") | {"username": who.username, "password": who.password}
    assert who.front.post(str(page.url), json=fields).status_code == 415
    assert who.front.post(str(page.url), content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    assert not session_cookies(who)


@requirement("flow:sign-in")
def test_a_password_never_stands_on_a_page_or_in_a_url(house: House):
    client, who = add_app(house), person(house)
    page = at_sign_in(who, client.authorize_url())
    posted = who.front.post(
        str(page.url), data=form(page, "/flow") | {"username": who.username, "password": who.password}
    )
    assert posted.status_code == 303 and who.password not in posted.headers["location"]
    other = person(house)
    wrong = other.answer(at_sign_in(other, client.authorize_url()), username="a@b.c", password="s3cret-typo")
    assert wrong.status_code == 400 and "a@b.c" in wrong.text and "s3cret-typo" not in wrong.text
    assert all(action.endswith("/flow") for action, _ in Form(page.text).forms)
    assert connect(who, client)["access_token"]
