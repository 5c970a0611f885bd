"""Signing in through another OpenID provider: node oidc-provider, as it is meant to be."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gatelodge.cli.verbs import perform
from tests.accounts.providers import SECRET, add_provider, sign_in_as, stranger, today, users_of, visit_provider
from tests.factors import enrol, is_signed_in
from tests.house import House
from tests.oauth.scenes import add_app, claims_of, person, set_active
from tests.people import form, returned
from tests.postgres import _free_port
from tests.requirements import requirement

ROOT = Path(__file__).parents[2]
ACCOUNTS = {
    "ada": {"email": "ada@corp.example", "email_verified": True, "name": "Ada Byron", "groups": ["staff", "admins"]},
    "bob": {"email": "bob@corp.example", "email_verified": True, "name": "Bob", "groups": ["staff"]},
    "mallory": {"email": "robin@acme.example", "email_verified": True, "name": "Robin?", "groups": []},
    "unverified": {"email": "eve@corp.example", "email_verified": False, "name": "Eve", "groups": []},
}


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """node oidc-provider on loopback: its issuer."""
    port = _free_port()
    given = {"redirect_uri": "http://localhost:8765/login/callback", "accounts": ACCOUNTS}
    command = [ROOT / ".tools/node/bin/node", Path(__file__).parent / "provider.mjs", str(port), json.dumps(given)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "listening\n"
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.slow
@requirement("upstream:sign-in", "upstream:just-in-time", "upstream:mapping")
def test_the_first_sign_in_makes_a_user_with_the_mapped_permission_sets(house_on: House, node: str):
    today(house_on)
    told = add_provider(house_on, node)
    assert told["redirect_uri"] == f"{house_on.issuer}/login/callback"
    ada = stranger(house_on)
    assert "Sign in with Corp" in ada.front.get("/login").text
    done = sign_in_as(ada.front, "ada", "/login/upstream/corp?next=/setup/users")
    assert done.headers["location"] == f"{house_on.issuer}/setup/users"
    page = ada.front.get("/setup/users").text
    assert "ada@corp.example" in page and "Ada Byron" in page and "Administrator" in page
    bob = stranger(house_on)
    sign_in_as(bob.front, "bob")
    assert is_signed_in(bob) and bob.front.get("/setup/users").status_code == 403


@pytest.mark.slow
@requirement("upstream:within-flow")
def test_it_works_within_the_flow_and_comes_back_to_the_waiting_request(house: House, node: str):
    today(house)
    add_provider(house, node)
    client, ada = add_app(house), stranger(house)
    page = ada.go(client.authorize_url())
    link = page.text.split('class="btn" href="/login/upstream/corp', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    done = sign_in_as(ada.front, "ada", f"/login/upstream/corp{link}")
    assert done.status_code == 200 and 'content="0;url=' in done.text
    page = ada.go(done.text.split('id="continue" href="', 1)[1].split('"', 1)[0])
    answer = client.redeem(returned(ada.answer(page, answer="allow"))["code"])
    assert answer.status_code == 200
    assert claims_of(answer.json()["access_token"])["acr"] == "STANDARD"


@pytest.mark.slow
@requirement("upstream:just-in-time")
def test_later_sign_ins_find_the_same_user_and_follow_name_and_groups(house: House, node: str):
    today(house)
    add_provider(house, node)
    first, again = stranger(house), stranger(house)
    sign_in_as(first.front, "ada")
    before = house.read(users_of, house.org.id)
    sign_in_as(again.front, "ada")
    assert house.read(users_of, house.org.id) == before
    assert first.front.get("/setup/users").status_code == 200


@pytest.mark.slow
@requirement("upstream:no-takeover")
def test_a_user_who_was_here_before_is_not_taken_over_unless_the_provider_may_name_users(house: House, node: str):
    today(house)
    add_provider(house, node)
    mallory = stranger(house)
    answer = sign_in_as(mallory.front, "mallory")
    assert answer.status_code == 400 and "was here before" in answer.text and not is_signed_in(mallory)
    house.run(perform(house.site, "identity-provider remove", {"name": "corp"}))
    add_provider(house, node, link_by_username=True, map=[])
    assert sign_in_as(mallory.front, "mallory").status_code == 303
    assert mallory.front.get("/setup/users").status_code == 200


@pytest.mark.slow
@requirement("upstream:refused")
def test_a_deactivated_user_an_unverified_address_and_a_person_who_says_no_are_refused(house: House, node: str):
    today(house)
    add_provider(house, node)
    bob = stranger(house)
    sign_in_as(bob.front, "bob")
    bob.username = "bob@corp.example"
    set_active(house, bob, is_active=False)
    for who, why in (("bob", "is deactivated"), ("unverified", "not verified"), ("nobody", "the person said no")):
        visitor = stranger(house)
        answer = sign_in_as(visitor.front, who)
        assert answer.status_code == 400 and why in answer.text, who
        assert not is_signed_in(visitor)


@pytest.mark.slow
@requirement("upstream:state")
def test_an_answer_counts_once_in_its_own_browser_and_within_ten_minutes(house: House, node: str):
    today(house)
    add_provider(house, node)
    ada, thief = stranger(house), stranger(house)
    away = ada.front.get("/login/upstream/corp")
    back = visit_provider(away.headers["location"], "ada")
    assert thief.front.get("/login").status_code == 200
    stolen = thief.front.get(back)
    assert stolen.status_code == 400 and "another browser" in stolen.text and not is_signed_in(thief)
    assert ada.front.get(back).status_code == 303 and is_signed_in(ada)
    assert ada.front.get(back).status_code == 400
    late = stranger(house)
    back = visit_provider(late.front.get("/login/upstream/corp").headers["location"], "ada")
    house.later(601)
    assert late.front.get(back).status_code == 400 and not is_signed_in(late)


@pytest.mark.slow
@requirement("upstream:second-factor")
def test_a_users_own_second_factor_is_asked_for_where_the_provider_asked_for_none(house: House, node: str):
    today(house)
    add_provider(house, node)
    ada = stranger(house)
    sign_in_as(ada.front, "ada", "/login/upstream/corp?again=1")  # only then does it say when ada signed in there
    app, _ = enrol(house, ada)
    elsewhere = stranger(house)
    page = sign_in_as(elsewhere.front, "ada")
    assert page.status_code == 200 and not is_signed_in(elsewhere)
    code = app.at(house.site.clock.now() + 30)
    assert elsewhere.front.post("/login", data=form(page, "/login") | {"code": code}).status_code == 303
    assert is_signed_in(elsewhere)


@pytest.mark.slow
@requirement("upstream:verification", "sign_in:verification")
def test_signing_in_again_there_verifies_who_has_no_password_here(house: House, node: str):
    today(house)
    add_provider(house, node)
    ada = stranger(house)
    sign_in_as(ada.front, "ada")
    house.later(601)
    page = ada.front.get(ada.front.get("/setup/second-factors").headers["location"])
    assert 'name="password"' not in page.text
    link = page.text.split('href="/login/upstream/corp', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    away = ada.front.get(f"/login/upstream/corp{link}")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert asked["prompt"] == ["login"] and asked["max_age"] == ["0"]


@requirement("upstream:no-password")
def test_a_user_without_a_password_is_let_in_by_none(house: House):
    from gatelodge.core import secrets, users
    from gatelodge.core.ids import USER

    house.write(
        users.create, id=secrets.new_id(USER), org_id=house.org.id, username="upstream@corp.example", name="U",
        email="u@corp.example", password_hash="", permission_sets=(), now=house.site.clock.now(),
    )  # fmt: skip
    person(house).sign_in_to_setup()
    for password in ("", "x", "nobody's password"):
        front = house.client()
        page = front.get("/login")
        fields = form(page, "/login") | {"username": "upstream@corp.example", "password": password}
        assert front.post("/login", data=fields).status_code == 400


@requirement("upstream:operated")
def test_the_command_line_adds_lists_and_removes_and_never_tells_the_secret(house_on: House):
    add_provider(house_on, "https://idp.example")
    told = house_on.run(perform(house_on.site, "identity-provider list", {}))
    assert told[0]["name"] == "corp" and SECRET not in json.dumps(told)
    for changes, why in (
        ({}, "exists already"), ({"name": "Corp!"}, "must be"), ({"name": "b", "issuer": "http://idp.example",
         "allow_private_addresses": False}, "https"), ({"name": "b", "map": ["x=Nope"]}, "no permission set"),
        ({"name": "b", "map": ["x"]}, "VALUE=PERMISSION_SET"), ({"name": "b", "issuer": "https://a.example/?x"}, "query"),
    ):  # fmt: skip
        with pytest.raises(Exception, match=why):
            add_provider(house_on, **({"issuer": "https://idp.example"} | changes))
    assert house_on.run(perform(house_on.site, "identity-provider remove", {"name": "corp"}))
    assert house_on.run(perform(house_on.site, "identity-provider list", {})) == []
    assert house_on.client().get("/login/upstream/corp").status_code == 400
