"""The record of calls: the same of servers of every kind."""

import json
import sqlite3

import pytest

from gatelodge.core import calls
from tests.every_kind.behind import NAME, Asked, Behind, call, legacy_call, result
from tests.gateway.speaking import claims
from tests.requirements import requirement
from tests.running import eventually
from tests.written.test_calls import TRACE, a_call, settle, walk, written
from tests.written.test_trouble import empty, fill


@requirement("every-kind:written")
def test_each_call_is_written_with_who_what_how_it_ended_its_sizes_and_its_trace(made_on: Behind):
    of, said = made_on.client(n=0), claims(made_on.house)
    meta = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    params = {"name": made_on.reads.tool, "arguments": made_on.reads.arguments}
    found = of.modern("tools/call", params, meta)
    wrote, failed = call(of, made_on.writes), call(of, made_on.fails)
    unknown = call(of, Asked("dropEverything", {}))
    lists = of.modern("tools/list")
    sent = (found, wrote, failed, unknown, lists)
    first, second, third, fourth, last = recorded = list(reversed(written(made_on.house)))
    assert [each.outcome for each in recorded] == ["ok", "ok", "tool_error", "refused", "ok"]
    assert [(each.method, each.name) for each in recorded] == [
        ("tools/call", made_on.reads.tool), ("tools/call", made_on.writes.tool), ("tools/call", made_on.fails.tool),
        ("tools/call", "dropEverything"), ("tools/list", ""),
    ]  # fmt: skip
    for each, answer in zip(recorded, sent, strict=True):
        assert (each.user_id, each.client_id, each.connection_id) == (said.sub, said.client_id, said.connection_id)
        assert (each.server, each.status) == (NAME, answer.status_code) and each.app_id.startswith("0xI")
        assert each.bytes_in == len(answer.request.content) and each.bytes_out == len(answer.content)
        assert each.duration_us > 0 and len(each.trace_id) == 32 and each.approval_id == ""
    assert first.trace_id == TRACE != second.trace_id
    rows = {"records": (2, 1)}.get(made_on.kind, (0, 0))
    assert (first.rows, second.rows) == rows
    assert all(each.arguments_digest and not each.arguments for each in (first, second, third))
    assert not last.arguments_digest and walk(made_on.house) == [] and fourth.seq == 4


@requirement("every-kind:written")
def test_the_digest_is_of_the_arguments_alone_and_recorded_arguments_lack_what_is_masked(made: Behind):
    of = made.client(n=0)
    call(of, made.writes)
    legacy_call(of, made.writes)
    call(of, made.reads)
    read, again, first = (each for each in written(made.house) if each.method == "tools/call")
    assert first.arguments_digest == again.arguments_digest != read.arguments_digest
    assert "do not keep" not in repr(first)
    made.change(records_arguments=True, masked=("body.Secret", "tag"))
    call(of, made.writes)
    kept = written(made.house)[0]
    assert "do not keep" not in kept.arguments
    left = {name: value for name, value in made.writes.arguments.items() if name not in ("body", "tag")}
    body = {name: value for name, value in made.writes.arguments.get("body", {}).items() if name != "Secret"}
    assert json.loads(kept.arguments) == left | ({"body": body} if "body" in made.writes.arguments else {})


@requirement("every-kind:written")
def test_a_call_that_writes_is_refused_and_not_made_where_it_cannot_be_written_down(made: Behind):
    of = made.client(n=0)
    result(call(of, made.writes))
    settle(made.house)
    done = made.done()
    fill(made.house)
    refused = call(of, made.writes)
    assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0 and made.done() == done
    assert eventually(lambda: (made.house.site.calls.note(a_call(made.house)), made.house.site.calls.trouble())[1])
    assert call(of, made.reads).status_code == 503 and made.done() == done
    empty(made.house)
    settle(made.house)
    result(call(of, made.writes))
    assert made.done() == done + 1 and walk(made.house) == []


@requirement("every-kind:written")
def test_a_call_that_writes_is_kept_before_it_is_made(made: Behind, monkeypatch: pytest.MonkeyPatch):
    """What is kept is read while the call is on its way: by the server's own hand that counts it."""
    of = made.client(n=0)
    begun: list[int] = []
    path = made.house.config.data + "/gatelodge.db"
    admit = made.house.site.calls.admit

    async def watched(*args: object, **said: object) -> str:
        found = await admit(*args, **said)  # type: ignore[arg-type]
        with sqlite3.connect(path) as database:
            begun.append(database.execute("SELECT COUNT(*) FROM begun_calls").fetchone()[0])
        return found

    monkeypatch.setattr(made.house.site.calls, "admit", watched)
    before = made.done()
    result(call(of, made.writes))
    assert begun == [1] and made.done() == before + 1
    settle(made.house)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT COUNT(*) FROM begun_calls").fetchone()[0] == 0
    assert made.house.read(calls.count, made.house.org.id) == 1
