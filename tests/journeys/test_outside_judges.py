"""Programs of others at our gate: the MCP Inspector's command line, and the MCP conformance suite."""

import contextlib
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatelodge.core.apps import presets
from tests.journeys import fake_browser
from tests.postgres import _free_port as free_port
from tests.requirements import requirement
from tests.running import Dev, running_dev

ROOT = Path(__file__).parent.parent.parent
NODE = ROOT / ".tools" / "node" / "bin" / "node"
INSPECTOR = (
    ROOT / "node_modules" / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
)
CONFORMANCE = ROOT / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
AUTHORIZE = re.compile(r"http://localhost:\d+\S*/services/oauth2/authorize\?\S+")


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "modern"])
@requirement("journey:inspector")
def test_the_inspector_signs_in_and_calls_a_tool_in_either_era(dev: Dev, tmp_path: Path, era: str):
    user = dev.user(1)
    environment = fake_browser.on_path(tmp_path / "bin", user) | {
        "HOME": str(tmp_path),
        "MCP_AUTO_OPEN_ENABLED": "true",
    }
    pasted = presets.to_paste(
        presets.BY_NAME["mcp-inspector"], url=dev.mcp_url, key=dev.key("mcp-inspector"), name="gatelodge"
    )
    program, *words = shlex.split(pasted)[:-2]  # all but "--method tools/list"
    assert program == "mcp-inspector"
    command = [
        str(NODE), str(INSPECTOR), *words, "--callback-url", f"http://127.0.0.1:{free_port()}/oauth/callback",
        "--protocol-era", era, "--format", "json",
        "--method", "tools/call", "--tool-name", "soqlQuery", "--tool-arg", "q=SELECT COUNT() FROM Account",
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert '\\"totalSize\\":400' in done.stdout.replace(": ", ":"), done.stdout
    assert (tmp_path / "bin" / "browser.log").read_text().strip() == "200"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", "/gate"])
@requirement("journey:conformance-authorization")
def test_the_conformance_suite_accepts_an_org_as_authorization_server(tmp_path: Path, path: str):
    with running_dev(tmp_path / "data", path=path) as dev, _suite(dev, tmp_path) as suite:
        user = dev.user(1)
        said = []
        for line in suite.stdout:
            said.append(line)
            if found := AUTHORIZE.search(line):
                assert fake_browser.walk(found[0], user["username"], user["password"]) == 200
        assert suite.wait(30) == 0, "".join(said)
    results = {file.parent.name: json.loads(file.read_text()) for file in (tmp_path / "out").glob("*/checks.json")}
    for scenario in ("authorization-server-metadata-endpoint", "authorization-code-grant"):
        checks = next(checks for name, checks in results.items() if scenario in name)
        assert checks and not [check for check in checks if check["status"] == "FAILURE"], checks


@contextlib.contextmanager
def _suite(dev: Dev, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The suite, run against this org; it prints the URL that it wants a browser for."""
    flags = ["--url", dev.issuer, "--client-id", dev.key("codex"), "--resource", dev.mcp_url]
    command = [str(NODE), str(CONFORMANCE), "authorization", *flags, "-p", str(free_port()), "-o", str(folder / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
