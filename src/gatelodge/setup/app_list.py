"""External Client App Manager: the list, which is searched, filtered and sorted, a page of 50 at a time."""

import base64
import binascii
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from gatelodge.core import propagation
from gatelodge.core.apps import counting, presets, readiness, registry
from gatelodge.core.apps.counting import Figures
from gatelodge.core.apps.registry import SORTED_BY, ExternalClientApp, Listed, Sort, Wanted
from gatelodge.core.apps.settings import FIELDS
from gatelodge.core.operation import Value
from gatelodge.core.permissions import EDIT_POLICIES, MANAGE_APPS
from gatelodge.setup.app_form import preset_of
from gatelodge.setup.app_states import WORDS, Status, of_checks
from gatelodge.setup.frame import Visit
from gatelodge.web import forms, moments
from gatelodge.words import _

A_PAGE = 50
LONGEST = 200
DEFAULT_SORT = "label"
MOST_FIRST = ("users", "calls", "used")
"""Orders whose head leads to the largest first."""
DISTRIBUTIONS = next(field.choices for field in FIELDS if field.name == "distribution_state")


class Row(msgspec.Struct, frozen=True):
    """One app of the list."""

    app: ExternalClientApp
    tile: str
    status: Status
    users: int
    calls: int
    days: tuple[int, ...]
    last_used: moments.Moment | None
    created: str


class Head(msgspec.Struct, frozen=True):
    """A column that the list can be sorted by: where its head leads, and how the list is sorted by it now."""

    label: str
    path: str
    order: str


async def show(visit: Visit) -> Response:
    """A page of the org's apps, as the query wants them."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    which = _wanted(query)
    after = _place(query.get("after", ""), which.sort)
    org_id, store = visit.org.id, visit.site.store
    found = await store.read(registry.wanted, org_id, which, after=after, limit=A_PAGE + 1)
    shown = found[:A_PAGE]
    servers = tuple(await visit.site.live.servers(org_id))
    counts = await store.read(registry.count_by_state, org_id)
    return visit.page(
        "app_list.html",
        title=_("External Client App Manager"),
        rows=await _rows(visit, shown, servers, which.sort),
        which=which,
        is_filtered=_is_filtered(which),
        is_empty=not counts,
        states=WORDS,
        presets=presets.PRESETS,
        distributions=[(value, _(label)) for value, label in DISTRIBUTIONS],
        heads={sort: _head(label, sort, which) for sort, label in _labels().items()},
        tiles=_tiles(counts),
        lacks_server=bool(counts) and not servers,
        can_create=visit.access.may(MANAGE_APPS),
        can_disable=visit.access.may(EDIT_POLICIES),
        me=visit.session.user.username,
        first_page=f"/setup/apps?{urlencode(_query(which))}" if after else "",
        next_page=_next(shown[-1], which) if len(found) > A_PAGE else "",
        zone=moments.zone_in_words(visit.site.clock.now()),
    )


def _wanted(query: dict[str, str]) -> Wanted:
    """What the query asks for; what it can't mean is left out."""
    sort = query.get("sort", "")
    return Wanted(
        search=" ".join(query.get("q", "").split())[:LONGEST],
        state=query.get("status", "") if query.get("status") in readiness.STATES else "",
        preset=query.get("client", "") if query.get("client") in presets.BY_NAME else "",
        distribution=query.get("distribution", "") if query.get("distribution") in dict(DISTRIBUTIONS) else "",
        created_by=query.get("by", "")[:LONGEST],
        sort=cast("Sort", sort) if sort in SORTED_BY else DEFAULT_SORT,
        is_descending=query.get("order") == "desc",
    )


def _query(which: Wanted, **changes: str) -> dict[str, str]:
    """The query that asks for this, without what is as it is anyway."""
    said = {
        "q": which.search,
        "status": which.state,
        "client": which.preset,
        "distribution": which.distribution,
        "by": which.created_by,
        "sort": which.sort if which.sort != DEFAULT_SORT else "",
        "order": "desc" if which.is_descending else "",
    }
    return {name: value for name, value in (said | changes).items() if value}


def _is_filtered(which: Wanted) -> bool:
    return any((which.search, which.state, which.preset, which.distribution, which.created_by))


def _labels() -> dict[Sort, str]:
    return {
        "label": _("App"),
        "users": _("Users"),
        "calls": _("Calls"),
        "used": _("Last used"),
        "created": _("Created"),
    }


def _head(label: str, sort: Sort, which: Wanted) -> Head:
    """A head that sorts by its column, and the other way round once it is sorted by it."""
    is_here = which.sort == sort
    goes_down = not which.is_descending if is_here else sort in MOST_FIRST
    path = f"/setup/apps?{urlencode(_query(which, sort=sort, order='desc' if goes_down else ''))}"
    return Head(label, path, ("descending" if which.is_descending else "ascending") if is_here else "")


def _place(after: str, sort: Sort) -> tuple[Value, str] | None:
    """Behind which app the page begins, from the query; None is the first page."""
    try:
        value, app_id = msgspec.json.decode(base64.urlsafe_b64decode(after.encode()), type=tuple[str | int, str])
    except (binascii.Error, msgspec.DecodeError, UnicodeEncodeError):
        return None
    return (value, app_id) if isinstance(value, str) == (sort == DEFAULT_SORT) else None


def _next(last: Listed, which: Wanted) -> str:
    place = base64.urlsafe_b64encode(msgspec.json.encode((last.by, last.app.id))).decode()
    return f"/setup/apps?{urlencode(_query(which, after=place))}"


async def _rows(visit: Visit, shown: list[Listed], servers: tuple[str, ...], sort: Sort) -> list[Row]:
    store, clock = visit.site.store, visit.site.clock
    figures = await store.read(counting.figures, visit.org.id, tuple(each.app.id for each in shown), clock.now())
    waiting: set[str] = set()
    if visit.site.config.delay:
        keys = tuple(each.app.consumer_key for each in shown)
        waiting = await store.read(propagation.waiting, visit.org.id, keys, clock.now_ms())
    rows: list[Row] = []
    for each in shown:
        app, found = each.app, _as_sorted(figures[each.app.id], each, sort)
        checks = readiness.checks(app.settings, app.policies, servers)
        rows.append(
            Row(
                app,
                preset_of(app).tile,
                of_checks(app, checks, is_propagating=app.consumer_key in waiting),
                found["users"],
                found["calls"],
                figures[app.id].days,
                moments.moment(found["used"], clock.now()) if found["used"] else None,
                moments.day(app.created_at),
            )
        )
    return rows


def _as_sorted(found: Figures, listed: Listed, sort: Sort) -> dict[str, int]:
    """An app's figures; that of the order is the one that the app stands in it by, so that the order is seen to hold."""
    now = {"users": found.users, "calls": found.calls, "used": found.last_used}
    return now | {sort: int(listed.by)} if sort in MOST_FIRST else now


def _tiles(counts: dict[str, int]) -> list[dict[str, Any]]:
    """How many apps are in each state, and the way to them."""
    every = sum(counts.values())
    found = [{"label": _("All apps"), "n": every, "path": "/setup/apps"}]
    found += [
        {"label": _(WORDS[state].word), "n": counts.get(state, 0), "path": f"/setup/apps?status={state}"}
        for state in readiness.STATES
    ]
    return found
