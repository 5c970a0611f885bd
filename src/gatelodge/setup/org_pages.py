"""The org's MCP servers, in Setup."""

from starlette.responses import Response

from gatelodge.core import mcp_servers
from gatelodge.setup.frame import Visit
from gatelodge.web.errors import BadRequest


async def show_servers(visit: Visit) -> Response:
    """The org's MCP servers with their URLs."""
    servers = await visit.site.store.read(mcp_servers.of_org, visit.org.id)
    rows = [{"server": server, "url": mcp_servers.resource(visit.org, server.name)} for server in servers]
    return visit.page("mcp_servers.html", title="MCP Servers", servers=rows)


async def change_server(visit: Visit) -> Response:
    """Activate or deactivate one."""
    act, name = visit.field("act"), visit.field("name")
    if act not in ("activate", "deactivate"):
        raise BadRequest(f"{act!r:.40} can't be done with an MCP server; it is activated or deactivated")
    actor, now_ms = visit.session.user.username, visit.site.clock.now_ms()
    is_active = act == "activate"
    if not await visit.site.store.run(
        mcp_servers.set_active, visit.org.id, name, is_active=is_active, actor=actor, now_ms=now_ms
    ):
        raise BadRequest(f"this org has no MCP server {name!r:.60}", 404)
    return visit.go("/setup/mcp-servers")
