"""What every page and every form must do, asked of the rows themselves, so that a new one can't be forgotten."""

import re
from urllib.parse import urlencode

import httpx2
import pytest

from tests.house import House
from tests.oauth.scenes import add_app, person
from tests.people import Form, Person, form, form_token
from tests.requirements import requirement
from tests.setup import offices, places

GETS = tuple(row.path for row in places.ROWS if "GET" in row.methods and row.path not in places.REDIRECTS)
POSTS = tuple(row.path for row in places.ROWS if "POST" in row.methods)
USER_ID = re.compile(r"/setup/users/(005\w{15})")
APP_ID = re.compile(r"/setup/apps/(0xI\w{15})")
FOR_EVERYBODY = (
    "/setup", "/setup/password", "/setup/theme", "/setup/connections", "/setup/sessions", "/setup/my-sign-ins", "/setup/verify",
    "/setup/second-factors", "/setup/second-factors/totp", "/setup/second-factors/passkey", "/setup/connect",
    "/setup/connect/{user_code}", "/setup/preferences", "/setup/search", "/setup/my-approvals", "/setup/approvals/{id}", "/setup/step-up",
)  # fmt: skip
"""Rows of Setup that need no permission."""
FOR_STRANGERS = ("/setup/first", "/setup/connect", "/setup/connect/{user_code}")
"""Rows below /setup that are looked at before signing in: a device's code grants nothing by itself."""
SIGN_IN = ("/login", "/login/factor", "/login/callback", "/login/upstream/{provider}")
"""Rows whose page may load the script for passkeys, and no other."""
OURS = ["htmx-4.0.1.min.js", "setup.js"]
"""The scripts of Setup's pages."""
SIGN_OUT = places.SIGN_OUT
"""The one form that another site may post, by OpenID Connect RP-Initiated Logout 1.0 §2: without a form's token, it is
an app's request. It becomes a GET with that standard's parameters, and nothing has happened yet.
"""
ON_THEIR_WAY = ("/setup/first", "/setup/second-factors/totp")
"""Nobody can open these by their address: an administrator exists, and no secret was made."""


def filled(house: House, path: str) -> str:
    """The row's path with an app's id or a user's id in it."""
    found = path.replace("{provider}", "nobodys").replace("{user_code}", "BCDF-GHJK")
    found = found.replace("{server_name}", "sobject-reads")
    found = found.replace("{set_name}", "Standard_User")
    found = found.replace("{server}", "sobject-reads").replace("{id}", "none")
    found = found.replace("{code}", "GL-3012").replace("{trace_id}", "01KB0000000000000000000000")
    if "{app_id}" in path:
        found = found.replace("{app_id}", APP_ID.findall(sign_in(house, 0).front.get("/setup/apps").text)[0])
    if "{user_id}" in path:
        found = found.replace("{user_id}", USER_ID.findall(sign_in(house, 0).front.get("/setup/users").text)[1])
    return found


def sign_in(house: House, n: int) -> Person:
    """The n-th seeded user in a browser of their own."""
    return offices.sign_in(person(house, n))


@requirement("pages:headers")
def test_every_page_keeps_scripts_frames_and_caches_away(house: House):
    who = sign_in(house, 0)
    for path in GETS:
        answer = who.front.get(filled(house, path))
        if path in ON_THEIR_WAY:
            assert answer.status_code == 303
            continue
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'", path
        assert policy["style-src"] == "'self'" and policy["script-src"] == allowed_scripts(house, path, answer.text), (
            path
        )
        assert policy["base-uri"] == "'none'" and policy["form-action"].startswith("'self'"), path
        assert answer.headers["x-frame-options"] == "DENY", path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "same-origin", path
        assert answer.headers["cache-control"] == "no-store", path
        assert " style=" not in answer.text and "<script>" not in answer.text and "onclick" not in answer.text, path


def allowed_scripts(house: House, path: str, text: str) -> str:
    """What a page with these scripts may say of them: Setup's pages load our own files, the flow's none, and of those
    the pages of signing in one, which they name by its whole URL.
    """
    loaded = re.findall(r'<script type="module" src="/static/([a-z0-9.-]+\.js)\?v=[0-9a-f]{12}"></script>', text)
    assert len(loaded) == text.count("<script"), path
    if 'class="flow"' not in text:
        assert loaded in (OURS, [*OURS, "passkeys.js"]), path
        return "'self'"
    if not loaded:
        return "'none'"
    assert loaded == ["passkeys.js"] and path in SIGN_IN, path
    return f"{house.issuer}/static/passkeys.js"


@requirement("pages:no-script-in-a-flow")
def test_pages_of_sign_in_and_consent_run_no_script_but_the_one_for_passkeys(house: House):
    who, client = person(house, 1), add_app(house)
    ours = f"script-src {house.issuer}/static/passkeys.js;"
    page = who.go(client.authorize_url())
    for each in (page, who.front.get("/login")):
        assert ours in each.headers["content-security-policy"] and each.text.count("<script") == 1
        assert re.findall(r"<script[^>]* src=\"[^\"]*/static/([a-z.]+)", each.text) == ["passkeys.js"]
    consent = who.answer(page, username=who.username, password=who.password)
    assert 'value="allow"' in consent.text
    others = ("/flow?request=nothing", "/services/oauth2/authorize?client_id=nobody", "/setup/connect", SIGN_OUT)
    for each in (consent, *map(who.front.get, others)):
        assert "script-src 'none';" in each.headers["content-security-policy"], each.url
        assert "<script" not in each.text, each.url


@pytest.mark.parametrize("path", POSTS)
@requirement("pages:forms-are-ours")
def test_every_form_is_refused_unless_this_browser_this_sign_in_and_this_org_made_it(house: House, path: str):
    who = sign_in(house, 0)
    target, page = filled(house, path), who.front.get("/setup/password")
    token, stranger = form_token(page), form_token(house.client().get("/login"))
    origin = {"Origin": house.issuer}
    assert refused(who.front.post(target, data={"x": "y"}, headers=origin)) is (path != SIGN_OUT)
    assert refused(who.front.post(target, data={"form_token": stranger}, headers=origin))
    assert refused(who.front.post(target, data={"form_token": token}, headers={"Origin": "https://evil.example"}))
    assert refused(who.front.post(target, data={"form_token": token}, headers={"Origin": "null"}))
    assert refused(who.front.post(target, json={"form_token": token}, headers=origin), 415)
    assert not refused(who.front.post(target, data={"form_token": token}, headers=origin))
    who.sign_in_to_setup()  # another sign-in of the same person: what was made before is no longer good
    assert refused(who.front.post(target, data={"form_token": token}, headers=origin))


@requirement("pages:forms-are-ours", "logout:asked-first")
def test_an_apps_own_request_to_sign_out_becomes_a_question_and_nothing_else(house: House):
    who = sign_in(house, 0)
    asked = {"client_id": "nobody", "state": "s"}
    for origin in (house.issuer, "https://evil.example", "null"):
        sent = asked | {"answer": "sign_out", "next": "/setup"}
        answer = who.front.post(SIGN_OUT, data=sent, headers={"Origin": origin})
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{house.issuer}{SIGN_OUT}?{urlencode(asked)}"
        assert "set-cookie" not in answer.headers and who.front.get("/setup").status_code == 200
        # What carries a token is a form, and must be ours.
        assert refused(who.front.post(SIGN_OUT, data=sent | {"form_token": "x"}, headers={"Origin": origin}))
    page = who.front.get(SIGN_OUT)
    assert 'value="sign_out"' in page.text and who.front.get("/setup").status_code == 200


def refused(answer: httpx2.Response, status: int = 403) -> bool:
    return answer.status_code == status


@requirement("pages:forms-are-ours")
def test_a_form_of_one_org_is_no_form_of_another_on_the_same_host(house: House):
    front = sign_in(house, 0).front
    offices.another_org(house, front=front)
    ours, theirs = form_token(front.get("/setup/password")), form_token(front.get("/o/other/setup/password"))
    assert front.post("/o/other/setup/theme", data={"form_token": ours, "theme": "dark"}).status_code == 403
    assert front.post("/o/other/setup/theme", data={"form_token": theirs, "theme": "dark"}).status_code == 303
    for path in POSTS:
        assert front.post(filled(house, path), data={"form_token": theirs}).status_code == 403, path
        assert front.post(f"/o/other{filled(house, path)}", data={"form_token": ours}).status_code == 403, path


@requirement("setup:sign-in-first")
def test_a_stranger_is_sent_to_sign_in_and_comes_back_to_the_page_that_was_asked_for(house: House):
    for path in GETS:
        target = filled(house, path)
        if not path.startswith("/setup") or path in FOR_STRANGERS:
            continue
        user, front = house.told.users[0], house.client()
        sent = front.get(target)
        assert sent.status_code == 303 and sent.headers["location"] == f"{house.issuer}/login?next={target}", path
        page = front.get(sent.headers["location"])
        fields = Form(page.text).forms[0][1] | {"username": user["username"], "password": user["password"]}
        assert front.post("/login", data=fields).headers["location"] == f"{house.issuer}{target}", path


@requirement("setup:sign-in-first", "device:csrf")
def test_a_stranger_may_enter_a_devices_code_and_is_shown_nothing_but_that_form(house: House):
    who, client = person(house, 1), add_app(house, device_flow=True, mcp_servers=("sobject-reads",), label="A kiosk")
    codes = client.front.post("/services/oauth2/device", data={"client_id": client.client_id}).json()
    for path in ("/setup/connect", f"/setup/connect/{codes['user_code']}"):
        page = who.front.get(path)
        assert page.status_code == 200 and "A kiosk" not in page.text and 'value="allow"' not in page.text
    sent = who.front.post("/setup/connect", data=form(page, "/connect") | {"answer": "allow"})
    back = f"/setup/connect/{codes['user_code']}"
    assert sent.status_code == 303 and sent.headers["location"] == f"{house.issuer}/login?next={back}"


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
    token = form_token(front.get("/setup"))
    answer = front.post("/setup/theme", data={"form_token": token, "theme": "dark", "next": target})
    assert answer.headers["location"].startswith(f"{house.issuer}/setup"), answer.headers["location"]
    assert "evil.example" not in answer.headers["location"]


@requirement("setup:permissions")
def test_every_row_of_setup_needs_a_permission_unless_it_is_everybodys(house: House):
    who = sign_in(house, 2)
    token = form_token(who.front.get("/setup"))
    for row in places.ROWS:
        if not row.path.startswith("/setup") or row.path == "/setup/first":
            continue
        for method in row.methods:
            data = {"form_token": token} if method == "POST" else None
            answer = who.front.request(method, filled(house, row.path), data=data)
            assert (answer.status_code == 403) == (row.path not in FOR_EVERYBODY), (method, row.path)
            if answer.status_code == 403:
                assert "needs the permission" in answer.text, row.path


@requirement("setup:sign-out")
def test_signing_out_ends_the_session_and_no_link_can_do_it(house: House):
    who = sign_in(house, 0)
    assert who.front.get("/logout").status_code == 405
    cookies = dict(who.front.cookies)
    who.front.post("/logout", data={"form_token": form_token(who.front.get("/setup"))})
    assert who.front.get("/setup").status_code == 303
    stolen = house.client()
    for name, value in cookies.items():
        stolen.cookies.set(name, value)
    assert stolen.get("/setup").status_code == 303
