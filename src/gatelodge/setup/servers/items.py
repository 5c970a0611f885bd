"""What a server offers: tools, resources, templates and prompts, with what each does, and whether it is on."""

import json
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup
from starlette.responses import Response

from gatelodge.core import definitions, server_items
from gatelodge.core.definitions import Mark
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.server_items import KINDS, TOOL, Item, Items, NotRead
from gatelodge.core.server_kinds import RECORDS
from gatelodge.setup.frame import Visit
from gatelodge.setup.servers import showing
from gatelodge.setup.servers.listing import server_page
from gatelodge.setup.servers.page import KIND_LABELS
from gatelodge.web import forms
from gatelodge.web.errors import BadRequest
from gatelodge.words import _, mark

A_PAGE = 50
LONGEST_SAID = 240
MARKS: dict[str, str] = {"read": mark("Read"), "write": mark("Write"), "destructive": mark("Destructive")}
STATES = {
    "": mark("All"),
    "waiting": mark("To look at"),
    "on": mark("On"),
    "off": mark("Off"),
    "gone": mark("Gone"),
}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An item as the list shows it; ``row`` says in the form which one it is, and the digest of what was shown."""

    item: Item
    name: Markup
    title: Markup
    said: Markup
    is_hiding: bool
    where: str
    row: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which items the list shows: of a kind, in a state, with these words, from this one on."""

    kind: str = TOOL
    state: str = ""
    words: str = ""
    start: int = 0

    def query(self, **changes: Any) -> str:
        """The query of this list, but for these changes."""
        said = msgspec.structs.asdict(msgspec.structs.replace(self, **changes))
        return urlencode({name: str(value) for name, value in said.items() if value})


async def show(visit: Visit, server: McpServer) -> Response:
    """A page of the list."""
    return await _list(visit, server, wanted_of(visit), "")


def wanted_of(visit: Visit) -> Wanted:
    """What the query asks for; what it can't mean is as if it weren't there."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    kind, state, start = query.get("kind", ""), query.get("state", ""), query.get("start", "")
    return Wanted(
        kind=kind if kind in KINDS else TOOL,
        state=state if state in STATES else "",
        words=query.get("words", "").strip()[:100],
        start=max(0, forms.number(start, 0)),
    )


async def _list(visit: Visit, server: McpServer, wanted: Wanted, problem: str) -> Response:
    items = await with_definitions(visit, server)
    found = [each for each in items.of_kind(wanted.kind) if is_wanted(each, wanted)]
    rows = found[wanted.start : wanted.start + A_PAGE]
    return await server_page(
        visit,
        server,
        items,
        "servers/items.html",
        tab="items",
        status=409 if problem else 200,
        wanted=wanted,
        rows=[shown(visit, server, each) for each in rows],
        matches=len(found),
        kinds=[
            {"kind": kind, "label": _(KIND_LABELS[kind]), "n": len(items.of_kind(kind))}
            for kind in KINDS
            if items.of_kind(kind) or kind == TOOL
        ],
        states={state: _(label) for state, label in STATES.items()},
        marks={each: _(label) for each, label in MARKS.items()},
        next_start=wanted.start + A_PAGE if len(found) > wanted.start + A_PAGE else 0,
        previous_start=max(0, wanted.start - A_PAGE) if wanted.start else None,
        problem=problem,
        is_hosted=server.kind == RECORDS,
    )


def is_wanted(item: Item, wanted: Wanted) -> bool:
    """Whether the list shows this item."""
    match wanted.state:
        case "waiting":
            fits = (item.is_new or bool(item.held)) and not item.is_gone
        case "on":
            fits = item.is_on and not item.is_gone
        case "off":
            fits = not item.is_on and not item.is_gone
        case "gone":
            fits = item.is_gone
        case _:
            fits = True
    text = f"{item.name} {item.definition}".lower() if wanted.words else ""
    return fits and all(word in text for word in wanted.words.lower().split())


async def with_definitions(visit: Visit, server: McpServer) -> Items:
    """The server's items; of a hosted one with the definitions that its program has."""
    items = await visit.site.store.read(server_items.of_server, server)
    if server.kind != RECORDS:
        return items
    try:
        catalogue = await visit.site.read_catalogue(visit.org, server, None)
    except NotRead:
        return items
    own = {(each.kind, each.name): each.definition for each in catalogue.offered}
    return Items(
        tuple(msgspec.structs.replace(item, definition=own.get((item.kind, item.name), "")) for item in items.all)
    )


def shown(visit: Visit, server: McpServer, item: Item) -> Shown:
    """An item as the list shows it."""
    fields = definitions.fields(item.definition)
    title, said = (value if isinstance(value := fields.get(name), str) else "" for name in ("title", "description"))
    path = f"{visit.org.path}/setup/mcp-servers/{server.name}/item"
    return Shown(
        item=item,
        name=showing.shown(item.name),
        title=showing.shown(title[:LONGEST_SAID]),
        said=showing.shown(said[:LONGEST_SAID] + ("…" if len(said) > LONGEST_SAID else "")),
        is_hiding=showing.is_hiding(item.name + item.definition),
        where=f"{path}?{urlencode({'kind': item.kind, 'name': item.name})}",
        row=msgspec.json.encode((item.kind, item.name, item.digest)).decode(),
    )


async def save(visit: Visit, server: McpServer) -> Response:
    """Turn items on and off and mark them, as the page showed them: each with the digest of what was shown."""
    wanted, items = wanted_of(visit), await visit.site.store.read(server_items.of_server, server)
    decided = [_decided(visit, n, row, items) for n, row in enumerate(visit.all("row"))]
    late = await visit.site.store.run(
        change_all,
        server,
        [each for each in decided if each],
        actor=visit.session.user.id,
        now_ms=visit.site.clock.now_ms(),
    )
    await visit.site.live.catch_up()
    if late or None in decided:
        names = ", ".join(late) or _("something on this page")
        problem = _("{names} changed while you looked; nothing was decided about that. The rest is saved.")
        return await _list(visit, server, wanted, problem.format(names=names))
    return visit.go(f"/setup/mcp-servers/{server.name}/items?{wanted.query()}")


class Decision(msgspec.Struct, frozen=True):
    """What the page says about one item."""

    item: Item
    is_on: bool
    mark: Mark


def _decided(visit: Visit, n: int, row: str, items: Items) -> Decision | None:
    """One row of the page; None: there is no such item any more, or it isn't what was shown."""
    try:
        kind, name, digest = msgspec.json.decode(row, type=tuple[str, str, str])
    except msgspec.MsgspecError:
        raise BadRequest(_("a row of the list can't be read: load the page again")) from None
    item, chosen = items.find(kind, name), visit.field(f"mark-{n}")
    if item is None or item.digest != digest:
        return None
    if chosen not in MARKS:
        raise BadRequest(_("{chosen!r:.40} is not one of: {marks}").format(chosen=chosen, marks=", ".join(MARKS)))
    is_on = visit.field(f"on-{n}") == "on"
    match visit.field("act"):
        case "on-reads":
            is_on = is_on or (chosen == "read" and not item.is_gone)
        case "off-all":
            is_on = False
        case _:
            pass
    return Decision(item, is_on, cast("Mark", chosen))


def change_all(
    server: McpServer, decided: list[Decision], *, actor: str, now_ms: int
) -> server_items.Operation[list[str]]:
    """Save what was decided otherwise; the names of those that had changed meanwhile."""
    late: list[str] = []
    for each in decided:
        before = each.item
        is_decision = each.is_on != before.is_on or each.mark != before.mark
        if is_decision and not (
            yield from server_items.change(before, server, is_on=each.is_on, mark=each.mark, actor=actor, now_ms=now_ms)
        ):
            late.append(before.name)
    return late


async def show_one(visit: Visit, server: McpServer) -> Response:
    """One item: its definition as a model reads it, and what has changed in it."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    return await _one(visit, server, query.get("kind", ""), query.get("name", ""), "")


async def _one(visit: Visit, server: McpServer, kind: str, name: str, problem: str) -> Response:
    items = await with_definitions(visit, server)
    item = items.find(kind, name)
    if item is None:
        raise BadRequest(_("{server} offers no {name!r:.100}").format(server=server.label, name=name), 404)
    fields = definitions.fields(item.definition)
    return await server_page(
        visit,
        server,
        items,
        "servers/item.html",
        tab="items",
        status=409 if problem else 200,
        item=item,
        offered_scopes=scopes_for(visit.org, item),
        name=showing.shown(item.name),
        members=showing.members(item.definition),
        changes=showing.changes(item.definition, item.held) if item.held else [],
        mark_then=definitions.mark_after(item.mark, item.kind, item.definition, item.held) if item.held else item.mark,
        is_hiding=showing.is_hiding(item.name + json.dumps(fields, ensure_ascii=False) + item.held),
        marks={each: _(label) for each, label in MARKS.items()},
        where=shown(visit, server, item).where,
        problem=problem,
    )


def scopes_for(org: Org, item: Item) -> list[tuple[str, str]]:
    """The org's own scopes with their labels, and those that calls of the item need though the org has them no more."""
    own = [(each.name, each.label) for each in org.custom_scopes]
    lost = [(name, _("{name} (not in this org)").format(name=name)) for name in item.scopes if name not in dict(own)]
    return own + lost


def _conditions(visit: Visit, item: Item) -> dict[str, Any]:
    """What a call of a tool needs besides: scopes, and a person's approval. Raises ``BadRequest``."""
    if item.kind != TOOL:
        return {}
    known, sent = [name for name, _label in scopes_for(visit.org, item)], visit.all("scopes")
    if unknown := [name for name in sent if name not in known]:
        raise BadRequest(_("this org has no scope {unknown!r:.80}").format(unknown=unknown[0]))
    return {"scopes": tuple(sent), "asks_first": visit.field("asks_first") == "on"}


async def act(visit: Visit, server: McpServer) -> Response:
    """Decide about one item as it was shown, take its held definition, or forget it."""
    items = await visit.site.store.read(server_items.of_server, server)
    item = items.find(visit.field("kind"), visit.field("name"))
    if item is None:
        raise BadRequest(
            _("{server} offers no {name!r:.100}").format(server=server.label, name=visit.field("name")), 404
        )
    seen = {"digest": visit.field("seen"), "held_digest": visit.field("seen_held")}
    before = msgspec.structs.replace(item, **seen)
    actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
    told = {"actor": actor, "now_ms": now_ms}
    match visit.field("act"):
        case "save" if (chosen := visit.field("mark")) in MARKS:
            decided = {"is_on": visit.field("on") == "on", "mark": cast("Mark", chosen)} | _conditions(visit, item)
            done = before == item and await visit.site.store.run(server_items.change, item, server, **decided, **told)
        case "accept":
            done = before == item and await visit.site.store.run(server_items.accept, item, server, **told)
        case "forget":
            await visit.site.store.run(server_items.forget, item, server, **told)
            return visit.go(f"/setup/mcp-servers/{server.name}/items")
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with what a server offers").format(other=other))
    if not done:
        problem = _("It has changed while you looked: nothing was saved. This is what it says now.")
        return await _one(visit, server, item.kind, item.name, problem)
    await visit.site.live.catch_up()
    return visit.go(shown(visit, server, item).where.removeprefix(visit.org.path))
