"""gatelodge audit, beside a running server and alone; and a node that is killed."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tests.requirements import requirement
from tests.running import running_dev

Run = Callable[..., "CompletedProcess[str]"]


@requirement("audit:command")
def test_the_chains_are_checked_exported_and_their_head_is_kept(tmp_path: Path, gatelodge: Run):
    data = tmp_path / "data"
    at = ("--data", str(data))
    with running_dev(data) as dev:
        beside = dev.tell("audit", "verify")
        assert [(each["chain"], each["state"]) for each in beside] == [("audit", "whole"), ("calls", "whole")]
        exported = gatelodge("audit", "export", *at)
        rows = [json.loads(line) for line in exported.stdout.splitlines()]
        assert [row["seq"] for row in rows] == list(range(1, beside[0]["rows"] + 1))
    head = gatelodge("audit", "head", *at)
    kept = tmp_path / "head.json"
    kept.write_text(head.stdout)
    assert json.loads(head.stdout)["signature"].count(".") == 2
    assert gatelodge("audit", "export", *at).stdout == exported.stdout
    whole = gatelodge("audit", "verify", "--head", str(kept), *at)
    assert whole.returncode == 0 and "whole" in whole.stdout, whole.stderr
    with sqlite3.connect(data / "gatelodge.db") as tampering:
        tampering.execute("UPDATE audit_events SET actor = 'nobody' WHERE seq = 2")
    broken = gatelodge("audit", "verify", "--head", str(kept), *at)
    assert broken.returncode == 1 and "row 2 of the audit isn't what was written" in broken.stderr
    kept.write_text("{}")
    assert gatelodge("audit", "verify", "--head", str(kept), *at).returncode == 1


@requirement("calls:writes-are-kept-first")
def test_a_killed_node_loses_no_call_that_writes_and_its_successor_says_so(tmp_path: Path):
    database = str(tmp_path / "gatelodge.db")
    began = subprocess.Popen([sys.executable, "-c", BEGIN, database], stdout=subprocess.PIPE, text=True)
    assert began.stdout is not None
    assert began.stdout.readline().strip() == "kept"
    began.send_signal(signal.SIGKILL)
    assert began.wait(20) == -signal.SIGKILL
    began.stdout.close()
    told = subprocess.run([sys.executable, "-c", SUCCEED, database], capture_output=True, text=True, timeout=60)
    assert told.stdout.split() == ["createRecord", "unknown", "calls:records:crash"], told.stderr


BEGIN = """
import asyncio, sys, time
from gatelodge.core import orgs
from gatelodge.core.calls import Batch, Call
from gatelodge.core.clock import Clock
from gatelodge.core.secrets import KeyRing
from gatelodge.core import calls
from gatelodge.store import open_store
from gatelodge.web.recording import Calls
ORG = "00D000000000001AAA"
async def main():
    store = await open_store(sys.argv[1])
    org = orgs.make("http://localhost")(id=ORG, name="", label="x", kind="production", refresh_window=30, trusted_ranges="")
    await store.run(orgs.create, org, 1)
    node = Calls(store, Clock(time.time), KeyRing({"k": b"k" * 32}), node_id="first", name="first", is_alone=True)
    await node.start()
    call = Call(org_id=ORG, at=1, app_id="a", client_id="c", user_id="u", connection_id="n", server="s",
                method="tools/call", name="createRecord")
    await store.run(calls.write, ORG, Batch([], [], {}))
    assert await node.admit(call, is_write=True)
    print("kept", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
SUCCEED = """
import asyncio, sys, time
from gatelodge.core import audit, calls
from gatelodge.core.audit import Filter
from gatelodge.core.clock import Clock
from gatelodge.core.secrets import KeyRing
from gatelodge.store import open_store
from gatelodge.web.recording import Calls
ORG = "00D000000000001AAA"
async def main():
    store = await open_store(sys.argv[1])
    node = Calls(store, Clock(time.time), KeyRing({"k": b"k" * 32}), node_id="next", name="next", is_alone=True)
    await node.start()
    [call] = await store.read(calls.page, ORG, limit=10)
    [event] = await store.read(audit.page, ORG, Filter(kind="calls"), limit=10)
    print(call.name, call.outcome, event.tag)
    await node.stop()
    await store.close()
asyncio.run(main())
"""
