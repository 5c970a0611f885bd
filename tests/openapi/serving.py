"""A REST API registered in a house, with its operations on, and a client that calls them."""

import json
from typing import Any

from gatelodge.core.server_items import TOOL
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.openapi.apis import Api
from tests.servers.offering import items, server, turn_on
from tests.servers.test_commands import tell


def registered(house: House, url: str, name: str = "pets", **settings: Any) -> None:
    """Registered from the command line by the URL of its document, everything on, active."""
    made = tell(
        house, "create", name, "--kind", "openapi", "--source", url, "--document", f"{url}/openapi.json",
        "--allow-private-addresses",
    )  # fmt: skip
    assert made["new"], made
    if settings:
        tell(house, "set", name, *(f"{key}={value}" for key, value in settings.items()))
    row = server(house, name)
    turn_on(house, row, *(each.name for each in items(house, row).of_kind(TOOL)))
    tell(house, "activate", name)
    house.catch_up()


def client(house: House, n: int = 0, name: str = "pets", **claims: Any) -> Client:
    """The n-th person's client of it."""
    told = token(house, n, aud=f"{house.org.issuer}/mcp/{name}", **claims)
    return Client(house, told, name)


def call(who: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's result as it is on the wire."""
    return call_with(who, tool, arguments)


def call_with(who: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    answer = who.modern("tools/call", {"name": tool, "arguments": arguments})
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def said(result: dict[str, Any]) -> str:
    """The text of a result."""
    return result["content"][0]["text"]


def definitions(house: House, name: str = "pets") -> dict[str, dict[str, Any]]:
    """The definitions of its tools."""
    row = server(house, name)
    return {each.name: json.loads(each.definition) for each in items(house, row).of_kind(TOOL)}


__all__ = ["Api", "call", "call_with", "client", "definitions", "registered", "said"]
