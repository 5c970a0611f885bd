"""The face of administrators: Setup. ``ROUTES`` is what it answers; ``frame.TREE`` is what Quick Find knows."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core.orgs import Org
from gatelodge.core.permissions import EDIT_POLICIES, MANAGE_APPS
from gatelodge.setup import app_form, apps, org_pages, signing_in
from gatelodge.setup.apps import of_app
from gatelodge.setup.frame import APPS, SERVERS, USERS, Answer, guarded
from gatelodge.web.routes import Route
from gatelodge.web.site import Endpoint, Site


def _row(method: str, path: str, answer: Endpoint) -> Route:
    return Route(path=path, methods=(method,), answer=answer, is_page=True)


def _setup(method: str, path: str, answer: Answer, *permissions: str) -> Route:
    return _row(method, f"/setup{path}", guarded(answer, *permissions))


async def front_door(site: Site, org: Org, request: Request) -> Response:
    """The org's own URL leads to Setup."""
    return RedirectResponse(f"{org.issuer}/setup", 303)


ROUTES = (
    _row("GET", "/", front_door),
    _row("GET", "", front_door),
    _row("GET", "/login", signing_in.show_sign_in),
    _row("POST", "/login", signing_in.sign_in),
    _row("POST", "/logout", signing_in.sign_out),
    _row("GET", "/setup/first", signing_in.show_first),
    _row("POST", "/setup/first", signing_in.use_first),
    _setup("GET", "", org_pages.home),
    _setup("GET", "/apps", apps.show_list, *APPS.permissions),
    _setup("GET", "/apps/new", app_form.new, MANAGE_APPS),
    _setup("POST", "/apps/new", app_form.create, MANAGE_APPS),
    _setup("GET", "/apps/{app_id}", of_app(apps.show), *APPS.permissions),
    _setup("GET", "/apps/{app_id}/edit", of_app(app_form.edit), MANAGE_APPS),
    _setup("POST", "/apps/{app_id}/edit", of_app(app_form.save), MANAGE_APPS),
    _setup("GET", "/apps/{app_id}/policies", of_app(apps.show_policies), *APPS.permissions),
    _setup("POST", "/apps/{app_id}/policies", of_app(apps.save_policies), EDIT_POLICIES),
    _setup("GET", "/apps/{app_id}/credentials", of_app(apps.show_credentials), *APPS.permissions),
    _setup("GET", "/mcp-servers", org_pages.show_servers, *SERVERS.permissions),
    _setup("POST", "/mcp-servers", org_pages.change_server, *SERVERS.permissions),
    _setup("GET", "/users", org_pages.show_users, *USERS.permissions),
    _setup("GET", "/password", org_pages.show_password),
    _setup("POST", "/password", org_pages.change_password),
    _setup("POST", "/theme", org_pages.change_theme),
)
