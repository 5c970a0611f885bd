"""Policies: what the org's administrator decides about an app. They never travel with it."""

from typing import Annotated

import msgspec

from gatelodge.core.apps.settings import option
from gatelodge.core.errors import Invalid

APP = "App Policies"
MCP = "MCP Servers"


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the app may be used at all, and which MCP servers it may call. ``mcp_servers`` None: every active one."""

    is_enabled: Annotated[
        bool, option("Enable this app", section=APP, help="Turned off, the app's tokens are refused at once.")
    ] = True
    mcp_servers: Annotated[
        tuple[str, ...] | None,
        option("MCP servers this app may use", section=MCP, help="None selected: every active MCP server."),
    ] = None
    default_mcp_server: Annotated[
        str,
        option(
            "Default MCP server",
            section=MCP,
            help="Where a token opens when the client names no server and may use several.",
        ),
    ] = ""


def check(policies: Policies, known_servers: tuple[str, ...]) -> None:
    """Raises ``Invalid`` when a server that the org doesn't have, or that the app may not use, is named."""
    found: dict[str, str] = {}
    unknown = [name for name in policies.mcp_servers or () if name not in known_servers]
    if unknown:
        found["mcp_servers"] = f"{', '.join(unknown)}: no such MCP server; this org has {', '.join(known_servers)}."
    allowed = policies.mcp_servers if policies.mcp_servers is not None else known_servers
    if policies.default_mcp_server and policies.default_mcp_server not in allowed:
        found["default_mcp_server"] = (
            f"{policies.default_mcp_server} is not among the servers this app may use: {', '.join(allowed) or 'none'}."
        )
    if found:
        raise Invalid(found)
