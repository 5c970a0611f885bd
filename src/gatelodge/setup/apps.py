"""An app's page: what stands on each of its tabs, and its Settings."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from gatelodge.core import propagation
from gatelodge.core.apps import registry
from gatelodge.core.apps.fields import Field
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.apps.settings import FIELDS, SECTIONS
from gatelodge.core.permissions import EDIT_POLICIES, MANAGE_APPS
from gatelodge.core.propagation import LiveOn
from gatelodge.core.scopes import BY_NAME
from gatelodge.setup.app_form import checks_of, preset_of
from gatelodge.setup.app_states import of_checks
from gatelodge.setup.frame import Visit
from gatelodge.web import forms
from gatelodge.web.errors import BadRequest
from gatelodge.words import _

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


def of_app(answer: Callable[[Visit, ExternalClientApp], Awaitable[Response]]) -> Callable[[Visit], Awaitable[Response]]:
    """A page of the app that the path names; another org's app is not found."""

    async def found(visit: Visit) -> Response:
        app_id = visit.request.path_params["app_id"]
        app = await visit.site.store.read(registry.find, visit.org.id, app_id)
        if app is None:
            raise BadRequest(_("this org has no app with the id {app_id!r:.40}").format(app_id=app_id), 404)
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
    """A tab of the app's page, with what stands on each of them: its state, how far it has come, and the checks."""
    live = await _live_on(visit, app)
    checks = await checks_of(visit, app.settings, app)
    is_propagating = bool(live.waits) or live.live_nodes < live.nodes
    return visit.page(
        template,
        title=app.settings.label,
        app=app,
        tab=tab,
        tile=preset_of(app).tile,
        live=live,
        state=of_checks(app, checks, is_propagating=is_propagating),
        checks=checks,
        can_edit=visit.access.may(MANAGE_APPS),
        can_disable=visit.access.may(EDIT_POLICIES),
        done=_done(visit),
        **context,
    )


def _done(visit: Visit) -> str:
    """What was just done to the app, as the address says: a word that the page has a sentence for."""
    said = dict(forms.parse(visit.request.scope["query_string"])).get("done", "")
    return said if said in ("disabled", "enabled", "restored") else ""


async def _live_on(visit: Visit, app: ExternalClientApp) -> LiveOn:
    """How far the app's newest revision has come. A change takes milliseconds, so the page waits half a second for it
    rather than be drawn with yesterday's news.
    """
    store, clock = visit.site.store, visit.site.clock
    for _try in range(WAITS):
        live = await store.read(propagation.live_on, visit.org.id, app.consumer_key, clock.now_ms())
        if live.waits or live.live_nodes >= live.nodes:
            return live
        await asyncio.sleep(0.025)
    return await store.read(propagation.live_on, visit.org.id, app.consumer_key, clock.now_ms())


def row_of(field: Field, value: Any) -> dict[str, Any]:
    """A field as a page shows it: its label, and what stands beside it, line by line."""
    lines = value or () if field.kind == "list" else (value,) if value else ()
    if field.kind == "choice":
        lines = (_(dict(field.choices)[value]),)
    if field.name == "scopes":
        lines = tuple(f"{_(BY_NAME[name].label)} ({name})" if name in BY_NAME else name for name in value)
    return {
        "label": field.label,
        "kind": field.kind,
        "lines": [str(line) for line in lines],
        "is_code": field.name in CODES,
        "unsafe": field.unsafe if value else "",
    }
