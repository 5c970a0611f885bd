"""The form of an app over HTTP: what it refuses, keeps and escapes, whatever is sent."""

import html
import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.apps import presets
from gatelodge.core.apps.settings import FIELDS
from tests.generated import MANY
from tests.house import PUBLIC_URL, House
from tests.people import Form, Person
from tests.requirements import requirement

NUMBERS = itertools.count(1)
GOOD = {
    "label": "Good",
    "contact_email": "it@acme.example",
    "distribution_state": "Local",
    "oauth_enabled": "on",
    "callback_urls": "https://client.example/callback",
    "scopes": ["mcp_api", "refresh_token"],
    "jwt_access_tokens": "on",
    "require_pkce": "on",
    "refresh_token_rotation": "on",
}
TEXTS = [field.name for field in FIELDS if field.kind == "text"]
HOSTILE = {
    "a script": "<script>alert(1)</script>",
    "an attribute": '"><img src=x onerror=alert(1)>',
    "a template": "{{ 7000 * 7001 }}{% raw %}",
    "a bidi override": "safe\u202egnp.exe",
    "zero width": "pay\u200bpal",
    "a control character": "a\x07b\x1b[31m",
    "a newline": "one\ntwo\r\nSet-Cookie: x=1",
    "ten thousand characters": "x" * 10_000,
    "emoji": "🚪🏠",
    "another script": "Ωμέγα אבג 漢字",
    "a quote": "'; DROP TABLE apps; --",
}


SHARED: list[tuple[Person, str]] = []
"""The one administrator of this module and their forms' token, for examples that hypothesis makes."""


@pytest.fixture(scope="module", autouse=True)
def administrator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with House(tmp_path_factory.mktemp("house")) as house:
        user = house.told.users[0]
        person = Person(house.client(), user["username"], user["password"])
        assert person.sign_in_to_setup().status_code == 303
        SHARED.append((person, token_of(person, "/setup/password")))
        yield person
        SHARED.clear()


def path_of(answer: httpx2.Response) -> str:
    """Where a form that was accepted leads, under the issuer."""
    assert answer.status_code == 303, errors(answer)
    return answer.headers["location"].removeprefix(PUBLIC_URL)


def token_of(person: Person, path: str) -> str:
    """What every form of a page carries."""
    forms = Form(person.front.get(path).text).forms
    return next(fields["form_token"] for _, fields in forms if "form_token" in fields)


def post(person: Person, path: str = "/setup/apps/new", **changes: Any) -> httpx2.Response:
    """Send the form with good values, but for these changes."""
    token = changes.pop("form_token", "") or token_of(person, "/setup/password")
    return person.front.post(path, data={**GOOD, "api_name": f"Good_{next(NUMBERS)}", "form_token": token, **changes})


class Fields(HTMLParser):
    """What each field of a page holds, as a browser would show it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "textarea":
            self._in, self.values[name] = name, ""
        elif tag == "input" and given.get("type") in ("text", "email"):
            before = f"{self.values[name]}\n" if name in self.values else ""  # a list has a field for each line
            self.values[name] = before + (given.get("value") or "")

    def handle_data(self, data: str) -> None:
        if self._in:
            self.values[self._in] += data

    def handle_endtag(self, tag: str) -> None:
        self._in = ""


def shown(page: httpx2.Response, name: str) -> str:
    """What a field of the page holds."""
    return Fields(page.text).values[name]


def errors(page: httpx2.Response) -> dict[str, str]:
    """The sentence beside each field."""
    found = {}
    for part in page.text.split('<p class="err" id="')[1:]:
        name, _, rest = part.partition('-error">')
        found[name] = html.unescape(rest.split("</p>", 1)[0])
    return found


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", HOSTILE)
@requirement("setup:hostile-text")
def test_hostile_text_is_refused_beside_its_field_or_shown_as_text(administrator: Person, name, kind):
    text = HOSTILE[kind]
    answer = post(administrator, **{name: text})
    if answer.status_code == 303:
        page = administrator.go(path_of(answer))
        assert html.escape(text.strip().splitlines()[0], quote=False) in page.text.replace("&#34;", '"').replace(
            "&#39;", "'"
        )
    else:
        page = answer
        assert answer.status_code == 422 and errors(answer)[name] and len(errors(answer)[name]) < 400
        assert shown(page, name).split() == text.split()
    for raw in ("<script>alert", "<img src=x", "49007000"):
        assert raw not in page.text
    for raw in ("\u202e", "\u200b"):
        assert raw not in page.text.partition('<form class="cols"')[0] + str(errors(answer))


@pytest.mark.slow
@requirement("setup:keeps-what-was-typed")
@MANY
@given(
    typed=st.fixed_dictionaries(
        {
            name: st.text(st.characters(exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=300)
            for name in TEXTS
        }
    )
)
def test_whatever_is_typed_is_accepted_or_kept_with_a_reason(typed: dict[str, str]):
    person, token = SHARED[0]
    answer = post(person, form_token=token, **typed)
    assert answer.status_code in (303, 422), answer.status_code
    if answer.status_code == 422:
        assert set(errors(answer)) <= {*TEXTS, ""} and 'id="errors"' in answer.text
        for name, value in typed.items():
            if name != "api_name" or value.strip():
                assert shown(answer, name).strip() == value.strip(), name


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"label": ""}, "label", "is required"),
        ({"api_name": "two__parts"}, "api_name", "single underscores"),
        ({"api_name": "1st"}, "api_name", "beginning with a letter"),
        ({"contact_email": "nobody"}, "contact_email", "not an e-mail address"),
        ({"contact_email": "a\u202eb@acme.example"}, "contact_email", "control or formatting character"),
        ({"info_url": "http://acme.example"}, "info_url", "not an https URL"),
        ({"contact_phone": "call me"}, "contact_phone", "not a phone number"),
        ({"callback_urls": ""}, "callback_urls", "at least one Callback URL"),
        ({"callback_urls": "http://client.example/a"}, "callback_urls", "not encrypted"),
        ({"callback_urls": "javascript:alert(1)"}, "callback_urls", "no known client uses"),
        ({"callback_urls": "https://*.client.example/a"}, "callback_urls", "wildcard"),
        ({"callback_urls": "https://client.example/a#b"}, "callback_urls", "fragment"),
        ({"callback_urls": "\n".join(f"https://client.example/{n:0480}" for n in range(5))}, "callback_urls", "2000"),
        ({"scopes": []}, "scopes", "at least one OAuth scope"),
        ({"scopes": ["full"]}, "scopes", "no such OAuth scope"),
        ({"require_pkce": ""}, "require_pkce", "must require PKCE"),
    ],
)
@requirement("setup:errors-beside-fields")
def test_what_breaks_a_rule_is_told_beside_its_field_and_nothing_is_created(
    administrator: Person, changes: dict[str, Any], field: str, reason: str
):
    before = administrator.front.get("/setup/apps").text.count('class="logo"')
    answer = post(administrator, **changes)
    assert answer.status_code == 422 and reason in errors(answer)[field], errors(answer)
    assert f'href="#{"available" if field == "scopes" else field}"' in answer.text
    assert administrator.front.get("/setup/apps").text.count('class="logo"') == before


@pytest.mark.parametrize("preset", presets.PRESETS, ids=presets.BY_NAME)
@requirement("setup:presets")
def test_a_preset_fills_the_form_and_takes_no_name_away(administrator: Person, preset: presets.Preset):
    page = post(
        administrator, label="Mine", api_name="Mine", callback_urls="", scopes=[], preset=preset.name, use_preset="1"
    )
    assert page.status_code == 200
    assert shown(page, "label") == "Mine" and shown(page, "api_name") == "Mine"
    assert shown(page, "callback_urls").split() == list(preset.callback_urls)
    if preset.name != "other":
        assert page.text.count('<input type="hidden" name="scopes"') == 2
    linked = administrator.front.get(f"/setup/apps/new?preset={preset.name}")
    assert shown(linked, "callback_urls").split() == list(preset.callback_urls)


@requirement("setup:api-name-fixed")
def test_the_api_name_is_made_from_the_name_is_unique_and_stays(administrator: Person):
    page = path_of(post(administrator, label="My App (2)", api_name=""))
    assert "<dd><span>My_App_2</span>" in administrator.front.get(page).text.replace("\n", "")
    assert "is taken in this org" in errors(post(administrator, label="Other", api_name="my_app_2"))["api_name"]
    answer = post(administrator, f"{page}/edit", label="New name", api_name="Other", revision="1")
    assert answer.status_code == 422 and "can't change after the app is created" in errors(answer)["api_name"]


@requirement("setup:no-lost-update")
def test_two_administrators_who_edit_one_app_cannot_overwrite_each_other(administrator: Person):
    page = path_of(post(administrator, label="Shared", api_name="Shared"))
    assert post(administrator, f"{page}/edit", label="First", api_name="Shared", revision="1").status_code == 303
    for below, typed in (("edit", {"label": "Second", "api_name": "Shared"}), ("policies", {"below_level": "Block"})):
        late = post(administrator, f"{page}/{below}", **typed, revision="1")
        assert late.status_code == 409 and "Somebody else saved this app" in late.text
        # The page shows both, and who saves once more knows what they overwrite.
        assert 'name="revision" value="2"' in late.text and "Saved now" in late.text
        assert post(administrator, f"{page}/{below}", **typed, revision="1").status_code == 409
    assert (
        shown(post(administrator, f"{page}/edit", label="Second", api_name="Shared", revision="1"), "label") == "Second"
    )
    assert "<h1>First</h1>" in administrator.front.get(page).text
    assert post(administrator, f"{page}/edit", label="Third", api_name="Shared", revision="").status_code == 409


@requirement("setup:policies")
def test_policies_name_every_or_selected_servers_and_disabling_shows(administrator: Person):
    page = path_of(post(administrator, label="Ruled", api_name="Ruled"))
    answer = post(administrator, f"{page}/policies", is_enabled="on", which_servers="selected", revision="1")
    assert answer.status_code == 303
    assert "Not ready for MCP" in administrator.front.get(page).text
    answer = post(administrator, f"{page}/policies", is_enabled="on", which_servers="selected",
                  mcp_servers="sobject-reads", default_mcp_server="sobject-reads", revision="2")  # fmt: skip
    assert answer.status_code == 303
    assert "Ready</span>" in administrator.front.get(page).text
    answer = post(administrator, f"{page}/policies", which_servers="selected", mcp_servers="nothing", revision="3")
    assert answer.status_code == 422 and "no such MCP server" in errors(answer)["mcp_servers"]
    assert post(administrator, f"{page}/policies", which_servers="every", revision="3").status_code == 303
    assert "Disabled</span>" in administrator.front.get(page).text


@requirement("setup:mcp-servers")
def test_only_a_server_of_the_org_is_activated_or_deactivated(administrator: Person):
    assert post(administrator, "/setup/mcp-servers", name="sobject-reads", act="explode").status_code == 400
    assert post(administrator, "/setup/mcp-servers", name="nothing", act="activate").status_code == 404
    assert post(administrator, "/setup/mcp-servers", name="sobject-reads", act="deactivate").status_code == 303


@requirement("setup:other-orgs-apps")
@pytest.mark.parametrize("app_id", ["0xI000000000000AAA", "x", "%27%20OR%201=1", "..%2f..", "0" * 3000])
def test_an_app_that_this_org_has_not_is_not_found(administrator: Person, app_id: str):
    for below in ("", "/edit", "/policies", "/credentials"):
        answer = administrator.front.get(f"/setup/apps/{app_id}{below}")
        assert answer.status_code in (400, 404), (app_id, below)


@requirement("setup:live-on")
def test_a_node_that_began_later_is_no_change_that_took_so_long(tmp_path: Path):
    def live_on(house: House) -> str:
        user = house.told.users[0]
        person = Person(house.client(), user["username"], user["password"])
        person.sign_in_to_setup()
        page = re.search(r"/setup/apps/0xI\w{15}", person.front.get("/setup/apps").text)
        assert page
        return re.sub(r"<[^>]*>", "", person.front.get(page[0]).text.split('id="live">')[1].split("\n")[0]).strip()

    with House(tmp_path) as house:
        assert live_on(house) == "Live on 1 of 1 nodes"
    with House(tmp_path) as house:
        house.run(house.site.live._acknowledge())
        assert live_on(house) == "Live on 1 of 1 nodes"
