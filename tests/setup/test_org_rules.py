"""How long sessions last, and the rules for every app: what an org's settings say is obeyed."""

import re

from gatelodge.cli import verbs
from tests.house import House
from tests.oauth.scenes import add_app, person
from tests.people import Person
from tests.requirements import requirement
from tests.setup.offices import PASSWORD, administrator, app_of, calls, connected, errors, send, words


@requirement("org_pages:session-lifetimes")
def test_sessions_end_when_the_org_says(house_on: House):
    robin, sam = administrator(house_on), person(house_on, 1)
    sam.sign_in_to_setup()
    wrong = send(robin, "/setup/org", session_hours="0", idle_minutes="x", time_zone="")
    assert wrong.status_code == 422 and set(errors(wrong)) == {"session_hours", "idle_minutes", "time_zone"}
    assert send(robin, "/setup/org", session_hours="1", idle_minutes="30", time_zone="Europe/Dublin").status_code == 303
    house_on.catch_up()
    house_on.later(29 * 60)
    assert sam.front.get("/setup").status_code == 200
    house_on.later(29 * 60)
    assert sam.front.get("/setup").status_code == 200
    house_on.later(2 * 60)
    assert sam.front.get("/setup").status_code == 303, "an hour after signing in"
    sam.sign_in_to_setup()
    house_on.later(30 * 60)
    assert sam.front.get("/setup").status_code == 303, "half an hour without a page"
    robin = administrator(house_on)
    assert 'value="Europe/Dublin" selected' in robin.front.get("/setup/users/new").text


@requirement("org_pages:app-rules")
def test_each_rule_for_every_app_refuses_what_it_names(house_on: House):
    robin = administrator(house_on)
    everybody = add_app(house_on)
    approved = add_app(house_on, permitted_users="AdminApprovedPreAuthorized", permission_sets=("Standard_User",))
    tokens = connected(house_on, everybody), connected(house_on, approved)
    assert [calls(house_on, each) for each in tokens] == [200, 200]
    assert send(robin, "/setup/app-settings", only_approved_users="on").status_code == 303
    assert [calls(house_on, each) for each in tokens] == [401, 200]
    page = person(house_on, 1)
    asked = page.go(everybody.authorize_url())
    refused = page.answer(asked, username=page.username, password=page.password)
    assert refused.status_code != 200 or "External Client App Settings" in words(refused)
    off = {"only_approved_users": None, "allows_unsafe_options": None, "allows_opaque_tokens": None}
    assert send(robin, "/setup/app-settings", **off).status_code == 303
    assert [calls(house_on, each) for each in tokens] == [200, 200]
    path = f"/setup/apps/{app_of(house_on).id}/edit"
    unsafe = send(robin, path, client_credentials_flow="on")
    assert unsafe.status_code == 422 and "unsafe" in errors(unsafe)["client_credentials_flow"]
    opaque = send(robin, path, jwt_access_tokens=None)
    assert opaque.status_code == 422 and "opaque" in errors(opaque)["jwt_access_tokens"]


@requirement("org_pages:app-rules")
def test_an_app_with_opaque_tokens_is_refused_at_sign_in_and_refresh_while_the_org_allows_none(house_on: House):
    robin = administrator(house_on)
    opaque = add_app(house_on, jwt_access_tokens=False)
    answer = opaque.redeem(person(house_on, 1).allow(opaque.authorize_url())["code"]).json()
    assert send(robin, "/setup/app-settings", allows_opaque_tokens=None).status_code == 303
    house_on.catch_up()
    refused = opaque.refresh(answer["refresh_token"])
    assert refused.status_code == 400 and "app blocked" in refused.json()["error_description"]
    page = person(house_on, 1)
    page.sign_in_to_setup()
    asked = page.go(opaque.authorize_url())
    assert "External Client App Settings" in words(asked) or "app+blocked" in asked.headers.get("location", "")
    shown = words(robin.front.get("/setup/app-settings"))
    assert "consumer secrets via REST API" in shown and "kept as a digest" in shown


@requirement("org_pages:app-rules")
def test_a_scratch_orgs_setup_makes_no_apps_unless_it_is_allowed(house: House):
    house.run(verbs.perform(house.site, "org create", {"name": "try", "label": "Try", "kind": "scratch"}))
    made = {"org": "try", "username": "eve@try.example", "name": "", "email": "", "admin": True, "permission_sets": []}
    house.run(verbs.perform(house.site, "user create", made | {"password": PASSWORD}))
    house.catch_up()
    eve = Person(house.client(), "eve@try.example", PASSWORD)
    form = re.search(r'name="form_token" value="([^"]+)"', eve.front.get("/o/try/login").text)
    assert form
    fields = {"form_token": form[1], "username": eve.username, "password": PASSWORD}
    assert eve.front.post("/o/try/login", data=fields).status_code == 303
    refused = eve.front.get("/o/try/setup/apps/new")
    assert refused.status_code == 403 and "created in a developer hub org" in words(refused)
    assert send(eve, "/o/try/setup/app-settings", creates_in_scratch_orgs="on").status_code == 303
    house.catch_up()
    assert eve.front.get("/o/try/setup/apps/new").status_code == 200
