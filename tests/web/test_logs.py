"""What a node writes down while it runs."""

import json
import subprocess
import sys

from tests.requirements import requirement
from tests.running import environment

SPEAK = """
import logging, sys, structlog
from gatelodge.web import logs
logs.configure(is_development=sys.argv[1] == "dev")
structlog.get_logger().info("ours", reason="two\\nlines")
logging.getLogger("asyncio").warning("theirs %s", "too")
logging.getLogger("asyncio").info("not worth a line")
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("broken")
    logging.getLogger("library").exception("broken there")
"""


def said(kind: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SPEAK, kind], capture_output=True, text=True, env=environment(), check=True
    )  # fmt: skip
    assert done.stdout == ""
    return done.stderr


@requirement("web:logs-are-json-lines")
def test_a_production_node_writes_one_json_object_a_line():
    lines = [json.loads(line) for line in said("serve").splitlines()]
    assert [line["event"] for line in lines] == ["ours", "theirs too", "broken", "broken there"]
    assert [line["level"] for line in lines] == ["info", "warning", "error", "error"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert ["ZeroDivisionError" in line.get("exception", "") for line in lines] == [False, False, True, True]


@requirement("web:logs-are-json-lines")
def test_a_development_org_writes_for_people():
    assert "theirs too" in said("dev")
    assert "{" not in said("dev").splitlines()[0]
