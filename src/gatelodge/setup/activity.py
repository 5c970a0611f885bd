"""An app's Activity tab: sign-ins, calls, errors and how long calls took, drawn here and told in a table."""

from collections.abc import Callable

import msgspec
from starlette.responses import Response

from gatelodge.core import calls
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.calls import Hour
from gatelodge.setup.apps import app_page
from gatelodge.setup.audit_trail import quoted
from gatelodge.setup.frame import Visit
from gatelodge.web import forms, moments
from gatelodge.words import _, mark

RANGES = {"24h": (24, 1, mark("24 hours")), "12d": (12, 24, mark("12 days")), "90d": (90, 24, mark("90 days"))}
"""How many spans of how many hours each is drawn in, and what it is called."""
WIDTH, HEIGHT = 720, 120
LATEST = 20
MARKS = 6


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One bar of a chart in its own units, and the part of it that failed; ``says`` is read out."""

    x: float
    width: float
    y: float
    height: float
    failed_height: float = 0
    says: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One series drawn: its total or worst in words, and its bars."""

    name: str
    title: str
    figure: str
    most: str
    bars: list[Bar]


class Mark(msgspec.Struct, frozen=True):
    """A time under a chart."""

    x: float
    words: str


async def show(visit: Visit, app: ExternalClientApp) -> Response:
    """The tab, for one of three ranges."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    name = query.get("range", "") if query.get("range", "") in RANGES else "12d"
    spans = await _spans(visit, app, name)
    # A span of an hour by its time, one of a day by the time at which it begins; each in words once.
    whens = {each.hour: moments.in_full(each.hour * 3600) for each in spans}
    latest = await visit.site.store.read(calls.page, visit.org.id, app_id=app.id, limit=LATEST)
    return await app_page(
        visit,
        app,
        "app_activity.html",
        tab="activity",
        ranges=[(each, _(words)) for each, (_n, _hours, words) in RANGES.items()],
        range=name,
        charts=_charts(spans, whens),
        marks=_marks(spans, name),
        spans=[{"at": whens[each.hour], "span": each} for each in reversed(spans)],
        is_empty=not any(each.calls or each.sign_ins for each in spans),
        latest=latest,
        width=WIDTH,
        height=HEIGHT,
    )


async def export(visit: Visit, app: ExternalClientApp) -> Response:
    """The table as CSV."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    name = query.get("range", "") if query.get("range", "") in RANGES else "12d"
    lines = ["begins_at,sign_ins,calls,errors,p95_ms"]
    for each in await _spans(visit, app, name):
        begins = moments.moment(each.hour * 3600, each.hour * 3600).iso
        lines.append(f"{quoted(begins)},{each.sign_ins},{each.calls},{each.errors},{each.p95_ms}")
    headers = {"Content-Disposition": f'attachment; filename="activity-{name}.csv"', "Cache-Control": "no-store"}
    return Response("\r\n".join(lines) + "\r\n", media_type="text/csv; charset=utf-8", headers=headers)


async def _spans(visit: Visit, app: ExternalClientApp, name: str) -> list[Hour]:
    parts, length, _words = RANGES[name]
    first = visit.site.clock.now() // 3600 + 1 - parts * length
    found = await visit.site.store.read(calls.of_app, visit.org.id, app.id, first, length)
    return calls.days_of(found, first, length, parts)


def _charts(spans: list[Hour], whens: dict[int, str]) -> list[Chart]:
    total, failed = sum(each.calls for each in spans), sum(each.errors for each in spans)
    worst = max((each.p95_ms for each in spans), default=0)
    number, when = moments.number, lambda each: whens[each.hour]
    return [
        _chart("sign-ins", _("Sign-ins"), number(sum(each.sign_ins for each in spans)), spans, lambda s: s.sign_ins,
               lambda s: _("{when}: {n} sign-ins").format(when=when(s), n=number(s.sign_ins))),
        _chart("calls", _("Calls"), _("{n}, {failed} with an error").format(n=number(total), failed=number(failed)), spans,
               lambda s: s.calls,
               lambda s: _("{when}: {n} calls, {failed} with an error").format(
                   when=when(s), n=number(s.calls), failed=number(s.errors))),
        _chart("p95", _("95 of 100 calls within"), _("{ms} ms at worst").format(ms=number(worst)), spans,
               lambda s: s.p95_ms, lambda s: _("{when}: {ms} ms").format(when=when(s), ms=number(s.p95_ms))),
    ]  # fmt: skip


def _chart(
    name: str, title: str, figure: str, spans: list[Hour], value: Callable[[Hour], int], says: Callable[[Hour], str]
) -> Chart:
    most = max((value(each) for each in spans), default=0)
    slot = WIDTH / len(spans)
    bars: list[Bar] = []
    for n, each in enumerate(spans):
        if not (amount := value(each)):
            continue
        height = max(2.0, HEIGHT * amount / most)
        failed = height * each.errors / amount if name == "calls" else 0
        bars.append(
            Bar(
                x=round(n * slot + slot * 0.12, 2),
                width=round(slot * 0.76, 2),
                y=round(HEIGHT - height, 2),
                height=round(height, 2),
                failed_height=round(max(failed, 2.0 if failed else 0), 2),
                says=says(each),
            )
        )
    unit = _("{ms} ms").format(ms=moments.number(most)) if name == "p95" else moments.number(most)
    return Chart(name=name, title=title, figure=figure, most=unit, bars=bars)


def _marks(spans: list[Hour], name: str) -> list[Mark]:
    step = max(1, len(spans) // MARKS)
    slot = WIDTH / len(spans)
    return [Mark(round((n + 0.5) * slot, 2), _short(each, name)) for n, each in enumerate(spans) if n % step == 0]


def _short(span: Hour, name: str) -> str:
    return moments.clock(span.hour * 3600) if name == "24h" else moments.short_day(span.hour * 3600)
