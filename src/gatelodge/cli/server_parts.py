"""The verbs for what is kept beside an MCP server (secrets, its database, who approves calls), and for custom scopes."""

from typing import Any

import msgspec

from gatelodge.cli.verb import ACTOR, NotFound, Verb
from gatelodge.core import (
    approval_rules,
    mcp_servers,
    orgs,
    permissions,
    record_databases,
    server_items,
    upstream_secrets,
)
from gatelodge.core.approval_rules import ANY_APPROVER, USER, Rule
from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.scopes import Scope
from gatelodge.core.server_items import TOOL
from gatelodge.core.server_kinds import RECORDS
from gatelodge.gateway.records import registering
from gatelodge.web.site import Site

WHO = {"user": USER, "anyone": ANY_APPROVER}
"""How approvers are typed who are no permission set."""


async def named(site: Site, org: Org, name: str) -> McpServer:
    """The server of this name. Raises ``NotFound``."""
    server = await site.store.read(mcp_servers.find, org.id, name)
    if server is None:
        raise NotFound(f"this org has no MCP server named {name!r}; gatelodge server list shows them")
    return server


async def set_secret(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Keep or forget what an upstream is given; what it is isn't in the answer. Raises ``NotFound`` or ``Refused``."""
    server, kind, now_ms = await named(site, org, arguments["name"]), arguments["kind"], site.clock.now_ms()
    if arguments["remove"]:
        if not await site.store.run(upstream_secrets.remove, org.id, server.id, kind, actor=ACTOR, now_ms=now_ms):
            raise NotFound(f"{server.name} has no secret of the kind {kind}")
    else:
        made = upstream_secrets.sealed(
            site.ring, arguments["secret"] or "", org_id=org.id, server_id=server.id, kind=kind, made_by=ACTOR,
            now=site.clock.now(),
        )  # fmt: skip
        await site.store.run(upstream_secrets.keep, made, actor=ACTOR, now_ms=now_ms)
    kept = await site.store.read(upstream_secrets.of_server, org.id, server.id)
    return {"name": server.name, "kept": [each.kind for each in kept]}


async def set_password(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Keep another password for a database, once it was tried. Raises ``NotFound`` or ``Refused``."""
    server = await _database(site, org, arguments["name"])
    kept = await site.store.read(record_databases.of_server, org.id, server.id)
    found = await registering.check(
        site, server.source, password=arguments["secret"] or "", mapping=kept.mapping,
        allows_private=server.terms.allows_private,
    )  # fmt: skip
    sealed = record_databases.sealed(site.ring, org.id, server.id, found.password)
    told: dict[str, Any] = {"actor": ACTOR, "now_ms": site.clock.now_ms()}
    await site.store.run(record_databases.set_password, server, sealed, **told)
    return {"name": server.name, "source": server.source, "has_password": sealed is not None}


async def set_mapping(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Keep what a database's tables are called, once it was tried. Raises ``NotFound`` or ``Refused``."""
    server = await _database(site, org, arguments["name"])
    kept = await site.store.read(record_databases.of_server, org.id, server.id)
    found = await registering.check(
        site, server.source, password=kept.password(site.ring), mapping=arguments["mapping"],
        allows_private=server.terms.allows_private,
    )  # fmt: skip
    told: dict[str, Any] = {"actor": ACTOR, "now_ms": site.clock.now_ms()}
    await site.store.run(record_databases.set_mapping, server, found.mapping, **told)
    return {"name": server.name, "objects": list(found.objects), "problems": list(found.problems)}


async def moved(site: Site, org: Org, before: McpServer, after: McpServer) -> None:
    """Have a records server read another database, with the password in its URL or none. Raises ``Refused``."""
    kept = await site.store.read(record_databases.of_server, org.id, before.id)
    found = await registering.check(site, after.source, mapping=kept.mapping, allows_private=after.terms.allows_private)
    sealed = record_databases.sealed(site.ring, org.id, before.id, found.password)
    after, told = msgspec.structs.replace(after, source=found.source), {"actor": ACTOR, "now_ms": site.clock.now_ms()}
    await site.store.run(record_databases.move, before, after, sealed, **told)


async def _database(site: Site, org: Org, name: str) -> McpServer:
    server = await named(site, org, name)
    if server.kind != RECORDS:
        raise Refused(f"{server.name} is no records server", "name")
    return server


async def approval(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Who is asked about a server's calls, after a change that is asked for. Raises ``NotFound`` or ``Refused``."""
    server, tool = await named(site, org, arguments["name"]), arguments["tool"]
    told: dict[str, Any] = {"actor": ACTOR, "now_ms": site.clock.now_ms()}
    items = await site.store.read(server_items.of_server, server)
    if tool and items.find(TOOL, tool) is None:
        raise NotFound(f"{server.name} has no tool {tool!r:.100}")
    rules = await site.store.read(approval_rules.of_server, org.id, server.id)
    if arguments["remove"]:
        await site.store.run(approval_rules.remove, org.id, server.id, tool, **told)
    elif made := _rule(rules.get(tool) or Rule(tool=tool), arguments):
        known = tuple(each.api_name for each in await site.store.read(permissions.of_org, org.id))
        await site.store.run(approval_rules.keep, org.id, server.id, made, known, **told)
    names = {value: name for name, value in WHO.items()}
    return [
        {
            "tool": each.tool or "*",
            "approvers": names.get(each.approvers, each.approvers),
            "four_eyes": each.four_eyes,
            "minutes": each.seconds // 60,
        }
        for each in (await site.store.read(approval_rules.of_server, org.id, server.id)).values()
    ]


def _rule(before: Rule, arguments: dict[str, Any]) -> Rule | None:
    """The rule with what is asked for; None: nothing is."""
    said: dict[str, Any] = {}
    if arguments["approvers"] is not None:
        said["approvers"] = WHO.get(arguments["approvers"], arguments["approvers"])
    if arguments["minutes"] is not None:
        said["seconds"] = 60 * arguments["minutes"]
    if arguments["four_eyes"] is not None:
        said["four_eyes"] = arguments["four_eyes"]
    return msgspec.structs.replace(before, **said) if said else None


async def scope_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The scopes of the org's own."""
    return [msgspec.to_builtins(each) for each in await site.store.read(orgs.own_scopes, org.id)]


async def scope_create(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Add a scope. Raises ``Refused``."""
    made = Scope(arguments["name"], arguments["label"], arguments["meaning"], tuple(arguments["includes"]))
    before = await site.store.read(orgs.own_scopes, org.id)
    told: dict[str, Any] = {"actor": ACTOR, "now_ms": site.clock.now_ms()}
    await site.store.run(orgs.change_scopes, org.id, before, (*before, made), **told)
    return msgspec.to_builtins(made)


async def scope_delete(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Remove a scope. Raises ``NotFound`` or ``Refused``."""
    before = await site.store.read(orgs.own_scopes, org.id)
    after = tuple(each for each in before if each.name != arguments["name"])
    if after == before:
        raise NotFound(f"this org has no scope {arguments['name']!r:.80} of its own; gatelodge scope list shows them")
    told: dict[str, Any] = {"actor": ACTOR, "now_ms": site.clock.now_ms()}
    await site.store.run(orgs.change_scopes, org.id, before, after, **told)
    return {"name": arguments["name"], "is_deleted": True}


VERBS: dict[str, Verb] = {
    "scope create": scope_create,
    "scope delete": scope_delete,
    "scope list": scope_list,
    "server approval": approval,
    "server set-mapping": set_mapping,
    "server set-password": set_password,
    "server set-secret": set_secret,
}
