"""What every page and every form must do, asked of the rows themselves, so that a new one can't be forgotten."""

import re
from typing import Any

import httpx2
import pytest

from gatelodge.cli import verbs
from tests.house import House
from tests.people import Form, Person
from tests.requirements import requirement
from tests.setup import places

GETS = tuple(row.path for row in places.ROWS if "GET" in row.methods and row.path not in places.REDIRECTS)
POSTS = tuple(row.path for row in places.ROWS if "POST" in row.methods)
USER_ID = re.compile(r"/setup/users/(005\w{15})")
APP_ID = re.compile(r"/setup/apps/(0xI\w{15})")
FOR_EVERYBODY = (
    "/setup", "/setup/password", "/setup/theme", "/setup/connections", "/setup/sessions", "/setup/verify",
    "/setup/second-factors", "/setup/second-factors/totp", "/setup/second-factors/passkey",
)  # fmt: skip
"""Rows of Setup that need no permission."""
ON_THEIR_WAY = ("/setup/first", "/setup/second-factors/totp")
"""Nobody can open these by their address: an administrator exists, and no secret was made."""


def token_of(page: httpx2.Response) -> str:
    return next(fields["form_token"] for _, fields in Form(page.text).forms if "form_token" in fields)


def filled(house: House, path: str) -> str:
    """The row's path with an app's id or a user's id in it."""
    found = path.replace("{provider}", "nobodys")
    if "{app_id}" in path:
        found = found.replace("{app_id}", APP_ID.findall(sign_in(house, 0).front.get("/setup/apps").text)[0])
    if "{user_id}" in path:
        found = found.replace("{user_id}", USER_ID.findall(sign_in(house, 0).front.get("/setup/users").text)[1])
    return found


def sign_in(house: House, n: int) -> Person:
    """The n-th seeded user in a browser of their own."""
    user = house.told.users[n]
    person = Person(house.client(), user["username"], user["password"])
    assert person.sign_in_to_setup().status_code == 303
    return person


@requirement("pages:headers")
def test_every_page_keeps_scripts_frames_and_caches_away(house: House):
    person = sign_in(house, 0)
    for path in GETS:
        answer = person.front.get(filled(house, path))
        if path in ON_THEIR_WAY:
            assert answer.status_code == 303
            continue
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'", path
        assert policy["script-src"] in ("'self'", "'none'") and policy["style-src"] == "'self'", path
        assert policy["base-uri"] == "'none'" and policy["form-action"].startswith("'self'"), path
        assert answer.headers["x-frame-options"] == "DENY", path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "same-origin", path
        assert answer.headers["cache-control"] == "no-store", path
        assert " style=" not in answer.text and "<script>" not in answer.text and "onclick" not in answer.text, path


@requirement("pages:no-script-in-a-flow")
def test_pages_of_sign_in_and_consent_run_no_script_but_the_one_for_passkeys(house: House):
    client = house.client()
    page = client.get("/login")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert re.findall(r"<script[^>]* src=\"[^\"]*/static/([a-z.]+)", page.text) == ["passkeys.js"]
    for path in ("/flow?request=nothing", "/services/oauth2/authorize?client_id=nobody"):
        answer = client.get(path)
        assert "script-src 'none'" in answer.headers["content-security-policy"], path
        assert "<script" not in answer.text, path


@pytest.mark.parametrize("path", POSTS)
@requirement("pages:forms-are-ours")
def test_every_form_is_refused_unless_this_browser_this_sign_in_and_this_org_made_it(house: House, path: str):
    person = sign_in(house, 0)
    target, page = filled(house, path), person.front.get("/setup/password")
    token, stranger = token_of(page), token_of(house.client().get("/login"))
    origin = {"Origin": house.issuer}
    assert refused(person.front.post(target, data={"x": "y"}, headers=origin))
    assert refused(person.front.post(target, data={"form_token": stranger}, headers=origin))
    assert refused(person.front.post(target, data={"form_token": token}, headers={"Origin": "https://evil.example"}))
    assert refused(person.front.post(target, data={"form_token": token}, headers={"Origin": "null"}))
    assert refused(person.front.post(target, json={"form_token": token}, headers=origin), 415)
    assert not refused(person.front.post(target, data={"form_token": token}, headers=origin))
    person.sign_in_to_setup()  # another sign-in of the same person: what was made before is no longer good
    assert refused(person.front.post(target, data={"form_token": token}, headers=origin))


def refused(answer: httpx2.Response, status: int = 403) -> bool:
    return answer.status_code == status


@requirement("pages:forms-are-ours")
def test_a_form_of_one_org_is_no_form_of_another_on_the_same_host(house: House):
    def run(verb: str, **arguments: Any) -> Any:
        return house.run(verbs.perform(house.site, verb, arguments))

    run("org create", name="other", label="", kind="production")
    run("user create", org="other", username="eve@other.example", name="", email="", admin=True, permission_sets=[],
        password="a password long enough")  # fmt: skip
    house.catch_up()
    front = house.client()
    here = house.told.users[0]
    Person(front, here["username"], here["password"]).sign_in_to_setup()
    page = front.get("/o/other/login")
    assert page.status_code == 200
    given = {"username": "eve@other.example", "password": "a password long enough", "next": ""}
    signed_in = front.post("/o/other/login", data=given | {"form_token": token_of(page)})
    assert signed_in.status_code == 303 and signed_in.headers["location"] == f"{house.issuer}/o/other/setup"
    ours, theirs = token_of(front.get("/setup/password")), token_of(front.get("/o/other/setup/password"))
    assert front.post("/o/other/setup/theme", data={"form_token": ours, "theme": "dark"}).status_code == 403
    assert front.post("/o/other/setup/theme", data={"form_token": theirs, "theme": "dark"}).status_code == 303
    assert front.post("/logout", data={"form_token": theirs}).status_code == 403


@requirement("setup:sign-in-first")
def test_a_stranger_is_sent_to_sign_in_and_comes_back_to_the_page_that_was_asked_for(house: House):
    for path in GETS:
        if not path.startswith("/setup") or path == "/setup/first":
            continue
        target = filled(house, path)
        user, front = house.told.users[0], house.client()
        sent = front.get(target)
        assert sent.status_code == 303 and sent.headers["location"] == f"{house.issuer}/login?next={target}", path
        page = front.get(sent.headers["location"])
        fields = Form(page.text).forms[0][1] | {"username": user["username"], "password": user["password"]}
        assert front.post("/login", data=fields).headers["location"] == f"{house.issuer}{target}", path


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/setup/../../evil", "/\\evil.example", "/setup@evil", "/login"],
)
@requirement("setup:no-open-redirect")
def test_sign_in_and_the_theme_lead_nowhere_but_to_setup(house: House, target: str):
    user, front = house.told.users[0], house.client()
    fields = Form(front.get("/login").text).forms[0][1] | {"next": target}
    answer = front.post("/login", data=fields | {"username": user["username"], "password": user["password"]})
    assert answer.headers["location"] == f"{house.issuer}/setup"
    token = token_of(front.get("/setup"))
    answer = front.post("/setup/theme", data={"form_token": token, "theme": "dark", "next": target})
    assert answer.headers["location"].startswith(f"{house.issuer}/setup"), answer.headers["location"]
    assert "evil.example" not in answer.headers["location"]


@requirement("setup:permissions")
def test_every_row_of_setup_needs_a_permission_unless_it_is_everybodys(house: House):
    person = sign_in(house, 2)
    token = token_of(person.front.get("/setup"))
    for row in places.ROWS:
        if not row.path.startswith("/setup") or row.path == "/setup/first":
            continue
        for method in row.methods:
            data = {"form_token": token} if method == "POST" else None
            answer = person.front.request(method, filled(house, row.path), data=data)
            assert (answer.status_code == 403) == (row.path not in FOR_EVERYBODY), (method, row.path)
            if answer.status_code == 403:
                assert "needs the permission" in answer.text, row.path


@requirement("setup:sign-out")
def test_signing_out_ends_the_session_and_no_link_can_do_it(house: House):
    person = sign_in(house, 0)
    assert person.front.get("/logout").status_code == 405
    cookies = dict(person.front.cookies)
    person.front.post("/logout", data={"form_token": token_of(person.front.get("/setup"))})
    assert person.front.get("/setup").status_code == 303
    stolen = house.client()
    for name, value in cookies.items():
        stolen.cookies.set(name, value)
    assert stolen.get("/setup").status_code == 303
