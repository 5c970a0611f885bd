"""What needs somebody's attention, for Home: one row a kind of thing, each asked of the module that knows."""

from collections.abc import Awaitable, Callable

import msgspec

from gatelodge.core import approvals, credentials, mcp_servers, server_health, server_items
from gatelodge.core.apps import registry
from gatelodge.core.permissions import APPROVE_CALLS, EDIT_POLICIES, MANAGE_APPS, MANAGE_MCP_SERVERS
from gatelodge.setup.app_form import checks_of
from gatelodge.setup.frame import Visit, may
from gatelodge.web import moments
from gatelodge.words import _, here, ngettext

MOST_LOOKED_AT = 200
"""Apps whose readiness is looked at for Home: more would make it slow."""
SOON = 7 * 86_400
"""Seconds before a staged secret ends in which Home says so."""


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at: how bad ("bad", "warn"), what it is, why, and where it is mended (below the org's URL)."""

    kind: str
    what: str
    why: str
    path: str


async def apps_not_ready(visit: Visit) -> list[Attention]:
    """Apps that are enabled and that no MCP client can use."""
    if not may(visit.access, (MANAGE_APPS, EDIT_POLICIES)):
        return []
    found: list[Attention] = []
    for app in await visit.site.store.read(registry.in_order, visit.org.id, limit=MOST_LOOKED_AT):
        checks = await checks_of(visit, app.settings, app) if app.policies.is_enabled else ()
        if lacking := next((check for check in checks if check.is_needed and not check.is_met), None):
            what = _("{app} is not ready for MCP").format(app=app.settings.label)
            found.append(Attention(kind="warn", what=what, why=_(lacking.unmet), path=f"/setup/apps/{app.id}"))
    return found


async def secrets_that_end(visit: Visit) -> list[Attention]:
    """Staged keys and secrets that end within a week."""
    if not may(visit.access, (MANAGE_APPS,)):
        return []
    now = visit.site.clock.now()
    return [
        Attention(
            kind="warn",
            what=_("A staged consumer secret is about to end"),
            why=_("It ends {when}. Apply it or discard it.").format(
                when=moments.moment(pair.expires_at or now, now).relative
            ),
            path=f"/setup/apps/{pair.app_id}/credentials",
        )
        for pair in await visit.site.store.read(credentials.ending, visit.org.id, now + SOON, now)
    ]


async def tools_to_look_at(visit: Visit) -> list[Attention]:
    """MCP servers that offer something new, or changed what they offer: held until somebody has looked."""
    if not may(visit.access, (MANAGE_MCP_SERVERS,)):
        return []
    items = await visit.site.store.read(server_items.of_org, visit.org.id)
    found: list[Attention] = []
    for server in await visit.site.store.read(mcp_servers.of_org, visit.org.id):
        path = f"/setup/mcp-servers/{server.name}/items?state=waiting"
        changed = sum(bool(item.held) for item in items.get(server.id, ()))
        fresh = sum(item.is_new and not item.is_gone for item in items.get(server.id, ()))
        if changed:
            why = ngettext("{n} tool changed and is held back.", "{n} tools changed and are held back.", changed)
            what = _("{server} changed what it offers").format(server=server.label)
            found.append(Attention(kind="bad", what=what, why=why.format(n=changed), path=path))
        if fresh:
            why = ngettext("{n} is off until you look at it.", "{n} are off until you look at them.", fresh)
            what = _("{server} offers something new").format(server=server.label)
            found.append(Attention(kind="warn", what=what, why=why.format(n=fresh), path=path))
    return found


async def servers_that_fail(visit: Visit) -> list[Attention]:
    """Active MCP servers that didn't answer the last look."""
    if not may(visit.access, (MANAGE_MCP_SERVERS,)):
        return []
    health = await visit.site.store.read(server_health.of_org, visit.org.id)
    return [
        Attention(
            kind="bad",
            what=_("{server} doesn't answer").format(server=server.label),
            why=here(health[server.id].why),
            path=f"/setup/mcp-servers/{server.name}",
        )
        for server in await visit.site.store.read(mcp_servers.of_org, visit.org.id)
        if server.is_active and server.id in health and health[server.id].has_failed
    ]


async def calls_that_wait(visit: Visit) -> list[Attention]:
    """Calls that wait for a person."""
    if not may(visit.access, (APPROVE_CALLS,)):
        return []
    waiting = await visit.site.store.read(approvals.count_waiting, visit.org.id, visit.site.clock.now())
    if not waiting:
        return []
    what = ngettext("{n} call waits for approval", "{n} calls wait for approval", waiting).format(n=waiting)
    return [Attention(kind="warn", what=what, why=_("Look at the arguments, and decide."), path="/setup/approvals")]


Look = Callable[[Visit], Awaitable[list[Attention]]]
LOOKS: tuple[Look, ...] = (calls_that_wait, servers_that_fail, tools_to_look_at, secrets_that_end, apps_not_ready)
"""What Home looks at, the most pressing first. A part of Setup that knows of more adds its own."""


async def all_of(visit: Visit) -> list[Attention]:
    """Everything that needs attention of what this person may see."""
    return [each for look in LOOKS for each in await look(visit)]
