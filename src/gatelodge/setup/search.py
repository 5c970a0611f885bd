"""The search of the top bar: pages, apps, users, servers and error codes, of what this person may see."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.responses import Response

from gatelodge.core import error_codes, mcp_servers, users
from gatelodge.core.apps import registry
from gatelodge.core.ids import TRACE_SHAPE
from gatelodge.core.permissions import EDIT_POLICIES, MANAGE_APPS, MANAGE_MCP_SERVERS, MANAGE_USERS
from gatelodge.setup import finding
from gatelodge.setup.frame import Visit, may
from gatelodge.setup.tree import TREE
from gatelodge.web import forms, refusals
from gatelodge.words import _, mark

LONGEST = 200
MOST_OF_A_KIND = 8


class Hit(msgspec.Struct, frozen=True):
    """One thing that was found: where it is, what it is called, and what tells it from its like."""

    path: str
    title: str
    more: str = ""


class Kind(msgspec.Struct, frozen=True):
    """What was found of one kind."""

    label: str
    symbol: str
    hits: list[Hit]


async def show(visit: Visit) -> Response:
    """What the org has by this name. The same page with and without script."""
    wanted = " ".join(dict(forms.parse(visit.request.scope["query_string"])).get("q", "").split())[:LONGEST]
    kinds = [Kind(_(label), symbol, await find(visit, wanted)) for label, symbol, find in KINDS] if wanted else []
    found = [kind for kind in kinds if kind.hits]
    count = sum(len(kind.hits) for kind in found)
    return visit.page("search.html", title=_("Search"), wanted=wanted, kinds=found, count=count)


async def pages_called(visit: Visit, wanted: str) -> list[Hit]:
    """Pages of Setup, by title and by other words for them."""
    seen = [page for page in TREE if may(visit.access, page.permissions)]
    groups = finding.tree(seen, wanted, "")
    return [
        Hit(leaf.path, f"{leaf.before}{leaf.match}{leaf.after}", group.label)
        for group in groups
        for leaf in group.leaves
    ][:MOST_OF_A_KIND]


async def apps_called(visit: Visit, wanted: str) -> list[Hit]:
    """Apps by name, API Name, consumer key or id."""
    if not may(visit.access, (MANAGE_APPS, EDIT_POLICIES)):
        return []
    found = await visit.site.store.read(registry.matching, visit.org.id, wanted, limit=MOST_OF_A_KIND)
    return [Hit(f"/setup/apps/{app.id}", app.settings.label, app.settings.api_name) for app in found]


async def servers_called(visit: Visit, wanted: str) -> list[Hit]:
    """MCP servers by name, label or URL."""
    if not may(visit.access, (MANAGE_MCP_SERVERS,)):
        return []
    found = await visit.site.store.read(mcp_servers.of_org, visit.org.id)
    text = wanted.lower()
    return [
        Hit("/setup/mcp-servers", server.label, server.name)
        for server in found
        if text in server.label.lower() or text in server.name or text == mcp_servers.resource(visit.org, server.name)
    ][:MOST_OF_A_KIND]


async def users_called(visit: Visit, wanted: str) -> list[Hit]:
    """Users by username or name."""
    if not may(visit.access, (MANAGE_USERS,)):
        return []
    found = await visit.site.store.read(users.matching, visit.org.id, wanted, limit=MOST_OF_A_KIND)
    return [Hit(f"/setup/users/{user.id}", user.name or user.username, user.username) for user in found]


async def refusals_called(visit: Visit, wanted: str) -> list[Hit]:
    """Error codes by number or title, and what was told under a reference."""
    text = wanted.lower()
    found = [
        Hit(f"/errors/{number}", number, _(code.title))
        for number, code in error_codes.CODES.items()
        if text in number.lower() or text in _(code.title).lower()
    ]
    if TRACE_SHAPE.fullmatch(wanted.upper()) and refusals.helps(visit.access):
        found.insert(0, Hit(f"/setup/errors/{wanted.upper()}", wanted.upper(), _("What was told under this reference")))
    return found[:MOST_OF_A_KIND]


Finder = Callable[[Visit, str], Awaitable[list[Hit]]]
KINDS: tuple[tuple[str, str, Finder], ...] = (
    (mark("Pages"), "list", pages_called),
    (mark("External Client Apps"), "plug", apps_called),
    (mark("MCP Servers"), "server", servers_called),
    (mark("Users"), "user", users_called),
    (mark("Errors"), "steth", refusals_called),
)
"""What is searched, in this order: a kind's name, its symbol and who finds it."""
