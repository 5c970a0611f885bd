"""Servers that are registered in a house, and what they offer, as a fetched catalogue would tell it."""

import json
from typing import Any

from gatelodge.core import mcp_servers, secrets, server_items
from gatelodge.core.ids import MCP_SERVER
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_items import Catalogue, Item, Items, Offered, ReadIn
from gatelodge.core.server_terms import Terms
from tests.house import House

ACTOR = "robin@acme.example"


def tool(name: str, description: str = "Does a thing.", **more: Any) -> Offered:
    """A tool as a server tells it."""
    told = {"name": name, "description": description, "inputSchema": {"type": "object"}} | more
    return Offered("tool", name, json.dumps(told))


def reading(name: str, **more: Any) -> Offered:
    """A tool that says it only reads."""
    return tool(name, annotations={"readOnlyHint": True}, **more)


def add_upstream(house: House, name: str = "weather", *, is_active: bool = True, **more: Any) -> McpServer:
    """An upstream, registered and activated, whose catalogue nobody has read yet."""
    made = McpServer(
        id=secrets.new_id(MCP_SERVER), org_id=house.org.id, name=name, label=name.title(), kind="upstream",
        source="https://upstream.example/mcp", is_active=False, terms=Terms(), **more,
    )  # fmt: skip
    told = {"actor": ACTOR, "now_ms": house.site.clock.now_ms()}
    house.write(mcp_servers.register, made, **told)
    house.write(mcp_servers.set_active, made.org_id, name, is_active=is_active, **told)
    house.catch_up()
    return server(house, name)


def server(house: House, name: str) -> McpServer:
    """The server as it is kept now."""
    return house.read(mcp_servers.find, house.org.id, name)


def offer(house: House, at: McpServer, *offered: Offered) -> ReadIn:
    """The server offers these now, and they are read in."""
    found = house.write(
        server_items.read_in, server(house, at.name), Catalogue(offered=offered), actor=ACTOR,
        now_ms=house.site.clock.now_ms(),
    )  # fmt: skip
    house.catch_up()
    return found


def items(house: House, at: McpServer) -> Items:
    """What is known of the server."""
    return house.read(server_items.of_server, at)


def item(house: House, at: McpServer, name: str, kind: str = "tool") -> Item:
    """One item of it."""
    found = items(house, at).find(kind, name)
    assert found is not None
    return found


def turn_on(house: House, at: McpServer, *names: str) -> None:
    """An administrator has looked at these tools and turns them on."""
    for name in names:
        assert house.write(
            server_items.switch, item(house, at, name), at, is_on=True, actor=ACTOR, now_ms=house.site.clock.now_ms()
        )
    house.catch_up()
