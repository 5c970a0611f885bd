"""What is written down of calls, and what becomes of it when it can't be."""

import asyncio
from typing import Any

import pytest

from gatelodge.core import audit, calls, chains, recording
from gatelodge.core.audit import Filter
from gatelodge.core.calls import Batch, Call, Recorded
from gatelodge.web import recording as web_recording
from tests.gateway import speaking
from tests.house import House
from tests.people import call_tool, tools_list
from tests.requirements import requirement

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
APP, USER = "0xI000000000001AAA", "005000000000001AAA"


def settle(house: House) -> None:
    """Have what waits written now, as the node does within 100 ms."""
    house.run(house.site.calls.settle())


def written(house: House, **of: str) -> list[Recorded]:
    settle(house)
    return house.read(calls.page, house.org.id, limit=100, **of)


def a_call(house: House, n: int = 0, **changes: Any) -> Call:
    at = int(house.time * 1000) + n
    named = {"app_id": APP, "client_id": "c", "user_id": USER, "connection_id": "0uC", "server": "sobject-reads"}
    return Call(
        **{"org_id": house.org.id, "at": at, "method": "tools/call", "name": "find", "outcome": "ok"} | named | changes
    )


def walk(house: House, name: str = chains.CALLS) -> list[str]:
    """What is wrong with a chain of the org."""
    head = house.read(chains.find, house.org.id, name)
    check = chains.Check(name, head.first_seq, head.first_hash)
    owner: Any = calls if name == chains.CALLS else audit
    while house.read(owner.check, check, house.org.id):
        pass
    check.end(head)
    return check.problems


@requirement("calls:each-is-written")
def test_a_call_is_written_with_who_did_what_and_how_it_ended(house_on: House):
    token = speaking.token(house_on)
    said = speaking.claims(house_on)
    front, url = house_on.client(), f"{house_on.issuer}/mcp/sobject-reads"
    before = house_on.site.clock.now_ms()
    found = call_tool(front, url, token, "soqlQuery", {"q": "SELECT Id, Name FROM Account LIMIT 3"})
    wrong = call_tool(front, url, token, "soqlQuery", {"q": "SELECT Nothing FROM Account"})
    unknown = call_tool(front, url, token, "dropEverything", {})
    listed = tools_list(front, url, token)
    assert (found.status_code, wrong.status_code, listed.status_code) == (200, 200, 200) and "error" in unknown.json()
    first, second, third, last = reversed(written(house_on))
    assert (first.user_id, first.client_id, first.connection_id) == (said.sub, said.client_id, said.connection_id)
    assert first.app_id.startswith("0xI")
    assert (first.server, first.method, first.name) == ("sobject-reads", "tools/call", "soqlQuery")
    assert (first.outcome, first.status, first.rows) == ("ok", 200, 3)
    assert first.at >= before and first.duration_us > 0
    assert first.bytes_in == len(found.request.content) and first.bytes_out == len(found.content)
    assert [each.outcome for each in (second, third, last)] == ["tool_error", "refused", "ok"]
    assert (last.method, last.name) == ("tools/list", "")
    assert [each.seq for each in (first, second, third, last)] == [1, 2, 3, 4] and walk(house_on) == []


@requirement("calls:arguments-as-a-digest")
def test_arguments_are_kept_as_a_digest_that_nobody_can_try_values_against(house: House):
    token, url = speaking.token(house), f"{house.issuer}/mcp/sobject-reads"
    for query in ("SELECT Id FROM Account LIMIT 1", "SELECT Id FROM Account LIMIT 1", "SELECT Id FROM Contact LIMIT 1"):
        call_tool(house.client(), url, token, "soqlQuery", {"q": query})
    third, second, first = written(house)
    assert first.arguments_digest == second.arguments_digest != third.arguments_digest
    assert first.arguments == "" and "SELECT" not in repr(first)
    digest = house.site.calls.digest
    assert digest("o", b'{"a": 1, "b": [2]}') == digest("o", b'{"b":[2],"a":1}') != digest("p", b'{"b":[2],"a":1}')


@requirement("calls:trace-id")
@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", True),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", True),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", False),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", False),
        ("", False),
    ],
)
def test_a_calls_record_and_its_error_name_one_trace(house: House, sent: str, is_kept: bool):
    url = f"{house.issuer}/mcp/sobject-reads"
    headers = {"traceparent": sent} if sent else {}
    tools_list(house.client(), url, speaking.token(house), **headers)
    [call] = written(house)
    assert len(call.trace_id) == 32 and (call.trace_id == TRACE) == is_kept
    refused = tools_list(house.client(), url, "nothing", **headers)
    assert refused.status_code == 401 and len(refused.headers["trace-id"]) == 32
    assert (refused.headers["trace-id"] == TRACE) == is_kept


@requirement("calls:counted")
def test_calls_are_added_up_by_hour_and_by_user(house_on: House):
    org_id, hour = house_on.org.id, int(house_on.time) // 3600
    for n in range(40):
        outcome = "tool_error" if n % 10 == 0 else "ok"
        house_on.site.calls.note(a_call(house_on, n, outcome=outcome, duration_us=1000 if n < 38 else 400_000))
    house_on.site.calls.note(a_call(house_on, method="tools/list"))
    house_on.site.calls.note(a_call(house_on, app_id="0xIother", user_id="005other", at=(hour - 30) * 3_600_000))
    settle(house_on)
    house_on.site.calls.note_sign_in(org_id, APP)
    settle(house_on)
    [counted] = house_on.read(calls.of_app, org_id, APP, hour - 100)
    assert (counted.hour, counted.calls, counted.errors, counted.sign_ins) == (hour, 40, 4, 1)
    assert counted.p95_ms == 1 and calls.quantile(counted.below, 0.99) == 500
    lines = house_on.read(calls.sparkline, org_id, [APP, "0xIother", "0xInone"], until=int(house_on.time), days=3)
    assert lines == {APP: [0, 0, 40], "0xIother": [0, 1, 0], "0xInone": [0, 0, 0]}
    used = house_on.read(calls.usage, org_id)
    assert [(each.app_id, each.user_id, each.calls, each.errors) for each in used] == [
        (APP, USER, 40, 4), ("0xIother", "005other", 1, 0),
    ]  # fmt: skip
    assert house_on.read(calls.usage, org_id, after=(APP, USER)) == used[1:]
    assert used[0].last_at == int(house_on.time)


@requirement("calls:pages")
def test_every_page_of_calls_and_events_is_found_by_an_index(house: House):
    house.site.calls.note(a_call(house))
    settle(house)
    for of in ({}, {"app_id": APP}, {"server": "s"}, {"user_id": USER}):
        assert plan(house, calls.page, house.org.id, limit=50, **of)
    for asked in (Filter(), Filter(actors=("a",)), Filter(kind="app"), Filter(subject="s"), Filter(since=1, until=2)):
        assert plan(house, audit.page, house.org.id, asked, limit=50)
    assert plan(house, calls.of_app, house.org.id, APP, 0, may_sort=True)
    assert plan(house, calls.usage, house.org.id)
    assert plan(house, calls.sparkline, house.org.id, [APP], until=1, may_sort=True)


def plan(house: House, operation: Any, *arguments: Any, may_sort: bool = False, **named: Any) -> bool:
    """Whether SQLite looks at an index alone, and sorts nothing."""
    statement = next(operation(*arguments, **named))

    async def explained() -> list[str]:
        rows = house.site.store._reader.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.values)
        return [row["detail"] for row in rows.fetchall()]

    steps = house.run(explained())
    assert all("USING" in step and "INDEX" in step for step in steps if step.startswith(("SCAN", "SEARCH"))), steps
    assert not any(step.startswith("SCAN") for step in steps), steps
    return may_sort or not any("TEMP B-TREE" in step for step in steps)


@requirement("calls:stop-writes")
def test_a_house_that_stops_has_written_every_call_and_leaves_no_word_of_a_crash(house_on: House):
    for n in range(1000):
        house_on.site.calls.note(a_call(house_on, n))
    house_on.run(house_on.site.calls.stop())
    assert house_on.read(calls.count, house_on.org.id) == 1000
    assert house_on.read(recording.gone, "another", house_on.site.clock.now(), is_alone=True) == []


@requirement("calls:writes-are-kept-first")
def test_a_call_that_writes_is_kept_before_it_is_made_and_its_nodes_end_leaves_it(house_on: House):
    site = house_on.site
    ended, left = a_call(house_on, 1, name="createRecord", outcome="unknown"), a_call(house_on, 2, outcome="unknown")
    begun = house_on.run(site.calls.admit(ended, is_write=True))
    assert house_on.run(site.calls.admit(left, is_write=True)) and begun
    site.calls.note(a_call(house_on, 1, name="createRecord"), begun)
    assert [each.outcome for each in written(house_on)] == ["ok"]
    # Another node comes, for which this one is gone.
    site.calls.note(a_call(house_on))
    settle(house_on)
    options = {"node_id": "next", "name": "next", "is_alone": True}
    after = web_recording.Calls(site.store, site.clock, site.ring, **options)
    house_on.run(after._look())
    assert [each.outcome for each in written(house_on)] == ["unknown", "ok", "ok"]
    assert walk(house_on) == []
    [told] = house_on.read(audit.page, house_on.org.id, Filter(kind="calls"), limit=10)
    assert told.tag == "calls:records:crash" and "100 ms" in told.details


@requirement("calls:purge")
def test_what_is_older_than_the_org_keeps_it_goes_and_the_chain_holds(house_on: House):
    org_id = house_on.org.id
    day = 86_400_000
    for n in range(2500):
        house_on.site.calls.note(a_call(house_on, (n - 2400) * day))
    settle(house_on)
    rules = recording.Rules(org_id=org_id)
    house_on.run(web_recording.purge(house_on.site.store, rules, int(house_on.time * 1000)))
    kept = written(house_on)
    assert house_on.read(calls.count, org_id) == 190 and kept[-1].at >= house_on.time * 1000 - 90 * day
    assert walk(house_on) == []
    told = house_on.read(audit.newest, org_id, "calls:records:purge", "calls").told()
    head = house_on.read(chains.find, org_id, chains.CALLS)
    assert (told["through"], told["hash"]) == (head.first_seq, head.first_hash)
    house_on.later(401 * 86400)
    house_on.run(web_recording.purge(house_on.site.store, rules, int(house_on.time * 1000)))
    assert house_on.read(calls.count, org_id) == 0
    assert walk(house_on) == [] and walk(house_on, chains.AUDIT) == []
    assert house_on.read(audit.page, org_id, Filter(), limit=10)


@requirement("calls:each-is-written")
def test_nodes_that_write_at_the_same_time_make_one_chain(house_on: House):
    def write(n: int) -> Any:
        return house_on.site.store.run(calls.write, house_on.org.id, Batch([a_call(house_on, n)] * 20, [], {}))

    async def all_at_once() -> None:
        await asyncio.gather(*(write(n) for n in range(20)))

    house_on.run(all_at_once())
    assert len(house_on.read(calls.page, house_on.org.id, limit=500)) == 400 and walk(house_on) == []
