"""Every option of an app's Settings: on the form, in the readiness list, and in the source."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from gatelodge.core.apps.settings import FIELDS, FLOWS, LABELS, SECURITY
from tests.house import House
from tests.oauth.scenes import activate
from tests.people import Person
from tests.requirements import requirement
from tests.setup import offices
from tests.setup.offices import administrator, app_of, errors, send, words

SEED = (
    "Issue JSON Web Token (JWT)-based access tokens for named users",
    "Require Proof Key for Code Exchange (PKCE) extension for Supported Authorization Flows",
    "Issue access tokens in access_token parameter",
    "Enable Client Credentials Flow",
    "Require Secret for Web Server Flow",
    "Require Secret for Refresh Token Flow",
    "Enable Authorization Code and Credentials Flow",
    "Enable Refresh Token Rotation",
)
FLAGS = [
    field.name
    for field in FIELDS
    if field.kind == "flag" and (field.section in (SECURITY, FLOWS) or field.name == "introspect_all_tokens")
]
WITHOUT_MCP = {"scopes": ["openid", "refresh_token"]}
BESIDE: dict[str, dict[str, Any]] = {
    "require_pkce": {"require_secret_for_web_server_flow": "on"},
    "refresh_token_rotation": {"require_secret_for_refresh_token_flow": "on"},
    "access_token_parameter": WITHOUT_MCP,
    "code_credentials_flow": WITHOUT_MCP,
}
"""What else must be set for an option to be allowed in its other position."""


def public_keys() -> str:
    key = ECKey.generate_key("P-256")
    return json.dumps({"keys": [key.as_dict(private=False)]})


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An org for the tests that change nothing in it."""
    with House(tmp_path_factory.mktemp("still")) as made:
        yield made


@pytest.fixture(scope="module")
def robin(still: House) -> Person:
    return administrator(still)


@pytest.fixture
def path(house: House) -> str:
    return f"/setup/apps/{app_of(house).id}"


@requirement("options:every-option")
def test_the_security_options_stand_in_the_originals_words_and_order(still: House, robin: Person):
    page = robin.front.get(f"/setup/apps/{app_of(still).id}/edit").text
    section = page[page.index('aria-labelledby="security"') :].partition("</section>")[0]
    assert tuple(re.findall(r'<label for="[a-z_]+">([^<]+)', section)) == SEED


@pytest.mark.parametrize("name", FLAGS)
@requirement("options:every-option")
def test_an_option_is_turned_over_saved_and_shown(house: House, path: str, name: str):
    robin = administrator(house)
    wanted = not getattr(app_of(house).settings, name)
    besides = dict(BESIDE.get(name, {}))
    if name == "jwt_bearer_flow":
        besides["public_keys"] = public_keys()
    answer = send(robin, f"{path}/edit", **besides, **{name: "on" if wanted else None})
    assert answer.status_code == 303, errors(answer)
    assert getattr(app_of(house).settings, name) is wanted
    shown = words(robin.front.get(path))
    assert re.search(
        rf"{re.escape(LABELS[name])}( Unsafe: [^.]+\.(?: ?\d[^)]*\)\.)?)? {'On' if wanted else 'Off'} ", shown
    )
    box = robin.front.get(f"{path}/edit").text.split(f'id="{name}"')[1].split(">")[0]
    assert ("checked" in box) is wanted and "disabled" not in box


@requirement("options:every-option")
def test_lists_and_keys_are_saved_and_shown(house: House, path: str):
    robin, keys = administrator(house), public_keys()
    answer = send(
        robin, f"{path}/edit", logout_urls="https://a.example/out\nhttps://b.example/out", public_keys=keys,
        device_flow="on", token_exchange_flow="on", contact_phone="+353 1 234 5678",
    )  # fmt: skip
    assert answer.status_code == 303, errors(answer)
    saved = app_of(house).settings
    assert saved.logout_urls == ("https://a.example/out", "https://b.example/out") and saved.public_keys == keys
    shown = words(robin.front.get(path))
    assert "Single Logout URL https://a.example/out https://b.example/out" in shown and keys in shown


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"require_pkce": None}, "require_pkce", "without a secret must require PKCE; select this option, or Require"),
        ({"refresh_token_rotation": None}, "refresh_token_rotation", "must rotate its refresh tokens; select this"),
        ({"access_token_parameter": "on"}, "access_token_parameter", "can't stand beside the scope mcp_api"),
        ({"code_credentials_flow": "on"}, "code_credentials_flow", "The app sees the user's password. Deselect one"),
        ({"jwt_bearer_flow": "on"}, "public_keys", "Enable JWT Bearer Flow needs a certificate or JWK Set"),
        ({"public_keys": "not a key"}, "public_keys", "no PEM certificate or JWK Set that can be used"),
        ({"logout_urls": "http://client.example/out"}, "logout_urls", "not encrypted"),
    ],
)
@requirement("options:cross-rules")
def test_options_that_undo_one_another_are_refused_beside_the_field(
    still: House, robin: Person, changes: dict[str, Any], field: str, reason: str
):
    before = app_of(still)
    answer = send(robin, f"/setup/apps/{before.id}/edit", **changes)
    assert answer.status_code == 422 and list(errors(answer)) == [field] and reason in errors(answer)[field]
    assert f'href="#{field}"' in answer.text
    assert app_of(still) == before


@requirement("options:cross-rules")
def test_each_broken_rule_is_told_at_once(still: House, robin: Person):
    changes: dict[str, Any] = {
        "require_pkce": None, "refresh_token_rotation": None, "access_token_parameter": "on", "jwt_bearer_flow": "on",
    }  # fmt: skip
    answer = send(robin, f"/setup/apps/{app_of(still).id}/edit", **changes)
    assert set(errors(answer)) == {"require_pkce", "refresh_token_rotation", "access_token_parameter", "public_keys"}
    for name in ("access_token_parameter", "jwt_bearer_flow"):
        assert "checked" in answer.text.split(f'id="{name}"')[1].split(">")[0], "kept as it was selected"


@pytest.mark.parametrize("name", [field.name for field in FIELDS if field.unsafe])
@requirement("options:unsafe-is-said")
def test_an_unsafe_option_says_so_beside_it_in_the_readiness_list_and_in_the_list_of_apps(
    house: House, path: str, name: str
):
    robin = administrator(house)
    assert "No unsafe option is selected" in words(robin.front.get(path))
    answer = send(robin, f"{path}/edit", **BESIDE.get(name, {}), **{name: "on"})
    assert answer.status_code == 303, errors(answer)
    field = next(field for field in FIELDS if field.name == name)
    shown = words(robin.front.get(path))
    assert f"{field.label} Unsafe: {field.unsafe} On" in shown
    assert f"{field.label} is unsafe {field.unsafe} Deselect it, unless this app is no MCP client." in shown
    assert "No unsafe option is selected" not in shown
    row = words(robin.front.get("/setup/apps")).partition("Cursor Cursor")[2].partition("Local")[0]
    assert row.split()[0] in ("Needs", "Not")


@pytest.mark.parametrize(
    ("changes", "sentence", "word"),
    [
        ({"oauth_enabled": None}, "OAuth is off: no client can sign anybody in", "Not ready for MCP"),
        ({"scopes": ["refresh_token"]}, "Scopes lack mcp_api or refresh_token", "Not ready for MCP"),
        (
            {"jwt_access_tokens": None},
            "JWT access tokens are off: MCP servers will refuse this app's tokens",
            "Not ready for MCP",
        ),
        (
            {"require_pkce": None, "require_secret_for_web_server_flow": "on"},
            "PKCE is not required: a client that leaves it out is let in",
            "Not ready for MCP",
        ),
        (
            {"require_secret_for_web_server_flow": "on"},
            "A secret is required: MCP clients hold no secret",
            "Not ready for MCP",
        ),
        (
            {"require_secret_for_refresh_token_flow": "on"},
            "A secret is required: MCP clients hold no secret",
            "Not ready for MCP",
        ),
        ({"client_credentials_flow": "on"}, "Enable Client Credentials Flow is unsafe", "Needs attention"),
        (
            {"token_exchange_flow": "on"},
            "Enable Token Exchange Flow is on in Settings alone, so the flow is refused",
            "Needs attention",
        ),
    ],
)
@requirement("options:readiness")
def test_what_keeps_mcp_clients_out_is_said_before_saving_and_after_and_the_status_follows(
    house: House, path: str, changes: dict[str, Any], sentence: str, word: str
):
    robin = administrator(house)
    assert f"Cursor {'Ready'} " in words(robin.front.get(path)) and sentence not in words(robin.front.get(path))
    asked = send(robin, f"{path}/edit", check="1", **changes)
    assert asked.status_code == 200 and sentence in words(asked), "the button beside the list saves nothing"
    assert app_of(house).revision == 1
    answer = send(robin, f"{path}/edit", **changes)
    assert answer.status_code == 303, errors(answer)
    shown = words(robin.front.get(path))
    assert sentence in shown and word in shown
    listed = words(robin.front.get("/setup/apps"))
    assert f"Cursor Cursor {word}" in listed


@pytest.mark.parametrize(
    ("changes", "sentence", "word"),
    [
        ({"is_enabled": None}, "The app is disabled: its tokens are refused", "Disabled"),
        ({"which_servers": "selected"}, "No MCP server is active for this app", "Not ready for MCP"),
        (
            {"permitted_users": "AdminApprovedPreAuthorized"},
            "No permission set is pre-authorized: nobody may use the app",
            "Not ready for MCP",
        ),
        (
            {"refresh_token_policy": "Zero"},
            "Refresh tokens expire immediately: users sign in again every 10 minutes",
            "Needs attention",
        ),
        (
            {"client_credentials": "on", "run_as": "sam@acme.example"},
            "Enable Client Credentials Flow is on in Policies alone, so the flow is refused",
            "Needs attention",
        ),
    ],
)
@requirement("options:readiness")
def test_what_policies_do_to_mcp_clients_is_in_the_readiness_list(
    house: House, path: str, changes: dict[str, Any], sentence: str, word: str
):
    robin = administrator(house)
    answer = send(robin, f"{path}/policies", **changes)
    assert answer.status_code == 303, errors(answer)
    assert sentence in words(robin.front.get(path)) and word in words(robin.front.get(path))


@requirement("options:readiness")
def test_the_form_of_a_new_app_says_what_it_still_needs(house: House):
    robin = administrator(house)
    shown = words(robin.front.get("/setup/apps/new"))
    assert "OAuth is off" in shown and "There is no callback URL that can be used" in shown
    ready = send(robin, "/setup/apps/new", preset="claude", use_preset="1")
    assert "9 of 9" in words(ready)
    activate(house, "sobject-reads", is_active=False)
    house.catch_up()
    assert "No MCP server is active for this app" in words(robin.front.get("/setup/apps/new"))


@requirement("options:every-option")
def test_nothing_is_announced_for_a_later_release(still: House, robin: Person):
    path = f"/setup/apps/{app_of(still).id}"
    for below in ("", "/edit", "/policies", "/users", "/credentials"):
        page = robin.front.get(f"{path}{below}").text.lower()
        assert "next release" not in page and "disabled>" not in page
    root = Path(__file__).parents[2]
    for file in (*(root / "src").rglob("*"), *(root / "docs").rglob("*.md")):
        if file.suffix in (".py", ".html", ".js", ".css", ".md"):
            assert "next release" not in file.read_text("utf-8").lower(), file


@requirement("options:every-option")
def test_a_developer_without_policies_reads_settings_and_keeps_the_api_name(house: House, path: str):
    developer = offices.officer(house, "manage_apps")
    answer = send(developer, f"{path}/edit", api_name="Other")
    assert answer.status_code == 422 and "can't change after the app is created" in errors(answer)["api_name"]
