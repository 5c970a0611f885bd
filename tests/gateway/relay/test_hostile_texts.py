"""Names and texts of an upstream that hide something: what an administrator sees of them, and what a client gets."""

import asyncio
import json
from typing import Any

from tests.gateway.relay.rough import Asked, answer, rough, well
from tests.gateway.relay.standing import Gate
from tests.requirements import requirement
from tests.servers.test_commands import tell
from tests.setup.offices import administrator

HIDING = "Adds numbers.\u202e\u200b\U000e0041\U000e0042 \x1b]0;owned\x07<script>alert(1)</script>"
"""Text direction, nothing at all, letters that nobody sees, a command to a terminal, and one to a browser."""


def tool(name: str, description: str = "Does.") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}}


TOOLS = [
    tool("add", HIDING), tool("bell\x07"), tool("two\nlines"), tool(" padded"), tool("x" * 501), tool("long", "y" * 70_000),
    tool("add", "A second one of this name."), tool("😀"), tool("\u202edda"),
]  # fmt: skip


async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
    if asked.called != "tools/list":
        await well(asked, writer)
        return
    body = {"jsonrpc": "2.0", "id": asked.message["id"], "result": {"resultType": "complete", "tools": TOOLS}}
    await answer(writer, body)


@requirement("relay:hostile-texts")
def test_names_and_texts_that_hide_something_are_named_in_setup_before_they_pass_on(gate: Gate):
    with rough(gate.house, behave) as (upstream, url):
        made = tell(gate.house, "create", "hiding", "--source", url, "--allow-private-addresses")
        assert made["new"] == ["add", "😀", "\u202edda"]
        assert len(made["left_out"]) == 6 and "\x07" not in str(made["left_out"])
        tell(gate.house, "tools", "hiding", "--on", "add")
        tell(gate.house, "activate", "hiding")
        gate.house.catch_up()
        robin = administrator(gate.house)
        for path in ("items?kind=tool", "item?kind=tool&name=add"):
            page = robin.front.get(f"/setup/mcp-servers/hiding/{path}").text
            assert "U+202E right-to-left override" in page and "U+200B zero width space" in page, path
            assert "<script>alert" not in page and not {"\x1b", "\x07", "\u200b", "\U000e0041"} & set(page), path
        got = gate.client("hiding").modern("tools/list")
        assert [each["name"] for each in got.json()["result"]["tools"]] == ["add"]
        assert json.dumps(HIDING)[1:-1] in got.text, "what was looked at passes as it was written"
        for name in ("bell\x07", "two\nlines", "x" * 501, "long", "\u202edda"):
            params = {"name": name, "arguments": {}}
            refused = gate.client("hiding").legacy("tools/call", params)
            assert refused.json()["error"]["code"] == -32602 and len(refused.text) < 1000, name
        assert upstream.calls == []
