"""The newest calls of a server, as its page shows them."""

import msgspec

from gatelodge.core import calls, users
from gatelodge.core.apps import registry
from gatelodge.core.mcp_servers import McpServer
from gatelodge.setup.frame import Visit
from gatelodge.words import _, mark

A_PAGE = 50
LOOKS = {
    "ok": ("ok", "check", mark("OK")),
    "tool_error": ("warn", "warn", mark("Tool error")),
    "refused": ("warn", "minus", mark("Refused")),
    "needs_approval": ("", "clock", mark("Needs approval")),
    "needs_scope": ("", "key", mark("Needs a scope")),
    "upstream_error": ("bad", "x", mark("Upstream error")),
    "timeout": ("bad", "clock", mark("Timed out")),
    "cancelled": ("", "minus", mark("Cancelled")),
    "too_large": ("warn", "warn", mark("Too large")),
    "error": ("bad", "x", mark("Error")),
    "unknown": ("bad", "warn", mark("Unknown")),
}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One call: ``at`` in epoch seconds, ``milliseconds`` it took; ``user`` and ``app`` are names, or ids of what is gone."""

    at: int
    user: str
    user_id: str
    app: str
    what: str
    kind: str
    symbol: str
    word: str
    milliseconds: int
    trace_id: str


async def newest(visit: Visit, server: McpServer) -> list[Line]:
    """The last calls of this server, the newest first."""
    store, org_id = visit.site.store, visit.org.id
    found = await store.read(calls.page, org_id, server=server.name, limit=A_PAGE)
    people = await store.read(users.by_id, org_id, tuple({each.user_id for each in found}))
    apps = {app_id: await store.read(registry.find, org_id, app_id) for app_id in {each.app_id for each in found}}
    made: list[Line] = []
    for each in found:
        kind, symbol, word = LOOKS[each.outcome]
        user, app = people.get(each.user_id), apps[each.app_id]
        made.append(
            Line(
                at=each.at // 1000,
                user=user.username if user else each.user_id,
                user_id=each.user_id if user else "",
                app=app.settings.label if app else each.app_id,
                what=each.name or each.method,
                kind=kind,
                symbol=symbol,
                word=_(word),
                milliseconds=each.duration_us // 1000,
                trace_id=each.trace_id,
            )
        )
    return made
