"""Real clients with their own OAuth, through the gate to upstreams that an administrator registered: both eras, crossed."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest

from gatelodge.core.apps import presets
from tests.gateway.relay.standing import everything
from tests.journeys import fake_browser
from tests.journeys.python_client import PythonClient
from tests.journeys.test_outside_judges import INSPECTOR, NODE
from tests.people import Person
from tests.requirements import requirement
from tests.running import Dev, free_port, running_dev

ON = {
    "tool": ("test_simple_text", "test_error_handling"),
    "resource": ("test://static-text",),
    "prompt": ("test_simple_prompt",),
}
SAID = "This is a simple text response for testing."
CALLBACK = "http://127.0.0.1/callback"


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """An org with an upstream of each era, of which an administrator has turned on a little."""
    with (
        everything("legacy") as older,
        everything("modern") as newer,
        running_dev(tmp_path_factory.mktemp("org") / "data") as dev,
    ):
        for name, url in (("older", older), ("newer", newer)):
            made = dev.tell("server", "create", name, "--source", url, "--allow-private-addresses")
            assert not made["is_active"] and len(made["new"]) > 20, made
            for kind, names in ON.items():
                chosen = [word for each in names for word in ("--on", each)]
                dev.tell("server", "tools", name, "--kind", kind, *chosen)
            assert dev.tell("server", "activate", name)["is_active"]
        yield dev


def url_of(org: Dev, server: str) -> str:
    return f"{org.issuer}/mcp/{server}"


@pytest.mark.slow
@pytest.mark.parametrize("server", ["older", "newer"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
@requirement("journey:inspector-relayed")
def test_the_inspector_signs_in_and_reaches_an_upstream(org: Dev, tmp_path: Path, server: str, era: str):
    environment = fake_browser.on_path(tmp_path / "bin", org.user(1)) | {
        "HOME": str(tmp_path),
        "MCP_AUTO_OPEN_ENABLED": "true",
    }

    preset = presets.BY_NAME["mcp-inspector"]
    pasted = presets.to_paste(preset, url=url_of(org, server), key=org.key("mcp-inspector"), name=server)

    def inspect(*method: str) -> str:
        command = [
            str(NODE), str(INSPECTOR), *shlex.split(pasted)[1:-2],
            "--callback-url", f"http://127.0.0.1:{free_port()}/oauth/callback", "--protocol-era", era,
            "--format", "json", "--method", *method,
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    listed = inspect("tools/list")
    assert "test_simple_text" in listed and "test_image_content" not in listed, "what is off is not listed"
    assert SAID in inspect("tools/call", "--tool-name", "test_simple_text")
    assert "static text resource" in inspect("resources/read", "--uri", "test://static-text")


@pytest.mark.slow
@pytest.mark.parametrize("server", ["older", "newer"])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
@requirement("journey:python-sdk-relayed")
def test_the_python_client_signs_in_and_reaches_an_upstream(org: Dev, server: str, mode: str):
    user = org.user(1)
    client = PythonClient(url_of(org, server), org.key("codex"), CALLBACK, mode)
    client.begin_calling("test_simple_text", {})
    with httpx2.Client(timeout=20) as http:
        brought = Person(http, user["username"], user["password"]).allow(client.page_to_open())
    client.receive(f"{CALLBACK}?{urlencode(brought)}")
    assert client.result().content[0].text == SAID


@pytest.mark.slow
@pytest.mark.parametrize("server", ["older", "newer"])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
@requirement("journey:fastmcp-relayed")
def test_fastmcps_client_signs_in_and_reaches_an_upstream(org: Dev, tmp_path: Path, server: str, mode: str):
    program = Path(__file__).parent / "fastmcp_client.py"
    done = subprocess.run(
        [sys.executable, str(program), url_of(org, server), org.key("codex"), str(free_port()), mode],
        env=fake_browser.on_path(tmp_path / "bin", org.user(1)) | {"HOME": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    got = json.loads(done.stdout)
    assert got == {
        "version": "2025-11-25" if mode == "legacy" else "2026-07-28",
        "tools": list(ON["tool"]),
        "prompts": list(ON["prompt"]),
        "called": SAID,
        "read": "This is the content of the static text resource.",
    }
