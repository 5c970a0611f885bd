"""What Setup does for users, permission sets, usage and sessions, from the command line."""

from typing import Any

import pytest

from gatelodge.cli import verbs
from gatelodge.core.errors import Refused
from tests.house import House
from tests.oauth.scenes import add_app
from tests.requirements import requirement
from tests.setup.offices import administrator
from tests.setup.test_org_people import calls, connected


@requirement("org_pages:commands")
def test_the_command_line_does_the_same(house_on: House):
    def do(verb: str, **arguments: Any) -> Any:
        return house_on.run(verbs.perform(house_on.site, verb, arguments))

    granted = {"label": "Ops", "system": ["use_mcp_servers"]}
    made = do(
        "permission-set create",
        api_name="Ops",
        objects=['Account={"edit":true,"rows":"OwnerId = $user.id"}'],
        **granted,
    )
    assert made["objects"]["Account"]["edit"] is True
    assert do("permission-set assign", api_name="Ops", username="noor@acme.example")["permission_set"] == "Ops"
    assert {each["api_name"]: each["users"] for each in do("permission-set list")}["Ops"] == 1
    changed = do(
        "permission-set set", api_name="Ops", label="", system=[], objects=["Case"], without_objects=["Account"]
    )
    assert list(changed["objects"]) == ["Case"] and changed["revision"] == 2
    assert do("permission-set unassign", api_name="Ops", username="noor@acme.example")["taken"] == "Ops"
    with pytest.raises(Refused, match="Nobody in this org"):
        do("permission-set unassign", api_name="Administrator", username="robin@acme.example")
    assert do("permission-set delete", api_name="Ops") == {"deleted": "Ops"}
    client = add_app(house_on)
    access_token = connected(house_on, client)
    api_name = next(each["api_name"] for each in do("usage list", api_name="") if each["users"])
    assert [each["username"] for each in do("usage list", api_name=api_name)] == ["sam@acme.example"]
    assert do("usage revoke", api_name=api_name, username="sam@acme.example", everybody=False)["username"]
    assert calls(house_on, access_token) == 401
    assert do("usage revoke", api_name=api_name, username="", everybody=True) == {"app": api_name, "users": 0}
    robin = administrator(house_on)
    (shown,) = do("session list", username="robin@acme.example")
    assert do("session end", session=shown["session"], username="", everybody=False) == {"ended": shown["session"]}
    assert robin.front.get("/setup").status_code == 303
    assert do("session end", session="", username="", everybody=True) == {"ended": "everybody's"}
    assert do("session list", username="") == []
