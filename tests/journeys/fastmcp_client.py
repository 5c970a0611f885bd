"""FastMCP's own client with its own OAuth, as a program: lists, calls, reads, and prints what it got as JSON.

Run as ``python fastmcp_client.py URL CONSUMER_KEY CALLBACK_PORT MODE``; it opens its browser, ``xdg-open``.
"""

import asyncio
import json
import sys

from fastmcp.client import Client
from fastmcp.client.auth import OAuth


async def use(url: str, key: str, port: int, mode: str) -> dict[str, object]:
    oauth = OAuth(client_id=key, callback_port=port, callback_host="127.0.0.1")
    async with Client(url, auth=oauth, mode=mode) as client:
        called = await client.call_tool("test_simple_text", {})
        read = await client.read_resource("test://static-text")
        return {
            "version": client.protocol_version,
            "tools": [tool.name for tool in await client.list_tools()],
            "prompts": [prompt.name for prompt in await client.list_prompts()],
            "called": called.content[0].text,
            "read": read[0].text,
        }


if __name__ == "__main__":
    _, url, key, port, mode = sys.argv
    sys.stdout.write(json.dumps(asyncio.run(use(url, key, int(port), mode))))
