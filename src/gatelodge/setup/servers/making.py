"""New MCP Server: its kind, its name, and where it is. It is inactive until somebody activates it."""

import re
from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import hosted, mcp_servers, record_databases, secrets, server_items, server_kinds
from gatelodge.core.apps.fields import ON
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.ids import MCP_SERVER
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_items import Catalogue, NotRead
from gatelodge.core.server_kinds import OPENAPI, RECORDS, STDIO, UPSTREAM
from gatelodge.core.server_terms import Terms
from gatelodge.setup.frame import Visit
from gatelodge.setup.servers.listing import KINDS, without_password
from gatelodge.web import forms, local_commands, looking
from gatelodge.words import _, mark

TYPED = ("kind", "source", "label", "name", "variant", "document_url", "document", "allows_private")
"""The fields of the form that are shown again when it is refused, in its order."""
NO_NAME = re.compile(r"[^a-z0-9]+")
ABOUT = {
    UPSTREAM: mark("An MCP server somewhere else, by its URL. Calls are relayed to it."),
    RECORDS: mark("The tables of a SQL database, as objects with tools to query them."),
    OPENAPI: mark("A REST API with an OpenAPI document: its operations become tools."),
    STDIO: mark("A program on this machine that speaks MCP over its standard input and output. For development."),
}
EXAMPLES = {
    UPSTREAM: "https://mcp.example.com/mcp",
    RECORDS: "postgresql://reader@db.example.com/sales",
    OPENAPI: "https://api.example.com/v1",
    STDIO: '["uvx", "mcp-server-time"]',
}
HELPS = {
    UPSTREAM: mark("https, without redirects. Its name is resolved once, and every address is checked."),
    RECORDS: mark("Begins with sqlite:///, postgresql://, mysql:// or sample:."),
    OPENAPI: mark("Calls go below this URL, whatever servers the document names. https, without redirects."),
    STDIO: mark("A JSON list: the program, then its arguments. No shell reads it."),
}


async def new(visit: Visit) -> Response:
    """The form for one kind; the others are a link away."""
    kind = dict(forms.parse(visit.request.scope["query_string"])).get("kind", UPSTREAM)
    nothing: dict[str, str] = dict.fromkeys(TYPED, "")
    return _form(visit, kind if kind in offered(visit) else UPSTREAM, nothing, {})


def offered(visit: Visit) -> tuple[str, ...]:
    """The kinds that may be made here: a local command only in a development org."""
    return tuple(kind for kind in ABOUT if kind != STDIO or visit.site.config.is_development)


def _form(visit: Visit, kind: str, values: dict[str, str], errors: dict[str, str]) -> Response:
    return visit.page(
        "servers/new.html",
        title=_("New MCP Server"),
        status=422 if errors else 200,
        kind=kind,
        kinds=[{"kind": each, "label": _(KINDS[each]), "about": _(ABOUT[each])} for each in offered(visit)],
        source_label=_(server_kinds.SOURCES[kind]),
        source_help=_(HELPS[kind]),
        example=EXAMPLES[kind],
        variants=tuple(hosted.TOOLS),
        values=values,
        errors=errors,
    )


async def create(visit: Visit) -> Response:
    """Register the server, and read what an upstream offers."""
    typed = {name: visit.field(name).strip() for name in TYPED}
    whole, typed["source"] = typed["source"], without_password(typed["source"])
    kind = typed["kind"] if typed["kind"] in offered(visit) else ""
    made = _made(visit, kind, typed | {"source": whole})
    try:
        if not kind:
            raise Refused(
                _("{kind!r:.40} is not a kind of server that can be made here.").format(kind=typed["kind"]), "kind"
            )
        local_commands.check(visit.site.config, kind, made.source)
        catalogue = await _api(visit, made, typed["document"]) if kind == OPENAPI else None
        await _register(visit, made)
    except Invalid as invalid:
        return _form(visit, kind, typed, _to_mend(invalid.errors, typed))
    except Refused as refused:
        return _form(visit, kind or UPSTREAM, typed, {refused.field: refused.message})
    if kind == RECORDS:
        return visit.go(f"/setup/mcp-servers/{made.name}/database?look=1")
    if catalogue is not None:
        told = {"actor": visit.session.user.id, "now_ms": visit.site.clock.now_ms()}
        _read = await visit.site.store.run(server_items.read_in, made, catalogue, **told)
        return visit.go(f"/setup/mcp-servers/{made.name}/items")
    try:
        _found = await looking.look(visit.site, visit.org, made, actor=visit.session.user.id, reader=visit.session.user)
    except NotRead:
        return visit.go(f"/setup/mcp-servers/{made.name}")  # the page says why
    return visit.go(f"/setup/mcp-servers/{made.name}/items")


def _to_mend(errors: dict[str, str], typed: dict[str, str]) -> dict[str, str]:
    """The sentences in the order of the form; a name that is made from the label is the label's fault."""
    if "label" in errors and not typed["name"]:
        errors = {name: sentence for name, sentence in errors.items() if name != "name"}
    return {name: errors[name] for name in sorted(errors, key=(*TYPED, *errors).index)}


async def _api(visit: Visit, made: McpServer, document: str) -> Catalogue:
    """What the document of a REST API offers: it is read before anything is made. Raises ``Invalid`` or ``Refused``."""
    mcp_servers.check(made)
    if bool(document) == bool(made.terms.document_url):
        sentence = _("Give the URL of the document, or paste it: one of the two.")
        raise Refused(sentence, "document_url")
    try:
        return await visit.site.read_catalogue(visit.org, made, visit.session.user, document)
    except NotRead as error:
        sentence = _("The document can't be used: {why}.")
        field = "document" if document else "document_url"
        raise Refused(sentence.format(why=error.reason.here().rstrip(".")), field) from None


async def _register(visit: Visit, made: McpServer) -> None:
    """Keep the server; a database is looked at before, and its password sealed with it. Raises ``Invalid`` or ``Refused``."""
    told: dict[str, Any] = {"actor": visit.session.user.id, "now_ms": visit.site.clock.now_ms()}
    if made.kind != RECORDS:
        await visit.site.store.run(mcp_servers.register, made, **told)
        return
    mcp_servers.check(msgspec.structs.replace(made, source=without_password(made.source)))
    found = await visit.site.check_database(
        visit.site, made.source, password=visit.field("password"), allows_private=made.terms.allows_private
    )
    sealed = record_databases.sealed(visit.site.ring, made.org_id, made.id, found.password)
    made = msgspec.structs.replace(made, source=found.source)
    await visit.site.store.run(record_databases.register, made, sealed, **told)


def _made(visit: Visit, kind: str, typed: dict[str, str]) -> McpServer:
    more: dict[str, Any] = {"variant": typed["variant"] or next(iter(hosted.TOOLS))} if kind == RECORDS else {}
    return McpServer(
        id=secrets.new_id(MCP_SERVER),
        org_id=visit.org.id,
        name=typed["name"] or name_from(typed["label"]),
        label=typed["label"],
        kind=kind,
        source=typed["source"],
        is_active=False,
        terms=Terms(
            allows_private=typed["allows_private"] in ON, document_url=typed["document_url"] if kind == OPENAPI else ""
        ),
        **more,
    )


def name_from(label: str) -> str:
    """A name made from a label: what is no letter or digit becomes one hyphen."""
    return NO_NAME.sub("-", label.lower()).strip("-")[:40].strip("-")
