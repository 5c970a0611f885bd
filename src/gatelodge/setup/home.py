"""Home: what is connected, what needs a look, and the next step of an org that has nothing yet."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.responses import Response

from gatelodge.core import approvals, identity_providers, mcp_servers, users
from gatelodge.core.apps import presets, registry
from gatelodge.core.calls import counts
from gatelodge.core.permissions import (
    APPROVE_CALLS,
    EDIT_POLICIES,
    MANAGE_APPS,
    MANAGE_MCP_SERVERS,
    MANAGE_ORG,
    MANAGE_USERS,
)
from gatelodge.setup import attention
from gatelodge.setup.frame import Visit, may
from gatelodge.web import moments
from gatelodge.words import _, ngettext

MOST_COUNTED = 200
MOST_SHOWN = 6


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: what it counts, how many, what else there is to say, and the page behind it."""

    label: str
    figure: str
    remark: str
    path: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One of the first steps: whether it is done, what it is, why, and where it is taken ("" where no page does it)."""

    is_done: bool
    symbol: str
    title: str
    text: str
    path: str
    act: str


async def show(visit: Visit) -> Response:
    """What this org is, how it is, and the next step."""
    servers = await visit.site.live.servers(visit.org.id)
    found = await attention.all_of(visit)
    tiles = [tile for count in TILES if (tile := await count(visit)) is not None]
    return visit.page(
        "home.html",
        title=_("Home"),
        sees_apps=may(visit.access, (MANAGE_APPS, EDIT_POLICIES)),
        may_create=visit.access.may(MANAGE_APPS),
        presets=presets.PRESETS,
        server_urls=[mcp_servers.resource(visit.org, name) for name in servers],
        tiles=tiles,
        needs=found[:MOST_SHOWN],
        more=max(0, len(found) - MOST_SHOWN),
        steps=await _steps(visit, has_servers=bool(servers)),
    )


async def apps(visit: Visit) -> Tile | None:
    """How many apps there are, and how many of them may be used."""
    if not may(visit.access, (MANAGE_APPS, EDIT_POLICIES)):
        return None
    found = await visit.site.store.read(registry.in_order, visit.org.id, limit=MOST_COUNTED)
    enabled = sum(app.policies.is_enabled for app in found)
    return Tile(
        label=_("External Client Apps"),
        figure=_at_least(len(found)),
        remark=ngettext("{n} is enabled", "{n} are enabled", enabled).format(n=_at_least(enabled)),
        path="/setup/apps",
    )


async def servers_here(visit: Visit) -> Tile | None:
    """How many MCP servers there are, and how many of them are active."""
    if not may(visit.access, (MANAGE_MCP_SERVERS,)):
        return None
    found = await visit.site.store.read(mcp_servers.of_org, visit.org.id)
    active = sum(server.is_active for server in found)
    remark = ngettext("{n} is active", "{n} are active", active).format(n=moments.number(active))
    return Tile(label=_("MCP Servers"), figure=moments.number(len(found)), remark=remark, path="/setup/mcp-servers")


async def people(visit: Visit) -> Tile | None:
    """How many users may sign in."""
    if not may(visit.access, (MANAGE_USERS,)):
        return None
    active = await visit.site.store.read(users.count_who_hold, visit.org.id, ())
    return Tile(label=_("Users"), figure=moments.number(active), remark=_("may sign in"), path="/setup/users")


async def calls_today(visit: Visit) -> Tile | None:
    """How many calls there were in the last 24 hours, and how many of them failed."""
    if not may(visit.access, (MANAGE_APPS, EDIT_POLICIES, MANAGE_MCP_SERVERS)):
        return None
    since = visit.site.clock.now() // 3600 - 23
    calls, failed = await visit.site.store.read(counts.since, visit.org.id, since)
    remark = ngettext("{n} failed", "{n} failed", failed).format(n=moments.number(failed))
    path = "/setup/apps" if may(visit.access, (MANAGE_APPS, EDIT_POLICIES)) else "/setup/mcp-servers"
    return Tile(label=_("Calls in 24 hours"), figure=moments.number(calls), remark=remark, path=path)


async def approvals_waiting(visit: Visit) -> Tile | None:
    """How many calls wait for a person."""
    if not may(visit.access, (APPROVE_CALLS,)):
        return None
    waiting = await visit.site.store.read(approvals.count_waiting, visit.org.id, visit.site.clock.now())
    return Tile(
        label=_("Approvals"), figure=moments.number(waiting), remark=_("wait for a person"), path="/setup/approvals"
    )


Count = Callable[[Visit], Awaitable[Tile | None]]
TILES: tuple[Count, ...] = (apps, servers_here, people, calls_today, approvals_waiting)
"""The figures of Home, from left to right; None where this person may not see one."""


def _at_least(count: int) -> str:
    return moments.number(count) + ("+" if count >= MOST_COUNTED else "")


async def _steps(visit: Visit, *, has_servers: bool) -> list[Step]:
    """The three first steps, until all are taken; none for who may not take them."""
    if not all(visit.access.may(each) for each in (MANAGE_APPS, MANAGE_MCP_SERVERS, MANAGE_ORG)):
        return []
    store, org_id = visit.site.store, visit.org.id
    providers = await store.read(identity_providers.of_org, org_id)
    found = await store.read(registry.in_order, org_id, limit=1)
    steps = [
        Step(
            is_done=bool(providers) or await store.read(users.count_who_hold, org_id, ()) > 1,
            symbol="user",
            title=_("Connect sign-in"),
            text=_("Let people in through your OpenID provider, or make users with passwords here."),
            path="/setup/users",
            act=_("Open Users"),
        ),
        Step(
            is_done=has_servers,
            symbol="server",
            title=_("Add an MCP server"),
            text=_("Show a database as records, or relay a server that you have; then activate it."),
            path="/setup/mcp-servers",
            act=_("Open MCP Servers"),
        ),
        Step(
            is_done=bool(found),
            symbol="plug",
            title=_("Create an app"),
            text=_("Register the client that may connect, and copy its consumer key."),
            path="/setup/apps/new",
            act=_("New External Client App"),
        ),
    ]
    return [] if all(step.is_done for step in steps) else steps
