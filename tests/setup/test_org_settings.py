"""Org Settings, and the people of the org: changed by who may, with reasons where they can't be."""

from typing import Any

import msgspec
import pytest

from gatelodge.core import keys, orgs, users
from gatelodge.core.keys import PUBLISHED_BEFORE
from gatelodge.core.orgs import Org
from gatelodge.web.moments import in_full
from tests.house import House
from tests.oauth.scenes import add_app
from tests.people import Person, tools_list
from tests.requirements import requirement
from tests.setup.offices import PASSWORD, administrator, audited, errors, officer, send, token, words


def stored(house: House) -> Org:
    return house.read(orgs.all_orgs, house.config.public_url)[0]


@requirement("org:settings")
def test_an_administrator_changes_the_org_and_it_is_written_down(house_on: House):
    robin, before = administrator(house_on), stored(house_on)
    assert send(robin, "/setup/org").status_code == 303
    assert stored(house_on) == before and not audited(house_on, before.id), "saving what is there changes nothing"
    answer = send(
        robin, "/setup/org", label="Acme <Works>", refresh_window="0",
        trusted_ranges="203.0.113.0/24\r\n\r\n10.0.0.1-10.0.0.9",
    )  # fmt: skip
    assert answer.status_code == 303, errors(answer)
    now = stored(house_on)
    assert (now.label, now.refresh_window) == ("Acme <Works>", 0)
    assert now.trusted_ranges == ("203.0.113.0/24", "10.0.0.1-10.0.0.9")
    ((actor, tag, details),) = audited(house_on, before.id)
    assert (actor, tag) == (
        house_on.read(users.find_by_username, house_on.org.id, robin.username).id,
        "org:settings:change",
    )
    assert msgspec.json.decode(details)["label"] == {"from": "Acme", "to": "Acme <Works>"}
    house_on.catch_up()
    assert "Acme &lt;Works&gt;" in house_on.client().get("/login").text
    assert house_on.org.refresh_window == 0


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"label": " "}, "label", "needs a name"),
        ({"label": "x" * 81}, "label", "this one has 81"),
        ({"label": "safe\u202egnp"}, "label", "plain text"),
        ({"refresh_window": "121"}, "refresh_window", "0 to 120"),
        ({"refresh_window": "soon"}, "refresh_window", "0 to 120"),
        ({"refresh_window": ""}, "refresh_window", "0 to 120"),
        ({"trusted_ranges": "10.0.0.0/33"}, "trusted_ranges", "write for example"),
        ({"trusted_ranges": "\n".join(f"10.0.0.{n}" for n in range(129))}, "trusted_ranges", "at most 128"),
        ({"signing_algorithm": "none"}, "signing_algorithm", "is not one of: ES256, RS256"),
    ],
)
@requirement("org:settings")
def test_what_breaks_a_rule_is_kept_and_told_beside_its_field(
    house: House, changes: dict[str, Any], field: str, reason: str
):
    before = stored(house)
    answer = send(administrator(house), "/setup/org", **changes)
    assert answer.status_code == 422 and list(errors(answer)) == [field] and reason in errors(answer)[field]
    assert stored(house) == before and len(house.read(keys.of_org, before.id, house.site.clock.now())) == 1
    if field != "signing_algorithm":
        assert changes[field].strip() in answer.text


@requirement("org:settings")
def test_org_settings_need_their_permission_and_quick_find_knows_them(house: House):
    robin = administrator(house)
    for wanted in ("org settings", "trusted ip", "signing", "company information"):
        assert 'href="/setup/org"' in robin.front.get(f"/setup?find={wanted.replace(' ', '+')}").text, wanted
    person = officer(house, "manage_apps", "edit_policies", "manage_users", "manage_mcp_servers")
    assert 'href="/setup/org"' not in person.front.get("/setup").text
    refused = person.front.get("/setup/org")
    assert refused.status_code == 403 and "needs the permission “Manage org settings”" in words(refused)
    assert person.front.post("/setup/org", data={"form_token": token(person), "label": "x"}).status_code == 403
    allowed = officer(house, "manage_org")
    assert send(allowed, "/setup/org", label="Renamed").status_code == 303 and stored(house).label == "Renamed"


@requirement("org:algorithm")
def test_another_algorithm_publishes_a_key_that_signs_ten_minutes_later(house_on: House):
    robin, client = administrator(house_on), add_app(house_on)
    sam = house_on.told.users[1]

    def signed_with() -> str:
        user = Person(client.front, sam["username"], sam["password"])
        code = user.allow(client.authorize_url())["code"]
        found = client.redeem(code).json()["access_token"]
        assert tools_list(client.front, f"{house_on.issuer}/mcp/sobject-reads", found).status_code == 200
        import base64

        head = found.partition(".")[0]
        return msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["alg"]

    assert signed_with() == "ES256"
    assert send(robin, "/setup/org", signing_algorithm="RS256").status_code == 303
    page = words(robin.front.get("/setup/org"))
    begins = in_full(house_on.read(keys.of_org, house_on.org.id, house_on.site.clock.now())[-1].signs_from)
    assert f"Signs now with ES256 Next key RS256, signs from {begins}" in page
    house_on.catch_up()
    published = house_on.client().get("/id/keys").json()["keys"]
    assert {key["alg"] for key in published} == {"ES256", "RS256"} and signed_with() == "ES256"
    house_on.later(PUBLISHED_BEFORE)
    assert signed_with() == "RS256"
    assert "Signs now with RS256" in words(administrator(house_on).front.get("/setup/org"))
    assert stored(house_on).signing_algorithm == "RS256"


@requirement("org:users")
def test_a_deactivated_user_can_do_nothing_until_activated(house: House):
    robin = administrator(house)
    person = officer(house, "manage_apps")
    user_id = (
        robin.front.get("/setup/users").text.split("manage_apps@acme.example")[0].rpartition("/setup/users/")[2][:18]
    )
    page = robin.front.get(f"/setup/users/{user_id}")
    assert "Active" in words(page) and "manage_apps Take away" in words(page)
    path = f"/setup/users/{user_id}"
    act = {"form_token": token(robin)}
    assert robin.front.post(path, data=act | {"act": "deactivate"}).status_code == 303
    assert "Inactive" in words(robin.front.get(path)) and 'value="deactivate"' not in robin.front.get(path).text
    assert person.front.get("/setup/apps").status_code == 303, "the session ended"
    assert "sign in" in words(person.sign_in_to_setup()).lower()
    assert [event[1] for event in audited(house, user_id)] == ["user:account:deactivate"]
    assert robin.front.post(path, data=act | {"act": "activate"}).status_code == 303
    house.catch_up()
    again = Person(house.client(), "manage_apps@acme.example", PASSWORD)
    assert again.sign_in_to_setup().status_code == 303 and again.front.get("/setup/apps").status_code == 200


@requirement("org:users")
def test_nobody_deactivates_themselves_and_it_takes_a_proof_of_identity(house: House):
    robin = administrator(house)
    own = house.read(users.find_by_username, house.org.id, "robin@acme.example").id
    assert 'value="deactivate"' not in robin.front.get(f"/setup/users/{own}").text
    refused = robin.front.post(f"/setup/users/{own}", data={"form_token": token(robin), "act": "deactivate"})
    assert refused.status_code == 400 and "can't deactivate yourself" in words(refused)
    house.later(601)
    sent_away = robin.front.post(f"/setup/users/{own}", data={"form_token": token(robin), "act": "deactivate"})
    assert sent_away.headers["location"] == f"{house.issuer}/setup/verify?next=/setup/users/{own}"
