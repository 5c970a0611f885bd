"""Setup Audit Trail: who changed what, from what to what; whether it is whole; and how long it is kept."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response, StreamingResponse

from gatelodge.core import audit, recording
from gatelodge.core.audit import Filter, Recorded
from gatelodge.core.errors import Invalid
from gatelodge.core.recording import Rules
from gatelodge.setup import events
from gatelodge.setup.frame import Visit
from gatelodge.web import chain_check, forms
from gatelodge.web.chain_check import Checked
from gatelodge.web.errors import BadRequest
from gatelodge.words import _, mark

A_PAGE = 50
A_BATCH = 500
KINDS = {
    "app": mark("Apps"),
    "approval": mark("Approvals"),
    "audit": mark("The audit itself"),
    "calls": mark("Records of calls"),
    "connection": mark("Connections"),
    "org": mark("Org settings"),
    "server": mark("MCP servers"),
    "setup": mark("Setup"),
    "sign_in": mark("Sign-ins"),
    "upstream": mark("Upstreams and identity providers"),
    "user": mark("Users"),
}
NARROWING = ("person", "kind", "subject", "from", "to")
COLUMNS = ("seq", "at", "actor", "tag", "subject", "details", "hash")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def show(visit: Visit) -> Response:
    """The trail, a page at a time."""
    return await _page(visit, {})


async def change(visit: Visit) -> Response:
    """Check both chains now, or change how long is kept what is written down."""
    match visit.field("act"):
        case "verify":
            verdicts = await chain_check.verify(visit.site, visit.org)
            visit.site.calls.checked[visit.org.id] = Checked(visit.site.clock.now(), verdicts)
            return visit.go("/setup/audit#state")
        case "rules":
            return await _rules(visit)
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with the audit trail").format(other=other))


async def _rules(visit: Visit) -> Response:
    typed = {name: visit.field(name) for name in ("calls_days", "audit_days")}
    changed = Rules(
        org_id=visit.org.id,
        calls_days=forms.number(typed["calls_days"], 0),
        audit_days=forms.number(typed["audit_days"], 0),
        reads_wait=visit.field("reads_wait") == "on",
    )
    actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
    try:
        await visit.site.store.run(recording.change_rules, changed, actor=actor, now_ms=now_ms)
    except Invalid as invalid:
        return await _page(visit, invalid.errors, typed)
    return visit.go("/setup/audit#rules")


async def _page(visit: Visit, errors: dict[str, str], typed: dict[str, str] | None = None) -> Response:
    query = dict(forms.parse(visit.request.scope["query_string"]))
    store, org_id = visit.site.store, visit.org.id
    asked = await events.asked(visit, query)
    before = forms.number(query.get("before", ""), 0)
    found = await store.read(audit.page, org_id, asked, before=before, limit=A_PAGE + 1)
    rules = await store.read(recording.rules_of, org_id)
    narrowed = {name: query[name] for name in NARROWING if query.get(name)}
    losses = await store.read(audit.page, org_id, Filter(kind="calls", since=_recently(visit)), limit=A_PAGE)
    return visit.page(
        "audit_trail.html",
        title=_("Setup Audit Trail"),
        status=422 if errors else 200,
        lines=await events.lines(visit, found[:A_PAGE]),
        kinds=[(name, _(words)) for name, words in KINDS.items()],
        narrowed={name: query.get(name, "") for name in NARROWING},
        narrowing=urlencode(narrowed),
        is_first=not before,
        next_page=urlencode({**narrowed, "before": found[A_PAGE - 1].seq}) if len(found) > A_PAGE else "",
        checked=visit.site.calls.checked.get(org_id),
        trouble=visit.site.calls.trouble(),
        lost=sum(each.told().get("calls", 0) for each in losses if each.tag == "calls:records:lost"),
        rules=rules,
        typed=typed or {"calls_days": str(rules.calls_days), "audit_days": str(rules.audit_days)},
        errors=errors,
    )


def _recently(visit: Visit) -> int:
    return visit.site.clock.now_ms() - 30 * 86_400_000


async def export(visit: Visit) -> Response:
    """All of it that the page was narrowed to, as CSV or JSON lines, sent as it is read."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    asked = await events.asked(visit, query)
    is_csv = query.get("format") == "csv"
    name = f"audit.{'csv' if is_csv else 'jsonl'}"
    return StreamingResponse(
        _rows(visit, asked, is_csv=is_csv),
        media_type="text/csv; charset=utf-8" if is_csv else "application/jsonl",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


async def _rows(visit: Visit, asked: Filter, *, is_csv: bool) -> AsyncIterator[bytes]:
    if is_csv:
        yield (",".join(COLUMNS) + "\r\n").encode()
    before = 0
    while found := await visit.site.store.read(audit.page, visit.org.id, asked, before=before, limit=A_BATCH):
        before = found[-1].seq
        yield b"".join(csv_line(COLUMNS, each) if is_csv else msgspec.json.encode(each) + b"\n" for each in found)


def csv_line(columns: tuple[str, ...], row: Recorded) -> bytes:
    """A line of CSV (RFC 4180). What a spreadsheet would take for a formula begins with an apostrophe."""
    cells = (str(getattr(row, name)) for name in columns)
    return (",".join(quoted(cell) for cell in cells) + "\r\n").encode()


def quoted(cell: str) -> str:
    """One cell of CSV."""
    safe = f"'{cell}" if cell.startswith(FORMULA) else cell
    return '"' + safe.replace('"', '""') + '"'
