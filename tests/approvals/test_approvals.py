"""A call of a tool that asks a person first is done once, after somebody who may has said yes to exactly its arguments."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from gatelodge.core import approvals, mcp_servers, permissions
from gatelodge.core.ids import PERMISSION_SET
from gatelodge.core.permissions import APPROVE_CALLS, USE_MCP_SERVERS, PermissionSet
from gatelodge.core.secrets import new_id
from tests.approvals.asking import META, OPENS_URLS, QUERY, TOOL, call, client, decide, mark, result, url_of
from tests.gateway.speaking import ACCEPT, MODERN
from tests.house import House
from tests.oauth.scenes import person
from tests.people import Person, form, form_token
from tests.requirements import requirement
from tests.setup.offices import audited, sign_in, user_id, words


@pytest.fixture
def sam(house: House) -> Person:
    mark(house, asks_first=True)
    return sign_in(person(house, 1))


def is_done(answer: httpx2.Response) -> bool:
    found = result(answer)
    return found.get("resultType") != "input_required" and not found["isError"] and "Name" in answer.text


@requirement("approvals:held")
def test_a_modern_client_is_asked_to_open_the_page_and_its_retry_gets_the_result(house: House, sam: Person):
    of = client(house)
    held = result(first := call(of))
    assert held["resultType"] == "input_required" and held["requestState"]
    asked = held["inputRequests"]["approval"]
    assert asked["method"] == "elicitation/create" and asked["params"]["mode"] == "url"
    assert asked["params"]["url"].startswith(f"{house.issuer}/setup/approvals/04i")
    assert decide(sam, url_of(first)).status_code == 303
    back = call(of, requestState=held["requestState"], inputResponses={"approval": {"action": "accept"}})
    assert is_done(back)


@requirement("approvals:held")
def test_clients_that_open_no_url_get_the_link_as_text_and_the_same_call_goes_through_afterwards(
    house: House, sam: Person
):
    of = client(house)
    first = of.modern("tools/call", {"name": TOOL, "arguments": QUERY, "_meta": META})
    assert result(first)["isError"] and "Nothing was done yet" in first.text
    old = of.legacy("tools/call", {"name": TOOL, "arguments": QUERY})
    assert result(old)["isError"] and url_of(old) == url_of(first)
    decide(sam, url_of(old))
    assert is_done(of.legacy("tools/call", {"name": TOOL, "arguments": QUERY}))
    again = of.legacy("tools/call", {"name": TOOL, "arguments": QUERY})
    assert result(again)["isError"] and url_of(again) != url_of(old)


@requirement("approvals:exact")
@pytest.mark.parametrize(
    "other",
    [{"q": "SELECT Name FROM Account LIMIT 2"}, {}, {"q": QUERY["q"] + " "}, {"Q": QUERY["q"]}, {**QUERY, "x": None}],
)
def test_a_yes_is_for_these_arguments_and_no_others(house: House, sam: Person, other: dict[str, Any]):
    of = client(house)
    decide(sam, url_of(first := call(of)))
    state = result(first)["requestState"]
    assert not is_done(call(of, other))
    changed = call(of, other, requestState=state, inputResponses={"approval": {"action": "accept"}})
    assert changed.status_code == 400 and changed.json()["error"]["code"] == -32602
    assert is_done(call(of))


@requirement("approvals:exact")
def test_numbers_spelled_otherwise_and_members_named_twice_are_not_the_same_arguments(house: House, sam: Person):
    of = client(house)

    def raw(arguments: str) -> httpx2.Response:
        meta = json.dumps(OPENS_URLS)
        body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"soqlQuery","arguments":%s,"_meta":%s}}'
        headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": TOOL, "Accept": ACCEPT}
        return of.send((body % (arguments, meta)).encode(), headers)

    urls = {url_of(raw(f'{{"q":"x","n":{n}}}')) for n in ("1", "1.0", "1.00000000000000000001", "1e0")}
    assert len(urls) == 4
    assert url_of(raw('{"n":1,"q":"x"}')) == url_of(raw(' { "q" : "x", "n" : 1 } '))
    for twice in (
        '{"q":"a","q":"b"}',
        '{"q":"a","\\u0071":"b"}',
        '{"a":{"b":1,"b":2}}',
        "[]",
        "NaN",
        '{"q":"\\ud800"}',
    ):
        refused = raw(twice)
        expected = -32700 if twice in ("NaN", '{"q":"\\ud800"}') else -32602  # unreadable, or readable in two ways
        assert refused.status_code == 400 and refused.json()["error"]["code"] == expected, twice


@requirement("approvals:exact")
@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc":"2.0","id":NaN,"method":"tools/call","params":{"name":"soqlQuery","arguments":{"q":"x"}}}',
        '[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"soqlQuery","arguments":{"q":"x"}}}]',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"soqlQuery","arguments":{"q":Infinity}}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"soqlQuery",},}',
        "{" * 2000,
        "\ufeff{}",
        "",
    ],
)
def test_what_only_some_parsers_read_reaches_no_tool(house: House, sam: Person, body: str):
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": TOOL, "Accept": ACCEPT}
    refused = client(house).send(body.encode(), headers)
    assert refused.status_code == 400 and refused.json()["error"]["code"] == -32700


@requirement("approvals:once")
def test_of_sixteen_callers_who_race_with_one_approval_one_gets_through(house_on: House):
    mark(house_on, asks_first=True)
    of, who = client(house_on), sign_in(person(house_on, 1))
    decide(who, url_of(call(of)))
    params = {"name": TOOL, "arguments": QUERY, "_meta": OPENS_URLS}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": TOOL, "Accept": ACCEPT}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    async def race() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(app=house_on.app, client=("203.0.113.7", 5000))
        async with httpx2.AsyncClient(transport=transport, base_url=house_on.issuer) as http:
            sent = (http.post(of.url, json=body, headers=headers | of.headers) for _ in range(16))
            return await asyncio.gather(*sent)

    answers = house_on.run(race())
    assert sum(map(is_done, answers)) == 1
    assert len({url_of(each) for each in answers if not is_done(each)}) == 1


@requirement("approvals:once")
def test_of_many_decisions_at_once_one_counts(house_on: House):
    mark(house_on, asks_first=True)
    url = url_of(call(client(house_on)))
    asked = house_on.read(approvals.find, house_on.org.id, url.rpartition("/")[2])
    store, now_ms = house_on.site.store, house_on.site.clock.now_ms()

    async def race() -> list[bool]:
        said = (
            store.run(approvals.decide, asked, is_yes=n % 2 == 0, by=f"{n}", actor="005", now_ms=now_ms)
            for n in range(16)
        )
        return list(await asyncio.gather(*said))

    assert sum(house_on.run(race())) == 1
    decided = [row for row in audited(house_on, asked.id) if row[1].startswith("approval:call:")]
    assert len(decided) == 1


@requirement("approvals:time")
def test_a_question_and_a_yes_have_their_time(house: House, sam: Person):
    of = client(house)
    url = url_of(call(of))
    page = sam.front.get(url)
    fields = form(page, url[url.index("/setup/") :])
    house.later(601)
    house.catch_up()
    late = sam.front.post(url, data=fields | {"answer": "approve"})
    assert late.status_code == 409 and "Expired" in words(late)
    of = client(house)
    fresh = url_of(call(of))
    assert fresh != url
    decide(sam, fresh)
    house.later(601)
    house.catch_up()
    assert not is_done(call(client(house)))


@requirement("approvals:declined")
def test_a_no_is_told_to_the_client_and_the_same_question_is_not_asked_again_at_once(house: House, sam: Person):
    of = client(house)
    url = url_of(first := call(of))
    decide(sam, url, "decline")
    again = call(of, requestState=result(first)["requestState"])
    assert result(again)["isError"] and "declined by sam@acme.example" in again.text
    other = call(client(house), {"q": "SELECT Id FROM Account LIMIT 1"})
    called_off = call(
        of,
        {"q": "SELECT Id FROM Account LIMIT 1"},
        requestState=result(other)["requestState"],
        inputResponses={"approval": {"action": "decline"}},
    )
    assert result(called_off)["isError"] and "called off" in called_off.text
    assert "Called off" in words(sam.front.get(url_of(other)))


@requirement("approvals:who")
def test_what_the_user_is_asked_nobody_else_can_answer_and_others_do_not_find(house: House, sam: Person):
    url = url_of(call(client(house)))
    robin, stranger = sign_in(person(house, 0)), sign_in(person(house, 2))
    page = robin.front.get(url)
    assert page.status_code == 200 and 'value="approve"' not in page.text
    token = form_token(page)
    assert robin.front.post(url, data={"form_token": token, "answer": "approve"}).status_code == 403
    assert stranger.front.get(url).status_code == 404
    posted = {"form_token": form_token(stranger.front.get("/setup/my-approvals")), "answer": "approve"}
    assert stranger.front.post(url, data=posted).status_code == 404
    assert sam.front.post(url, data={"answer": "approve"}).status_code == 403
    assert 'value="approve"' in sam.front.get(url).text


@requirement("approvals:four-eyes")
@pytest.mark.parametrize("approvers", ["*", "Approvers"])
def test_with_four_eyes_nobody_approves_their_own_call_whatever_they_may(house: House, sam: Person, approvers: str):
    org_id = house.org.id
    made = PermissionSet(api_name="Approvers", label="Approvers", system=(APPROVE_CALLS, USE_MCP_SERVERS))
    house.write(permissions.create, org_id, new_id(PERMISSION_SET), made)
    held = url_of(call(client(house)))
    asked = house.read(approvals.find, org_id, held.rpartition("/")[2])
    house.write(permissions.assign, org_id, asked.user_id, "Approvers")
    server = house.read(mcp_servers.find, org_id, "sobject-reads")
    from gatelodge.core import approval_rules

    told: dict[str, Any] = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
    wanted = approval_rules.Rule(approvers=approvers)
    house.write(approval_rules.keep, org_id, server.id, wanted, ("Approvers",), **told)
    house.catch_up()
    of, robin = client(house), sign_in(person(house, 0))
    other = {"q": "SELECT Id FROM Account LIMIT 1"}
    url = url_of(call(of, other))
    page = sam.front.get(url)
    assert page.status_code == 200 and 'value="approve"' not in page.text and "but not by the user" in words(page)
    assert sam.front.post(url, data={"form_token": form_token(page), "answer": "approve"}).status_code == 403
    if approvers == "Approvers":  # an administrator sees it, and isn't one of them
        assert (
            robin.front.post(
                url, data={"form_token": form_token(robin.front.get(url)), "answer": "approve"}
            ).status_code
            == 403
        )
        robin_id = robin.username
        from gatelodge.core import users

        user = house.read(users.find_by_username, org_id, robin_id)
        house.write(permissions.assign, org_id, user.id, "Approvers")
        house.catch_up()
    assert decide(robin, url).status_code == 303
    assert result(call(of, other))["isError"] is False


@requirement("approvals:page")
def test_the_page_shows_who_and_what_and_makes_hostile_text_visible(house: House, sam: Person):
    hostile = {
        "q": "\u202ereversed\u200b\x07 <script>alert(1)</script>\n\n\n\n approve this, it's safe",
        "\u2066hidden\u2069": [1.50, {"deep": True}],
        "empty": {},
    }
    page = sam.front.get(url_of(call(client(house), hostile)))
    said = words(page)
    assert "sam@acme.example" in said and "Claude Code" in said and "sobject-reads" in said and TOOL in said
    assert "\\u202ereversed\\u200b\\u0007" in said and "\\u2066hidden\\u2069" in said and "\u202e" not in page.text
    assert "<script>alert" not in page.text and "&lt;script&gt;" in page.text
    assert "\\n\\n\\n\\n approve this" in said and '"empty": {}' in said and "it is data, whatever it says" in said


@requirement("approvals:page")
def test_the_lists_show_ones_own_and_all_of_the_org_to_those_who_may_see_them(house: House, sam: Person):
    url = url_of(call(client(house)))
    path = url[len(house.issuer) :]
    assert path in sam.front.get("/setup/my-approvals").text and "Waiting" in words(
        sam.front.get("/setup/my-approvals")
    )
    assert sam.front.get("/setup/approvals").status_code == 403
    robin = sign_in(person(house, 0))
    assert path in robin.front.get("/setup/approvals").text and path not in robin.front.get("/setup/my-approvals").text
    decide(sam, url)
    assert "Approved" in words(robin.front.get("/setup/approvals"))
    call(client(house))
    assert "Approved and done" in words(robin.front.get("/setup/approvals"))


@requirement("approvals:state")
def test_a_state_that_was_changed_or_is_for_another_caller_opens_nothing(house: House, sam: Person):
    of = client(house)
    first = call(of)
    decide(sam, url_of(first))
    state = result(first)["requestState"]
    for forged in (
        state[:-1],
        state + "A",
        state[:-1] + ("A" if state[-1] != "A" else "B"),
        "gl-approval.",
        "gl-approval.é",
    ):
        assert call(of, requestState=forged).status_code == 400
    robins = call(client(house, 0), requestState=state)
    assert robins.status_code == 400
    assert is_done(call(of, requestState=state))


@requirement("approvals:flood")
def test_an_app_that_asks_too_much_is_told_so_and_fills_nobodys_list(house: House, sam: Person):
    of = client(house)
    for n in range(approvals.MOST_WAITING):
        assert "inputRequests" in result(call(of, {"q": f"{n}"}))
    more = call(of, {"q": "one more"})
    assert result(more)["isError"] and "wait for approval already" in more.text


@requirement("approvals:audit")
def test_the_decision_is_in_the_audit_with_who_and_what_and_no_argument(house: House, sam: Person):
    url = url_of(call(client(house)))
    decide(sam, url)
    [(actor, tag, details)] = [row for row in audited(house, url.rpartition("/")[2]) if "call" in row[1]]
    assert (actor, tag) == (user_id(house, "sam@acme.example"), "approval:call:approve")
    assert '"tool":"soqlQuery"' in details and '"server":"sobject-reads"' in details and "SELECT" not in details


@requirement("approvals:rules")
def test_who_is_asked_is_set_at_the_server_and_its_tools(house: House, sam: Person):
    robin, path = sign_in(person(house, 0)), "/setup/mcp-servers/sobject-reads/approval"
    page = robin.front.get(path)
    assert TOOL in words(page)
    sent = form(page, path) | {"act": "keep", "tool": "", "approvers": "*", "minutes": "5", "four_eyes": "on"}
    assert robin.front.post(path, data=sent).status_code == 303
    held = result(call(client(house)))
    assert "an approver of this org" in held["inputRequests"]["approval"]["params"]["message"]
    own = sent | {"tool": TOOL, "approvers": "Standard_User", "minutes": "60"}
    assert robin.front.post(path, data=own).status_code == 303
    assert "a holder of Standard_User" in call(client(house), {"q": "other"}).text
    for wrong in ({"approvers": "Nobody"}, {"minutes": "0"}, {"minutes": "soon"}, {"minutes": "1441"}):
        assert robin.front.post(path, data=sent | wrong).status_code == 422, wrong
    assert robin.front.post(path, data=sent | {"tool": "nothing"}).status_code == 404
    gone = sent | {"act": "remove", "tool": TOOL}
    assert robin.front.post(path, data=gone).status_code == 303
    assert "an approver of this org" in call(client(house), {"q": "another"}).text


@requirement("approvals:held")
def test_a_client_that_comes_back_early_waits_for_the_decision(house: House, sam: Person):
    of = client(house)
    first = call(of)
    state, url = result(first)["requestState"], url_of(first)
    page = sam.front.get(url)
    sent = form(page, url[url.index("/setup/") :]) | {"answer": "approve"}
    said = {"name": TOOL, "arguments": QUERY, "_meta": OPENS_URLS, "requestState": state}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": TOOL, "Accept": ACCEPT}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": said}

    async def both() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=house.app, client=("203.0.113.7", 5000))
        async with httpx2.AsyncClient(transport=transport, base_url=house.issuer) as http:
            waiting = asyncio.create_task(http.post(of.url, json=body, headers=headers | of.headers))
            while not house.app._gateway._approvals._held:  # noqa: ASYNC110 - nothing tells that a call has come to wait
                await asyncio.sleep(0)
            await sam.front._http.post(url, data=sent)
            return await waiting

    assert is_done(house.run(both()))
