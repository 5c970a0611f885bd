"""What an app may do, and who may use a server: the same rules before servers of every kind."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from gatelodge.core import mcp_servers, users
from gatelodge.core.operation import Operation, announce
from gatelodge.core.server_kinds import RELAYED
from tests.every_kind.behind import NAME, Behind, call, listed, told
from tests.requirements import requirement
from tests.servers.test_permitted import set_policies
from tests.setup.offices import administrator


def is_refused(made: Behind, answer: httpx2.Response, why: str) -> bool:
    """Whether a call was refused for this reason. Of what an upstream offers, nobody is told more than of what it
    doesn't.
    """
    said = told(answer)["error"]
    unknown = f"Unknown tool: {made.writes.tool}"
    is_said = said["message"] == unknown if made.kind in RELAYED else why in said["message"]
    return said["code"] == -32602 and is_said


@requirement("every-kind:policies")
def test_tools_that_an_apps_policies_do_not_name_are_not_listed_and_not_called(made_on: Behind):
    robin, of = administrator(made_on.house), made_on.client(n=0)
    every, before = listed(of), made_on.done()
    assert {made_on.reads.tool, made_on.writes.tool} <= {*every}
    set_policies(robin, made_on.house, which_tools="selected", mcp_tools=[f"{NAME}/{made_on.reads.tool}"])
    assert listed(of) == [made_on.reads.tool]
    why = f"the policies of Claude_Code do not allow the tool {made_on.writes.tool} of {NAME}"
    assert is_refused(made_on, call(of, made_on.writes), why) and made_on.done() == before
    assert not told(call(of, made_on.reads))["result"].get("isError")
    other = made_on.client(n=0, preset="cursor")
    assert listed(other) == every, "another app's policies are its own"
    set_policies(robin, made_on.house, which_tools="every", which_servers="selected", mcp_servers=["sobject-reads"])
    away = call(of, made_on.reads)
    assert away.status_code == 403
    assert json.loads(away.text)["error_description"] == (
        f"the policies of Claude_Code do not allow the MCP server {NAME}"
    )


@requirement("every-kind:policies")
def test_a_read_only_app_or_server_neither_lists_nor_calls_what_writes(made: Behind):
    robin, of = administrator(made.house), made.client(n=0)
    before = made.done()
    set_policies(robin, made.house, mcp_read_only="on")
    assert made.writes.tool not in listed(of) and made.reads.tool in listed(of)
    assert is_refused(made, call(of, made.writes), "the policies of Claude_Code make it read only")
    set_policies(robin, made.house, mcp_read_only=None)
    made.change(read_only=True)
    assert made.writes.tool not in listed(of)
    assert is_refused(made, call(of, made.writes), "the server is read only") and made.done() == before
    made.change(read_only=False)
    assert not told(call(of, made.writes))["result"].get("isError") and made.done() > before


@requirement("every-kind:policies")
def test_one_call_a_minute_too_many_gets_429_with_the_seconds_to_wait_and_reaches_nothing(made: Behind):
    set_policies(administrator(made.house), made.house, mcp_calls_per_minute="2")
    of = made.client(n=0)
    assert [call(of, made.writes).status_code for _ in range(2)] == [200, 200]
    done = made.done()
    refused = call(of, made.writes)
    assert refused.status_code == 429 and refused.headers["retry-after"] == "30" and made.done() == done
    assert call(made.client(n=1), made.reads).status_code == 200, "each user has a number of their own"
    made.house.later(30)
    done = made.done()
    assert call(of, made.writes).status_code == 200 and made.done() == done + 1


@requirement("every-kind:policies")
def test_a_tool_that_is_off_and_a_server_of_another_permission_set_are_out_of_reach(made: Behind):
    of, sam = made.client(n=0), made.client(n=1)
    before = made.done()
    made.mark(made.writes.tool, is_on=False)
    assert made.writes.tool not in listed(of)
    assert is_refused(made, call(of, made.writes), "is off: an administrator can turn it on") and made.done() == before
    made.change(permission_sets=("Administrator",))
    away = call(sam, made.reads)
    assert away.status_code == 403
    why = f"sam@acme.example has none of the permission sets that may use the MCP server {NAME}: Administrator"
    assert json.loads(away.text)["error_description"] == why
    assert call(of, made.reads).status_code == 200


def ended(org_id: str, kind: str, record_id: str) -> Operation[None]:
    yield from announce(org_id, kind, record_id)


def authorization_ends(made: Behind) -> None:
    made.house.write(ended, made.house.org.id, "authorization", "0uA000000000001AAA")


def connection_ends(made: Behind) -> None:
    made.house.write(ended, made.house.org.id, "connection", "0uC000000000001AAA")


def user_goes(made: Behind) -> None:
    user = made.house.read(users.find_by_username, made.house.org.id, made.house.told.users[0]["username"])
    made.house.write(users.set_active, made.house.org.id, user.id, is_active=False)


def server_goes(made: Behind) -> None:
    said: dict[str, Any] = {"actor": "a test", "now_ms": made.house.site.clock.now_ms()}
    made.house.write(mcp_servers.set_active, made.house.org.id, NAME, is_active=False, **said)


@requirement("every-kind:revoked")
@pytest.mark.parametrize("end", [authorization_ends, connection_ends, user_goes, server_goes])
def test_the_call_after_a_revocation_reaches_nothing(made: Behind, end: Callable[[Behind], None]):
    of = made.client(n=0)
    assert call(of, made.writes).status_code == 200
    done = made.done()
    end(made)
    made.house.catch_up()
    refused = call(of, made.writes)
    assert refused.status_code in (401, 404) and made.done() == done
