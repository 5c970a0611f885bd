"""A server's Settings tab: who may use it, what is recorded, and how it is reached."""

from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import mcp_servers, permissions, record_databases, server_items, server_terms
from gatelodge.core.apps.fields import Field, from_text
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_kinds import OPENAPI, RECORDS, SOURCES, STDIO, UPSTREAM
from gatelodge.core.server_terms import DECIDED_FIELDS, TERM_FIELDS, Terms
from gatelodge.setup.app_form import revision_of
from gatelodge.setup.frame import Visit
from gatelodge.setup.servers.listing import server_page, without_password
from gatelodge.web import local_commands
from gatelodge.words import _

REACHED = (UPSTREAM, OPENAPI)
"""Kinds that are reached over the network, and have terms."""
KIND_OF = {"era": UPSTREAM, "document_url": OPENAPI}
"""Terms that servers of one kind alone have."""


async def show(visit: Visit, server: McpServer) -> Response:
    """The form."""
    return await _form(visit, server, _values(server), {})


async def save(visit: Visit, server: McpServer) -> Response:
    """Save, unless somebody else was faster. Live at once."""
    after, errors = read(visit, server)
    try:
        if errors:
            mcp_servers.check(after)  # what else is wrong is told with it
        else:
            before = msgspec.structs.replace(server, revision=revision_of(visit))
            if after.source != server.source:
                local_commands.check(visit.site.config, server.kind, after.source)
            actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
            if server.kind == RECORDS and after.source != server.source:
                after, sealed = await _looked_at(visit, after)
                await visit.site.store.run(move, before, after, sealed, actor=actor, now_ms=now_ms)
            else:
                await visit.site.store.run(change, before, after, actor=actor, now_ms=now_ms)
    except Invalid as invalid:
        errors = invalid.errors | errors
    except Refused as refused:
        errors = {refused.field: refused.message}
    if errors:
        typed = {field.name: visit.field(field.name) for field in fields_of(server) if field.kind == "number"}
        return await _form(visit, server, _values(after) | typed, errors)
    await visit.site.live.catch_up()
    return visit.go(f"/setup/mcp-servers/{server.name}")


async def _looked_at(visit: Visit, after: McpServer) -> tuple[McpServer, bytes | None]:
    """The server with the URL of its new database as it is kept, and the sealed password. Raises ``Invalid`` or
    ``Refused``.
    """
    site, kept = visit.site, await visit.site.store.read(record_databases.of_server, after.org_id, after.id)
    mcp_servers.check(msgspec.structs.replace(after, source=without_password(after.source)))
    found = await site.check_database(
        site, after.source, mapping=kept.mapping, allows_private=after.terms.allows_private
    )
    sealed = record_databases.sealed(site.ring, after.org_id, after.id, found.password)
    return msgspec.structs.replace(after, source=found.source), sealed


def move(
    before: McpServer, after: McpServer, sealed: bytes | None, *, actor: str, now_ms: int
) -> mcp_servers.Operation[None]:
    """Save what the form says, with another database. Raises as ``change``."""
    yield from _check_sets(before, after)
    yield from record_databases.move(before, after, sealed, actor=actor, now_ms=now_ms)


def change(before: McpServer, after: McpServer, *, actor: str, now_ms: int) -> mcp_servers.Operation[None]:
    """Save what the form says. Raises ``Refused`` for permission sets that the org doesn't have."""
    yield from _check_sets(before, after)
    yield from mcp_servers.change(before, after, actor=actor, now_ms=now_ms)


def _check_sets(before: McpServer, after: McpServer) -> mcp_servers.Operation[None]:
    known = [each.api_name for each in (yield from permissions.of_org(before.org_id))]
    unknown = [name for name in after.permission_sets if name not in known]
    if unknown and after.permission_sets != before.permission_sets:
        raise Refused(
            _("{unknown}: no such permission set; this org has {known}.").format(
                unknown=", ".join(unknown), known=", ".join(known)
            ),
            "permission_sets",
        )


def fields_of(server: McpServer) -> tuple[Field, ...]:
    """The fields that a server of this kind has."""
    if server.kind in REACHED:
        own = (each for each in TERM_FIELDS if KIND_OF.get(each.name, server.kind) == server.kind)
        return (*DECIDED_FIELDS, *own)
    own = (
        field
        for field in TERM_FIELDS
        if (server.kind == RECORDS and field.name == "allows_private")
        or (server.kind == STDIO and field.section == server_terms.LIMITS)
    )
    return (*DECIDED_FIELDS, *own)


def read(visit: Visit, server: McpServer) -> tuple[McpServer, dict[str, str]]:
    """The server as the form says, and a sentence for each field that can't be read."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in fields_of(server):
        sent = visit.all(field.name)
        try:
            values[field.name] = from_text(field, sent or ("",) if field.kind == "flag" else sent)
        except Refused as refused:
            errors[field.name] = refused.message
            values[field.name] = field.default
    terms = {name: values.pop(name) for name in Terms.__struct_fields__ if name in values}
    after = msgspec.structs.replace(
        server,
        label=visit.field("label").strip(),
        source=visit.field("source").strip(),
        terms=msgspec.structs.replace(server.terms, **terms),
        **values,
    )
    return after, errors


def _values(server: McpServer) -> dict[str, Any]:
    shown = msgspec.structs.asdict(server) | {"source": without_password(server.source)}
    return {**msgspec.structs.asdict(server.terms), **shown}


async def _form(visit: Visit, server: McpServer, values: dict[str, Any], errors: dict[str, str]) -> Response:
    used = {field.section for field in fields_of(server)}
    sections = [each for each in (*server_terms.SECTIONS, *server_terms.TERM_SECTIONS) if each in used]
    sets = await visit.site.store.read(permissions.of_org, visit.org.id)
    known = [(each.api_name, each.label) for each in sets]
    lost = [
        (name, _("{name} (not in this org)").format(name=name))
        for name in values["permission_sets"]
        if name not in dict(known)
    ]
    return await server_page(
        visit,
        server,
        await visit.site.store.read(server_items.of_server, server),
        "servers/settings.html",
        tab="settings",
        status=422 if errors else 200,
        revision=revision_of(visit) or server.revision,
        sections=[
            {"label": section, "fields": [each for each in fields_of(server) if each.section == section]}
            for section in sections
        ],
        values=values,
        errors=errors,
        offered_sets=known + lost,
        source_label=_(SOURCES[server.kind]),
    )
