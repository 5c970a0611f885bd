"""What MCP servers offer (tools, resources, templates, prompts), each pinned by its definition as somebody looked at it.

What an upstream newly offers is off until it is looked at; what it changes is held back; what it no longer offers stays,
marked as gone. A hosted server's tools are known by name, and are on unless somebody decided otherwise.
"""

import msgspec

from gatelodge.core import audit, definitions, hosted, uri_templates
from gatelodge.core.definitions import Mark
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.operation import Operation, announce, execute, many, one, text
from gatelodge.words import Because, _

TOOL, RESOURCE, TEMPLATE, PROMPT = "tool", "resource", "template", "prompt"
KINDS = (TOOL, RESOURCE, TEMPLATE, PROMPT)
MOST_ITEMS = 2000
"""Of one server: what it offers beyond is left out, and said to be."""
MOST_OF_ORG = 50_000
MOST_TOLD = 50
"""Names in one audit event."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a server offers. ``name`` is the name of a tool or prompt, the URI of a resource, or a URI template.

    ``definition`` is the JSON text as it was received ("" for a hosted one, whose program has it), ``digest`` the pin;
    ``held`` a changed definition that nobody has looked at yet, and its ``held_digest``. ``is_new``: nobody has looked
    at it at all. ``scopes`` are what a call needs beyond the server's own; ``asks_first``: a person approves each call.
    """

    server_id: str
    kind: str
    name: str
    definition: str = ""
    digest: str = ""
    held: str = ""
    held_digest: str = ""
    is_on: bool = False
    is_new: bool = False
    is_gone: bool = False
    mark: Mark = "read"
    scopes: tuple[str, ...] = ()
    asks_first: bool = False
    place: int = 0


class Offered(msgspec.Struct, frozen=True):
    """One thing as the server just told it: ``definition`` is its JSON text."""

    kind: str
    name: str
    definition: str


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All that a server offers, in its order, and what it says of itself. ``left_out`` are sentences about what can't be
    offered.
    """

    offered: tuple[Offered, ...]
    left_out: tuple[str, ...] = ()
    name: str = ""
    version: str = ""
    instructions: str = ""
    protocol_version: str = ""


class NotRead(Because):
    """What a server offers couldn't be read."""


class LacksCredential(NotRead):
    """The server is there, and nobody's credential was at hand to read what it offers."""


class ReadIn(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a server brought, as names: new, changed and held, taken as they changed, gone, back as they were,
    and left out with the reason.
    """

    new: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def is_news(self) -> bool:
        """Whether anything is otherwise than before."""
        return any((self.new, self.held, self.taken, self.gone, self.back))


class Items:
    """The items of one server by kind and name, in the server's order."""

    def __init__(self, items: tuple[Item, ...]) -> None:
        self.all = items
        self._found = {(item.kind, item.name): item for item in items}
        parsed = ((item, uri_templates.parse(item.name)) for item in items if item.kind == TEMPLATE)
        self._templates = [(item, parts) for item, parts in parsed if parts is not None]

    def of_kind(self, kind: str) -> tuple[Item, ...]:
        """The items of one kind."""
        return tuple(item for item in self.all if item.kind == kind)

    def find(self, kind: str, name: str) -> Item | None:
        """The item of this kind and name."""
        return self._found.get((kind, name))

    def templates_of(self, uri: str) -> tuple[Item, ...]:
        """The templates that can have made this URI."""
        return tuple(item for item, parts in self._templates if uri_templates.matches(parts, uri))


COLUMNS = (
    "server_id, kind, name, definition, digest, held, held_digest, is_on, is_new, is_gone, mark, scopes, asks_first,"
    " place"
)


def item(*, is_on: int, is_new: int, is_gone: int, asks_first: int, scopes: str, **columns: object) -> Item:
    """An ``Item`` from its row."""
    flags = {"is_on": bool(is_on), "is_new": bool(is_new), "is_gone": bool(is_gone), "asks_first": bool(asks_first)}
    return msgspec.convert({**columns, **flags, "scopes": scopes.split()}, Item)


def of_server(server: McpServer) -> Operation[Items]:
    """All that a server offers, as it is known here."""
    rows = yield from many(
        f"SELECT {COLUMNS} FROM server_items WHERE org_id = :org_id AND server_id = :server_id"
        " ORDER BY kind, place, name LIMIT :limit",
        item,
        org_id=server.org_id,
        server_id=server.id,
        limit=2 * MOST_ITEMS,
    )
    return with_hosted(server, rows)


def of_org(org_id: str) -> Operation[dict[str, list[Item]]]:
    """The stored items of every server of the org, by the server's id."""
    rows = yield from many(
        f"SELECT {COLUMNS} FROM server_items WHERE org_id = :org_id ORDER BY server_id, kind, place, name LIMIT :limit",
        item,
        org_id=org_id,
        limit=MOST_OF_ORG,
    )
    found: dict[str, list[Item]] = {}
    for row in rows:
        found.setdefault(row.server_id, []).append(row)
    return found


def tools_of(servers: list[McpServer]) -> Operation[frozenset[str]]:
    """Every tool of these servers of one org, as policies name them: server/tool."""
    stored = (yield from of_org(servers[0].org_id)) if servers else {}
    found = ((server, with_hosted(server, stored.get(server.id, []))) for server in servers)
    return frozenset(f"{server.name}/{each.name}" for server, items in found for each in items.of_kind(TOOL))


def with_hosted(server: McpServer, rows: list[Item]) -> Items:
    """The stored items, with the tools of a hosted server that nobody decided anything about."""
    stored = {(row.kind, row.name): row for row in rows}
    own = [
        stored.pop((TOOL, name), Item(server_id=server.id, kind=TOOL, name=name, mark=mark, is_on=True, place=place))
        for place, (name, mark) in enumerate(hosted.TOOLS.get(server.variant, {}).items())
    ]
    own += [
        stored.pop((PROMPT, name), Item(server_id=server.id, kind=PROMPT, name=name, is_on=True, place=place))
        for place, name in enumerate(hosted.PROMPTS.get(server.variant, ()))
    ]
    return Items((*own, *stored.values()))


def read_in(server: McpServer, catalogue: Catalogue, *, actor: str, now_ms: int) -> Operation[ReadIn]:
    """Store what a server offers now. What is new is off; what has changed is held back, unless the server is trusted
    with that; what has gone is marked. One audit event tells what is otherwise.
    """
    known = {(each.kind, each.name): each for each in (yield from of_server(server)).all}
    offered, left_out = readable(catalogue)
    said: dict[str, list[str]] = {"new": [], "held": [], "taken": [], "gone": [], "back": []}
    for place, (key, (each, digest)) in enumerate(offered.items()):
        before = known.get(key)
        word, after = _after(server, before, each, digest)
        if word:
            said[word].append(each.name)
        if (after := msgspec.structs.replace(after, place=place)) != before:
            yield from _store(server.org_id, after)
    for key, before in known.items():
        if key not in offered and not before.is_gone:
            said["gone"].append(before.name)
            yield from _store(server.org_id, msgspec.structs.replace(before, is_gone=True))
    found = ReadIn(**{word: tuple(names) for word, names in said.items()}, left_out=(*catalogue.left_out, *left_out))
    if found.is_news:
        told: dict[str, object] = {word: names[:MOST_TOLD] for word, names in said.items() if names}
        yield from audit.record(server.org_id, now_ms, actor, "server:items:read", server.id, told)
        yield from announce(server.org_id, "server", server.name)
    return found


def _after(server: McpServer, before: Item | None, offered: Offered, digest: str) -> tuple[str, Item]:
    """What becomes of one item that is offered, and the word for it ("" when it is as it was)."""
    if before is not None and digest == before.digest:
        as_it_was = msgspec.structs.replace(before, is_gone=False, held="", held_digest="")
        return ("back" if before.is_gone or before.held else ""), as_it_was
    if before is None or before.is_new:
        mark = definitions.mark_of(offered.kind, offered.definition)
        fresh = Item(
            server_id=server.id,
            kind=offered.kind,
            name=offered.name,
            definition=offered.definition,
            digest=digest,
            is_new=True,
            mark=mark,
        )
        return "new", fresh
    if not server.holds_changes:
        mark = definitions.mark_after(before.mark, before.kind, before.definition, offered.definition)
        return "taken", msgspec.structs.replace(
            before, is_gone=False, definition=offered.definition, digest=digest, mark=mark, held="", held_digest=""
        )
    held = msgspec.structs.replace(before, is_gone=False, held=offered.definition, held_digest=digest)
    return ("" if held.held_digest == before.held_digest and not before.is_gone else "held"), held


def readable(catalogue: Catalogue) -> tuple[dict[tuple[str, str], tuple[Offered, str]], tuple[str, ...]]:
    """What can be pinned, with its digest, by kind and name; and why the rest is left out."""
    found: dict[tuple[str, str], tuple[Offered, str]] = {}
    left_out: list[str] = []
    for each in catalogue.offered:
        key = (each.kind, each.name)
        problem = definitions.name_problem(each.name)
        if key in found:
            problem = _("is offered twice: the first one counts")
        elif len(found) >= MOST_ITEMS:
            problem = _("is beyond the {most_items} that one server may offer").format(most_items=MOST_ITEMS)
        digest = ""
        if not problem:
            try:
                digest = definitions.digest(each.definition)
            except ValueError as error:
                problem = str(error)
        if problem:
            left_out.append(
                _("The {kind} {name!r:.100} {problem}.").format(kind=each.kind, name=each.name, problem=problem)
            )
        else:
            found[key] = (each, digest)
    return found, tuple(left_out)


def accept(before: Item, server: McpServer, *, actor: str, now_ms: int) -> Operation[bool]:
    """Take the definition that is held back, as it was shown. False: it has changed again meanwhile."""
    mark = definitions.mark_after(before.mark, before.kind, before.definition, before.held)
    taken = yield from one(
        "UPDATE server_items SET definition = held, digest = held_digest, held = '', held_digest = '',"
        " mark = :mark WHERE org_id = :org_id AND server_id = :server_id AND kind = :kind AND name = :name AND held_digest = :seen"
        " AND held <> '' RETURNING name AS value",
        text,
        org_id=server.org_id,
        server_id=server.id,
        kind=before.kind,
        name=before.name,
        mark=mark,
        seen=before.held_digest,
    )
    if taken is None:
        return False
    pins: dict[str, object] = {
        "name": before.name,
        "kind": before.kind,
        "from": before.digest,
        "to": before.held_digest,
        "mark": mark,
    }
    yield from audit.record(server.org_id, now_ms, actor, "server:item:accept", server.id, pins)
    yield from announce(server.org_id, "server", server.name)
    return True


def switch(before: Item, server: McpServer, *, is_on: bool, actor: str, now_ms: int) -> Operation[bool]:
    """Let an item be used, or not, with the definition that was shown. False: it has changed meanwhile."""
    return (yield from change(before, server, is_on=is_on, mark=before.mark, actor=actor, now_ms=now_ms))


def change(
    before: Item,
    server: McpServer,
    *,
    is_on: bool,
    mark: Mark,
    scopes: tuple[str, ...] | None = None,
    asks_first: bool | None = None,
    actor: str,
    now_ms: int,
) -> Operation[bool]:
    """Decide about an item whose definition was shown. False: that has changed meanwhile, and nothing is done."""
    after = msgspec.structs.replace(
        before,
        is_on=is_on,
        is_new=False,
        mark=mark,
        scopes=before.scopes if scopes is None else scopes,
        asks_first=before.asks_first if asks_first is None else asks_first,
    )
    if after == before:
        return True
    if not (yield from _store(server.org_id, after, seen=before.digest)):
        return False
    said = {name: getattr(after, name) for name in ("is_on", "mark", "scopes", "asks_first")}
    told = {name: value for name, value in said.items() if value != getattr(before, name) or name == "is_on"}
    yield from audit.record(
        server.org_id, now_ms, actor, "server:item:change", server.id, {"kind": after.kind, "name": after.name, **told}
    )
    yield from announce(server.org_id, "server", server.name)
    return True


def forget(before: Item, server: McpServer, *, actor: str, now_ms: int) -> Operation[None]:
    """Remove what the server no longer offers. Should it come back, it is new."""
    yield from execute(
        "DELETE FROM server_items WHERE org_id = :org_id AND server_id = :server_id AND kind = :kind AND name = :name"
        " AND is_gone = 1",
        org_id=server.org_id,
        server_id=server.id,
        kind=before.kind,
        name=before.name,
    )
    told: dict[str, object] = {"kind": before.kind, "name": before.name}
    yield from audit.record(server.org_id, now_ms, actor, "server:item:forget", server.id, told)
    yield from announce(server.org_id, "server", server.name)


def _store(org_id: str, made: Item, *, seen: str | None = None) -> Operation[bool]:
    """Write an item. ``seen``: only while its digest is this one. False: it wasn't."""
    updated = [
        "place",
        "definition",
        "digest",
        "held",
        "held_digest",
        "is_on",
        "is_new",
        "is_gone",
        "mark",
        "scopes",
        "asks_first",
    ]
    condition = "" if seen is None else " WHERE server_items.digest = :seen"
    row = msgspec.structs.asdict(made)
    values = {name: int(value) if isinstance(value, bool) else value for name, value in row.items()}
    values["scopes"] = " ".join(made.scopes)
    stored = yield from one(
        f"INSERT INTO server_items (org_id, {COLUMNS}) VALUES (:org_id, :{COLUMNS.replace(', ', ', :')})"
        " ON CONFLICT (org_id, server_id, kind, name) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in updated)
        + f"{condition} RETURNING name AS value",
        text,
        org_id=org_id,
        **values,
        **({} if seen is None else {"seen": seen}),
    )
    return stored is not None
