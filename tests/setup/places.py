"""Every page there is, from the rows that answer, and the ways to each state in which a person may see one."""

from collections.abc import Callable
from urllib.parse import urlencode

from playwright.sync_api import Page

from gatelodge import oauth, setup
from tests import browsing
from tests.devices import Device
from tests.running import Dev

GO = Callable[[Page, Dev], None]
ROWS = tuple(row for row in (*setup.ROUTES, *oauth.ENDPOINTS) if row.is_page)
REDIRECTS = ("", "/")
"""Pages that lead to another at once."""
SIGN_OUT = "/services/auth/idp/oidc/logout"


def at(path: str) -> GO:
    """By its address."""
    return lambda page, dev: (page.goto(f"{dev.issuer}{path}"), None)[1]


def of_an_app(below: str) -> GO:
    """A page of the seeded app for Cursor."""

    def go(page: Page, dev: Dev) -> None:
        page.goto(f"{dev.issuer}/setup/apps")
        page.get_by_role("link", name="Cursor").click()
        page.wait_for_url("**/setup/apps/0xI*")
        if below:
            page.goto(f"{page.url}{below}")

    return go


def page_for_users(page: Page, dev: Dev) -> None:
    """The page that an app's link leads to, made where there is none yet."""
    of_an_app("/connect?client=claude")(page, dev)
    if page.get_by_role("button", name="Make the page").count():
        page.get_by_role("button", name="Make the page").click()
    page.goto(page.locator("#page-link").inner_text())


def review(page: Page, dev: Dev) -> None:
    """A change that somebody would notice, before it is saved."""
    of_an_app("/edit")(page, dev)
    page.get_by_role("button", name="Remove callback URL 1").click()
    page.get_by_role("button", name="Save", exact=True).click()


def contested(page: Page, dev: Dev) -> None:
    """A form that was opened before somebody else saved the app."""
    of_an_app("/edit")(page, dev)
    page.get_by_label("Description").fill("Mine")
    page.locator("input[name=revision]").evaluate("field => { field.value = '0' }")
    page.get_by_role("button", name="Save", exact=True).click()


def row_menu(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/setup/apps")
    page.get_by_role("button", name="Actions for Cursor").click()


def authorize(page: Page, dev: Dev, preset: str, redirect_uri: str) -> None:
    """A client's request, as the browser opens it."""
    asked = {
        "response_type": "code",
        "client_id": dev.key(preset),
        "redirect_uri": redirect_uri,
        "scope": "mcp_api refresh_token",
        "state": "s",
        "resource": dev.mcp_url,
        "code_challenge": "a" * 43,
        "code_challenge_method": "S256",
    }
    page.goto(f"{dev.issuer}/services/oauth2/authorize?{urlencode(asked)}")


def consent(page: Page, dev: Dev) -> None:
    authorize(page, dev, "claude-code", "http://localhost:8080/callback")


def refused_callback(page: Page, dev: Dev) -> None:
    authorize(page, dev, "claude-code", "http://127.0.0.1:8080/callback")


def unknown_client(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/services/oauth2/authorize?client_id={'3MVG9' + 'x' * 80}&response_type=code")


def way_back_of_an_app(page: Page, dev: Dev) -> None:
    authorize(page, dev, "cursor", "cursor://anysphere.cursor-mcp/oauth/callback")
    page.locator("button[value=allow]").click()


def continue_page(page: Page, dev: Dev) -> None:
    way_back_of_an_app(page, dev)
    authorize(page, dev, "cursor", "cursor://anysphere.cursor-mcp/oauth/callback")


def refused_form(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/setup/apps/new?preset=cursor")
    page.get_by_label("External Client App Name").fill("")
    page.get_by_label("Contact Email").fill("nobody")
    page.get_by_label("Callback URL 1", exact=True).fill("http://example.com/a")
    page.get_by_role("button", name="Create", exact=True).click()


def refused_policies(page: Page, dev: Dev) -> None:
    of_an_app("/policies")(page, dev)
    page.get_by_label("Only those selected here").check()
    page.get_by_label("Default MCP server").select_option("sobject-reads")
    page.get_by_role("button", name="Save policies").click()


def refused_server(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/setup/mcp-servers/new")
    page.get_by_label("MCP URL").fill("http://mcp.example/mcp")
    page.get_by_role("button", name="Create").click()


def unread_server(page: Page, dev: Dev) -> None:
    """An upstream that nothing answers at; made by the first who comes here."""
    page.goto(f"{dev.issuer}/setup/mcp-servers/unread/settings")
    if page.get_by_label("MCP URL").count() == 0:
        page.goto(f"{dev.issuer}/setup/mcp-servers/new")
        page.get_by_label("MCP URL").fill("https://127.0.0.1:9/mcp")
        page.get_by_label("Label").fill("Unread")
        page.get_by_role("button", name="Create").click()
    page.goto(f"{dev.issuer}/setup/mcp-servers/unread")
    page.get_by_role("button", name="Look again").click()
    page.get_by_role("alert").wait_for()


def refused_server_settings(page: Page, dev: Dev) -> None:
    unread_server(page, dev)
    page.goto(f"{dev.issuer}/setup/mcp-servers/unread/settings")
    page.get_by_label("Seconds to connect").fill("soon")
    page.get_by_label("Label").fill("")
    page.get_by_role("button", name="Save", exact=True).click()


def refused_password(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/setup/password")
    page.get_by_label("Current password").fill("wrong")
    page.get_by_label("New password").fill("short")
    page.get_by_role("button", name="Change password").click()


def menu(which: str) -> GO:
    """A quiet page, with one of the top bar's menus open."""

    def go(page: Page, dev: Dev) -> None:
        page.goto(f"{dev.issuer}/setup/my-approvals")
        page.locator(f"{which} > summary").click()

    return go


def refused_org(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/setup/org")
    page.get_by_label("Org name").fill("")
    page.get_by_label("Trusted IP ranges").fill("10.0.0.0/33")
    page.get_by_label("Refresh window").fill("soon")
    page.get_by_role("button", name="Save", exact=True).click()


def answered_question(page: Page, dev: Dev) -> None:
    of_an_app("/users?username=noor@acme.example")(page, dev)


def unsafe_option(page: Page, dev: Dev) -> None:
    of_an_app("/edit")(page, dev)
    page.get_by_label("Enable Client Credentials Flow").check()
    page.get_by_label("Issue JSON Web Token").uncheck()


def of_a_user(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/setup/users")
    page.get_by_role("link", name="sam@acme.example").click()


def authenticator_app(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/setup/second-factors")
    page.get_by_role("button", name="Set up an authenticator app").click()


def enter_code(page: Page, dev: Dev, code: str) -> None:
    page.goto(f"{dev.issuer}/setup/connect")
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Continue").click()


def no_such_code(page: Page, dev: Dev) -> None:
    enter_code(page, dev, "BCDF-GHJK")


def device(page: Page, dev: Dev) -> None:
    """What a device asks for, to be confirmed."""
    enter_code(page, dev, Device(dev).codes["user_code"])


def connected_device(page: Page, dev: Dev) -> None:
    device(page, dev)
    page.get_by_role("button", name="Allow").click()
    page.get_by_role("heading", name="The device is connected").wait_for()


def stay(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}{SIGN_OUT}?client_id={dev.key('codex')}")
    page.get_by_role("button", name="Stay signed in").click()


def reset_link(page: Page, dev: Dev) -> None:
    of_a_user(page, dev)
    page.get_by_role("button", name="Make a password link").click()
    page.locator("#reset-link").wait_for()


def new_password(page: Page, dev: Dev) -> None:
    reset_link(page, dev)
    page.goto(page.locator("#reset-link").inner_text())


def foreign_form(page: Page, dev: Dev) -> None:
    """A form that was shown before the browser forgot everything."""
    page.goto(f"{dev.issuer}/setup/connect")
    page.locator("input[name=form_token]").evaluate("node => { node.value = 'x'; }")
    page.get_by_label("Code").fill("BCDF-GHJK")
    page.get_by_role("button", name="Continue").click()


def told(page: Page, dev: Dev) -> None:
    """What stands under the reference of a refusal."""
    refused_callback(page, dev)
    reference = page.locator("dl.reference code").last.inner_text()
    page.goto(f"{dev.issuer}/setup/errors/{reference}")


BY_ROW: dict[str, GO] = {
    "/setup": at("/setup"),
    "/setup/apps": at("/setup/apps"),
    "/setup/apps/new": at("/setup/apps/new"),
    "/setup/apps/{app_id}": of_an_app(""),
    "/setup/apps/{app_id}/edit": of_an_app("/edit"),
    "/setup/apps/deleted": at("/setup/apps/deleted"),
    "/setup/apps/{app_id}/delete": of_an_app("/delete"),
    "/setup/apps/{app_id}/activity": of_an_app("/activity"),
    "/setup/audit": at("/setup/audit"),
    "/setup/sign-ins": at("/setup/sign-ins"),
    "/setup/my-sign-ins": at("/setup/my-sign-ins"),
    "/setup/apps/{app_id}/connect": of_an_app("/connect"),
    "/connect/{token}": page_for_users,
    "/setup/apps/{app_id}/policies": of_an_app("/policies"),
    "/setup/apps/{app_id}/credentials": of_an_app("/credentials"),
    "/setup/mcp-servers": at("/setup/mcp-servers"),
    "/setup/mcp-servers/new": at("/setup/mcp-servers/new"),
    "/setup/mcp-servers/{server_name}": at("/setup/mcp-servers/sobject-reads"),
    "/setup/mcp-servers/{server_name}/items": at("/setup/mcp-servers/sobject-reads/items"),
    "/setup/mcp-servers/{server_name}/item": at("/setup/mcp-servers/sobject-reads/item?kind=tool&name=find"),
    "/setup/mcp-servers/{server_name}/settings": at("/setup/mcp-servers/sobject-reads/settings"),
    "/setup/mcp-servers/{server_name}/credential": at("/setup/mcp-servers/sobject-reads/credential"),
    "/setup/mcp-servers/{server_name}/database": at("/setup/mcp-servers/sobject-reads/database?look=1"),
    "/setup/mcp-servers/{server_name}/approval": at("/setup/mcp-servers/sobject-reads/approval"),
    "/setup/scopes": at("/setup/scopes"),
    "/setup/step-up": at("/setup/step-up"),
    "/setup/approvals": at("/setup/approvals"),
    "/setup/approvals/{id}": at("/setup/approvals/none"),
    "/setup/my-approvals": at("/setup/my-approvals"),
    "/setup/upstreams/{server}": at("/setup/upstreams/sobject-reads"),
    "/setup/upstreams/{server}/callback": at("/setup/upstreams/sobject-reads/callback"),
    "/setup/users": at("/setup/users"),
    "/setup/users/new": at("/setup/users/new"),
    "/setup/permission-sets": at("/setup/permission-sets"),
    "/setup/permission-sets/new": at("/setup/permission-sets/new?from=Standard_User"),
    "/setup/permission-sets/{set_name}": at("/setup/permission-sets/Standard_User?object=*"),
    "/setup/oauth-usage": at("/setup/oauth-usage"),
    "/setup/apps/{app_id}/usage": of_an_app("/usage"),
    "/setup/app-settings": at("/setup/app-settings"),
    "/setup/org-sessions": at("/setup/org-sessions"),
    "/setup/keys": at("/setup/keys"),
    "/setup/identity-providers": at("/setup/identity-providers"),
    "/setup/identity-providers/new": at("/setup/identity-providers/new"),
    "/setup/apps/{app_id}/users": of_an_app("/users"),
    "/setup/users/{user_id}": of_a_user,
    "/setup/org": at("/setup/org"),
    "/setup/password": at("/setup/password"),
    "/setup/connections": at("/setup/connections"),
    "/setup/sessions": at("/setup/sessions"),
    "/setup/preferences": at("/setup/preferences"),
    "/setup/search": at("/setup/search?q=cur"),
    "/errors": at("/errors"),
    "/errors/{code}": at("/errors/GL-3012"),
    "/setup/errors/{trace_id}": told,
    "/setup/verify": at("/setup/verify"),
    "/setup/second-factors": at("/setup/second-factors"),
    "/setup/second-factors/totp": authenticator_app,
    "/setup/second-factors/passkey": at("/setup/second-factors/passkey"),
    "/login/factor": at("/login/factor"),
    "/login/reset": at("/login/reset?token=none"),
    "/login/upstream/{provider}": at("/login/upstream/nobodys"),
    "/login/callback": at("/login/callback"),
    "/login": at("/login"),
    "/setup/connect": at("/setup/connect"),
    "/setup/connect/{user_code}": at("/setup/connect/BCDF-GHJK"),
    SIGN_OUT: at(SIGN_OUT),
    "/flow": consent,
}
BY_STATE: dict[str, GO] = {
    "a form that somebody else was faster with": contested,
    "the menu of a row": row_menu,
    "a list that is filtered": at("/setup/apps?q=cursor&status=ready&client=cursor&by=robin@acme.example"),
    "a list in which nothing is found": at("/setup/apps?q=nothing+of+the+kind"),
    "a callback URL with a slip": at("/setup/apps/new?preset=vscode"),
    "a link that leads nowhere": at("/connect/0xI000000000000AAA.none"),
    "a new records server": at("/setup/mcp-servers/new?kind=records"),
    "a server that was refused": refused_server,
    "a server that can't be read": unread_server,
    "settings of a server that were refused": refused_server_settings,
    "a server that there isn't": at("/setup/mcp-servers/nothing"),
    "a search for tools in vain": at("/setup/mcp-servers/sobject-reads/items?words=nothing"),
    "a form that was refused": refused_form,
    "policies that were refused": refused_policies,
    "a password that was refused": refused_password,
    "org settings that were refused": refused_org,
    "whether a user can use an app": answered_question,
    "an unsafe option that is selected": unsafe_option,
    "an app that there isn't": at("/setup/apps/0xI000000000000AAA"),
    "Quick Find": at("/setup?find=external+client"),
    "Quick Find in vain": at("/setup?find=nothing+of+the+kind"),
    "a search in vain": at("/setup/search?q=nothing+of+the+kind"),
    "preferences that were saved": at("/setup/preferences?saved=1"),
    "the account menu": menu(".account"),
    "the menu of colours": menu("#theme"),
    "the help": menu("#help"),
    "an error code that there isn't": at("/errors/GL-1"),
    "a reference that nothing stands under": at("/setup/errors/none"),
    "a form of another browser": foreign_form,
    "a query that can't be read": at("/setup/apps?after=%ff"),
    "a refused callback": refused_callback,
    "an unknown client": unknown_client,
    "the way back of an installed app": way_back_of_an_app,
    "a confirmation": continue_page,
    "a flow that is over": at("/flow?request=nothing"),
    "a code that no device shows": no_such_code,
    "a device": device,
    "a device that is connected": connected_device,
    "a sign-out that can't be followed": at(f"{SIGN_OUT}?client_id=nobody"),
    "somebody who stays signed in": stay,
    "a password reset link": reset_link,
    "a new password": new_password,
}


def wrong_password(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.issuer}/login")
    page.get_by_label("Username").fill("robin@acme.example")
    page.get_by_label("Password").fill("not it")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()


def no_access(page: Page, dev: Dev) -> None:
    consent(page, dev)
    browsing.fill_sign_in(page, dev.user(2))


def no_access_for_a_device(page: Page, dev: Dev) -> None:
    device(page, dev)
    browsing.fill_sign_in(page, dev.user(2))
    page.get_by_role("button", name="Continue").click()


FOR_A_STRANGER: dict[str, GO] = {
    "the sign-in page": at("/login"),
    "a wrong password": wrong_password,
    "the flow's sign-in page": consent,
    "a user who may not use MCP servers": no_access,
    "signing in for a device": device,
    "a device of a user who may not use MCP servers": no_access_for_a_device,
    "nobody to sign out": at(SIGN_OUT),
}
FOR_A_USER: dict[str, GO] = {
    "home without permissions": at("/setup"),
    "a page that needs a permission": at("/setup/apps"),
}
