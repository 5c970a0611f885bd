"""The database behind a records server: what is found in it, what its tables are called, and its password."""

from typing import Any

from starlette.responses import Response

from gatelodge.core import record_databases, server_items
from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.record_databases import Found, RecordDatabase
from gatelodge.core.server_kinds import RECORDS
from gatelodge.setup.frame import Visit
from gatelodge.setup.servers.listing import server_page
from gatelodge.web import forms
from gatelodge.web.errors import BadRequest
from gatelodge.words import _


async def show(visit: Visit, server: McpServer) -> Response:
    """The page; with ``look`` in the query the database is looked at as well."""
    if server.kind != RECORDS:
        raise BadRequest(_("{server} reads no database").format(server=server.label), 404)
    kept = await _kept(visit, server)
    if "look" not in dict(forms.parse(visit.request.scope["query_string"])):
        return await _page(visit, server, kept)
    try:
        return await _page(visit, server, kept, found=await _look(visit, server, kept, kept.mapping))
    except Refused as refused:
        return await _page(visit, server, kept, errors={refused.field: refused.message})


async def save(visit: Visit, server: McpServer) -> Response:
    """Try what the form says the tables are called, and keep it where that is asked for."""
    kept, typed, act = await _records(visit, server), visit.field("mapping"), visit.field("act")
    if act not in ("check", "save"):
        raise BadRequest(_("{act!r:.40} can't be done with a mapping").format(act=act))
    try:
        found = await _look(visit, server, kept, typed)
        if act == "save":
            revision = visit.field("revision")
            seen = int(revision) if revision.isascii() and revision.isdigit() and len(revision) < 10 else 0  # noqa: PLR2004
            await visit.site.store.run(record_databases.set_mapping, server, found.mapping, seen=seen, **_told(visit))
    except Refused as refused:
        return await _page(visit, server, kept, typed=typed, errors={refused.field: refused.message})
    if act == "check":
        return await _page(visit, server, kept, typed=typed, found=found)
    await visit.site.live.catch_up()
    return visit.go(f"/setup/mcp-servers/{server.name}/database?look=1")


async def save_password(visit: Visit, server: McpServer) -> Response:
    """Keep another password, once the database has taken it, or none."""
    kept, act, typed = await _records(visit, server), visit.field("act"), visit.field("password")
    if act not in ("set", "remove"):
        raise BadRequest(_("{act!r:.40} can't be done with a password").format(act=act))
    if act == "set" and not typed:
        return await _page(visit, server, kept, errors={"password": _("Enter the password.")})
    if act == "set":
        try:
            _found = await _look(visit, server, kept, kept.mapping, password=typed)
        except Refused as refused:
            return await _page(visit, server, kept, errors={"password": refused.message})
    sealed = record_databases.sealed(visit.site.ring, server.org_id, server.id, typed if act == "set" else "")
    await visit.site.store.run(record_databases.set_password, server, sealed, **_told(visit))
    await visit.site.live.catch_up()
    return visit.go(f"/setup/mcp-servers/{server.name}/database")


async def _records(visit: Visit, server: McpServer) -> RecordDatabase:
    if server.kind != RECORDS:
        raise BadRequest(_("{name} is no records server").format(name=server.name), 404)
    return await _kept(visit, server)


async def _kept(visit: Visit, server: McpServer) -> RecordDatabase:
    return await visit.site.store.read(record_databases.of_server, server.org_id, server.id)


def _told(visit: Visit) -> dict[str, Any]:
    return {"actor": visit.session.user.id, "now_ms": visit.site.clock.now_ms()}


async def _look(visit: Visit, server: McpServer, kept: RecordDatabase, mapping: str, *, password: str = "") -> Found:
    """What is in the database with these words and its password, or another one. Raises ``Refused``."""
    return await visit.site.check_database(
        visit.site,
        server.source,
        password=password or kept.password(visit.site.ring),
        mapping=mapping,
        allows_private=server.terms.allows_private,
    )


async def _page(
    visit: Visit,
    server: McpServer,
    kept: RecordDatabase,
    *,
    typed: str = "",
    found: Found | None = None,
    errors: dict[str, str] | None = None,
) -> Response:
    return await server_page(
        visit,
        server,
        await visit.site.store.read(server_items.of_server, server),
        "servers/database.html",
        tab="database",
        status=422 if errors else 200,
        source=server.source,
        has_password=kept.sealed_password is not None,
        takes_password=server.source.startswith(("postgresql:", "mysql:")),
        mapping=typed or ("" if kept.mapping == "{}" else kept.mapping),
        revision=kept.revision,
        found=found,
        errors=errors or {},
        is_verified=visit.session.is_verified(visit.site.clock.now()),
    )
