"""Verbs about an app's life: deleting and restoring it, and how clients are connected to it."""

from typing import Any

from gatelodge.cli.verb import ACTOR, NotFound, Verb, knows_its_url
from gatelodge.core import connections, mcp_servers
from gatelodge.core.apps import connecting, deleted, presets, registry
from gatelodge.core.apps.connecting import Place
from gatelodge.core.errors import Refused
from gatelodge.core.orgs import Org
from gatelodge.web.site import Site


async def named(site: Site, org: Org, api_name: str) -> registry.ExternalClientApp:
    """The app of this API Name, in any case. Raises ``NotFound``."""
    app = await site.store.read(registry.find_by_api_name, org.id, api_name)
    if app is None:
        raise NotFound(f"this org has no app named {api_name!r}; gatelodge app list shows them")
    return app


async def delete(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Delete an app for 30 days, then for good. Raises ``NotFound``, or ``Refused`` for one in use without ``--yes``."""
    app = await named(site, org, arguments["api_name"])
    now = site.clock.now()
    last = await site.store.read(connections.last_use_of_apps, org.id, (app.id,))
    if last.get(app.id, 0) > now - deleted.KEPT_FOR and not arguments["yes"]:
        raise Refused(f"{app.settings.api_name} was used in the last 30 days: its users are cut off; say --yes", "yes")
    await site.store.run(deleted.delete, app, actor=ACTOR, now_ms=site.clock.now_ms())
    while await site.store.run(deleted.end_access, org.id, app.id, now):
        pass
    return {
        "id": app.id,
        "api_name": app.settings.api_name,
        "deleted": True,
        "restorable_until": now + deleted.KEPT_FOR,
    }


async def restore(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Bring back the app of this API Name that was deleted last. Raises ``NotFound`` or ``Refused``."""
    gone = await site.store.read(deleted.find_by_api_name, org.id, arguments["api_name"])
    if gone is None:
        raise NotFound(f"no app named {arguments['api_name']!r:.80} was deleted in the last 30 days")
    while await site.store.run(deleted.end_access, org.id, gone.app.id, site.clock.now()):
        pass
    app = await site.store.run(deleted.restore, gone, actor=ACTOR, now_ms=site.clock.now_ms())
    return {"id": app.id, "api_name": app.settings.api_name, "consumer_key": app.consumer_key, "restored": True}


async def connect(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """How a client is connected to an app, for each MCP server that it may use. Raises ``NotFound`` or ``Refused``."""
    app = await named(site, org, arguments["api_name"])
    if not knows_its_url(site):
        raise Refused(
            "the server URL depends on the deployment's public URL: say it with --config or GATELODGE_PUBLIC_URL"
        )
    preset = presets.BY_NAME.get(arguments["client"] or app.preset)
    if preset is None:
        raise Refused(
            f"there is no client {arguments['client']!r:.40}; choose from {', '.join(presets.BY_NAME)}", "client"
        )
    allowed = app.policies.mcp_servers
    found: list[dict[str, object]] = []
    for server in await site.store.read(mcp_servers.of_org, org.id):
        if not server.is_active or (allowed is not None and server.name not in allowed):
            continue
        url = mcp_servers.resource(org, server.name)
        place = Place(name=f"gatelodge-{server.name}", url=url, key=app.consumer_key, issuer=org.issuer)
        guide = connecting.guide(preset, place)
        found.append(
            {
                "server": server.name,
                "url": url,
                "is_reachable": guide.is_reachable,
                "steps": list(guide.steps),
                "paste": {each.where: each.text for each in guide.pasted},
                "links": {each.label: each.url for each in guide.links},
            }
        )
    if not found:
        raise Refused(f"no active MCP server may be used by {app.settings.api_name}; activate one in Setup")
    return {"client": preset.name, "checked": preset.checked, "client_id": app.consumer_key, "servers": found}


VERBS: dict[str, Verb] = {"app delete": delete, "app restore": restore, "app connect": connect}
