"""Who can use an app: the Users tab. It asks what the flows ask (``core.apps.admission``), so that they can't disagree."""

import msgspec
from starlette.responses import Response

from gatelodge.core import permissions, permitting, users
from gatelodge.core.apps import admission
from gatelodge.core.apps.policies import APPROVED, HIGH, RELAX, Policies
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.call_arguments import visible
from gatelodge.core.org_options import AppRules
from gatelodge.core.permissions import MANAGE_USERS, USE_MCP_SERVERS, Access
from gatelodge.core.permitting import Who
from gatelodge.core.scopes import MCP_API
from gatelodge.core.users import User
from gatelodge.setup.apps import app_page
from gatelodge.setup.frame import Visit
from gatelodge.web import forms
from gatelodge.words import _, here

A_PAGE = 50
LONGEST_SHOWN = 120


class Answer(msgspec.Struct, frozen=True):
    """Whether this user can use the app: the sentence, then each reason or condition."""

    can: bool
    sentence: str
    reasons: tuple[str, ...] = ()
    servers: tuple[tuple[str, str], ...] = ()
    """Each active MCP server by its label, and why the user can't use it through the app; "" where they can."""


async def show(visit: Visit, app: ExternalClientApp) -> Response:
    """The users who can use the app now, a page at a time, and the answer to "can this user?"."""
    query = dict(forms.parse(visit.request.scope["query_string"]))
    store, org_id = visit.site.store, visit.org.id
    asked, after = query.get("username", "").strip(), query.get("after", "")
    is_off = why_off(app, visit.org.app_rules)
    groups = admission.groups(app.policies, app.settings.scopes, await store.read(permissions.of_org, org_id))
    found = [] if is_off else await store.read(users.who_hold, org_id, groups, after=after, limit=A_PAGE + 1)
    rows = []
    for user in found[:A_PAGE]:
        access = await store.read(permissions.access_of, org_id, user.id)
        rows.append({"user": user, "sets": through(app, access)})
    return await app_page(
        visit,
        app,
        "app_users.html",
        tab="users",
        rows=rows,
        count=0 if is_off else await store.read(users.count_who_hold, org_id, groups),
        active=await store.read(users.count_who_hold, org_id, ()),
        is_off=is_off,
        asked=asked,
        answer=await _answer(visit, app, asked) if asked else None,
        next_page=found[A_PAGE - 1].username if len(found) > A_PAGE else "",
        sees_users=visit.access.may(MANAGE_USERS),
        rule=rule(app),
    )


def why_off(app: ExternalClientApp, rules: AppRules) -> str:
    """Why nobody can use the app, whoever they are; "" when that isn't so."""
    if not app.policies.is_enabled:
        return _("The app is disabled under Policies.")
    if not app.settings.oauth_enabled:
        return _("OAuth is not enabled in the app's Settings.")
    refused = admission.check_rules(rules, app.settings, app.policies)
    return refused.sentence() if refused else ""


def rule(app: ExternalClientApp) -> str:
    """Who can use the app, in a sentence."""
    asks_mcp = MCP_API in app.settings.scopes
    if app.policies.permitted_users == APPROVED:
        if asks_mcp:
            return _(
                "Active users with one of the pre-authorized permission sets, whose permission sets allow MCP servers."
            )
        return _("Active users with one of the pre-authorized permission sets.")
    return _("Active users whose permission sets allow MCP servers.") if asks_mcp else _("Active users.")


def through(app: ExternalClientApp, access: Access) -> list[str]:
    """The labels of the permission sets by which a user can use the app."""
    approved = app.policies.permission_sets if app.policies.permitted_users == APPROVED else ()
    asks_mcp = MCP_API in app.settings.scopes
    return [
        each.label for each in access.sets if each.api_name in approved or (asks_mcp and USE_MCP_SERVERS in each.system)
    ]


async def _answer(visit: Visit, app: ExternalClientApp, username: str) -> Answer:
    user = await visit.site.store.read(users.find_by_username, visit.org.id, username)
    if user is None:
        return Answer(
            can=False,
            sentence=_("No user of {label} is called {username}.").format(
                label=visit.org.label, username=visible(username[:LONGEST_SHOWN])
            ),
        )
    access = await visit.site.store.read(permissions.access_of, visit.org.id, user.id)
    if reasons := reasons_against(app, user, access, visit.org.app_rules):
        return Answer(
            can=False,
            sentence=_("No, {username} can't use {label}.").format(username=user.username, label=app.settings.label),
            reasons=reasons,
        )
    return Answer(
        can=True,
        sentence=_("Yes, {username} can use {label}.").format(username=user.username, label=app.settings.label),
        reasons=conditions(app.policies, visit.org.trusted_ranges),
        servers=await _servers(visit, app, user, access),
    )


async def _servers(visit: Visit, app: ExternalClientApp, user: User, access: Access) -> tuple[tuple[str, str], ...]:
    """Which of the org's active MCP servers this user can use through the app; none for an app without them."""
    if MCP_API not in app.settings.scopes:
        return ()
    who = Who(
        app=app.settings.label, policies=app.policies, user=user.username, access=access, scopes=app.settings.scopes
    )
    live = await visit.site.live.servers(visit.org.id)
    return tuple((each.server.label, here(permitting.refusal(who, each.server))) for each in live.values())


def reasons_against(app: ExternalClientApp, user: User, access: Access, rules: AppRules) -> tuple[str, ...]:
    """Each reason why this user can't use the app, as a sentence."""
    refusals = (admission.check_user(app.policies, access), admission.check_servers(app.settings.scopes, access))
    found = (_("The user is inactive.") if not user.is_active else "", why_off(app, rules))
    return (*filter(None, found), *(each.sentence() for each in refusals if each))


def conditions(policies: Policies, org_ranges: tuple[str, ...]) -> tuple[str, ...]:
    """On what else it depends each time: the address, and how well the user is signed in."""
    found: list[str] = []
    ranges = (*policies.trusted_ranges, *org_ranges)
    if ranges and policies.ip_relaxation != RELAX:
        found.append(_("From these addresses: {ranges}.").format(ranges=", ".join(ranges)))
    if policies.session_level == HIGH:
        found.append(_("Signed in with a second factor or a passkey."))
    return tuple(found)
