"""Who is asked about the calls of a server's tools that ask a person first."""

from typing import Any

from starlette.responses import Response

from gatelodge.core import approval_rules, permissions, server_items
from gatelodge.core.approval_rules import ANY_APPROVER, SECONDS, USER, Rule
from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_items import TOOL
from gatelodge.setup.frame import Visit
from gatelodge.setup.servers.listing import server_page
from gatelodge.web.errors import BadRequest
from gatelodge.words import _


async def show(visit: Visit, server: McpServer) -> Response:
    """GET /setup/mcp-servers/{server_name}/approval."""
    return await _page(visit, server)


async def change(visit: Visit, server: McpServer) -> Response:
    """POST: keep the rule of the server or of one tool, or forget a tool's own."""
    store, tool = visit.site.store, visit.field("tool")
    told: dict[str, Any] = {"actor": visit.session.user.id, "now_ms": visit.site.clock.now_ms()}
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
        return await _page(visit, server, errors={refused.field: refused.message}, typed=made, minutes=minutes)
    return visit.go(f"/setup/mcp-servers/{server.name}/approval")


async def _page(
    visit: Visit,
    server: McpServer,
    *,
    errors: dict[str, str] | None = None,
    typed: Rule | None = None,
    minutes: str = "",
) -> Response:
    store = visit.site.store
    rules = await store.read(approval_rules.of_server, visit.org.id, server.id)
    sets = {each.api_name: each.label for each in await store.read(permissions.of_org, visit.org.id)}
    offered = await store.read(server_items.of_server, server)
    tools = offered.of_kind(TOOL)
    choices = {USER: _("The user whose call it is"), ANY_APPROVER: _("Whoever may approve calls"), **sets}
    own, rule = [rules[each.name] for each in tools if each.name in rules], typed or rules.get("") or Rule()
    return await server_page(
        visit,
        server,
        offered,
        "servers/approval.html",
        tab="approval",
        status=422 if errors else 200,
        errors=errors or {},
        rule=rule,
        minutes=minutes if typed else rule.seconds // 60,
        choices=choices,
        tools=[each.name for each in tools if each.asks_first],
        all_tools=[each.name for each in tools],
        own=[{"rule": each, "who": choices.get(each.approvers, each.approvers)} for each in own],
        standard=SECONDS // 60,
    )
