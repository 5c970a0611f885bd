"""Calls that wait for a person: all of the org's, one's own, and the page on which one is looked at and decided."""

from typing import Any

from starlette.responses import Response

from gatelodge.core import approvals, call_arguments, users
from gatelodge.core.approval_rules import ANY_APPROVER, USER
from gatelodge.core.approvals import A_PAGE, WAITING, Approval
from gatelodge.core.apps import registry
from gatelodge.core.permissions import APPROVE_CALLS
from gatelodge.setup.frame import Visit
from gatelodge.web import forms
from gatelodge.web.errors import BadRequest
from gatelodge.words import _, mark

LOOKS = {
    "waiting": ("warn", "clock", mark("Waiting")),
    "approved": ("ok", "check", mark("Approved")),
    "used": ("ok", "check", mark("Approved and done")),
    "declined": ("bad", "x", mark("Declined")),
    "withdrawn": ("", "minus", mark("Called off")),
    "expired": ("", "clock", mark("Expired")),
}
"""How each state is drawn: its colour, its symbol, its word."""


async def show_list(visit: Visit) -> Response:
    """GET /setup/approvals: every call of the org that waits or was decided."""
    return await _list(visit, "approvals.html", _("Approvals"), "")


async def show_own(visit: Visit) -> Response:
    """GET /setup/my-approvals: those of one's own apps."""
    return await _list(visit, "personal/my_approvals.html", _("My Approvals"), visit.session.user.id)


async def show(visit: Visit) -> Response:
    """GET /setup/approvals/{id}: who wants to do what, exactly."""
    return await _page(visit, await _asked(visit))


async def decide(visit: Visit) -> Response:
    """POST: yes or no, once."""
    asked, site = await _asked(visit), visit.site
    if not approvals.may_decide(asked, visit.session.user.id, visit.access):
        raise BadRequest(_("this call is for somebody else to decide"), 403)
    answer = visit.field("answer")
    if answer not in ("approve", "decline"):
        raise BadRequest(_("{answer!r:.40} is neither approve nor decline").format(answer=answer))
    was_decided = await site.store.run(
        approvals.decide,
        asked,
        is_yes=answer == "approve",
        by=visit.session.user.username,
        actor=visit.session.user.id,
        now_ms=site.clock.now_ms(),
    )
    if not was_decided:
        return await _page(visit, await _asked(visit), was_late=True)
    await site.live.catch_up()
    return visit.go(f"/setup/approvals/{asked.id}")


async def _asked(visit: Visit) -> Approval:
    """The approval, for its user, for those who may decide it, and for those who see all. For others there is none."""
    user_id, approval_id = visit.session.user.id, visit.request.path_params["id"]
    asked = await visit.site.store.read(approvals.find, visit.org.id, approval_id)
    if asked is not None and (
        asked.user_id == user_id
        or visit.access.may(APPROVE_CALLS)
        or approvals.may_decide(asked, user_id, visit.access)
    ):
        return asked
    raise BadRequest(_("there is no such call for you to look at"), 404)


async def _list(visit: Visit, template: str, title: str, user_id: str) -> Response:
    before = dict(forms.parse(visit.request.scope["query_string"])).get("before", "")
    until = int(before) if before.isascii() and before.isdigit() and len(before) < 13 else 1 << 40  # noqa: PLR2004
    found = await visit.site.store.read(approvals.newest, visit.org.id, user_id=user_id, before=until, limit=A_PAGE + 1)
    rows = [await _row(visit, each) for each in found[:A_PAGE]]
    here = "/setup/my-approvals" if user_id else "/setup/approvals"
    more = f"{visit.org.path}{here}?before={found[A_PAGE - 1].created_at}" if len(found) > A_PAGE else ""
    return visit.page(template, title=title, rows=rows, next_url=more)


async def _row(visit: Visit, asked: Approval) -> dict[str, Any]:
    site, org_id = visit.site, visit.org.id
    user = await site.store.read(users.find, org_id, asked.user_id)
    app = await site.store.read(registry.find, org_id, asked.app_id)
    state = asked.state_at(site.clock.now())
    kind, symbol, word = LOOKS[state]
    return {
        "asked": asked,
        "tool": call_arguments.visible(asked.tool),
        "user": user.username if user else _("A user who was removed"),
        "user_name": user.name if user else "",
        "app": app.settings.label if app else _("An app that was removed"),
        "kind": kind,
        "symbol": symbol,
        "word": _(word),
        "is_waiting": state == WAITING,
        "may_decide": state == WAITING and approvals.may_decide(asked, visit.session.user.id, visit.access),
    }


async def _page(visit: Visit, asked: Approval, *, was_late: bool = False) -> Response:
    raw = visit.site.ring.open(approvals.PURPOSE, asked.sealed, approvals.row_name(asked.org_id, asked.id))
    whom = {
        USER: _("the user whose call it is"),
        ANY_APPROVER: _("whoever may approve calls"),
    }.get(asked.approvers, _("holders of the permission set {name}").format(name=asked.approvers))
    return visit.page(
        "approval.html",
        title=_("Approve a call"),
        status=409 if was_late else 200,
        was_late=was_late,
        whom=whom,
        minutes=max(1, asked.seconds // 60),
        arguments=call_arguments.shown(call_arguments.read(raw)),
        **await _row(visit, asked),
    )
