"""The frame of every Setup page: who may see it, and the tree on its left (``finding`` narrows it)."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import error_codes
from gatelodge.core.orgs import DEVELOPER_HUB, PRODUCTION, SANDBOX, SCRATCH, Org
from gatelodge.core.permissions import (
    APPROVE_CALLS,
    EDIT_POLICIES,
    MANAGE_APPS,
    MANAGE_MCP_SERVERS,
    MANAGE_ORG,
    MANAGE_USERS,
    USE_MCP_SERVERS,
    Access,
)
from gatelodge.core.sessions import Session
from gatelodge.core.told_refusals import Told
from gatelodge.setup import finding
from gatelodge.setup.tree import TREE
from gatelodge.web import browser, forms, pages, refusals
from gatelodge.web.errors import BadRequest, TooMany
from gatelodge.web.site import Endpoint, Site
from gatelodge.words import Reason, _, here, mark, reason

LABELS = {
    MANAGE_APPS: "Create, edit, and delete External Client Apps",
    EDIT_POLICIES: "View all External Client Apps, view their settings, and edit their policies",
    MANAGE_MCP_SERVERS: "Manage MCP servers",
    MANAGE_USERS: "Manage users",
    MANAGE_ORG: "Manage org settings",
    USE_MCP_SERVERS: "Use MCP servers",
    APPROVE_CALLS: "Approve calls of MCP tools that ask a person first",
}
LARGEST_FORM = 512 * 1024
MOST_FIELDS = 5000
"""Of a signed-in person: an app's policies may name a thousand tools."""
KINDS = {
    DEVELOPER_HUB: mark("Developer hub"),
    PRODUCTION: mark("Production"),
    SANDBOX: mark("Sandbox"),
    SCRATCH: mark("Scratch org"),
}
"""What each kind of org is called in its chip."""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in person at one Setup page. ``fields`` are those of the posted form, empty on a GET."""

    site: Site
    org: Org
    request: Request
    session: Session
    access: Access
    fields: list[tuple[str, str]] = []

    def field(self, name: str) -> str:
        """The last value of a field, "" when it wasn't sent."""
        return dict(self.fields).get(name, "")

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field."""
        return tuple(value for key, value in self.fields if key == name)

    def go(self, path: str) -> Response:
        """To another page of this org; 303, so that reloading sends nothing again."""
        return RedirectResponse(f"{self.org.issuer}{path}", 303)

    def once(self) -> dict[str, str]:
        """The fields by name, without the empty ones. Raises ``BadRequest`` for one that came twice."""
        return forms.once(self.fields)

    def page(
        self, template: str, *, title: str, status: int = 200, has_passkeys: bool = False, **context: Any
    ) -> Response:
        """The page in its frame."""
        return pages.render(
            self.site,
            self.org,
            self.request,
            f"setup/{template}",
            status=status,
            session=self.session,
            has_passkeys=has_passkeys,
            title=title,
            **_frame(self),
            **context,
        )


HOME_HELP = mark(
    "Home shows what is connected, what needs a look, and what to do next.\n"
    "Quick Find on the left knows every page by its name and by other words for it."
)

THEME = "/setup/theme"

Answer = Callable[[Visit], Awaitable[Response]]


def guarded(answer: Answer, *permissions: str, needs_verification: bool = False) -> Endpoint:
    """A row's function: only for a signed-in person with one of these permissions (none named: anybody), and a posted
    form only from this org, this browser and this sign-in. ``needs_verification``: who did not prove who they are in
    the last ten minutes is asked to, and comes back to the page.
    """

    async def endpoint(site: Site, org: Org, request: Request) -> Response:
        session = await browser.session_of(site, org, request)
        if session is None:
            return RedirectResponse(f"{org.issuer}/login?next={quote(_here(org, request))}", 303)
        live_user = await site.live.user(org.id, session.user.id)
        access = live_user.access if live_user else Access()
        visit = Visit(site=site, org=org, request=request, session=session, access=access)
        try:
            forms.check_readable(request.scope["query_string"])
            if request.method == "POST":
                visit = msgspec.structs.replace(visit, fields=await _posted(visit))
            if not may(access, permissions):
                return await _forbidden(visit, permissions)
            if needs_verification and not session.is_verified(site.clock.now()):
                return visit.go(f"/setup/verify?next={quote(_here(org, request))}")
            return await answer(visit)
        except BadRequest as error:
            return await refuse(visit, refusals.of_status(error.status, str(error)), status=error.status)
        except TooMany as error:
            response = await refuse(visit, refusals.of_status(429, error.here()), status=429)
            response.headers["Retry-After"] = str(error.retry_after)
            return response

    return endpoint


async def refuse(visit: Visit, told: Told, *, status: int) -> Response:
    """A page of Setup that says no, with its code and the reference under which it is written down."""
    trace_id = await refusals.keep(visit.site, visit.org, visit.request, told, visit.session)
    return visit.page("problem.html", title=here(told.title), status=status, told=told.here(), trace_id=trace_id)


async def _forbidden(visit: Visit, permissions: tuple[str, ...]) -> Response:
    code = error_codes.CODES[error_codes.NO_PERMISSION]
    missing = _(" or ").join(f"“{_(LABELS[permission])}”" for permission in permissions)
    what = reason("This page needs the permission {permissions}.", permissions=missing)
    fix = reason("An administrator of {org} gives it with a permission set.", org=visit.org.label)
    return await refuse(
        visit, Told(code=error_codes.NO_PERMISSION, title=Reason(code.title), what=what, fix=fix), status=403
    )


def _below(org: Org, request: Request) -> str:
    return request.scope["path"].removeprefix(org.path)


def _here(org: Org, request: Request) -> str:
    """The page that was asked for, to come back to. Nobody can look at the switch of colours itself."""
    if _below(org, request) == THEME:
        return "/setup"
    query = request.scope["query_string"].decode("ascii", "ignore") if request.method == "GET" else ""
    return _below(org, request) + (f"?{query}" if query else "")


async def _posted(visit: Visit) -> list[tuple[str, str]]:
    """The form's fields. A field may be as long as the form itself, so that what is too long is told beside it."""
    fields = await forms.read_form(visit.request, LARGEST_FORM, most=MOST_FIELDS, largest=LARGEST_FORM)
    browser.check_form(visit.site, visit.org, visit.request, dict(fields))
    return fields


def may(access: Access, permissions: tuple[str, ...]) -> bool:
    """Whether somebody has one of these permissions; none named: anybody."""
    return not permissions or any(access.may(permission) for permission in permissions)


def _frame(visit: Visit) -> dict[str, Any]:
    below = visit.request.scope["path"].removeprefix(visit.org.path)
    find = _wanted(visit.request)
    seen = [page for page in TREE if may(visit.access, page.permissions)]
    groups, here = finding.tree(seen, find, below), finding.page_at(seen, below)
    return {
        "find": find,
        "pages_found": sum(len(group.leaves) for group in groups),
        "tree": groups,
        "tabs": [
            {"path": "/setup", "label": _("Home"), "is_here": below == "/setup"},
            *(
                {"path": page.path, "label": _(page.tab), "is_here": below.startswith(page.path)}
                for page in seen
                if page.tab
            ),
        ],
        "theme_now": visit.session.user.theme,
        "help_of_page": _(here.help if here else HOME_HELP).splitlines(),
        "org_kind": _(KINDS.get(visit.org.kind, visit.org.kind)),
        "org_class": {DEVELOPER_HUB: "dev", PRODUCTION: "production"}.get(visit.org.kind, ""),
    }


def _wanted(request: Request) -> str:
    """What Quick Find looks for. A query that can't be read looks for nothing: the page itself says what is wrong."""
    try:
        return dict(forms.parse(request.scope["query_string"])).get("find", "")[:80]
    except BadRequest:
        return ""
