"""The verbs of MCP servers: what Setup's pages do, from the command line."""

from pathlib import Path
from typing import Any, cast

import msgspec

from gatelodge.cli import server_parts
from gatelodge.cli.server_parts import named
from gatelodge.cli.verb import ACTOR, NotFound, Verb, run_audited
from gatelodge.core import audit, hosted, mcp_servers, record_databases, secrets, server_health, server_items
from gatelodge.core.apps.fields import from_text
from gatelodge.core.definitions import Mark, fields
from gatelodge.core.errors import Refused
from gatelodge.core.ids import MCP_SERVER
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.server_items import Catalogue, Item, NotRead, ReadIn
from gatelodge.core.server_kinds import OPENAPI, RECORDS
from gatelodge.core.server_terms import DECIDED_FIELDS, TERM_FIELDS, Terms
from gatelodge.gateway.records import registering
from gatelodge.web import local_commands, looking
from gatelodge.web.site import Site

MARKS = ("read", "write", "destructive")
OWN_FIELDS = ("label", "source")
"""What ``server set`` changes besides the fields that Setup's form has labels for."""


async def server_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The org's MCP servers by name."""
    return [_server(site, org, each) for each in await site.store.read(mcp_servers.of_org, org.id)]


async def server_create(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Register a server, inactive, and read what an upstream offers. Raises ``Invalid`` or ``Refused``."""
    kind = arguments["kind"]
    local_commands.check(site.config, kind, arguments["source"])
    given = arguments["document"]
    is_url = given.startswith(("https://", "http://"))
    terms = Terms(allows_private=bool(arguments["allow_private_addresses"]), document_url=given if is_url else "")
    source, found = arguments["source"], registering.Found(source="")
    if kind == RECORDS:
        found = await registering.check(site, source, allows_private=terms.allows_private)
        source = found.source
    made = McpServer(
        id=secrets.new_id(MCP_SERVER),
        org_id=org.id,
        name=arguments["name"],
        label=arguments["label"] or arguments["name"],
        kind=kind,
        variant=arguments["variant"] or (next(iter(hosted.TOOLS)) if kind == RECORDS else ""),
        source=source,
        is_active=False,
        terms=terms,
    )
    catalogue = await _api(site, org, made, given)
    sealed = record_databases.sealed(site.ring, org.id, made.id, found.password)
    told: dict[str, Any] = {"actor": ACTOR, "now_ms": site.clock.now_ms()}
    await site.store.run(record_databases.register, made, sealed, **told)
    if catalogue is not None:
        return _server(site, org, made) | _told(await site.store.run(server_items.read_in, made, catalogue, **told))
    if kind == RECORDS:
        return _server(site, org, made) | {"objects": list(found.objects), "problems": list(found.problems)}
    return _server(site, org, made) | await _looked(site, org, made)


async def _api(site: Site, org: Org, made: McpServer, given: str) -> Catalogue | None:
    """What the document of a REST API offers; None for a server of another kind. Raises ``Invalid`` or ``Refused``."""
    if made.kind != OPENAPI:
        if given:
            raise Refused("only a server of the kind openapi has a document", "document")
        return None
    if not given:
        raise Refused("a REST API needs its OpenAPI document: --document FILE or URL", "document")
    mcp_servers.check(made)
    try:
        return await site.read_catalogue(org, made, None, "" if made.terms.document_url else _text_of(given))
    except NotRead as error:
        raise Refused(f"the document can't be used: {error}", "document") from None


def _text_of(file: str) -> str:
    """The text of a file. Raises ``Refused``."""
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise Refused(f"{file}: {error}", "document") from None


async def server_display(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """One server with all that is decided about it, and how it is. Raises ``NotFound``."""
    server = await named(site, org, arguments["name"])
    health = (await site.store.read(server_health.of_org, org.id)).get(server.id)
    items = await site.store.read(server_items.of_server, server)
    counts = {kind: len(items.of_kind(kind)) for kind in server_items.KINDS if items.of_kind(kind)}
    return {
        **_server(site, org, server),
        "variant": server.variant,
        "source": server.source,
        "revision": server.revision,
        "offers": counts,
        "health": {"is_well": health.is_well, "milliseconds": health.milliseconds, "why": str(health.why or "")}
        if health and health.checked_at
        else {},
        "decided": msgspec.to_builtins(mcp_servers.decided(server)),
        "terms": msgspec.to_builtins(server.terms),
    }


async def server_activate(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Apps may call it. Raises ``NotFound``."""
    return await _set_active(site, org, arguments["name"], is_active=True)


async def server_deactivate(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """No app can call it any more. Raises ``NotFound``."""
    return await _set_active(site, org, arguments["name"], is_active=False)


async def _set_active(site: Site, org: Org, name: str, *, is_active: bool) -> object:
    server = await named(site, org, name)
    told = {"actor": ACTOR, "now_ms": site.clock.now_ms()}
    _ = await site.store.run(mcp_servers.set_active, org.id, name, is_active=is_active, **told)
    return _server(site, org, msgspec.structs.replace(server, is_active=is_active))


async def server_refresh(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Read anew what an upstream offers. Raises ``NotFound``, or ``Refused`` with the reason."""
    server = await named(site, org, arguments["name"])
    if server.kind == RECORDS:
        raise Refused(f"{server.name} is hosted here: its tools come with this program", "name")
    given = arguments["document"]
    found = await _looked(site, org, server, _text_of(given) if given else "")
    if found.get("problem"):
        raise Refused(f"what {server.name} offers can't be read: {found['problem']}", "name")
    return {"name": server.name, **found}


async def _looked(site: Site, org: Org, server: McpServer, document: str = "") -> dict[str, Any]:
    try:
        return _told(await looking.look(site, org, server, actor=ACTOR, document=document))
    except NotRead as error:
        return {"problem": str(error)}


def _told(found: ReadIn) -> dict[str, Any]:
    return {word: list(names) for word, names in msgspec.structs.asdict(found).items()}


async def server_tools(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """What a server offers, after what is decided about some of it. Raises ``NotFound`` or ``Refused``."""
    server, kind = await named(site, org, arguments["name"]), arguments["kind"]
    if kind not in server_items.KINDS:
        raise Refused(f"--kind {kind!r:.40} must be one of {', '.join(server_items.KINDS)}", "kind")
    for name in arguments["accept"]:
        item = await _item(site, server, kind, name)
        if not item.held:
            raise Refused(f"nothing is held back of {name!r:.100}", "accept")
        _ = await site.store.run(server_items.accept, item, server, actor=ACTOR, now_ms=site.clock.now_ms())
    for name, changes in _decisions(org, arguments).items():
        item = await _item(site, server, kind, name)
        decided = {"is_on": item.is_on, "mark": item.mark} | changes
        _ = await site.store.run(server_items.change, item, server, **decided, actor=ACTOR, now_ms=site.clock.now_ms())
    items = await site.store.read(server_items.of_server, server)
    return [_shown(each, is_whole=bool(arguments["definitions"])) for each in items.of_kind(kind)]


def _decisions(org: Org, arguments: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is asked for each item: whether it is on, its mark, and what its calls need. Raises ``Refused``."""
    found: dict[str, dict[str, Any]] = {}
    for flag, is_on in (("on", True), ("off", False)):
        for name in arguments[flag]:
            found.setdefault(name, {})["is_on"] = is_on
    for flag, asks_first in (("ask_first", True), ("ask_nobody", False)):
        for name in arguments[flag]:
            found.setdefault(name, {})["asks_first"] = asks_first
    for text in arguments["scopes"]:
        name, equals, listed = text.rpartition("=")
        scopes = tuple(filter(None, listed.split(",")))
        unknown = [each for each in scopes if each not in {own.name for own in org.custom_scopes}]
        if not equals or unknown:
            raise Refused(f"--scopes {text!r:.100} must be TOOL=SCOPES, of gatelodge scope list", "scopes")
        found.setdefault(name, {})["scopes"] = scopes
    for text in arguments["mark"]:
        name, _, mark = text.rpartition("=")
        if not name or mark not in MARKS:
            raise Refused(f"--mark {text!r:.100} must be NAME=MARK; the marks are {', '.join(MARKS)}", "mark")
        found.setdefault(name, {})["mark"] = cast("Mark", mark)
    return found


async def _item(site: Site, server: McpServer, kind: str, name: str) -> Item:
    item = (await site.store.read(server_items.of_server, server)).find(kind, name)
    if item is None:
        raise NotFound(f"{server.name} has no {kind} {name!r:.100}; gatelodge server tools {server.name} shows them")
    return item


def _shown(item: Item, *, is_whole: bool) -> dict[str, Any]:
    state = "gone" if item.is_gone else "held" if item.held else "new" if item.is_new else "on" if item.is_on else "off"
    described = {"definition": fields(item.definition)} if is_whole else {}
    if is_whole and item.held:
        described["held"] = fields(item.held)
    return {
        "name": item.name,
        "state": state,
        "mark": item.mark,
        "is_on": item.is_on,
        "scopes": list(item.scopes),
        "asks_first": item.asks_first,
        "digest": item.digest,
        **described,
    }


async def server_set(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Change what is decided about a server, its terms, its label or its source. Raises ``Refused`` or ``Invalid``."""
    server = await named(site, org, arguments["name"])
    after = changed(server, arguments["changes"])
    if after.source != server.source:
        local_commands.check(site.config, server.kind, after.source)
    if server.kind == RECORDS and after.source != server.source:
        await server_parts.moved(site, org, server, after)
    else:
        await site.store.run(mcp_servers.change, server, after, actor=ACTOR, now_ms=site.clock.now_ms())
    return await server_display(site, org, {"name": server.name})


def changed(server: McpServer, changes: list[str]) -> McpServer:
    """The server with these NAME=VALUE changes. Raises ``Refused`` for a name or a value that there isn't."""
    known = {field.name: field for field in (*DECIDED_FIELDS, *TERM_FIELDS)}
    values: dict[str, Any] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in (*OWN_FIELDS, *known):
            listed = ", ".join((*OWN_FIELDS, *known))
            raise Refused(f"{change!r:.80} must be NAME=VALUE; the names are {listed}", "changes")
        is_list = name in known and known[name].kind == "list"
        texts = tuple(value.split(",")) if is_list else (value,)
        values[name] = from_text(known[name], texts) if name in known else value
    terms = {name: values.pop(name) for name in Terms.__struct_fields__ if name in values}
    return msgspec.structs.replace(server, **values, terms=msgspec.structs.replace(server.terms, **terms))


async def server_delete(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Remove a server for good. Raises ``NotFound``."""
    server = await named(site, org, arguments["name"])
    _ = await site.store.run(mcp_servers.remove, org.id, server.id, actor=ACTOR, now_ms=site.clock.now_ms())
    return {"name": server.name, "is_deleted": True}


async def server_allow_origin(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Let web pages of one more origin call a server. Raises ``NotFound`` or ``Refused``."""
    found = await named(site, org, arguments["name"])
    origins = tuple(dict.fromkeys((*found.allowed_origins, arguments["origin"])))
    return await _with_origins(site, org, found.name, origins)


async def server_refuse_origin(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Let web pages of this origin call a server no longer. Raises ``NotFound``."""
    found = await named(site, org, arguments["name"])
    if arguments["origin"] not in found.allowed_origins:
        listed = ", ".join(found.allowed_origins) or "none"
        raise NotFound(f"{found.name} allows no origin {arguments['origin']!r:.100}; it allows: {listed}")
    origins = tuple(each for each in found.allowed_origins if each != arguments["origin"])
    return await _with_origins(site, org, found.name, origins)


async def _with_origins(site: Site, org: Org, name: str, origins: tuple[str, ...]) -> object:
    server = await named(site, org, name)
    said = audit.changes({"allowed_origins": server.allowed_origins}, {"allowed_origins": origins})
    allow = mcp_servers.allow_origins
    _ = await run_audited(site, org, "server:origins:change", server.id, said, allow, org.id, name, origins)
    return _server(site, org, await named(site, org, name))


def _server(site: Site, org: Org, server: McpServer) -> dict[str, Any]:
    path = {"url": mcp_servers.resource(org, server.name)}
    return {
        "name": server.name,
        "label": server.label,
        "kind": server.kind,
        **path,
        "is_active": server.is_active,
        "allowed_origins": list(server.allowed_origins),
    }


VERBS: dict[str, Verb] = {
    "server activate": server_activate,
    "server allow-origin": server_allow_origin,
    "server create": server_create,
    "server deactivate": server_deactivate,
    "server delete": server_delete,
    "server display": server_display,
    "server list": server_list,
    "server refresh": server_refresh,
    "server refuse-origin": server_refuse_origin,
    "server set": server_set,
    "server tools": server_tools,
}
