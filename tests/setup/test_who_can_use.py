"""The Users tab: who can use an app now, and "can this user?", as the flows would have it."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core import deactivation, orgs, permissions, users
from gatelodge.core.apps import admission
from gatelodge.core.apps.policies import Policies
from gatelodge.core.ids import PERMISSION_SET
from gatelodge.core.permissions import USE_MCP_SERVERS, PermissionSet
from gatelodge.core.secrets import new_id
from tests.generated import MANY
from tests.house import House
from tests.requirements import requirement
from tests.setup.offices import add_user, administrator, app_of, officer, send, words

NAMES = ("robin@acme.example", "sam@acme.example", "noor@acme.example")


def ask(house: House, username: str, **parameters: Any) -> str:
    answer = administrator(house).front.get(
        f"/setup/apps/{app_of(house).id}/users", params={"username": username, **parameters}
    )
    assert answer.status_code == 200
    return words(answer)


def listed(house: House) -> str:
    return words(administrator(house).front.get(f"/setup/apps/{app_of(house).id}/users"))


@requirement("policies:who-can-use")
def test_who_can_use_an_app_is_counted_and_listed_with_the_reason(house_on: House):
    shown = listed(house_on)
    assert "2 of 3 active users" in shown and "Active users whose permission sets allow MCP servers." in shown
    assert "robin@acme.example Robin Okafor Administrator" in shown
    assert "sam@acme.example Sam Lindqvist Standard User" in shown and "noor@acme.example" not in shown
    path = f"/setup/apps/{app_of(house_on).id}/policies"
    changes: dict[str, Any] = {"permitted_users": "AdminApprovedPreAuthorized", "permission_sets": ["Administrator"]}
    assert send(administrator(house_on), path, **changes).status_code == 303
    shown = listed(house_on)
    assert "1 of 3 active users" in shown and "sam@acme.example" not in shown
    assert "with one of the pre-authorized permission sets, whose permission sets allow MCP servers" in shown
    assert send(administrator(house_on), path, permission_sets=[]).status_code == 303
    assert "0 of 3 active users" in listed(house_on) and "Nobody can use this app now." in listed(house_on)


@requirement("policies:who-can-use")
def test_an_app_without_mcp_is_for_everybody_and_a_disabled_one_for_nobody(house: House):
    path = f"/setup/apps/{app_of(house).id}"
    assert send(administrator(house), f"{path}/edit", scopes=["openid"]).status_code == 303
    shown = listed(house)
    assert "3 of 3 active users" in shown and "noor@acme.example Noor Haddad none needed" in shown
    assert send(administrator(house), f"{path}/policies", is_enabled=None).status_code == 303
    assert "0 of 3 active users" in listed(house) and "The app is disabled under Policies." in listed(house)


@requirement("policies:who-can-use")
def test_many_users_come_a_page_at_a_time(house_on: House):
    for n in range(55):
        add_user(house_on, f"user{n:03}@acme.example", "Standard_User")
    robin, path = administrator(house_on), f"/setup/apps/{app_of(house_on).id}/users"
    first = robin.front.get(path)
    assert "57 of 58 active users" in words(first) and first.text.count("/setup/users/005") == 50
    assert "user047@" in first.text and "user048@" not in first.text
    following = first.text.split(f'href="{path}?after=')[1].split('"')[0]
    second = robin.front.get(f"{path}?after={following}")
    assert second.text.count("/setup/users/005") == 7 and "user048@" in second.text
    assert "Next page" not in second.text


@requirement("policies:who-can-use")
def test_who_may_not_see_users_gets_no_links_to_them(house: House):
    page = officer(house, "edit_policies").front.get(f"/setup/apps/{app_of(house).id}/users")
    assert "sam@acme.example" in page.text and "/setup/users/" not in page.text


@requirement("policies:can-this-user")
def test_a_yes_names_what_else_it_depends_on(house: House):
    assert "Yes, sam@acme.example can use Cursor." in ask(house, " SAM@acme.example ")
    assert "Each time, only" not in ask(house, "sam@acme.example")
    path = f"/setup/apps/{app_of(house).id}/policies"
    changes = {"trusted_ranges": "198.51.100.0/24", "session_level": "HIGH_ASSURANCE"}
    assert send(administrator(house), path, **changes).status_code == 303
    house.write(orgs.change, msgspec.structs.replace(house.org, trusted_ranges=("10.0.0.0/8",)))
    house.catch_up()
    shown = ask(house, "sam@acme.example")
    assert "Each time, only: From these addresses: 198.51.100.0/24, 10.0.0.0/8." in shown
    assert "Signed in with a second factor or a passkey." in shown
    assert send(administrator(house), path, ip_relaxation="Bypass").status_code == 303
    assert "From these addresses" not in ask(house, "sam@acme.example")


@requirement("policies:can-this-user")
def test_a_no_names_every_reason(house: House):
    shown = ask(house, "noor@acme.example")
    assert "No, noor@acme.example can't use Cursor. The user has no permission set that allows MCP servers." in shown
    path = f"/setup/apps/{app_of(house).id}/policies"
    changes: dict[str, Any] = {"permitted_users": "AdminApprovedPreAuthorized", "permission_sets": ["Standard_User"]}
    assert send(administrator(house), path, is_enabled=None, **changes).status_code == 303
    noor = house.read(users.find_by_username, house.org.id, "noor@acme.example")
    house.write(deactivation.deactivate, house.org.id, noor.id, actor="robin", now_ms=1)
    shown = ask(house, "noor@acme.example")
    for reason in (
        "The user is inactive.",
        "The app is disabled under Policies.",
        "User is not admin approved to access this app: it is for users with one of the permission sets: Standard_User.",
        "The user has no permission set that allows MCP servers.",
    ):
        assert reason in shown
    assert "No user of Acme is called nobody@acme.example." in ask(house, "nobody@acme.example")


@requirement("policies:can-this-user")
def test_hostile_names_are_text_and_other_orgs_users_are_unknown(house: House):
    page = administrator(house).front.get(
        f"/setup/apps/{app_of(house).id}/users", params={"username": "<script>alert(1)</script>" + "x" * 3000}
    )
    assert page.status_code == 200 and "<script>alert" not in page.text
    assert "No user of Acme is called &lt;script&gt;" in page.text
    assert administrator(house).front.get(f"/setup/apps/{app_of(house).id}/users?username=%ff").status_code == 400


SETS = ("A", "A_B", "AxB", "b", "Üb")


@requirement("policies:who-can-use")
def test_the_database_and_the_rule_agree_on_who_may(house_on: House):
    org_id = house_on.org.id
    for n, name in enumerate(SETS):
        system = (USE_MCP_SERVERS,) if n % 2 else ()
        house_on.write(
            permissions.create, org_id, new_id(PERMISSION_SET), PermissionSet(api_name=name, label=name, system=system)
        )
    for held in range(2 ** len(SETS)):
        names = tuple(name for n, name in enumerate(SETS) if held & (1 << n))
        made = house_on.write(
            users.create, id=new_id("005"), org_id=org_id, username=f"holder{held}@acme.example", name="x", email="x",
            password_hash="", permission_sets=names, now=1,
        )  # fmt: skip
        if held % 7 == 0:
            house_on.write(users.set_active, org_id, made.id, is_active=False)
    known = house_on.read(permissions.of_org, org_id)
    everybody = [
        (user, house_on.read(permissions.access_of, org_id, user.id))
        for user in house_on.read(users.in_order, org_id, limit=200)
    ]

    @MANY
    @given(
        policies=st.builds(
            Policies,
            permitted_users=st.sampled_from(["AllSelfAuthorized", "AdminApprovedPreAuthorized"]),
            permission_sets=st.lists(st.sampled_from([*SETS, "Gone"]), unique=True).map(tuple),
        ),
        scopes=st.sampled_from([("mcp_api", "refresh_token"), ("openid",)]),
    )
    def agree(policies: Policies, scopes: tuple[str, ...]) -> None:
        groups = admission.groups(policies, scopes, known)
        found = house_on.read(users.who_hold, org_id, groups, limit=200)
        may = [
            user.username
            for user, access in everybody
            if user.is_active
            and not admission.check_user(policies, access)
            and not admission.check_servers(scopes, access)
        ]
        assert [user.username for user in found] == may
        assert house_on.read(users.count_who_hold, org_id, groups) == len(may)

    agree()
