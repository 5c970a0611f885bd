"""Policies may outlive what they name, and must not stand in the way of an administrator in a hurry."""

from tests.house import House
from tests.requirements import requirement
from tests.setup.offices import add_user, administrator, app_of, errors, send


@requirement("policies:kept-as-typed", "options:disabled")
def test_an_app_whose_run_as_user_left_is_disabled_and_edited_all_the_same(house_on: House):
    robin, app = administrator(house_on), app_of(house_on)
    who = add_user(house_on, "robot@acme.example")
    paths = {tab: f"/setup/apps/{app.id}/{tab}" for tab in ("edit", "policies")}
    assert send(robin, paths["edit"], client_credentials_flow="on").status_code == 303
    on = {"client_credentials": "on", "run_as": "robot@acme.example"}
    assert send(robin, paths["policies"], **on).status_code == 303
    assert send(robin, f"/setup/users/{who}", act="deactivate").status_code == 303
    assert send(robin, paths["edit"], description="Edited since").status_code == 303
    assert send(robin, paths["policies"], is_enabled=None).status_code == 303
    assert not app_of(house_on).policies.is_enabled and app_of(house_on).settings.description == "Edited since"
    refused = send(robin, paths["policies"], access_token_minutes="9")
    assert refused.status_code == 422 and "not an active user" in errors(refused)["run_as"]
