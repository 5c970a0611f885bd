"""The Policies tab: every policy, every refusal, and who may change what."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.apps.fields import Field, from_text
from gatelodge.core.apps.policies import FIELDS, LABELS, SOURCES, Policies
from gatelodge.core.errors import Refused
from tests.generated import MANY
from tests.house import House
from tests.people import Person
from tests.requirements import requirement
from tests.setup.offices import Page, administrator, app_of, errors, officer, send, sent, token, words

CHOICES = [field for field in FIELDS if field.kind == "choice"]


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
    return f"/setup/apps/{app_of(house).id}/policies"


def saved(house: House) -> Policies:
    return app_of(house).policies


@requirement("policies:every-policy")
def test_saving_the_form_as_it_stands_changes_nothing(house: House, path: str):
    before = saved(house)
    assert send(administrator(house), path).status_code == 303
    assert saved(house) == before and app_of(house).revision == 2


@pytest.mark.parametrize("field", CHOICES, ids=[field.name for field in CHOICES])
@requirement("policies:every-policy")
def test_each_choice_is_set_and_shown_by_its_label(house: House, path: str, field: Field):
    robin, developer = administrator(house), officer(house, "manage_apps")
    for value, label in field.choices:
        assert send(robin, path, **{field.name: value}).status_code == 303
        assert getattr(saved(house), field.name) == value
        assert Page(robin.front.get(path).text).values[field.name] == [value]
        assert f"{field.label} {label}" in words(developer.front.get(path))


@requirement("policies:every-policy")
def test_every_other_policy_is_set_and_shown(house: House, path: str):
    robin = administrator(house)
    answer = send(
        robin, path, permitted_users="AdminApprovedPreAuthorized", permission_sets=["Administrator", "Standard_User"],
        trusted_ranges="198.51.100.0/24\r\n10.0.0.1-10.0.0.9\r\n", refresh_token_policy="SpecificLifetime",
        refresh_token_period="36", refresh_token_unit="Hours", access_token_minutes="720",
        custom_attributes="department = Organization.Name\nwho=User.Username", client_credentials="on",
        run_as="sam@acme.example", token_exchange="on", which_servers="selected", mcp_servers="sobject-reads",
        default_mcp_server="sobject-reads",
    )  # fmt: skip
    assert answer.status_code == 303, errors(answer)
    assert saved(house) == Policies(
        permitted_users="AdminApprovedPreAuthorized", permission_sets=("Administrator", "Standard_User"),
        trusted_ranges=("198.51.100.0/24", "10.0.0.1-10.0.0.9"), refresh_token_policy="SpecificLifetime",
        refresh_token_period=36, refresh_token_unit="Hours", access_token_minutes=720,
        custom_attributes=("department = Organization.Name", "who=User.Username"), client_credentials=True,
        run_as="sam@acme.example", token_exchange=True, mcp_servers=("sobject-reads",),
        default_mcp_server="sobject-reads",
    )  # fmt: skip
    assert send(robin, path).status_code == 303 and saved(house).permission_sets == ("Administrator", "Standard_User")
    shown = words(officer(house, "manage_apps").front.get(path))
    for part in ("198.51.100.0/24 10.0.0.1-10.0.0.9", "Run As sam@acme.example", "Refresh period 36", "who=User.User"):
        assert part in shown
    assert send(robin, path, is_enabled=None, which_servers="every").status_code == 303
    assert not saved(house).is_enabled and saved(house).mcp_servers is None


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"access_token_minutes": "0"}, "access_token_minutes", "0 minutes are not allowed: choose 1 to 720"),
        ({"access_token_minutes": "721"}, "access_token_minutes", "721 minutes are not allowed"),
        ({"access_token_minutes": "soon"}, "access_token_minutes", "'soon' is not a whole number"),
        ({"access_token_minutes": ""}, "access_token_minutes", "'' is not a whole number"),
        ({"refresh_token_period": "0"}, "refresh_token_period", "0 days are not allowed"),
        ({"refresh_token_period": "3651"}, "refresh_token_period", "choose one hour to 3650 days"),
        ({"refresh_token_period": "-3"}, "refresh_token_period", "'-3' is not a whole number"),
        ({"trusted_ranges": "10.0.0.0/33"}, "trusted_ranges", "write for example 198.51.100.0/24"),
        ({"trusted_ranges": "10.0.0.9-10.0.0.1"}, "trusted_ranges", "ends before it begins"),
        ({"custom_attributes": "a b = User.Id"}, "custom_attributes", "is not an attribute's key"),
        ({"custom_attributes": "a = User.Password"}, "custom_attributes", f"choose from {', '.join(SOURCES)}"),
        ({"custom_attributes": "a=User.Id\na=User.Name"}, "custom_attributes", "a key of its own"),
        ({"client_credentials": "on"}, "run_as", "needs a Run As user"),
        ({"run_as": "nobody@acme.example"}, "run_as", "is not an active user of this org"),
        ({"permission_sets": ["Other_Orgs"]}, "permission_sets", "no such permission set"),
        ({"which_servers": "selected", "mcp_servers": ["nothing"]}, "mcp_servers", "no such MCP server"),
        (
            {"which_servers": "selected", "default_mcp_server": "sobject-reads"},
            "default_mcp_server",
            "not among the servers this app may use",
        ),
        ({"session_level": "HIGHEST"}, "session_level", "is not one of: LOW, STANDARD, HIGH_ASSURANCE"),
    ],
)
@requirement("policies:kept-as-typed")
def test_a_policy_that_breaks_a_rule_is_told_beside_its_field_and_kept_as_typed(
    still: House, robin: Person, changes: dict[str, Any], field: str, reason: str
):
    path = f"/setup/apps/{app_of(still).id}/policies"
    besides = {"below_level": "Block", "custom_attributes": "kept = User.Id", "is_enabled": None}
    answer = send(robin, path, **(besides | changes))
    assert answer.status_code == 422 and list(errors(answer)) == [field] and reason in errors(answer)[field]
    assert f'<a href="#{field}">' in answer.text and "<title>Error: " in answer.text
    assert app_of(still).revision == 1 and saved(still) == Policies()
    kept = Page(answer.text).values
    assert kept["below_level"] == ["Block"] and "is_enabled" not in kept
    for name, value in (besides | changes).items():
        if name not in ("is_enabled", "which_servers", "session_level"):
            assert kept[name] == (value if isinstance(value, list) else [value]), name


@requirement("policies:kept-as-typed")
def test_everything_wrong_is_told_at_once_in_the_forms_order(still: House, robin: Person):
    path = f"/setup/apps/{app_of(still).id}/policies"
    changes: dict[str, Any] = {
        "run_as": "x", "access_token_minutes": "soon", "trusted_ranges": "x", "refresh_token_period": "99999",
    }  # fmt: skip
    answer = send(robin, path, **changes)
    assert list(errors(answer)) == ["trusted_ranges", "refresh_token_period", "access_token_minutes", "run_as"]
    assert "4 fields need another look" in words(answer)


@requirement("policies:permission")
def test_a_developer_reads_policies_and_cannot_change_them(house: House, path: str):
    developer = officer(house, "manage_apps")
    page = developer.front.get(path)
    assert page.status_code == 200 and '<input type="checkbox"' not in page.text and "Save policies" not in page.text
    assert "View all External Client Apps, view their settings, and edit their policies" in words(page)
    for label in LABELS.values():
        assert label in words(page)
    answer = developer.front.post(path, data={"form_token": token(developer), "revision": "1"})
    assert answer.status_code == 403 and app_of(house).revision == 1


@requirement("policies:permission")
def test_an_administrator_of_policies_reads_settings_and_cannot_change_them(house: House, path: str):
    person = officer(house, "edit_policies")
    app = path.removesuffix("/policies")
    page = person.front.get(app)
    assert page.status_code == 200 and f"{app}/edit" not in page.text
    for below in ("/edit", "/credentials"):
        answer = person.front.post(f"{app}{below}", data={"form_token": token(person), "act": "make"})
        assert answer.status_code == 403, below
    assert "needs the permission “Create, edit, and delete External Client Apps”" in words(
        person.front.get(f"{app}/credentials")
    )
    assert send(person, path, below_level="Block").status_code == 303 and saved(house).below_level == "Block"


@requirement("policies:every-policy")
def test_the_page_says_what_bites_at_once(still: House, robin: Person):
    shown = words(robin.front.get(f"/setup/apps/{app_of(still).id}/policies"))
    assert "Turned off, the app's tokens are refused at once, on every node" in shown
    assert "Asked at every sign-in, refresh and call" in shown and "Live on every node within a second." in shown


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)


@requirement("policies:kept-as-typed")
@MANY
@given(field=st.sampled_from(FIELDS), texts=st.lists(TEXTS, max_size=4).map(tuple))
def test_any_text_for_any_policy_is_a_value_of_its_kind_or_refused_by_the_field(field: Field, texts: tuple[str, ...]):
    kinds: dict[str, Any] = {"flag": bool, "number": int, "list": tuple}
    try:
        value = from_text(field, texts)
    except Refused as refused:
        assert refused.field == field.name and len(refused.message) < 250
        assert field.kind in ("flag", "number", "choice")
        return
    assert isinstance(value, kinds.get(field.kind, str))
    if field.kind == "choice":
        assert value in dict(field.choices)
    if field.kind == "list":
        assert all(line == line.strip() != "" for line in value) and len(set(value)) == len(value)


@requirement("policies:kept-as-typed")
def test_a_form_that_was_opened_before_another_save_is_refused(house: House, path: str):
    robin = administrator(house)
    old = robin.front.get(path).text
    assert send(robin, path, below_level="Block").status_code == 303
    late = robin.front.post(path, data=sent(old, access_token_minutes="5"))
    assert late.status_code == 409 and "Somebody else saved this app" in words(late)
    assert re.search(r'name="access_token_minutes" value="5"', late.text) and saved(house).access_token_minutes == 10
