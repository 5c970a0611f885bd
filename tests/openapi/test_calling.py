"""A REST API as an MCP server, from its registering to a tool's call, over HTTP."""

import asyncio
import json

import pytest
from starlette.responses import JSONResponse, StreamingResponse

from gatelodge.core import upstream_secrets
from gatelodge.core.calls import records
from tests.gateway.speaking import LEGACY
from tests.house import House
from tests.openapi.apis import HOSTILE, Api
from tests.openapi.serving import call, client, definitions, registered, said
from tests.requirements import requirement
from tests.servers.offering import item, server
from tests.servers.test_commands import tell


@requirement("openapi:tools", "openapi:calls", "openapi:written")
def test_operations_become_tools_that_call_the_api_where_the_administrator_says(house_on: House):
    api = Api()
    with api.running() as url:
        registered(house_on, url)
        robin = client(house_on)
        for listed in (robin.modern("tools/list"), robin.legacy("tools/list", version=LEGACY[-1])):
            tools = {each["name"]: each for each in listed.json()["result"]["tools"]}
            assert list(tools) == ["listPets", "createPet", "getPet", "delete_pets_petId"]
            assert "request" not in tools["listPets"] and tools["listPets"]["annotations"]["readOnlyHint"] is True
            assert tools["createPet"]["inputSchema"]["required"] == ["name"]
            assert "id" not in tools["createPet"]["inputSchema"]["properties"]
            assert "id" in tools["createPet"]["outputSchema"]["$defs"]["Pet"]["properties"]
        row = server(house_on, "pets")
        marks = [item(house_on, row, name).mark for name in ("listPets", "createPet", "delete_pets_petId")]
        assert marks == ["read", "write", "destructive"]
        made = call(robin, "createPet", name="Rex", tag=None, parent={"name": "Ada"})
        assert made["structuredContent"] == {"id": 7, "name": "Rex", "tag": None, "parent": {"name": "Ada"}}
        assert json.loads(said(made)) == made["structuredContent"] and not made["isError"]
        assert not call(robin, "listPets", limit=5, tags=["a b", "c&d"])["isError"]
        assert "204 No Content" in said(call(robin, "delete_pets_petId", petId="é 1"))
    assert [(each["method"], each["target"]) for each in api.asked] == [
        ("POST", "/v1/pets"), ("GET", "/v1/pets?limit=5&tags=a%20b&tags=c%26d"), ("DELETE", "/v1/pets/%C3%A9%201"),
    ]  # fmt: skip
    assert json.loads(api.asked[0]["body"]) == {"name": "Rex", "tag": None, "parent": {"name": "Ada"}}
    for each in api.asked:
        assert not {"authorization", "cookie", "mcp-method"} & each["headers"].keys()
    house_on.run(house_on.site.calls.settle())
    notes = house_on.read(records.page, house_on.org.id, server="pets", limit=50)
    assert [(each.name, each.outcome) for each in reversed(notes) if each.method == "tools/call"] == [
        ("createPet", "ok"), ("listPets", "ok"), ("delete_pets_petId", "ok"),
    ]  # fmt: skip


@requirement("openapi:refuses-arguments")
@pytest.mark.parametrize(
    ("tool", "arguments", "why"),
    [
        ("listPets", {"limit": 500}, "argument 'limit' is 500, and must be at most 100. Change it, or leave it out."),
        ("listPets", {"limit": "x"}, "argument 'limit' is \"x\", and must be an integer."),
        ("listPets", {"limmit": 5}, "argument 'limmit' is not known; known are: limit, tags. Leave it out"),
        ("createPet", {}, "argument 'name' is missing, and required. Add it."),
        ("createPet", {"name": "a", "parent": {"name": 1}}, "argument 'parent.name' is 1, and must be a string."),
        ("getPet", {"petId": ".."}, "a part of it . or .., which leads elsewhere"),
        ("getPet", {"petId": "../admin"}, "it can't hold /"),
        ("getPet", {"petId": "a\r\nX: y"}, "control characters"),
        ("getPet", {"petId": ""}, "is empty, and stands in the path"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_value_rule_and_fix(house: House, tool: str, arguments, why: str):
    api = Api()
    with api.running() as url:
        registered(house, url)
        result = call(client(house), tool, **arguments)
        assert result["isError"] and why in said(result)
        assert not api.asked


@requirement("openapi:hostile-api")
@pytest.mark.parametrize("kind", HOSTILE)
def test_an_api_that_answers_badly_is_told_and_does_no_harm(house: House, kind: str):
    api = Api()
    answer, why = HOSTILE[kind]
    api.answers["/v1/pets"] = answer
    with api.running() as url:
        registered(house, url, largest_answer=1024 if kind == "endless" else 100_000)
        result = call(client(house), "listPets")
        assert result["isError"] and why in said(result) and len(said(result)) < 5000
        assert len(api.asked) == 1


@requirement("openapi:hostile-api")
def test_an_answer_that_is_not_as_promised_is_told_with_the_answer(house: House):
    api = Api()
    api.answers["/v1/pets"] = JSONResponse({"id": "seven"}, 201)
    with api.running() as url:
        registered(house, url)
        result = call(client(house), "createPet", name="Rex")
    assert result["isError"] and "member 'id' is \"seven\", and must be an integer" in said(result)
    assert "did what was asked" in said(result) and '{"id":"seven"}' in said(result)


@requirement("openapi:hostile-api")
def test_an_api_that_is_silent_is_given_up(house: House):
    async def silent():
        yield b"a"
        await asyncio.sleep(30)

    api = Api()
    api.answers["/v1/pets"] = StreamingResponse(silent(), media_type="text/plain")
    with api.running() as url:
        registered(house, url, idle_seconds=1)
        result = call(client(house), "listPets")
    assert result["isError"] and "did not finish its answer in time" in said(result)


@requirement("openapi:credential")
def test_the_api_gets_the_orgs_credential_and_nothing_of_the_client(house: House):
    api = Api()
    with api.running() as url:
        registered(house, url, credential="header", header_name="X-Api-Key")
        row = server(house, "pets")
        result = call(client(house), "listPets")
        assert result["isError"] and "nobody has entered its value" in said(result)
        kept = upstream_secrets.sealed(
            house.site.ring, "s3cret", org_id=row.org_id, server_id=row.id, kind=upstream_secrets.HEADER,
            made_by="robin", now=house.site.clock.now(),
        )  # fmt: skip
        house.write(upstream_secrets.keep, kept, actor="robin", now_ms=house.site.clock.now_ms())
        house.catch_up()
        assert not call(client(house), "listPets")["isError"]
    (asked,) = api.asked
    assert asked["headers"]["x-api-key"] == "s3cret" and "authorization" not in asked["headers"]


@requirement("openapi:pinned")
def test_an_operation_that_changes_where_it_goes_is_held_back(house: House):
    api = Api()
    with api.running() as url:
        registered(house, url)
        api.document["paths"]["/admin"] = {"get": api.document["paths"]["/pets"].pop("get")}
        looked = tell(house, "refresh", "pets")
        assert looked["held"] == ["listPets"] and not looked["new"]
        house.catch_up()
        robin = client(house)
        assert "listPets" not in robin.modern("tools/list").text
        refused = robin.modern("tools/call", {"name": "listPets", "arguments": {}}).json()["error"]["message"]
        assert "has a changed definition" in refused
        assert tell(house, "tools", "pets", "--accept", "listPets")[0]["state"] == "on"
        house.catch_up()
        assert not call(robin, "listPets")["isError"]
    assert api.asked[-1]["target"] == "/v1/admin"
    assert definitions(house)["listPets"]["request"]["path"] == "/admin"


@requirement("openapi:pinned")
def test_what_nobody_may_use_is_neither_listed_nor_called(house: House):
    api = Api()
    with api.running() as url:
        registered(house, url)
        tell(house, "tools", "pets", "--off", "getPet")
        tell(house, "set", "pets", "read_only=true")
        house.catch_up()
        robin = client(house)
        assert [each["name"] for each in robin.modern("tools/list").json()["result"]["tools"]] == ["listPets"]
        for name in ("getPet", "createPet", "nothing"):
            assert "error" in robin.modern("tools/call", {"name": name, "arguments": {"petId": "1"}}).json()
    assert not api.asked
