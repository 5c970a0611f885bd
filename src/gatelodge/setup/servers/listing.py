"""The list of the org's MCP servers, and finding one of them by the path."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import mcp_servers, server_health, server_items, server_kinds
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_health import Health
from gatelodge.core.server_items import Items
from gatelodge.core.server_kinds import RELAYED
from gatelodge.setup.frame import Visit
from gatelodge.web.errors import BadRequest
from gatelodge.words import _, mark, ngettext

NOBODY_LOOKED = Health(server_id="", checked_at=0, milliseconds=0, why=None, speaks="")
KINDS = {kind: mark(label) for kind, label in server_kinds.KINDS.items()}


PASSWORD = re.compile(r"^((?!https?:)[a-z0-9+]+://[^/@:]*):.*@")
"""The password in the URL of a database, which no page shows."""


def without_password(source: str) -> str:
    """A source as pages show it."""
    return PASSWORD.sub(r"\1@", source)


class State(msgspec.Struct, frozen=True):
    """A state in one word, with a shape and a colour."""

    kind: str
    symbol: str
    word: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One server of the list."""

    server: McpServer
    url: str
    kind: str
    state: State
    health: State | None
    tools: str
    waits: str


async def show(visit: Visit) -> Response:
    """The org's MCP servers: what they are, whether they are active and well, and their URLs."""
    store, org = visit.site.store, visit.org
    servers = await store.read(mcp_servers.of_org, org.id)
    stored = await store.read(server_items.of_org, org.id)
    health = await store.read(server_health.of_org, org.id)
    rows = [
        _row(
            visit,
            each,
            server_items.with_hosted(each, stored.get(each.id, [])),
            health.get(each.id, NOBODY_LOOKED),
        )
        for each in servers
    ]
    return visit.page("servers/list.html", title=_("MCP Servers"), rows=rows)


def _row(visit: Visit, server: McpServer, items: Items, health: Health) -> Row:
    tools = items.of_kind(server_items.TOOL)
    waiting = waiting_of(items)
    return Row(
        server=server,
        url=mcp_servers.resource(visit.org, server.name),
        kind=_(KINDS[server.kind]),
        state=state_of(server),
        health=health_of(server, health),
        tools=_("{on} of {all} on").format(on=sum(each.is_on and not each.is_gone for each in tools), all=len(tools)),
        waits=ngettext("{n} to look at", "{n} to look at", waiting).format(n=waiting) if waiting else "",
    )


def waiting_of(items: Items) -> int:
    """How many items nobody has looked at as they are now."""
    return sum((each.is_new or bool(each.held)) and not each.is_gone for each in items.all)


def state_of(server: McpServer) -> State:
    """Whether apps may call it."""
    return State("ok", "check", _("Active")) if server.is_active else State("", "pause", _("Inactive"))


def health_of(server: McpServer, health: Health) -> State | None:
    """How an upstream or a local command is; None for a server that nobody has to look at."""
    if server.kind not in RELAYED:
        return None
    if not health.checked_at:
        return State("", "clock", _("Not looked at yet"))
    return State("ok", "check", _("Well")) if health.is_well else State("bad", "warn", _("Doesn't answer"))


async def change(visit: Visit) -> Response:
    """Activate or deactivate one; its page says on how many nodes that is live."""
    act, name = visit.field("act"), visit.field("name")
    if act not in ("activate", "deactivate"):
        raise BadRequest(
            _("{act!r:.40} can't be done with an MCP server here; it is activated or deactivated").format(act=act)
        )
    await set_active(visit, name, is_active=act == "activate")
    return visit.go("/setup/mcp-servers")


async def set_active(visit: Visit, name: str, *, is_active: bool) -> None:
    """Activate or deactivate, in the person's name, and have this node know it. Raises ``BadRequest`` (404)."""
    actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
    if not await visit.site.store.run(
        mcp_servers.set_active, visit.org.id, name, is_active=is_active, actor=actor, now_ms=now_ms
    ):
        raise BadRequest(_("this org has no MCP server {name!r:.60}").format(name=name), 404)
    await visit.site.live.catch_up()


def of_server(answer: Callable[[Visit, McpServer], Awaitable[Response]]) -> Callable[[Visit], Awaitable[Response]]:
    """A page of the server that the path names; another org's server is not found."""

    async def found(visit: Visit) -> Response:
        name = visit.request.path_params["server_name"]
        server = await visit.site.store.read(mcp_servers.find, visit.org.id, name)
        if server is None:
            raise BadRequest(_("this org has no MCP server {name!r:.60}").format(name=name), 404)
        return await answer(visit, server)

    return found


async def server_page(
    visit: Visit, server: McpServer, items: Items, template: str, *, tab: str, status: int = 200, **context: Any
) -> Response:
    """A tab of the server's page, with what stands on each of them."""
    health = (await visit.site.store.read(server_health.of_org, visit.org.id)).get(server.id, NOBODY_LOOKED)
    return visit.page(
        template,
        title=server.label,
        status=status,
        server=server,
        tab=tab,
        url=mcp_servers.resource(visit.org, server.name),
        kind=_(KINDS[server.kind]),
        state=state_of(server),
        health=health,
        health_state=health_of(server, health),
        waiting=waiting_of(items),
        offered=len(items.all),
        **context,
    )
