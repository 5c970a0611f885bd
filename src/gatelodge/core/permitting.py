"""What a caller may list and call of one MCP server: the one place that listing and calling ask, so that they can't
disagree. What may not be called isn't listed, but for what only lacks a scope that the client can still get.
"""

from collections.abc import Iterable

import msgspec

from gatelodge.core.apps.policies import Policies
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.permissions import USE_MCP_SERVERS, Access
from gatelodge.core.server_items import PROMPT, RESOURCE, TEMPLATE, TOOL, Item, Items
from gatelodge.words import Reason, reason


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether something may be listed; why not. It may be called once ``missing_scopes`` is empty; ``asks_first``: and a
    person has approved the call.
    """

    is_allowed: bool
    why: str = ""
    missing_scopes: tuple[str, ...] = ()
    asks_first: bool = False


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """A caller as the rules see one: through which app, with which policies, as whom, with which scopes."""

    app: str
    policies: Policies
    user: str
    access: Access
    scopes: tuple[str, ...]


class Permitted:
    """What one caller may do at one server, for as long as app, user, scopes, server and items stay as they are."""

    def __init__(self, who: Who, server: McpServer, items: Items) -> None:
        self._who, self._server, self._items = who, server, items
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        refused, self._chosen = refusal(who, server), chosen(who.policies, server.name)
        self._refusal = str(refused) if refused else ""
        self._has_conditions = any(item.scopes or item.asks_first for item in items.all)
        self.is_read_only = who.policies.mcp_read_only or server.read_only
        self.calls_per_minute = who.policies.mcp_calls_per_minute

    @property
    def has_conditions(self) -> bool:
        """Whether anything of the server needs more of a call than its token: scopes, or a person's approval."""
        return self._has_conditions

    @property
    def refusal(self) -> str:
        """Why the caller may not use this server at all; "" when they may."""
        return self._refusal

    def tool(self, name: str) -> Verdict:
        """Whether this tool may be listed and called."""
        return self._verdict(self._items.find(TOOL, name), TOOL, name)

    def prompt(self, name: str) -> Verdict:
        """Whether this prompt may be listed and got."""
        return self._verdict(self._items.find(PROMPT, name), PROMPT, name)

    def template(self, uri_template: str) -> Verdict:
        """Whether this resource template may be listed."""
        return self._verdict(self._items.find(TEMPLATE, uri_template), TEMPLATE, uri_template)

    def resource(self, uri: str) -> Verdict:
        """Whether this resource may be listed and read: as one that is offered by itself, which then decides, or as one
        that a template that is on can have made.
        """
        known = self._items.find(RESOURCE, uri)
        if known is None:
            for each in self._items.templates_of(uri):
                verdict = self._verdict(each, RESOURCE, uri)
                if verdict.is_allowed:
                    return verdict
        return self._verdict(known, RESOURCE, uri)

    def definition(self, kind: str, name: str) -> str | None:
        """The definition as it was looked at; None for what isn't permitted, "" for what its own program has."""
        item = self._items.find(kind, name)
        return item.definition if item and self._verdict(item, kind, name).is_allowed else None

    def listed(self, kind: str) -> Iterable[Item]:
        """The items of a kind that may be listed, in the server's order."""
        return (each for each in self._items.of_kind(kind) if self._verdict(each, kind, each.name).is_allowed)

    def _verdict(self, item: Item | None, kind: str, name: str) -> Verdict:
        known = self._verdicts.get((kind, name))
        if known is None:
            known = self._judged(item, kind, name)
            if (
                item is not None and item.name == name
            ):  # of what the server offers, so that there are not more than that
                self._verdicts[kind, name] = known
        return known

    def _judged(self, item: Item | None, kind: str, name: str) -> Verdict:
        why = self._refusal or self._why_not(item, kind, name)
        if why or item is None:
            return Verdict(is_allowed=False, why=why)
        missing = tuple(scope for scope in item.scopes if scope not in self._who.scopes)
        return Verdict(is_allowed=True, missing_scopes=missing, asks_first=item.asks_first)

    def _why_not(self, item: Item | None, kind: str, name: str) -> str:
        """The first rule that refuses an item, as a sentence."""
        what = f"the {kind} {name:.100} of {self._server.name}"
        if item is None:
            return f"{self._server.name} has no {kind} {name:.100}"
        if item.is_gone:
            return f"{what} is no longer offered by the server"
        if item.is_new or not item.is_on:
            return f"{what} is off: an administrator can turn it on under MCP Servers"
        if item.held:
            return f"{what} has a changed definition, which an administrator must look at first, under MCP Servers"
        if item.kind == TOOL and self._chosen is not None and name not in self._chosen:
            return f"the policies of {self._who.app} do not allow {what}"
        if self.is_read_only and item.mark != "read":
            by = "the server is" if self._server.read_only else f"the policies of {self._who.app} make it"
            return f"{what} is marked {item.mark}, and {by} read only"
        return ""


def refusal(who: Who, server: McpServer) -> Reason | None:
    """Why this caller may not use this server at all; None when they may."""
    allowed = who.policies.mcp_servers
    if allowed is not None and server.name not in allowed:
        return reason("the policies of {app} do not allow the MCP server {server}", app=who.app, server=server.name)
    if not who.access.may(USE_MCP_SERVERS):
        return reason("{username} has no permission set that allows MCP servers", username=who.user)
    if server.permission_sets and not who.access.has_any(server.permission_sets):
        listed = ", ".join(server.permission_sets)
        return reason(
            "{username} has none of the permission sets that may use the MCP server {server}: {sets}",
            username=who.user,
            server=server.name,
            sets=listed,
        )
    return None


def chosen(policies: Policies, server: str) -> frozenset[str] | None:
    """The tools of this server that the policies name; None: every one."""
    if policies.mcp_tools is None:
        return None
    pairs = (entry.partition("/") for entry in policies.mcp_tools)
    return frozenset(tool for name, _, tool in pairs if name == server)
