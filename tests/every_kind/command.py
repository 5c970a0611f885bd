"""A local command with a tool that reads and one that writes. It keeps what it was asked to write in its own folder."""

import json
import os
import sys
from pathlib import Path
from typing import Any

DONE = Path(os.environ["HOME"]) / "done"


def tool(name: str, *, reads: bool) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    return {"name": name, "description": "Does it.", "inputSchema": schema, "annotations": {"readOnlyHint": reads}}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            about = {"name": "kept", "version": "1"}
            return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": about}
        case "tools/list":
            return {"tools": [tool("look", reads=True), tool("keep", reads=False)]}
        case "tools/call":
            with DONE.open("a") as done:
                done.write(json.dumps(params) + "\n")
            is_error = params["arguments"].get("q") == "fail"
            return {"content": [{"type": "text", "text": "Said."}], "isError": is_error}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "server/discover":
        told: dict[str, Any] = {"error": {"code": -32601, "message": "Method not found"}}
    else:
        told = {"result": answer(message["method"], message.get("params", {}))}
    if "id" in message:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"]} | told) + "\n")
        sys.stdout.flush()
