"""The face of administrators: Setup. ``ROUTES`` is what it answers; ``tree.TREE`` is what Quick Find knows."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core.orgs import Org
from gatelodge.core.permissions import EDIT_POLICIES, MANAGE_APPS, MANAGE_ORG, USE_MCP_SERVERS
from gatelodge.setup import (
    access,
    activity,
    app_form,
    app_life,
    app_list,
    app_rules,
    approval_rules,
    approvals,
    apps,
    audit_trail,
    connect,
    custom_scopes,
    errors,
    home,
    identity,
    identity_providers,
    org_sessions,
    org_settings,
    people,
    permission_sets,
    policies,
    search,
    secrets,
    sign_ins,
    signing_in,
    signing_keys,
    step_up,
    upstream_credential,
    usage,
    users,
)
from gatelodge.setup.apps import of_app
from gatelodge.setup.frame import Answer, Visit, guarded
from gatelodge.setup.personal import connections, passwords, preferences, second_factors, sessions, upstreams, verifying
from gatelodge.setup.servers import database, items, listing, making, page, settings
from gatelodge.setup.servers.listing import of_server
from gatelodge.setup.tree import (
    APP_SETTINGS,
    APPROVALS,
    APPS,
    AUDIT,
    KEYS,
    ORG,
    ORG_SESSIONS,
    PROVIDERS,
    SCOPES,
    SERVERS,
    SETS,
    SIGN_INS,
    USAGE,
    USERS,
)
from gatelodge.web.errors import BadRequest
from gatelodge.web.refusals import on_a_page
from gatelodge.web.routes import Route
from gatelodge.web.site import Endpoint, Site
from gatelodge.words import _


def _row(method: str, path: str, answer: Endpoint) -> Route:
    return Route(path=path, methods=(method,), answer=on_a_page(answer), is_page=True, refuses_unreadable=True)


def _setup(method: str, path: str, answer: Answer, *permissions: str, needs_verification: bool = False) -> Route:
    endpoint = guarded(answer, *permissions, needs_verification=needs_verification)
    return Route(path=f"/setup{path}", methods=(method,), answer=endpoint, is_page=True, refuses_unreadable=True)


def _file(path: str, answer: Answer, *permissions: str) -> Route:
    """A row that sends a file rather than a page."""
    endpoint = guarded(answer, *permissions)
    return Route(path=f"/setup{path}", methods=("GET",), answer=endpoint, refuses_unreadable=True)


async def _lost(visit: Visit) -> Response:
    raise BadRequest(_("there is no page {path!r:.100} here").format(path=visit.request.scope["path"]), 404)


LOST = guarded(_lost)
"""The answer to a browser that asks for a path below Setup that no row has."""


async def front_door(site: Site, org: Org, request: Request) -> Response:
    """The org's own URL leads to Setup."""
    return RedirectResponse(f"{org.issuer}/setup", 303)


ROUTES = (
    _row("GET", "/", front_door),
    _row("GET", "", front_door),
    _row("GET", "/login", signing_in.show_sign_in),
    _row("POST", "/login", signing_in.sign_in),
    _row("GET", "/login/factor", signing_in.show_factor),
    _row("POST", "/login/factor", signing_in.use_factor),
    _row("GET", "/login/reset", passwords.show_reset),
    _row("POST", "/login/reset", passwords.use_reset),
    _row("GET", "/login/upstream/{provider}", identity.begin),
    _row("GET", "/login/callback", identity.come_back),
    _row("GET", "/connect/{token}", connect.show_to_users),
    _row("POST", "/logout", signing_in.sign_out),
    _row("GET", "/setup/first", signing_in.show_first),
    _row("POST", "/setup/first", signing_in.use_first),
    _row("GET", "/errors", errors.show_all),
    _row("GET", "/errors/{code}", errors.show_code),
    _setup("GET", "", home.show),
    _setup("GET", "/apps", app_list.show, *APPS.permissions),
    _setup("GET", "/apps/new", app_rules.where_apps_are_made(app_form.new), MANAGE_APPS),
    _setup("POST", "/apps/new", app_rules.where_apps_are_made(app_form.create), MANAGE_APPS),
    _setup("GET", "/apps/deleted", app_life.show_deleted, *APPS.permissions),
    _setup("POST", "/apps/deleted", app_life.restore, MANAGE_APPS),
    _setup("GET", "/apps/{app_id}", of_app(apps.show), *APPS.permissions),
    _setup("GET", "/apps/{app_id}/edit", of_app(app_form.edit), MANAGE_APPS),
    _setup("POST", "/apps/{app_id}/edit", of_app(app_form.save), MANAGE_APPS),
    _setup("POST", "/apps/{app_id}/state", of_app(app_life.change_state), EDIT_POLICIES),
    _setup("GET", "/apps/{app_id}/delete", of_app(app_life.show_delete), MANAGE_APPS),
    _setup("POST", "/apps/{app_id}/delete", of_app(app_life.delete), MANAGE_APPS),
    _setup("GET", "/apps/{app_id}/connect", of_app(connect.show), *APPS.permissions),
    _setup("POST", "/apps/{app_id}/connect", of_app(connect.change), MANAGE_APPS),
    _setup("GET", "/apps/{app_id}/policies", of_app(policies.show), *APPS.permissions),
    _setup("POST", "/apps/{app_id}/policies", of_app(policies.save), EDIT_POLICIES),
    _setup("GET", "/apps/{app_id}/users", of_app(access.show), *APPS.permissions),
    _setup("GET", "/apps/{app_id}/usage", of_app(usage.show), *APPS.permissions),
    _setup("POST", "/apps/{app_id}/usage", of_app(usage.change), EDIT_POLICIES),
    _setup("GET", "/oauth-usage", usage.show_list, *USAGE.permissions),
    _setup("GET", "/app-settings", app_rules.show, *APP_SETTINGS.permissions),
    _setup("POST", "/app-settings", app_rules.save, *APP_SETTINGS.permissions),
    _setup("GET", "/apps/{app_id}/credentials", of_app(secrets.show), *APPS.permissions),
    _setup("POST", "/apps/{app_id}/credentials", of_app(secrets.change), MANAGE_APPS, needs_verification=True),
    _setup("GET", "/mcp-servers", listing.show, *SERVERS.permissions),
    _setup("POST", "/mcp-servers", listing.change, *SERVERS.permissions),
    _setup("GET", "/mcp-servers/new", making.new, *SERVERS.permissions),
    _setup("POST", "/mcp-servers/new", making.create, *SERVERS.permissions),
    _setup("GET", "/mcp-servers/{server_name}", of_server(page.show), *SERVERS.permissions),
    _setup("POST", "/mcp-servers/{server_name}", of_server(page.act), *SERVERS.permissions),
    _setup("GET", "/mcp-servers/{server_name}/items", of_server(items.show), *SERVERS.permissions),
    _setup("POST", "/mcp-servers/{server_name}/items", of_server(items.save), *SERVERS.permissions),
    _setup("GET", "/mcp-servers/{server_name}/item", of_server(items.show_one), *SERVERS.permissions),
    _setup("POST", "/mcp-servers/{server_name}/item", of_server(items.act), *SERVERS.permissions),
    _setup("GET", "/mcp-servers/{server_name}/settings", of_server(settings.show), *SERVERS.permissions),
    _setup("POST", "/mcp-servers/{server_name}/settings", of_server(settings.save), *SERVERS.permissions),
    _setup("GET", "/mcp-servers/{server_name}/database", of_server(database.show), *SERVERS.permissions),
    _setup("POST", "/mcp-servers/{server_name}/database", of_server(database.save), *SERVERS.permissions),
    _setup(
        "POST",
        "/mcp-servers/{server_name}/database/password",
        of_server(database.save_password),
        *SERVERS.permissions,
        needs_verification=True,
    ),
    _setup("GET", "/mcp-servers/{server_name}/approval", of_server(approval_rules.show), *SERVERS.permissions),
    _setup("POST", "/mcp-servers/{server_name}/approval", of_server(approval_rules.change), *SERVERS.permissions),
    _setup("GET", "/mcp-servers/{server_name}/credential", of_server(upstream_credential.show), *SERVERS.permissions),
    _setup(
        "POST",
        "/mcp-servers/{server_name}/credential",
        of_server(upstream_credential.change),
        *SERVERS.permissions,
        needs_verification=True,
    ),
    _setup("GET", "/apps/{app_id}/activity", of_app(activity.show), *APPS.permissions),
    _file("/apps/{app_id}/activity.csv", of_app(activity.export), *APPS.permissions),
    _setup("GET", "/audit", audit_trail.show, *AUDIT.permissions),
    _setup("POST", "/audit", audit_trail.change, *AUDIT.permissions),
    _file("/audit/export", audit_trail.export, *AUDIT.permissions),
    _setup("GET", "/sign-ins", sign_ins.show, *SIGN_INS.permissions),
    _setup("GET", "/my-sign-ins", sign_ins.show_own),
    _setup("GET", "/users", users.show, *USERS.permissions),
    _setup("GET", "/users/new", users.show_new, *USERS.permissions, needs_verification=True),
    _setup("POST", "/users/new", users.create, *USERS.permissions, needs_verification=True),
    _setup("GET", "/scopes", custom_scopes.show, *SCOPES.permissions),
    _setup("POST", "/scopes", custom_scopes.change, *SCOPES.permissions),
    _setup("GET", "/step-up", step_up.show),
    _setup("POST", "/step-up", step_up.allow),
    _setup("GET", "/approvals", approvals.show_list, *APPROVALS.permissions),
    _setup("GET", "/approvals/{id}", approvals.show),
    _setup("POST", "/approvals/{id}", approvals.decide),
    _setup("GET", "/my-approvals", approvals.show_own),
    _setup("GET", "/users/{user_id}", people.show, *USERS.permissions),
    _setup("POST", "/users/{user_id}", people.change, *USERS.permissions, needs_verification=True),
    _setup("GET", "/permission-sets", permission_sets.show_list, *SETS.permissions),
    _setup("GET", "/permission-sets/new", permission_sets.show_new, *SETS.permissions, needs_verification=True),
    _setup("POST", "/permission-sets/new", permission_sets.create, *SETS.permissions, needs_verification=True),
    _setup("GET", "/permission-sets/{set_name}", permission_sets.show, *SETS.permissions),
    _setup("POST", "/permission-sets/{set_name}", permission_sets.change, *SETS.permissions, needs_verification=True),
    _setup("GET", "/org-sessions", org_sessions.show, *ORG_SESSIONS.permissions),
    _setup("POST", "/org-sessions", org_sessions.change, *ORG_SESSIONS.permissions, needs_verification=True),
    _setup("GET", "/keys", signing_keys.show, *KEYS.permissions),
    _setup("POST", "/keys", signing_keys.change, *KEYS.permissions, needs_verification=True),
    _setup("GET", "/identity-providers", identity_providers.show_list, *PROVIDERS.permissions),
    _setup("POST", "/identity-providers", identity_providers.change, *PROVIDERS.permissions, needs_verification=True),
    _setup(
        "GET", "/identity-providers/new", identity_providers.show_new, *PROVIDERS.permissions, needs_verification=True
    ),
    _setup("POST", "/identity-providers/new", identity_providers.add, *PROVIDERS.permissions, needs_verification=True),
    _setup("GET", "/org", org_settings.show, *ORG.permissions),
    _setup("POST", "/org", org_settings.save, *ORG.permissions),
    _setup("GET", "/connections", connections.show),
    _setup("POST", "/connections", connections.change),
    _setup("GET", "/upstreams/{server}", upstreams.show, USE_MCP_SERVERS),
    _setup("POST", "/upstreams/{server}", upstreams.connect, USE_MCP_SERVERS),
    _setup("GET", "/upstreams/{server}/callback", upstreams.come_back, USE_MCP_SERVERS),
    _setup("GET", "/sessions", sessions.show),
    _setup("POST", "/sessions", sessions.change),
    _setup("GET", "/verify", verifying.show),
    _setup("POST", "/verify", verifying.verify),
    _setup("GET", "/second-factors", second_factors.show, needs_verification=True),
    _setup("POST", "/second-factors", second_factors.change, needs_verification=True),
    _setup("GET", "/second-factors/totp", second_factors.show_totp, needs_verification=True),
    _setup("POST", "/second-factors/totp", second_factors.confirm_totp, needs_verification=True),
    _setup("GET", "/second-factors/passkey", second_factors.show_passkey, needs_verification=True),
    _setup("POST", "/second-factors/passkey", second_factors.add_passkey, needs_verification=True),
    _setup("GET", "/password", passwords.show),
    _setup("POST", "/password", passwords.change),
    _setup("GET", "/preferences", preferences.show),
    _setup("POST", "/preferences", preferences.change),
    _setup("POST", "/theme", preferences.change_theme),
    _setup("GET", "/search", search.show),
    _setup("GET", "/errors/{trace_id}", errors.show_trace, MANAGE_APPS, EDIT_POLICIES, MANAGE_ORG),
)
