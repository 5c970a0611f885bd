"""What an app could do at an MCP server as this person, for the page that asks them: its tools, by what they do."""

import msgspec

from gatelodge.core.mcp_servers import resource
from gatelodge.core.orgs import Org
from gatelodge.core.permitting import Permitted, Who
from gatelodge.core.propagation import LiveClient
from gatelodge.core.server_items import TOOL
from gatelodge.live import LiveServer
from gatelodge.oauth.steps import Visitor
from gatelodge.words import _, ngettext


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of one mark. ``kind`` and ``symbol`` are how it looks, ``says`` how many there are of it."""

    kind: str
    symbol: str
    says: str
    names: tuple[str, ...]


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server and what may be called there. ``asks``: some calls wait for a person's approval."""

    label: str
    tools: tuple[Tools, ...]
    asks: bool


def of(
    org: Org,
    client: LiveClient,
    servers: dict[str, LiveServer],
    visitor: Visitor,
    scopes: tuple[str, ...],
    audience: str,
) -> tuple[Reach, ...]:
    """The servers that a token for this audience opens, by the very rule that calls are checked by."""
    who = Who(
        app=client.name,
        policies=client.policies,
        user=visitor.session.user.username,
        access=visitor.access,
        scopes=scopes,
    )
    return tuple(_at(who, live) for name, live in servers.items() if resource(org, name) == audience)


def _at(who: Who, live: LiveServer) -> Reach:
    listed = tuple(Permitted(who, live.server, live.items).listed(TOOL))
    by_mark = {
        mark: tuple(item.name for item in listed if item.mark == mark) for mark in ("read", "write", "destructive")
    }
    says = {
        "read": ngettext("{n} tool reads", "{n} tools read", len(by_mark["read"])),
        "write": ngettext("{n} tool changes data", "{n} tools change data", len(by_mark["write"])),
        "destructive": ngettext("{n} tool can delete", "{n} tools can delete", len(by_mark["destructive"])),
    }
    looks = {"read": ("ok", "search"), "write": ("warn", "edit"), "destructive": ("bad", "trash")}
    found = [
        Tools(kind=looks[mark][0], symbol=looks[mark][1], says=says[mark].format(n=len(names)), names=names)
        for mark, names in by_mark.items()
        if names
    ]
    nothing = Tools(kind="", symbol="pause", says=_("no tool is allowed now"), names=())
    return Reach(
        label=live.server.label,
        tools=tuple(found) or (nothing,),
        asks=any(item.asks_first for item in listed),
    )
