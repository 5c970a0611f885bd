"""``gatelodge app create | display | policies``: every field of Settings and Policies from the command line."""

from pathlib import Path
from typing import Any

import pytest

from gatelodge.cli import verbs
from gatelodge.cli.arguments import parser
from gatelodge.cli.commands import OF_THE_COMMAND, _as_text
from gatelodge.cli.verb import NotFound
from gatelodge.core.apps.policies import FIELDS, Policies
from gatelodge.core.apps.settings import FIELDS as SETTINGS
from gatelodge.core.apps.settings import Settings
from gatelodge.core.errors import Invalid, Refused
from tests.house import House
from tests.requirements import requirement
from tests.setup.offices import app_of
from tests.setup.test_app_options import public_keys

CREATE = ("app", "create", "--name", "My App", "--email", "dev@acme.example")


def gatelodge(house: House, *argv: str) -> Any:
    """The command as it is typed, in the house's own process."""
    typed = vars(parser().parse_args(argv))
    values = {name: value for name, value in typed.items() if name not in OF_THE_COMMAND}
    return house.run(verbs.perform(house.site, f"{typed['command']} {typed['verb']}", values))


@requirement("options:command-line")
def test_every_field_of_settings_has_a_flag(house: House, tmp_path: Path):
    keys = tmp_path / "keys.json"
    keys.write_text(public_keys())
    gatelodge(
        house, *CREATE, "--api-name", "Mine", "--distribution-state", "Packaged", "--contact-phone", "+353 1 234 5678",
        "--info-url", "https://acme.example/about", "--logo-url", "https://acme.example/logo.png", "--icon-url",
        "https://acme.example/icon.png", "--description", "Two words", "--callback", "https://a.example/cb",
        "--callback", "http://localhost/cb", "--scope", "openid", "--scope", "refresh_token", "--logout-url",
        "https://a.example/out", "--no-jwt-access-tokens", "--no-require-pkce", "--access-token-parameter",
        "--client-credentials-flow", "--require-secret-for-web-server-flow", "--require-secret-for-refresh-token-flow",
        "--code-credentials-flow", "--no-refresh-token-rotation", "--introspect-all-tokens", "--device-flow",
        "--jwt-bearer-flow", "--token-exchange-flow", "--public-keys", str(keys),
    )  # fmt: skip
    made = app_of(house, "Mine").settings
    untouched = [f.name for f in SETTINGS if getattr(made, f.name) == f.default and f.name != "oauth_enabled"]
    assert untouched == [] and made.public_keys == keys.read_text()
    assert made.callback_urls == ("https://a.example/cb", "http://localhost/cb")
    shown = gatelodge(house, "app", "display", "mine")
    assert shown["settings"]["scopes"] == ("openid", "refresh_token") and shown["settings"]["require_pkce"] is False
    assert set(shown["settings"]) == {f.name for f in SETTINGS} and set(shown["policies"]) == {f.name for f in FIELDS}
    text = _as_text(shown)
    assert (
        "\nsettings\n" in text and "require_pkce" in text and "\npolicies\n" in text and "access_token_minutes" in text
    )


@requirement("options:command-line")
def test_what_is_not_given_is_the_default_or_the_presets(house: House):
    gatelodge(house, *CREATE, "--preset", "claude", "--callback", "https://a.example/cb")
    made = app_of(house, "My_App").settings
    assert made == Settings(
        label="My App", api_name="My_App", contact_email="dev@acme.example", scopes=("mcp_api", "refresh_token"),
        callback_urls=(
            "https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback",
            "https://a.example/cb",
        ),
    )  # fmt: skip


@requirement("options:command-line")
def test_the_forms_rules_are_the_command_lines(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(Invalid, match="must require PKCE"):
        gatelodge(house, *CREATE, "--callback", "https://a.example/cb", "--no-require-pkce")
    for wrong in (["--public-keys", str(tmp_path / "none")], ["--distribution-state", "Managed"]):
        with pytest.raises(SystemExit) as stopped:
            parser().parse_args([*CREATE, *wrong])
        assert stopped.value.code == 2
    assert "can't be read" in capsys.readouterr().err


@requirement("options:command-line")
def test_policies_are_shown_and_set_by_name(house_on: House):
    assert gatelodge(house_on, "app", "policies", "cursor")["access_token_minutes"] == 10
    answer = gatelodge(
        house_on, "app", "policies", "Cursor", "--set", "permitted_users=AdminApprovedPreAuthorized", "--set",
        "permission_sets=Administrator,Standard_User", "--set", "trusted_ranges=10.0.0.0/8", "--set",
        "trusted_ranges=198.51.100.0/24", "--set", "access_token_minutes=5", "--set", "is_enabled=off", "--set",
        "custom_attributes=who=User.Username", "--set", "mcp_servers=sobject-reads",
    )  # fmt: skip
    saved = app_of(house_on).policies
    assert saved == Policies(
        permitted_users="AdminApprovedPreAuthorized", permission_sets=("Administrator", "Standard_User"),
        trusted_ranges=("10.0.0.0/8", "198.51.100.0/24"), access_token_minutes=5, is_enabled=False,
        custom_attributes=("who=User.Username",), mcp_servers=("sobject-reads",),
    )  # fmt: skip
    assert answer["permission_sets"] == ("Administrator", "Standard_User") and answer["is_enabled"] is False
    answer = gatelodge(house_on, "app", "policies", "Cursor", "--set", "mcp_servers=*", "--set", "permission_sets=")
    assert answer["mcp_servers"] == "*"
    assert app_of(house_on).policies.mcp_servers is None and app_of(house_on).policies.permission_sets == ()
    gatelodge(house_on, "app", "policies", "Cursor", "--set", "mcp_servers=")
    assert app_of(house_on).policies.mcp_servers == ()


@requirement("options:command-line")
@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ("access_token_minutes=721", Invalid, "choose 1 to 720"),
        ("access_token_minutes=soon", Refused, "'soon' is not a whole number"),
        ("is_enabled=perhaps", Refused, "must be on or off"),
        ("session_level=HIGHEST", Refused, "is not one of: LOW, STANDARD, HIGH_ASSURANCE"),
        ("permission_sets=Nothing", Invalid, "no such permission set"),
        ("colour=red", Refused, "must be NAME=VALUE; the names are is_enabled"),
        ("is_enabled", Refused, "must be NAME=VALUE"),
    ],
)
def test_a_wrong_policy_is_refused_and_nothing_saved(house: House, change: str, kind: type[Exception], reason: str):
    with pytest.raises(kind, match=reason):
        gatelodge(house, "app", "policies", "Cursor", "--set", "below_level=Block", "--set", change)
    assert app_of(house).policies == Policies() and app_of(house).revision == 1
    with pytest.raises(NotFound, match="has no app named 'Nobody'"):
        gatelodge(house, "app", "policies", "Nobody")
