"""What a caller may list and call is one answer: for any policies and items, and at the gate."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core import hosted, mcp_servers, server_items
from gatelodge.core.apps.policies import Policies
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.permissions import USE_MCP_SERVERS, Access, PermissionSet
from gatelodge.core.permitting import Permitted, Who
from gatelodge.core.server_items import Item, Items
from gatelodge.gateway.records.variants import VARIANTS
from tests.gateway.speaking import SERVER, Client, token
from tests.generated import MANY
from tests.house import House
from tests.people import Person
from tests.requirements import requirement
from tests.servers import offering
from tests.setup.offices import administrator, app_of, send

NAMES = st.sampled_from(["a", "b", "a/b", "delete everything", "ä"])
FLAGS = st.booleans()
ITEMS = st.lists(
    st.builds(
        Item, server_id=st.just("1g1"), kind=st.sampled_from(["tool", "prompt", "resource"]), name=NAMES,
        is_on=FLAGS, is_new=FLAGS, is_gone=FLAGS, held=st.sampled_from(["", "{}"]),
        mark=st.sampled_from(["read", "write", "destructive"]),
        scopes=st.sampled_from([(), ("mcp_api",), ("extra", "mcp_api")]),
    ),
    unique_by=lambda item: (item.kind, item.name),
)  # fmt: skip
POLICIES = st.builds(
    Policies,
    mcp_servers=st.sampled_from([None, (), ("own",), ("other",)]),
    mcp_tools=st.none() | st.lists(NAMES.map("own/{}".format) | NAMES.map("other/{}".format)).map(tuple),
    mcp_read_only=FLAGS,
)
ACCESS = st.lists(
    st.builds(PermissionSet, api_name=st.sampled_from(["One", "Two"]), label=st.just("x"),
              system=st.sampled_from([(), (USE_MCP_SERVERS,)])), max_size=2,
).map(lambda sets: Access(tuple(sets)))  # fmt: skip
SERVERS = st.builds(
    McpServer, id=st.just("1g1"), org_id=st.just("00D"), name=st.just("own"), label=st.just("Own"),
    kind=st.just("upstream"), source=st.just("https://x"), is_active=st.just(True), read_only=FLAGS,
    permission_sets=st.sampled_from([(), ("One",), ("Nobody",)]),
)  # fmt: skip


def may_use(policies: Policies, access: Access, server: McpServer, item: Item) -> bool:
    """The rule as it is written for administrators."""
    names = {each.api_name for each in access.sets}
    is_in = (policies.mcp_servers is None or "own" in policies.mcp_servers) and any(each.system for each in access.sets)
    is_one = not server.permission_sets or bool(names & set(server.permission_sets))
    is_fit = item.is_on and not (item.is_new or item.is_gone or item.held)
    is_chosen = item.kind != "tool" or policies.mcp_tools is None or f"own/{item.name}" in policies.mcp_tools
    is_harmless = item.mark == "read" or not (policies.mcp_read_only or server.read_only)
    return is_in and is_one and is_fit and is_chosen and is_harmless


@MANY
@given(POLICIES, ACCESS, SERVERS, ITEMS)
@requirement("servers:listing-is-calling")
def test_what_is_listed_is_what_may_be_called(policies: Policies, access: Access, server: McpServer, items: list[Item]):
    who = Who(app="App", policies=policies, user="u", access=access, scopes=("mcp_api",))
    permitted = Permitted(who, server, Items(tuple(items)))
    ask = {"tool": permitted.tool, "prompt": permitted.prompt, "resource": permitted.resource}
    for kind, verdict_on in ask.items():
        listed = {each.name for each in permitted.listed(kind)}
        for name in ("a", "b", "a/b", "delete everything", "ä", "unknown"):
            verdict = verdict_on(name)
            item = next((each for each in items if (each.kind, each.name) == (kind, name)), None)
            assert (
                verdict.is_allowed == (name in listed) == (item is not None and may_use(policies, access, server, item))
            )
            assert verdict.is_allowed != bool(verdict.why)
            assert (permitted.definition(kind, name) is not None) == verdict.is_allowed
            if item and verdict.is_allowed:
                assert verdict.missing_scopes == tuple(scope for scope in item.scopes if scope == "extra")


def set_policies(robin: Person, house: House, **changes: Any) -> None:
    """The administrator saves the policies of Claude Code's app."""
    path = f"/setup/apps/{app_of(house, 'Claude_Code').id}/policies"
    answer = send(robin, path, **changes)
    assert answer.status_code == 303, answer.text
    house.catch_up()


def listed(client: Client) -> list[str]:
    return [tool["name"] for tool in client.modern("tools/list").json()["result"]["tools"]]


def refused(client: Client, tool: str) -> str:
    """Why a call was refused."""
    return client.modern("tools/call", {"name": tool, "arguments": {}}).json()["error"]["message"]


@requirement("servers:app-chooses-tools")
def test_an_app_lists_and_calls_the_tools_that_its_policies_name_and_no_other(house_on: House):
    robin, client = administrator(house_on), Client(house_on, token(house_on))
    assert len(listed(client)) == 6
    chosen = [f"{SERVER}/getUserInfo", f"{SERVER}/find"]
    set_policies(robin, house_on, which_tools="selected", mcp_tools=chosen)
    assert listed(client) == ["find", "getUserInfo"]
    assert client.call("getUserInfo")[0]["username"] == "robin@acme.example"
    assert (
        refused(client, "soqlQuery") == "the policies of Claude_Code do not allow the tool soqlQuery of sobject-reads"
    )
    assert len(listed(Client(house_on, token(house_on, preset="cursor")))) == 6
    set_policies(robin, house_on, which_tools="selected", mcp_tools=None)
    assert listed(client) == []
    set_policies(robin, house_on, which_tools="every")
    assert len(listed(client)) == 6


@requirement("servers:app-chooses-tools")
def test_policies_name_tools_that_there_are(house: House):
    path = f"/setup/apps/{app_of(house).id}/policies"
    answer = send(administrator(house), path, which_tools="selected", mcp_tools=f"{SERVER}/dropEverything")
    assert answer.status_code == 422 and "sobject-reads/dropEverything: no such tool" in answer.text


@requirement("servers:read-only")
def test_read_only_of_the_app_or_of_the_server_leaves_what_is_marked_read(house_on: House):
    robin, client = administrator(house_on), Client(house_on, token(house_on))
    at = offering.server(house_on, SERVER)
    before = offering.item(house_on, at, "find")
    told = {"actor": "robin", "now_ms": 1}
    assert house_on.write(server_items.change, before, at, is_on=True, mark="destructive", **told)
    set_policies(robin, house_on, mcp_read_only="on")
    assert "find" not in listed(client) and len(listed(client)) == 5
    assert "is marked destructive, and the policies of Claude_Code make it read only" in refused(client, "find")
    set_policies(robin, house_on, mcp_read_only=None)
    assert "find" in listed(client)
    house_on.write(mcp_servers.change, at, msgspec.structs.replace(at, read_only=True), **told)
    house_on.catch_up()
    assert "find" not in listed(client) and "the server is read only" in refused(client, "find")


@requirement("servers:permission-sets")
def test_a_server_with_permission_sets_turns_others_away_and_says_why(house_on: House):
    at, told = offering.server(house_on, SERVER), {"actor": "robin", "now_ms": 1}
    robin, sam = (Client(house_on, token(house_on, n)) for n in (0, 1))
    assert len(listed(robin)) == len(listed(sam)) == 6
    house_on.write(mcp_servers.change, at, msgspec.structs.replace(at, permission_sets=("Administrator",)), **told)
    house_on.catch_up()
    assert len(listed(robin)) == 6
    answer = sam.modern("tools/list")
    assert answer.status_code == 403 and "www-authenticate" not in answer.headers
    why = "sam@acme.example has none of the permission sets that may use the MCP server sobject-reads: Administrator"
    assert json.loads(answer.text)["error_description"] == why


@requirement("servers:calls-per-minute")
def test_one_call_too_many_gets_429_and_the_seconds_to_wait_and_nobody_else_does(house: House):
    robin = administrator(house)
    set_policies(robin, house, mcp_calls_per_minute="2")
    client, colleague = Client(house, token(house)), Client(house, token(house, 1))
    other_app = Client(house, token(house, preset="cursor"))
    assert [client.modern("tools/list").status_code for _ in range(3)] == [200, 200, 429]
    answer = client.modern("tools/list")
    assert answer.headers["retry-after"] == "30"
    assert json.loads(answer.text)["error_description"] == (
        "robin@acme.example has used up the 2 calls a minute that the policies of Claude_Code allow; try again in 30 s"
    )
    assert colleague.modern("tools/list").status_code == other_app.modern("tools/list").status_code == 200
    house.later(30)
    assert client.modern("tools/list").status_code == 200
    answer = send(robin, f"/setup/apps/{app_of(house).id}/policies", mcp_calls_per_minute="100001")
    assert answer.status_code == 422 and "100001 is not allowed: choose 0 to 100000." in answer.text


@requirement("servers:hosted-by-name")
def test_the_hosted_tools_that_are_known_by_name_are_those_that_their_program_has():

    assert {variant: list(tools) for variant, tools in hosted.TOOLS.items()} == {
        variant: [tool.name for tool in tools] for variant, tools in VARIANTS.items()
    }
