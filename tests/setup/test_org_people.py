"""Users, permission sets, usage, sessions, keys and the org's rules, as administrators see and change them."""

import asyncio
import re
from typing import Any

import httpx2
import msgspec
import pytest

from gatelodge.core import administrators, identity_providers, keys, permissions, secrets, sessions, users
from gatelodge.core.administrators import Actor
from gatelodge.core.errors import Refused
from gatelodge.core.identity_providers import IdentityProvider, Rules
from gatelodge.core.ids import IDENTITY_PROVIDER
from gatelodge.core.permissions import ObjectGrant
from tests.house import House
from tests.oauth.scenes import add_app, person, user_id
from tests.people import Person
from tests.requirements import requirement
from tests.setup import offices
from tests.setup.offices import (
    PASSWORD,
    add_user,
    administrator,
    app_of,
    audited,
    calls,
    connected,
    errors,
    officer,
    send,
    sign_in,
    token,
    words,
)

SETS = "/setup/permission-sets"


def names(page: httpx2.Response) -> list[str]:
    """The usernames of the list, in order."""
    return re.findall(r'/setup/users/005\w{15}">(\S+@\S+?)</a></td>', page.text)


def post(who: Person, path: str, **fields: Any) -> httpx2.Response:
    return who.front.post(path, data={"form_token": token(who), **fields})


@requirement("org_pages:users-listed")
def test_users_are_narrowed_and_sorted_and_come_a_page_at_a_time(house_on: House):
    robin = administrator(house_on)
    for n in range(55):
        house_on.later(1)
        add_user(house_on, f"p{n:02}@many.example", "Standard_User" if n % 2 else "No_MCP_Access")
    house_on.write(
        users.set_active, house_on.org.id, user_id(house_on, Person(None, "p07@many.example", "")), is_active=False
    )
    robin = administrator(house_on)
    for order in ("", "name", "newest"):
        page, seen = robin.front.get(f"/setup/users?order={order}"), list[str]()
        seen += names(page)
        following = re.search(r'href="(/setup/users\?[^"]*after_id=[^"]*)"', page.text)
        assert following, order
        seen += names(robin.front.get(following[1].replace("&amp;", "&")))
        assert len(seen) == len(set(seen)) == 58, order
        assert seen[0] == ("p54@many.example" if order == "newest" else seen[0])
    assert names(robin.front.get("/setup/users?q=P0")) == [f"p0{n}@many.example" for n in range(10)]
    assert names(robin.front.get("/setup/users?q=%25")) == names(robin.front.get("/setup/users?q=_")) == []
    assert names(robin.front.get("/setup/users?status=inactive")) == ["p07@many.example"]
    assert names(robin.front.get("/setup/users?set=Administrator")) == ["robin@acme.example"]
    assert names(robin.front.get("/setup/users?factor=yes")) == []
    assert "Nobody fits" in words(robin.front.get("/setup/users?q=<script>alert(1)</script>"))


@requirement("org_pages:new-user")
def test_a_new_user_sets_the_password_by_a_link_that_is_shown_once(house_on: House):
    robin = administrator(house_on)
    refused = send(
        robin, "/setup/users/new", username="nobody", name="x\u202ey", email="", time_zone="Mars/Base", language="tlh"
    )
    assert refused.status_code == 422 and set(errors(refused)) == {"username", "name", "email", "language", "time_zone"}
    taken = send(robin, "/setup/users/new", username="SAM@acme.example")
    assert taken.status_code == 422 and "is taken" in errors(taken)["username"]
    page = send(
        robin,
        "/setup/users/new",
        username="ana@acme.example",
        name="Ana <b>",
        permission_sets="Standard_User",
        language="de",
    )
    assert page.status_code == 200 and "Ana &lt;b&gt;" in page.text
    link = page.text.split('<code id="reset-link">', 1)[1].split("<", 1)[0]
    found = house_on.read(users.find_by_username, house_on.org.id, "ana@acme.example")
    assert link not in robin.front.get(f"/setup/users/{found.id}").text
    ana = Person(house_on.client(), "ana@acme.example", PASSWORD)
    assert ana.sign_in_to_setup().status_code == 400
    path = link.removeprefix(house_on.issuer)
    assert send(ana, path, fresh=PASSWORD).status_code in (200, 303)
    assert ana.sign_in_to_setup().status_code == 303
    assert next(tag for _, tag, _ in audited(house_on, found.id)) == "user:account:create"


@requirement("org_pages:permission-sets")
def test_a_permission_set_is_made_changed_and_deleted_once_nothing_names_it(house_on: House):
    robin = administrator(house_on)
    wrong = send(robin, f"{SETS}/new", api_name="a b", label="")
    assert wrong.status_code == 422 and set(errors(wrong)) == {"api_name", "label"}
    assert send(robin, f"{SETS}/new", api_name="Sales", label="Sales", system=["use_mcp_servers"]).status_code == 303
    path = f"{SETS}/Sales"
    revision = {"revision": "1"}
    bad = post(robin, path, act="save-object", object="Account", rows="OwnerId = ", **revision)
    assert bad.status_code == 422 and errors(bad)["objects"]
    good = {
        "object": "Account",
        "rows": "OwnerId = $user.id",
        "edit": "on",
        "without": "Phone, Fax",
        "read_only": "Name",
    }
    assert post(robin, path, act="save-object", **good, **revision).status_code == 303
    stored = house_on.read(permissions.find, house_on.org.id, "Sales")
    assert stored.objects == {
        "Account": ObjectGrant(without=("Phone", "Fax"), read_only=("Name",), edit=True, rows="OwnerId = $user.id")
    }
    assert "OwnerId = $user.id" in words(robin.front.get(f"{path}?object=Account"))
    assert "is among the objects already" in words(post(robin, path, act="save-object", object="account", revision="2"))
    assert post(robin, path, act="remove-object", object="Account", revision="2").status_code == 303
    app = app_of(house_on)
    chosen = {"permitted_users": "AdminApprovedPreAuthorized", "permission_sets": ["Sales"]}
    assert send(robin, f"/setup/apps/{app.id}/policies", **chosen).status_code == 303
    assert "the policies of Cursor" in words(robin.front.get(path))
    named = post(robin, path, act="delete", confirm="Sales")
    assert named.status_code == 422 and "the policies of Cursor" in words(named)
    assert send(robin, f"/setup/apps/{app.id}/policies", permission_sets=["Standard_User"]).status_code == 303
    assert post(robin, path, act="delete", confirm="sales").status_code == 422
    assert post(robin, path, act="delete", confirm="Sales").status_code == 303
    assert robin.front.get(path).status_code == 404
    assert [tag for _, tag, _ in audited(house_on, "Sales")][-1] == "setup:permission_set:delete"


@requirement("org_pages:no-lost-update")
def test_of_two_administrators_the_later_one_is_told(house_on: House):
    robin = administrator(house_on)
    path = f"{SETS}/Standard_User"
    shown = {"act": "save", "label": "First", "description": "", "system": "use_mcp_servers", "revision": "1"}
    assert post(robin, path, **shown).status_code == 303
    late = post(robin, path, **shown | {"label": "Second"})
    assert late.status_code == 422 and "changed by someone else" in words(late)
    assert house_on.read(permissions.find, house_on.org.id, "Standard_User").label == "First"
    assert send(robin, "/setup/org", label="One").status_code == 303
    late = send(robin, "/setup/org", label="Two", revision="1")
    assert late.status_code == 422 and "changed by someone else" in words(late)
    late = send(robin, "/setup/app-settings", only_approved_users="on", revision="1")
    assert late.status_code == 422 and "changed by someone else" in words(late)


@requirement("org_pages:no-way-up")
def test_nobody_gives_what_they_may_not_do(house: House):
    clerk = officer(house, "manage_users")
    own = house.read(users.find_by_username, house.org.id, clerk.username).id
    path = f"/setup/users/{own}"
    refused = post(clerk, path, act="assign", permission_set="Administrator")
    assert refused.status_code == 422 and "can't give what you may not do" in words(refused)
    refused = send(clerk, "/setup/users/new", username="eve@acme.example", permission_sets="Administrator")
    assert refused.status_code == 422 and "can't give" in words(refused)
    refused = send(clerk, f"{SETS}/new", api_name="Mine", label="Mine", system=["manage_org"])
    assert refused.status_code == 422 and "can't give" in words(refused)
    more = {"act": "save", "label": "x", "system": ["manage_users", "manage_org"], "revision": "1"}
    assert post(clerk, f"{SETS}/manage_users", **more).status_code == 422
    keeper = officer(house, "manage_org")
    made = {"name": "own", "issuer": "https://own.example", "client_id": "c", "username_claim": "email"}
    refused = post(keeper, "/setup/identity-providers/new", act="add", permission_sets="Administrator", **made)
    assert refused.status_code == 422 and "can't give what you may not do" in words(refused)
    refused = post(keeper, "/setup/identity-providers/new", act="add", links_by_username="on", **made)
    assert refused.status_code == 422 and "leads into every account" in words(refused)
    assert house.read(identity_providers.of_org, house.org.id) == []


@requirement("org_pages:last-administrator")
def test_the_last_administrator_stays_also_when_two_are_taken_at_once(house_on: House):
    robin = administrator(house_on)
    own = house_on.read(users.find_by_username, house_on.org.id, robin.username).id
    refused = post(robin, f"/setup/users/{own}", act="unassign", permission_set="Administrator")
    assert refused.status_code == 422 and "Nobody in this org could manage users any more" in words(refused)
    less = {"act": "save", "label": "Administrator", "system": ["manage_apps"], "revision": "1"}
    assert post(robin, f"{SETS}/Administrator", **less).status_code == 422
    assert post(robin, f"{SETS}/Administrator", act="delete", confirm="Administrator").status_code == 422
    second = add_user(house_on, "second@acme.example", "Administrator")
    by, org_id, store = Actor(name="a test"), house_on.org.id, house_on.site.store

    async def both() -> list[Any]:
        taken = (
            store.run(administrators.unassign, org_id, each, "Administrator", by=by, now_ms=1) for each in (own, second)
        )
        return await asyncio.gather(*taken, return_exceptions=True)

    ended = house_on.run(both())
    assert sorted(type(each) for each in ended if each is not None) == [Refused]
    left = [each for each in (own, second) if house_on.read(permissions.access_of, org_id, each).may("manage_users")]
    assert len(left) == 1
    with pytest.raises(Refused, match="Nobody in this org"):
        house_on.write(administrators.deactivate, org_id, left[0], by=by, now_ms=1)
    assert house_on.read(users.find, org_id, left[0]).is_active


@requirement("org_pages:at-once")
def test_a_set_that_grants_less_is_obeyed_by_the_next_call(house_on: House):
    robin, client = administrator(house_on), add_app(house_on)
    access_token = connected(house_on, client)
    assert calls(house_on, access_token) == 200
    less = {"act": "save", "label": "Standard User", "revision": "1"}
    assert post(robin, f"{SETS}/Standard_User", **less).status_code == 303
    assert calls(house_on, access_token) == 403


@requirement("org_pages:usage")
def test_usage_is_revoked_for_a_connection_a_user_everybody_or_the_whole_app(house_on: House):
    robin, client = administrator(house_on), add_app(house_on, label="Usage <app>")
    sams, robins = [connected(house_on, client) for _ in range(2)], connected(house_on, client, 0)
    app = house_on.run(house_on.site.live.client(house_on.org.id, client.client_id))
    path = f"/setup/apps/{app.app_id}/usage"
    page = robin.front.get(path)
    assert "2 users, 3 connections" in words(page) and "Usage &lt;app&gt;" in page.text
    assert "Sign out 2 people" in words(page)
    ends = re.findall(r'name="user" value="(\w+)"><input type="hidden" name="id" value="(0u[AC]\w+)"', page.text)
    sam = house_on.read(users.find_by_username, house_on.org.id, "sam@acme.example").id
    one = next(record for user, record in ends if user == sam and record.startswith("0uC"))
    whole = next(record for user, record in ends if user == sam and record.startswith("0uA"))
    assert post(robin, path, act="end", user=sam, id=one).status_code == 303
    assert sorted(calls(house_on, each) for each in sams) == [200, 401] and calls(house_on, robins) == 200
    assert post(robin, path, act="end", user=sam, id=one).status_code == 404
    assert post(robin, path, act="revoke", user=sam, id=whole).status_code == 303
    assert [calls(house_on, each) for each in sams] == [401, 401] and calls(house_on, robins) == 200
    assert post(robin, path, act="block").status_code == 303 and calls(house_on, robins) == 401
    assert post(robin, path, act="unblock").status_code == 303 and calls(house_on, robins) == 200
    assert post(robin, path, act="revoke-all", confirm="no").status_code == 422 and calls(house_on, robins) == 200
    assert post(robin, path, act="revoke-all", confirm=app.api_name).status_code == 303
    assert calls(house_on, robins) == 401
    robin_id = house_on.read(users.find_by_username, house_on.org.id, robin.username).id
    assert (robin_id, "app:usage:revoke_all", '{"users":1}') in audited(house_on, app.app_id)
    assert "Nobody lets this app act" in words(robin.front.get(path))
    assert app.api_name in words(robin.front.get("/setup/oauth-usage?after=" + app.api_name[:-1]))
    viewer = officer(house_on, "manage_apps")
    assert viewer.front.get(path).status_code == 200 and 'value="revoke-all"' not in viewer.front.get(path).text


@requirement("org_pages:sessions")
def test_sessions_of_the_org_are_listed_and_ended(house_on: House):
    robin, sam, noor = administrator(house_on), person(house_on, 1), person(house_on, 2)
    for who in (sam, noor):
        who.sign_in_to_setup()
    path = "/setup/org-sessions"
    page = robin.front.get(path)
    assert all(each.username in words(page) for each in (robin, sam, noor)) and "This browser" in words(page)
    only = robin.front.get(f"{path}?q={sam.username}")
    assert noor.username not in words(only)
    session_id = re.findall(r'name="id" value="(0Ak\w+)"', only.text)[0]
    assert post(robin, path, act="end", id=session_id).status_code == 303
    assert sam.front.get("/setup").status_code == 303 and noor.front.get("/setup").status_code == 200
    assert post(robin, path, act="end", id=session_id).status_code == 404
    assert post(robin, path, act="end-of-user", user=user_id(house_on, noor)).status_code == 303
    assert noor.front.get("/setup").status_code == 303
    sam.sign_in_to_setup()
    assert post(robin, path, act="end-all").status_code == 303
    assert sam.front.get("/setup").status_code == 303 and robin.front.get("/setup").status_code == 200


@requirement("org_pages:keys")
def test_keys_are_rotated_as_planned_or_at_once(house_on: House):
    robin = administrator(house_on)
    before = house_on.read(keys.of_org, house_on.org.id, house_on.site.clock.now())[0]
    assert "Signs now" in words(robin.front.get("/setup/keys"))
    assert post(robin, "/setup/keys", act="plan", algorithm="ES256").status_code == 303
    page = words(robin.front.get("/setup/keys"))
    assert "Signs next" in page and "when its last token is over" in page and "/id/keys" in page
    assert post(robin, "/setup/keys", act="rotate-now", algorithm="RS256").status_code == 303
    found = house_on.read(keys.of_org, house_on.org.id, house_on.site.clock.now())
    assert keys.signing(found, house_on.site.clock.now()).algorithm == "RS256"
    assert before.kid in {each.kid for each in found}
    assert post(robin, "/setup/keys", act="plan", algorithm="none").status_code == 400


@requirement("org_pages:providers")
def test_a_provider_must_answer_and_its_removal_ends_its_sessions(house_on: House):
    robin = administrator(house_on)
    typed = {"name": "own", "issuer": "https://nobody.invalid", "client_id": "c", "client_secret": "s3cret-of-ours"}
    refused = send(robin, "/setup/identity-providers/new", act="add", **typed)
    assert refused.status_code == 422 and "can't be asked" in errors(refused)["issuer"]
    assert "s3cret-of-ours" not in refused.text
    org_id = house_on.org.id
    made = IdentityProvider(
        id=secrets.new_id(IDENTITY_PROVIDER), org_id=org_id, name="own", label="Own", issuer="https://own.example",
        client_id="c", sealed=b"", rules=Rules(), created_at=1,
    )  # fmt: skip
    house_on.write(identity_providers.add, made)
    sam, noor = person(house_on, 1), person(house_on, 2)
    for who in (sam, noor):
        who.sign_in_to_setup()
    now = house_on.site.clock.now()
    found = house_on.read(
        sessions.of_org,
        org_id,
        sessions.Wanted(user_id=user_id(house_on, sam)),
        sessions.Terms(),
        after=None,
        limit=9,
        now=now,
    )
    house_on.write(sessions.end, org_id, found[0].digest)
    house_on.write(sessions.begin, msgspec.structs.replace(found[0], provider_id=made.id), sessions.Terms(), now)
    assert sam.front.get("/setup").status_code == 200
    path = "/setup/identity-providers"
    assert post(robin, path, act="remove", name="own", confirm="x").status_code == 422
    assert post(robin, path, act="remove", name="own", confirm="own").status_code == 303
    assert sam.front.get("/setup").status_code == 303 and noor.front.get("/setup").status_code == 200
    assert "Connect sign-in" in words(robin.front.get(path))


@requirement("org_pages:language-and-zone")
def test_an_administrator_sets_the_language_and_zone_in_which_somebody_sees_pages_and_they_change_it_back(
    house_on: House,
):
    robin, sam = administrator(house_on), sign_in(person(house_on, 1))
    path = f"/setup/users/{offices.user_id(house_on, sam.username)}"
    refused = send(robin, path, act="save", language="tlh", time_zone="Mars/Base")
    assert refused.status_code == 422 and set(errors(refused)) == {"language", "time_zone"}
    assert send(robin, path, act="save", language="de", time_zone="Asia/Kathmandu").status_code == 303
    page = sam.front.get("/setup/my-sign-ins")
    assert '<html lang="de"' in page.text and "Asia/Kathmandu" in page.text
    shown = robin.front.get(path).text
    assert '<option value="de" lang="de" selected>' in shown and '<option value="Asia/Kathmandu" selected>' in shown
    _actor, tag, details = audited(house_on, offices.user_id(house_on, sam.username))[-1]
    assert tag == "user:account:change" and '"language":{"from":"","to":"de"}' in details
    assert send(sam, "/setup/preferences", language="en", time_zone="UTC").status_code == 303
    assert '<html lang="en"' in sam.front.get("/setup/my-sign-ins").text
    assert '<option value="en" lang="en" selected>' in robin.front.get(path).text
