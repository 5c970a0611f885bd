"""An attacker who administers another org of the same deployment, at every row that names a record."""

import re
from typing import Any

from gatelodge import setup
from gatelodge.core import users
from tests.approvals import asking
from tests.house import House
from tests.people import Form
from tests.requirements import requirement
from tests.setup import offices
from tests.setup.offices import another_org, app_of, user_id, words

RECORDS = [row for row in setup.ROUTES if row.path.startswith("/setup/") and "{" in row.path]
ACTS = (
    "make", "stage", "apply", "discard", "deactivate", "activate", "reset-link", "end-sessions", "remove-factors", "save",
    "assign", "unassign", "end-session", "revoke", "end-connection", "end", "revoke-all", "block", "unblock", "delete",
    "save-object", "remove-object", "look", "remove", "accept", "forget",
)  # fmt: skip


@requirement("org:apart")
def test_our_apps_and_users_are_not_found_from_another_org(house_on: House):
    eve, app = another_org(house_on), app_of(house_on)
    page = eve.front.get("/o/other/setup/password")
    token = next(fields["form_token"] for _, fields in Form(page.text).forms if "form_token" in fields)
    assert len(RECORDS) >= 30
    asking.mark(house_on, asks_first=True)
    waiting = asking.url_of(asking.call(asking.client(house_on))).rpartition("/")[2]
    refused = re.findall("01[0-9A-Z]{24}", house_on.client().get("/services/oauth2/authorize?client_id=nobody").text)[0]
    robin = offices.administrator(house_on)
    for path in (f"/setup/approvals/{waiting}", f"/setup/errors/{refused}"):
        assert robin.front.get(path).status_code == 200, path
    for row in RECORDS:
        sam = house_on.told.users[1]["username"]
        path = "/o/other" + row.path.format(
            app_id=app.id,
            user_id=user_id(house_on, sam),
            set_name="Standard_User",
            server_name="sobject-reads",
            name="sobject-reads",
            id=waiting,
            trace_id=refused,
            server="sobject-reads",
        )
        if "GET" in row.methods:
            answer = eve.front.get(path)
            assert answer.status_code == 404 and app.consumer_key not in answer.text and sam not in answer.text, path
            continue
        for act in ACTS:
            sent: dict[str, Any] = {"form_token": token, "revision": "1", "act": act, "confirm": "Cursor"}
            assert eve.front.post(path, data=sent).status_code == 404, (path, act)
    assert app_of(house_on) == app and user_is_active(house_on, house_on.told.users[1]["username"])


@requirement("org:apart", "policies:can-this-user")
def test_our_users_are_nobody_in_another_org(house: House):
    eve = another_org(house)
    form = {"label": "Theirs", "contact_email": "eve@other.example", "oauth_enabled": "on", "preset": "claude"}
    page = eve.front.get("/o/other/setup/apps/new?preset=claude")
    token = next(fields["form_token"] for _, fields in Form(page.text).forms if "form_token" in fields)
    made = eve.front.post(
        "/o/other/setup/apps/new",
        data=form
        | {"form_token": token, "callback_urls": "https://claude.ai/api/mcp/auth_callback", "scopes": "mcp_api",
           "jwt_access_tokens": "on", "require_pkce": "on", "refresh_token_rotation": "on"},
    )  # fmt: skip
    assert made.status_code == 303, made.text
    theirs = made.headers["location"].removeprefix(house.issuer)
    shown = words(eve.front.get(f"{theirs}/users?username=sam@acme.example"))
    assert "No user of other is called sam@acme.example." in shown and "1 of 1 active user" in shown
    policies = {"form_token": token, "is_enabled": "on", "revision": "1", "run_as": "sam@acme.example"}
    refused = eve.front.post(f"{theirs}/policies", data=policies | {"permission_sets": "Standard_User"})
    assert refused.status_code == 422
    assert "is not an active user of this org" in words(refused) and "no such permission set" in words(refused)


def user_is_active(house: House, username: str) -> bool:
    return house.read(users.find_by_username, house.org.id, username).is_active
