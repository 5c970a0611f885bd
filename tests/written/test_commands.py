"""gatelodge audit, beside a running server and alone; and a node that is killed."""

import json
import sqlite3
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
