"""A person who is asked first, and scopes that a call needs: the same before servers of every kind."""

import re

import pytest

from gatelodge.core import orgs
from gatelodge.core.scopes import Scope
from tests.approvals.asking import decide, url_of
from tests.every_kind.behind import NAME, OPENS_URLS, Asked, Behind, call, legacy_call, result, told
from tests.oauth.scenes import add_app, change_app, person
from tests.people import OAuthClient, call_tool
from tests.requirements import requirement
from tests.setup.offices import sign_in
from tests.written.test_calls import written

SCOPE = Scope("things.keep", "Keep things", "Keep the things that you may keep", ())


@requirement("every-kind:approval")
def test_a_call_that_asks_first_reaches_nothing_before_the_yes_and_is_made_once_after_it(made_on: Behind):
    made_on.mark(made_on.writes.tool, asks_first=True)
    of, robin = made_on.client(n=0), sign_in(person(made_on.house))
    before = made_on.done()
    first = call(of, made_on.writes, OPENS_URLS)
    held = result(first)
    assert held["resultType"] == "input_required" and made_on.done() == before
    other = Asked(made_on.writes.tool, made_on.writes.arguments | {"other": 1})
    page = robin.front.get(url_of(first))
    assert made_on.writes.tool in page.text and "do not keep" in page.text
    assert decide(robin, url_of(first)).status_code == 303
    answers = {"requestState": held["requestState"], "inputResponses": {"approval": {"action": "accept"}}}
    changed = call(of, other, OPENS_URLS, **answers)
    assert changed.status_code == 400 and told(changed)["error"]["code"] == -32602 and made_on.done() == before
    done = call(of, made_on.writes, OPENS_URLS, **answers)
    assert not result(done).get("isError") and made_on.done() == before + 1
    again = call(of, made_on.writes, OPENS_URLS)
    assert result(again)["resultType"] == "input_required" and made_on.done() == before + 1
    second, first_done, refused, first_held = written(made_on.house)[:4]
    assert [each.outcome for each in (first_held, refused, first_done, second)] == [
        "needs_approval", "needs_approval", "ok", "needs_approval",
    ]  # fmt: skip
    assert first_held.approval_id == first_done.approval_id != "" and second.approval_id not in (
        "",
        first_done.approval_id,
    )
    assert {each.name for each in (second, first_done, refused, first_held)} == {made_on.writes.tool}


@requirement("every-kind:approval")
def test_a_client_of_the_older_era_gets_the_link_and_its_same_call_goes_through(made: Behind):
    made.mark(made.writes.tool, asks_first=True)
    of, robin = made.client(n=0), sign_in(person(made.house))
    before = made.done()
    first = legacy_call(of, made.writes)
    assert result(first)["isError"] and made.done() == before
    decide(robin, url_of(first), "decline")
    declined = result(legacy_call(of, made.writes))
    assert declined["isError"] and "declined" in declined["content"][0]["text"] and made.done() == before
    other = Asked(made.reads.tool, made.reads.arguments)
    assert not result(legacy_call(of, other)).get("isError"), "what asks nobody is called as ever"


@pytest.fixture
def app(made: Behind) -> OAuthClient:
    """An app of the server, whose writing tool needs a scope of the org's own."""
    said = {"actor": "a test", "now_ms": made.house.site.clock.now_ms()}
    made.house.write(orgs.change_scopes, made.house.org.id, (), (SCOPE,), **said)
    made.house.catch_up()
    made.mark(made.writes.tool, scopes=(SCOPE.name,))
    return add_app(made.house, mcp_servers=(NAME,), label="A helper")


@requirement("every-kind:step-up")
def test_a_call_without_its_scope_gets_one_challenge_and_reaches_nothing_and_with_it_is_made(
    made: Behind, app: OAuthClient
):
    house, url = made.house, f"{made.house.issuer}/mcp/{NAME}"
    who, before = person(house), made.done()
    tokens = app.redeem(who.allow(app.authorize_url(scope="mcp_api refresh_token"))["code"]).json()
    refused = call_tool(house.client(), url, tokens["access_token"], made.writes.tool, made.writes.arguments)
    assert refused.status_code == 403 and made.done() == before
    challenge = refused.headers["www-authenticate"]
    [scope] = re.findall(r'scope="([^"]*)"', challenge)
    assert 'error="insufficient_scope"' in challenge and set(scope.split()) == {"mcp_api", SCOPE.name}
    assert "/setup/step-up?" in refused.json()["error"]["data"]["url"]
    found = call_tool(house.client(), url, tokens["access_token"], made.reads.tool, made.reads.arguments)
    assert found.status_code == 200, "a tool without scopes of its own asks for none"
    change_app(house, app, scopes=("mcp_api", "refresh_token", SCOPE.name))
    more = app.redeem(person(house).allow(app.authorize_url(scope=f"mcp_api {SCOPE.name}"))["code"]).json()
    done = call_tool(house.client(), url, more["access_token"], made.writes.tool, made.writes.arguments)
    assert done.status_code == 200 and made.done() > before
    assert [each.outcome for each in written(house)][:3] == ["ok", "ok", "needs_scope"]
