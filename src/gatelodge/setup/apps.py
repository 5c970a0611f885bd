"""External Client App Manager: the list, and an app's page with its Settings."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import mcp_servers, propagation
from gatelodge.core.apps import presets, registry
from gatelodge.core.apps.fields import Field
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.apps.settings import FIELDS, SECTIONS
from gatelodge.core.permissions import MANAGE_APPS
from gatelodge.core.propagation import LiveOn
from gatelodge.core.scopes import BY_NAME
from gatelodge.setup.app_form import checks_of, preset_of
from gatelodge.setup.frame import Visit
from gatelodge.web import forms

A_PAGE = 50
CODES = (
    "callback_urls",
    "logout_urls",
    "public_keys",
    "trusted_ranges",
    "custom_attributes",
    "mcp_servers",
    "mcp_tools",
)
"""Fields whose values are written in the typewriter's letters."""
WAITS = 20
"""How often, 25 ms apart, a page just saved asks whether every node has the change before it is shown."""


class Status(msgspec.Struct, frozen=True):
    """An app's state in one word, with a shape and a colour, and why."""

    kind: str
    symbol: str
    word: str
    why: str = ""


class Row(msgspec.Struct, frozen=True):
    """One app of the list."""

    app: ExternalClientApp
    tile: str
    status: Status
    created: str


async def show_list(visit: Visit) -> Response:
    """A page of the org's apps."""
    after = dict(forms.parse(visit.request.scope["query_string"])).get("after", "")
    found = await visit.site.store.read(registry.in_order, visit.org.id, after=after, limit=A_PAGE + 1)
    rows = [
        Row(app, preset_of(app).tile, await status_of(visit, app, None), day(app.created_at)) for app in found[:A_PAGE]
    ]
    return visit.page(
        "app_list.html",
        title="External Client App Manager",
        rows=rows,
        presets=presets.PRESETS,
        next_page=found[A_PAGE - 1].settings.api_name if len(found) > A_PAGE else "",
    )


async def status_of(visit: Visit, app: ExternalClientApp, live: LiveOn | None) -> Status:
    """Ready, or what keeps the app from it."""
    if not app.policies.is_enabled:
        return Status("", "pause", "Disabled")
    if live is not None and (live.waits or live.live_nodes < live.nodes):
        return Status("warn", "clock", "Propagating")
    unmet = [check for check in await checks_of(visit, app.settings, app) if not check.is_met]
    if needed := next((check for check in unmet if check.is_needed), None):
        return Status("warn", "warn", "Not ready for MCP", needed.unmet)
    return Status("warn", "warn", "Needs attention", unmet[0].unmet) if unmet else Status("ok", "check", "Ready")


def day(at: int) -> str:
    """A date as Setup shows it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%b %-d, %Y")


def of_app(answer: Callable[[Visit, ExternalClientApp], Awaitable[Response]]) -> Callable[[Visit], Awaitable[Response]]:
    """A page of the app that the path names; another org's app is not found."""

    async def found(visit: Visit) -> Response:
        app = await visit.site.store.read(registry.find, visit.org.id, visit.request.path_params["app_id"])
        if app is None:
            return visit.page("not_found.html", title="Not found", status=404)
        return await answer(visit, app)

    return found


async def show(visit: Visit, app: ExternalClientApp) -> Response:
    """The Settings tab."""
    sections = [
        {
            "label": section,
            "rows": [row_of(field, getattr(app.settings, field.name)) for field in FIELDS if field.section == section],
        }
        for section in SECTIONS
    ]
    return await app_page(visit, app, "app_page.html", tab="settings", sections=sections)


async def app_page(visit: Visit, app: ExternalClientApp, template: str, *, tab: str, **context: Any) -> Response:
    """A tab of the app's page, with what stands on each of them: the checks, and how a client is connected."""
    live = await _live_on(visit, app)
    preset = preset_of(app)
    servers = await visit.site.live.servers(visit.org.id)
    urls = {name: mcp_servers.resource(visit.org, name) for name in servers}
    words = {
        name: presets.to_paste(preset, url=url, key=app.consumer_key, name=f"gatelodge-{name}")
        for name, url in urls.items()
    }
    return visit.page(
        template,
        title=app.settings.label,
        app=app,
        tab=tab,
        tile=preset.tile,
        preset=preset,
        live=live,
        state=await status_of(visit, app, live),
        checks=await checks_of(visit, app.settings, app),
        connections=[{"name": name, "url": url, "words": words[name]} for name, url in urls.items()],
        can_edit=visit.access.may(MANAGE_APPS),
        **context,
    )


async def _live_on(visit: Visit, app: ExternalClientApp) -> LiveOn:
    """How far the app's newest revision has come. A change takes milliseconds, so the page waits half a second for it
    rather than be drawn with yesterday's news.
    """
    store, clock = visit.site.store, visit.site.clock
    for _ in range(WAITS):
        live = await store.read(propagation.live_on, visit.org.id, app.consumer_key, clock.now_ms())
        if live.waits or live.live_nodes >= live.nodes:
            return live
        await asyncio.sleep(0.025)
    return await store.read(propagation.live_on, visit.org.id, app.consumer_key, clock.now_ms())


def row_of(field: Field, value: Any) -> dict[str, Any]:
    """A field as a page shows it: its label, and what stands beside it, line by line."""
    lines = value or () if field.kind == "list" else (value,) if value else ()
    if field.kind == "choice":
        lines = (dict(field.choices)[value],)
    if field.name == "scopes":
        lines = tuple(f"{BY_NAME[name].label} ({name})" if name in BY_NAME else name for name in value)
    return {
        "label": field.label,
        "kind": field.kind,
        "lines": lines,
        "is_code": field.name in CODES,
        "unsafe": field.unsafe if value else "",
    }
