"""A server's page: the overview, and what is done with the whole server."""

import asyncio
from typing import Any

from starlette.responses import Response

from gatelodge.core import mcp_servers, propagation, server_items
from gatelodge.core.apps.fields import Field
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.propagation import LiveOn
from gatelodge.core.server_items import KINDS, Items, NotRead, ReadIn
from gatelodge.core.server_kinds import RECORDS, SOURCES
from gatelodge.core.server_terms import DECIDED_FIELDS
from gatelodge.setup.apps import row_of
from gatelodge.setup.frame import Visit
from gatelodge.setup.servers.calls import newest
from gatelodge.setup.servers.listing import server_page, set_active, without_password
from gatelodge.web import looking
from gatelodge.web.errors import BadRequest
from gatelodge.words import _, mark

WAITS = 20
"""How often, 25 ms apart, a page just saved asks whether every node has the change before it is shown."""
KIND_LABELS = {
    "tool": mark("Tools"),
    "resource": mark("Resources"),
    "template": mark("Resource templates"),
    "prompt": mark("Prompts"),
}


async def show(visit: Visit, server: McpServer) -> Response:
    """The overview."""
    return await _overview(visit, server)


async def _overview(
    visit: Visit, server: McpServer, *, found: ReadIn | None = None, why: str = "", errors: dict[str, str] | None = None
) -> Response:
    items = await visit.site.store.read(server_items.of_server, server)
    live = await _live_on(visit, server)
    return await server_page(
        visit,
        server,
        items,
        "servers/overview.html",
        tab="overview",
        status=422 if errors else 200,
        live=live,
        counts=_counts(items),
        is_readable=server.kind != RECORDS,
        source_label=_(SOURCES[server.kind]),
        source=without_password(server.source),
        rows=[_decided_row(server, field) for field in DECIDED_FIELDS],
        looked=found,
        calls=await newest(visit, server),
        why=why,
        errors=errors or {},
    )


def _decided_row(server: McpServer, field: Field) -> dict[str, Any]:
    """A decision as the overview shows it; no permission sets means everyone, not nobody."""
    none = _("Everyone who may use MCP servers") if field.name == "permission_sets" else _("None")
    return row_of(field, getattr(server, field.name)) | {"none": none}


def _counts(items: Items) -> list[dict[str, object]]:
    """How many items of each kind there are, and how many of them are on."""
    groups = ((kind, items.of_kind(kind)) for kind in KINDS)
    return [
        {"kind": kind, "label": _(KIND_LABELS[kind]), "all": len(of), "on": sum(each.is_on for each in of)}
        for kind, of in groups
        if of or kind == "tool"
    ]


async def _live_on(visit: Visit, server: McpServer) -> LiveOn:
    """How far the server's newest change has come; a change takes milliseconds, so that the page waits for it."""
    store, clock = visit.site.store, visit.site.clock
    for _turn in range(WAITS):
        live = await store.read(propagation.server_live_on, visit.org.id, server.name, clock.now_ms())
        if live.live_nodes >= live.nodes:
            return live
        await asyncio.sleep(0.025)
    return await store.read(propagation.server_live_on, visit.org.id, server.name, clock.now_ms())


async def act(visit: Visit, server: McpServer) -> Response:
    """Activate, deactivate, look at the upstream again, or remove the server."""
    match visit.field("act"):
        case "activate" | "deactivate" as word:
            await set_active(visit, server.name, is_active=word == "activate")
            return visit.go(f"/setup/mcp-servers/{server.name}")
        case "look":
            return await _look(visit, server)
        case "remove":
            return await _remove(visit, server)
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with an MCP server").format(other=other))


async def _look(visit: Visit, server: McpServer) -> Response:
    try:
        found = await looking.look(
            visit.site,
            visit.org,
            server,
            actor=visit.session.user.id,
            reader=visit.session.user,
            document=visit.field("document").strip(),
        )
    except NotRead as error:
        return await _overview(visit, server, why=error.reason.here())
    await visit.site.live.catch_up()
    return await _overview(visit, server, found=found)


async def _remove(visit: Visit, server: McpServer) -> Response:
    if visit.field("confirm") != server.name:
        typed = visit.field("confirm")
        sentence = _("{typed} is not {name}: type the server's name to remove it.")
        return await _overview(
            visit, server, errors={"confirm": sentence.format(typed=repr(typed[:60]), name=server.name)}
        )
    actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
    _removed = await visit.site.store.run(mcp_servers.remove, visit.org.id, server.id, actor=actor, now_ms=now_ms)
    await visit.site.live.catch_up()
    return visit.go("/setup/mcp-servers")
