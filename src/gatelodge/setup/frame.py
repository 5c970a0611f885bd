"""The frame of every Setup page: who may see it, the tree on its left, and Quick Find, which works without script."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core.orgs import DEVELOPER_HUB, PRODUCTION, Org
from gatelodge.core.permissions import (
    EDIT_POLICIES,
    MANAGE_APPS,
    MANAGE_MCP_SERVERS,
    MANAGE_ORG,
    MANAGE_USERS,
    Access,
)
from gatelodge.core.sessions import Session
from gatelodge.web import browser, forms, pages
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Endpoint, Site

LABELS = {
    MANAGE_APPS: "Create, edit, and delete External Client Apps",
    EDIT_POLICIES: "View all External Client Apps, view their settings, and edit their policies",
    MANAGE_MCP_SERVERS: "Manage MCP servers",
    MANAGE_USERS: "Manage users",
    MANAGE_ORG: "Manage org settings",
}
NEXT_THEME = {"": "dark", "dark": "light", "light": ""}


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


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf of the tree. ``words`` are what Quick Find knows it by besides its title; ``permissions`` are those of
    which one is needed to see it, none for a page of everybody's own; ``tab`` "" has no tab.
    """

    path: str
    title: str
    tab: str
    group: str
    words: str
    permissions: tuple[str, ...]


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf as it is drawn: its title cut at the match."""

    path: str
    words: str
    before: str
    match: str
    after: str
    is_here: bool


class Group(msgspec.Struct, frozen=True):
    """A branch of the tree."""

    label: str
    leaves: list[Leaf]


APPS = Page(
    path="/setup/apps",
    title="External Client App Manager",
    tab="Apps and access",
    group="External Client Apps",
    words="connected app oauth client redirect uri callback url consumer key client id",
    permissions=(MANAGE_APPS, EDIT_POLICIES),
)
SERVERS = Page(
    path="/setup/mcp-servers",
    title="MCP Servers",
    tab="MCP servers",
    group="Integrations",
    words="sobject-reads tools resource server url",
    permissions=(MANAGE_MCP_SERVERS,),
)
USERS = Page(
    path="/setup/users",
    title="Users",
    tab="Users",
    group="Users",
    words="people permission set profile",
    permissions=(MANAGE_USERS,),
)
ORG = Page(
    path="/setup/org",
    title="Org Settings",
    tab="",
    group="Company",
    words="company information org name label refresh window trusted ip ranges network access signing algorithm es256"
    " rs256 keys",
    permissions=(MANAGE_ORG,),
)
CONNECTIONS = Page(
    path="/setup/connections",
    title="My Connections",
    tab="",
    group="My Account",
    words="authorized apps oauth usage revoke consent third party",
    permissions=(),
)
SECOND_FACTORS = Page(
    path="/setup/second-factors",
    title="Second Factors",
    tab="",
    group="My Account",
    words="mfa 2fa totp authenticator app passkey security key recovery codes",
    permissions=(),
)
SESSIONS = Page(
    path="/setup/sessions",
    title="My Sessions",
    tab="",
    group="My Account",
    words="signed in browsers devices sign out everywhere",
    permissions=(),
)
PASSWORD = Page(
    path="/setup/password",
    title="Change Password",
    tab="",
    group="My Account",
    words="credentials reset",
    permissions=(),
)
TREE = (APPS, SERVERS, USERS, ORG, CONNECTIONS, SECOND_FACTORS, SESSIONS, PASSWORD)

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
            if not _may(access, permissions):
                missing = [LABELS[permission] for permission in permissions]
                return visit.page("forbidden.html", title="No permission", status=403, missing=missing)
            if needs_verification and not session.is_verified(site.clock.now()):
                return visit.go(f"/setup/verify?next={quote(_here(org, request))}")
            return await answer(visit)
        except BadRequest as error:
            return visit.page("problem.html", title="Not accepted", status=error.status, why=str(error))

    return endpoint


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
    fields = await forms.read_form(visit.request, longest=forms.MOST_FORM_BYTES)
    browser.check_form(visit.site, visit.org, visit.request, dict(fields))
    return fields


def _may(access: Access, permissions: tuple[str, ...]) -> bool:
    return not permissions or any(access.may(permission) for permission in permissions)


def _frame(visit: Visit) -> dict[str, Any]:
    below = visit.request.scope["path"].removeprefix(visit.org.path)
    find = _wanted(visit.request)
    seen = [page for page in TREE if _may(visit.access, page.permissions)]
    tree = _tree(seen, find, below)
    theme = visit.request.cookies.get(pages.THEME_COOKIE, "")
    return {
        "find": find,
        "found": sum(len(group.leaves) for group in tree),
        "tree": tree,
        "tabs": [
            {"path": "/setup", "label": "Home", "is_here": below == "/setup"},
            *(
                {"path": page.path, "label": page.tab, "is_here": below.startswith(page.path)}
                for page in seen
                if page.tab
            ),
        ],
        "next_theme": NEXT_THEME.get(theme, "dark"),
        "org_class": {DEVELOPER_HUB: "dev", PRODUCTION: "production"}.get(visit.org.kind, ""),
    }


def _wanted(request: Request) -> str:
    """What Quick Find looks for. A query that can't be read looks for nothing: the page itself says what is wrong."""
    try:
        return dict(forms.parse(request.scope["query_string"])).get("find", "")[:80]
    except BadRequest:
        return ""


def _tree(seen: list[Page], find: str, here: str) -> list[Group]:
    wanted = " ".join(find.lower().split())
    groups: dict[str, list[Leaf]] = {}
    for page in seen:
        at = page.title.lower().find(wanted) if wanted else -1
        if wanted and at < 0 and wanted not in page.words:
            continue
        end = at + len(wanted)
        cut = (page.title[:at], page.title[at:end], page.title[end:]) if at >= 0 else (page.title, "", "")
        leaf = Leaf(
            path=page.path,
            words=page.words,
            before=cut[0],
            match=cut[1],
            after=cut[2],
            is_here=here.startswith(page.path),
        )
        groups.setdefault(page.group, []).append(leaf)
    return [Group(label, leaves) for label, leaves in groups.items()]
