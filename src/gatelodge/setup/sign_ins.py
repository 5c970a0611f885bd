"""Sign-in History: of the org, and of oneself."""

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from gatelodge.core import audit
from gatelodge.core.apps import registry
from gatelodge.core.audit import Filter
from gatelodge.core.users import User
from gatelodge.setup import events
from gatelodge.setup.frame import Visit
from gatelodge.web import forms
from gatelodge.web.browser import SUCCESS
from gatelodge.words import _

A_PAGE = 50
A_FEW = 5
"""Sign-ins on a user's page."""
KIND = "sign_in"


async def show(visit: Visit) -> Response:
    """Every sign-in of the org, also those that failed."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    return await _page(visit, query, title=_("Sign-in History"), is_own=False)


async def show_own(visit: Visit) -> Response:
    """One's own."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    return await _page(visit, query, title=_("My Sign-ins"), is_own=True)


async def _page(visit: Visit, query: dict[str, str], *, title: str, is_own: bool) -> Response:
    query = {name: value for name, value in query.items() if name != "subject"}
    own = visit.session.user.username if is_own else ""
    asked = await events.asked(visit, query, kind=KIND, person=own)
    before = forms.number(query.get("before", ""), 0)
    found = await visit.site.store.read(audit.page, visit.org.id, asked, before=before, limit=A_PAGE + 1)
    names = ("from", "to") if is_own else ("person", "from", "to")
    narrowed = {name: query[name] for name in names if query.get(name)}
    apps = {each.told().get("app", "") for each in found} - {""}
    labels = {app_id: await _label(visit, app_id) for app_id in apps}
    return visit.page(
        "sign_ins.html",
        title=title,
        lines=[
            {"line": line, "said": line.event.told(), "where": labels.get(line.event.told().get("app", ""), "")}
            for line in await events.lines(visit, found[:A_PAGE])
        ],
        is_own=is_own,
        narrowed={name: query.get(name, "") for name in ("person", "from", "to")},
        next_page=urlencode({**narrowed, "before": found[A_PAGE - 1].seq}) if len(found) > A_PAGE else "",
        success=SUCCESS,
    )


async def recent(visit: Visit, user: User) -> list[dict[str, Any]]:
    """The last sign-ins of a user, and what failed."""
    asked = Filter(actors=(user.id,), kind=KIND)
    found = await visit.site.store.read(audit.page, visit.org.id, asked, limit=A_FEW)
    return [{"line": line, "said": line.event.told()} for line in await events.lines(visit, found)]


async def _label(visit: Visit, app_id: str) -> str:
    app = await visit.site.store.read(registry.find, visit.org.id, app_id)
    return app.settings.label if app else app_id
