"""Commands behind a gate, as tests need them."""

import json
import sys
from pathlib import Path
from typing import Any

from gatelodge.core.mcp_servers import McpServer
from tests.gateway.relay.standing import Gate
from tests.gateway.speaking import Client

HERE = Path(__file__).parent
BY_HAND, BY_LIBRARY = HERE / "command.py", HERE / "library.py"


def source(*words: str, program: Path = BY_HAND) -> str:
    """A command line as it is registered."""
    return json.dumps([sys.executable, "-u", "-W", "ignore", str(program), *words])


def command(gate: Gate, *words: str, program: Path = BY_HAND, name: str = "upstream", **terms: Any) -> McpServer:
    """An active server of this command, whose every item is on."""
    made = gate.register(source(*words, program=program), name, "stdio", **terms)
    gate.offer(made, gate.house.run(gate.house.site.read_catalogue(gate.house.org, made, None)))
    return made


def tell(client: Client, what: str) -> str:
    """What the tool says, of a call in the modern era."""
    answer = client.modern("tools/call", {"name": "tell", "arguments": {"what": what}})
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return str(result(answer)["content"][0]["text"])


def result(answer: Any) -> dict[str, Any]:
    """The result in an answer, whether it came as JSON or as the last event of a stream."""
    text = answer.text
    if answer.headers["content-type"] == "text/event-stream":
        text = text.strip().rpartition("data: ")[2]
    return dict(json.loads(text)["result"])


def error(answer: Any) -> str:
    """The message of an error."""
    text = answer.text
    if answer.headers["content-type"] == "text/event-stream":
        text = text.strip().rpartition("data: ")[2]
    return str(json.loads(text)["error"]["message"])


def is_there(pid: int) -> bool:
    """Whether a process runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def commands(gate: Gate) -> Any:
    """The children of the gate's node."""
    return gate.house.app._gateway.relaying._commands
