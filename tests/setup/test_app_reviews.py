"""Saving an app: what is asked before, the form's own lists, and what the form says beside itself."""

import subprocess
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.cli import arguments, verbs
from gatelodge.core.apps import as_command, callbacks, presets, settings
from gatelodge.core.apps.settings import FIELDS, Settings
from gatelodge.core.errors import Invalid
from tests.generated import MANY
from tests.house import House
from tests.people import Person
from tests.requirements import requirement
from tests.setup.offices import administrator, app_of, errors, send, sent, token, words
from tests.setup.test_app_life import NAME, connect, path_of


def saved(person: Person, path: str, **changes: Any) -> str:
    """Save the form with these changes: "saved", or what is asked first."""
    answer = send(person, path, save="1", **changes)
    return "saved" if answer.status_code == 303 else words(answer)


@pytest.mark.parametrize(
    ("below", "changes", "effect"),
    [
        ("edit", {"scopes": ["mcp_api"]}, "1 connection loses the scope refresh_token."),
        ("edit", {"oauth_enabled": None}, "1 person is signed out of the app."),
        ("edit", {"callback_urls": ["http://localhost:8080/oauth/callback"]}, "can't sign anybody in any more"),
        ("edit", {"jwt_access_tokens": None}, "MCP servers refuse the access tokens"),
        ("edit", {"require_secret_for_refresh_token_flow": "on"}, "1 connection can't be renewed without a secret."),
        ("policies", {"is_enabled": None}, "1 person is signed out of the app."),
        ("policies", {"permitted_users": "AdminApprovedPreAuthorized"}, "0 users may use the app, in place of"),
        ("policies", {"refresh_token_period": "3"}, "1 connection ends sooner"),
        ("policies", {"which_servers": "selected"}, "The app is refused by every other server."),
        ("policies", {"mcp_read_only": "on"}, "Tools that write are refused"),
        ("policies", {"trusted_ranges": "198.51.100.0/24"}, "is refused at the next call"),
    ],
)
@requirement("apps:review")
def test_what_somebody_would_notice_is_asked_before_it_is_saved(
    house: House, below: str, changes: dict[str, Any], effect: str
):
    connect(house)
    robin, path = administrator(house), f"{path_of(house)}/{below}"
    before = app_of(house, NAME)
    asked = send(robin, path, **changes, save="1")
    assert effect in words(asked) and "Nothing is saved yet" in words(asked) and app_of(house, NAME) == before
    back = robin.front.post(path, data=sent(asked.text, check="1"))
    assert "Nothing is saved yet" not in words(back) and app_of(house, NAME) == before
    assert robin.front.post(path, data=sent(asked.text, confirmed="1")).status_code == 303
    assert app_of(house, NAME).revision == before.revision + 1


@requirement("apps:review")
def test_what_nobody_notices_is_saved_at_once(house: House):
    connect(house)
    robin, path = administrator(house), path_of(house)
    assert saved(robin, f"{path}/edit", description="Better words", label="Claude in the terminal") == "saved"
    assert saved(robin, f"{path}/policies", access_token_minutes="5", refresh_token_period="60") == "saved"


@requirement("apps:review")
def test_nobody_is_asked_about_an_app_that_nobody_uses(house: House):
    robin, path = administrator(house), path_of(house)
    assert saved(robin, f"{path}/edit", callback_urls=["https://client.example/callback"]) == "saved"
    assert saved(robin, f"{path}/policies", is_enabled=None, mcp_read_only="on") == "saved"


@requirement("setup:no-lost-update")
def test_who_comes_second_sees_both_versions_and_takes_theirs_field_by_field(house: House):
    robin, path = administrator(house), f"{path_of(house)}/edit"
    old = robin.front.get(path).text
    assert saved(robin, path, description="Theirs", contact_phone="+353 1") == "saved"
    late = robin.front.post(path, data=sent(old, description="Mine", save="1"))
    assert late.status_code == 409 and "Theirs" in words(late) and "Mine" in late.text
    taken = robin.front.post(path, data=sent(late.text, take="contact_phone"))
    assert robin.front.post(path, data=sent(taken.text, save="1")).status_code == 303
    now = app_of(house, NAME).settings
    assert (now.description, now.contact_phone) == ("Mine", "+353 1")


@requirement("apps:pasted-url")
def test_an_app_for_chatgpt_needs_the_url_that_chatgpt_shows(house: House):
    robin = administrator(house)
    form = "/setup/apps/new?preset=chatgpt"
    for urls in ("", "https://chatgpt.com/elsewhere", "https://client.example/callback"):
        refused = send(robin, form, save="1", callback_urls=[urls])
        assert refused.status_code == 422 and "paste it here" in errors(refused)["callback_urls"], urls
    assert saved(robin, form, callback_urls=["https://chatgpt.com/connector/oauth/mX2kP9"]) == "saved"
    assert app_of(house, "ChatGPT").settings.callback_urls == ("https://chatgpt.com/connector/oauth/mX2kP9",)


@requirement("apps:callback-list")
def test_callback_urls_are_added_and_removed_by_buttons_that_post(house: House):
    robin = administrator(house)
    page = robin.front.get("/setup/apps/new?preset=claude")
    added = robin.front.post("/setup/apps/new", data=sent(page.text, add_callback="1"))
    assert added.text.count('name="callback_urls"') == 3
    fewer = robin.front.post("/setup/apps/new", data=sent(added.text, remove_callback="1"))
    assert fewer.text.count('name="callback_urls"') == 1 and "claude.com" in fewer.text
    none = robin.front.post("/setup/apps/new", data=sent(fewer.text, remove_callback="1"))
    assert none.text.count('name="callback_urls" value=""') == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://claude.ai/api/mcp/auth_callback/", "a slash at the end"),
        ("http://localhost:8080/Callback", "upper and lower case"),
        ("http://localhost:4000/elsewhere", "a client that returns to http://127.0.0.1:4000/elsewhere is refused"),
        ("http://claude.ai/api/mcp/auth_callback", "what differs is the scheme"),
        ("https://claude.ai/api/mcp/auth_callback", ""),
        ("https://client.example/callback", ""),
    ],
)
@requirement("apps:callback-doubts")
def test_a_callback_url_that_is_nearly_a_known_one_is_doubted(house: House, url: str, said: str):
    robin = administrator(house)
    page = robin.front.get("/setup/apps/new")
    shown = robin.front.post("/setup/apps/new", data=sent(page.text, check="1", callback_urls=[url]))
    assert said in words(shown) and ('class="doubt"' in shown.text) == bool(said)


@requirement("apps:callback-doubts")
def test_a_slip_is_doubted_in_the_readers_language_too(house: House):
    robin = administrator(house)
    page, slip = robin.front.get("/setup/apps/new"), "https://claude.ai/api/mcp/auth_callback/"
    asked = sent(page.text, check="1", callback_urls=[slip])
    shown = robin.front.post("/setup/apps/new", data=asked, headers={"Accept-Language": "de"})
    assert "ein Schrägstrich am Ende" in words(shown) and 'class="doubt"' in shown.text


@requirement("apps:callback-doubts")
def test_twins_of_loopback_stand_side_by_side_without_a_doubt():
    both = ("http://localhost:1/x", "http://127.0.0.1:2/x")
    assert callbacks.doubt(both[0], both, ()) == callbacks.doubt(both[1], both, ()) == ""


SETTINGS = st.builds(
    Settings,
    label=st.text(min_size=1, max_size=30).map(str.strip),
    api_name=st.from_regex(r"[A-Za-z](?:_?[A-Za-z0-9]){0,9}", fullmatch=True),
    contact_email=st.just("robin@acme.example"),
    distribution_state=st.sampled_from(["Local", "Packaged"]),
    description=st.text(max_size=60).map(str.strip),
    callback_urls=st.lists(
        st.sampled_from(["https://a.example/x", "http://localhost:1/c", *presets.BY_NAME["claude"].callback_urls]),
        unique=True,
        min_size=1,
    ).map(tuple),
    scopes=st.lists(st.sampled_from(["mcp_api", "refresh_token", "openid"]), unique=True, min_size=1).map(tuple),
    **{field.name: st.booleans() for field in FIELDS if field.kind == "flag"},
)


@MANY
@requirement("apps:command")
@given(made=SETTINGS, preset=st.sampled_from(["other", "claude", "vscode"]))
def test_the_command_says_exactly_the_app_of_the_form(made: Settings, preset: str):
    try:
        settings.check(made)
    except Invalid:
        made = msgspec.structs.replace(Settings(), label="Plain", api_name="Plain", contact_email="a@acme.example",
                                       callback_urls=made.callback_urls, scopes=made.scopes)  # fmt: skip
    first, *rest = as_command.words(made, preset=preset, org="")
    assert first == "gatelodge" and verbs.settings_of(vars(arguments.parse(rest))) == made


@requirement("apps:command")
def test_the_command_of_the_form_makes_the_same_app(house: House):
    robin = administrator(house)
    page = robin.front.get("/setup/apps/new?preset=cursor")
    changes = {"label": "By hand", "api_name": "By_hand", "description": "It's $HOME `here`", "device_flow": "on"}
    shown = robin.front.post("/setup/apps/new", data=sent(page.text, check="1", **changes))
    assert "--name=&#39;By hand&#39;" in shown.text and "By_hand.eca-meta.xml" in shown.text
    assert robin.front.post("/setup/apps/new", data=sent(shown.text, save="1")).status_code == 303
    form = app_of(house, "By_hand")
    command = as_command.as_command(form.settings, preset=form.preset)
    assert command.splitlines()[0] == "gatelodge app create \\"
    typed = f"gatelodge() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    read = vars(arguments.parse(subprocess.check_output(["/bin/sh", "-c", typed], text=True).split("\0")[:-1]))
    send(robin, f"/setup/apps/{form.id}/delete")
    house.run(verbs.perform(house.site, "app create", {n: v for n, v in read.items() if n not in ("command", "verb")}))
    again = app_of(house, "By_hand")
    assert (again.settings, again.preset, again.policies) == (form.settings, form.preset, form.policies)
    assert token(robin)
