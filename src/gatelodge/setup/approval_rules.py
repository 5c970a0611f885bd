"""Who is asked about the calls of a server's tools that ask a person first."""

from typing import Any

from starlette.responses import Response

from gatelodge.core import approval_rules, mcp_servers, permissions, server_items
from gatelodge.core.approval_rules import ANY_APPROVER, SECONDS, USER, Rule
from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_items import TOOL
from gatelodge.setup.frame import Visit
from gatelodge.web.errors import BadRequest
from gatelodge.words import _


async def show(visit: Visit) -> Response:
    """GET /setup/mcp-servers/{name}/approval."""
    return await _page(visit, await _server(visit))


async def change(visit: Visit) -> Response:
    """POST: keep the rule of the server or of one tool, or forget a tool's own."""
    server, store, tool = await _server(visit), visit.site.store, visit.field("tool")
    told: dict[str, Any] = {"actor": visit.session.user.username, "now_ms": visit.site.clock.now_ms()}
    tools = [each.name for each in (await store.read(server_items.of_server, server)).of_kind(TOOL)]
    if tool and tool not in tools:
        raise BadRequest(_("{name} has no tool {tool!r:.80}").format(name=server.name, tool=tool), 404)
    if visit.field("act") == "remove":
        await store.run(approval_rules.remove, visit.org.id, server.id, tool, **told)
        return visit.go(f"/setup/mcp-servers/{server.name}/approval")
    minutes = visit.field("minutes")
    made = Rule(
        tool=tool,
        approvers=visit.field("approvers"),
        four_eyes=visit.field("four_eyes") == "on",
        seconds=60 * int(minutes) if minutes.isascii() and minutes.isdigit() and len(minutes) < 6 else 0,  # noqa: PLR2004
    )
    known = tuple(each.api_name for each in await store.read(permissions.of_org, visit.org.id))
    try:
        await store.run(approval_rules.keep, visit.org.id, server.id, made, known, **told)
    except Refused as refused:
        return await _page(visit, server, errors={refused.field: refused.message}, typed=made)
    return visit.go(f"/setup/mcp-servers/{server.name}/approval")


async def _server(visit: Visit) -> McpServer:
    name = visit.request.path_params["name"]
    found = await visit.site.store.read(mcp_servers.find, visit.org.id, name)
    if found is None:
        raise BadRequest(_("this org has no MCP server {name!r:.60}").format(name=name), 404)
    return found


async def _page(
    visit: Visit, server: McpServer, *, errors: dict[str, str] | None = None, typed: Rule | None = None
) -> Response:
    store = visit.site.store
    rules = await store.read(approval_rules.of_server, visit.org.id, server.id)
    sets = {each.api_name: each.label for each in await store.read(permissions.of_org, visit.org.id)}
    items = (await store.read(server_items.of_server, server)).of_kind(TOOL)
    choices = {USER: _("The user whose call it is"), ANY_APPROVER: _("Whoever may approve calls"), **sets}
    own = [rules[each.name] for each in items if each.name in rules]
    return visit.page(
        "approval_rules.html",
        title=_("Approval"),
        status=422 if errors else 200,
        server=server,
        errors=errors or {},
        rule=typed or rules.get("") or Rule(),
        choices=choices,
        tools=[each.name for each in items if each.asks_first],
        all_tools=[each.name for each in items],
        own=[{"rule": each, "who": choices.get(each.approvers, each.approvers)} for each in own],
        standard=SECONDS // 60,
    )
