"""The journey that must always work, walked by someone who has no mouse, with JavaScript and without."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests import browsing
from tests.journeys.keys import Keyboard
from tests.journeys.python_client import PythonClient
from tests.requirements import requirement
from tests.running import Dev
from tests.setup.seeing import WIDE

CALLBACK = "https://claude.ai/api/mcp/auth_callback"
MANAGER, NAME = "External Client App Manager", "Acme assistant"


def sign_in(keys: Keyboard, user: dict[str, str]) -> None:
    """The sign-in page has the focus where one begins to type."""
    expect(keys.page.get_by_label("Username")).to_be_focused()
    keys.page.keyboard.type(user["username"])
    keys.press("Tab")
    keys.page.keyboard.type(user["password"])
    keys.go()
    expect(keys.page.get_by_label("Password")).to_have_count(0)


def search(keys: Keyboard, shortcut: str, *, has_script: bool) -> None:
    """An app is found from wherever one is, and opened."""
    if has_script:
        keys.press(shortcut)
        expect(keys.page.locator("#search")).to_be_focused()
        keys.page.keyboard.type("codex")
        expect(keys.page.locator("#search-found a")).not_to_have_count(0)
        keys.press("Escape")
        expect(keys.page.locator("#search-found a")).to_have_count(0)
        keys.write("codex")
        expect(keys.page.locator("#search-found a")).not_to_have_count(0)
        keys.to(keys.page.locator("#search-found a", has_text="Codex").first, "ArrowDown")
    else:
        keys.into("searchbox", "Search Setup, apps, servers and users")
        keys.page.keyboard.type("codex")
        keys.go()
        expect(keys.page.get_by_role("heading", level=1)).to_have_text("Search")
        keys.skip()
        keys.to(keys.page.locator("main .hits a", has_text="Codex").first)
    keys.go()
    expect(keys.page.get_by_role("heading", level=1)).to_have_text("Codex")


def quick_find(keys: Keyboard, words: str, then: str, *, has_script: bool) -> None:
    """The page's name, or another word for it, in the box on the left."""
    found = keys.page.locator("#tree").get_by_role("link", name=then, exact=True)
    keys.into("searchbox", "Quick Find")
    keys.write(words)
    if has_script:
        expect(keys.page.locator("#find-count")).to_have_text(re.compile(r"^[12] match"))
        keys.to(found, "ArrowDown")
    else:
        keys.go()
        expect(keys.page.locator("#find-count")).to_have_text(re.compile(r"^[12] match"))
        keys.to(found)
    keys.go()
    expect(keys.page.get_by_role("heading", level=1)).to_have_text(then)


def make_app(keys: Keyboard) -> None:
    """New External Client App, with Claude's preset, a name of one's own, a callback URL too many, and scopes moved."""
    page = keys.page
    keys.follow("link", "New External Client App")
    expect(page.get_by_role("heading", level=1)).to_have_text("New External Client App")
    keys.skip()
    keys.to(page.locator("input[name=preset]:checked"))
    keys.to(page.locator("input[name=preset][value=claude]"), "ArrowLeft")
    keys.into("button", "Use this client")
    keys.go()
    expect(page.get_by_label("Callback URL 1", exact=True)).to_have_value(CALLBACK)
    keys.into("textbox", "External Client App Name")
    keys.write(NAME)
    keys.into("textbox", "API Name")
    keys.write("Acme_assistant")
    callbacks(keys)
    scopes(keys)
    keys.into("button", "Create")
    keys.press("Enter")
    page.wait_for_url("**/setup/apps/0xI*")


def callbacks(keys: Keyboard) -> None:
    """One is added, typed and removed again."""
    page = keys.page
    before = page.locator("#callbacks input").count()
    keys.into("button", "Add another")
    keys.press("Enter")
    expect(page.locator("#callbacks input")).to_have_count(before + 1)
    keys.into("textbox", f"Callback URL {before + 1}")
    keys.write("https://claude.ai/wrong")
    keys.into("button", f"Remove callback URL {before + 1}")
    keys.press("Enter")
    expect(page.locator("#callbacks input")).to_have_count(before)


def scopes(keys: Keyboard) -> None:
    """The second of the two is moved out of the list and back into it."""
    for source, other, button in (
        ("Selected", "Available", "Remove the marked scopes from Selected"),
        ("Available", "Selected", "Add the marked scopes to Selected"),
    ):
        listed = keys.page.get_by_label(f"{source} OAuth Scopes").locator("option")
        moved = "Perform requests at any time (refresh_token)"
        expect(listed.filter(has_text=moved)).to_have_count(1)
        keys.to(keys.page.get_by_label(f"{source} OAuth Scopes"))
        keys.page.keyboard.type("Perform")
        keys.into("button", button, key="Shift+Tab" if source == "Selected" else "Tab")
        keys.press("Enter")
        expect(keys.page.get_by_label(f"{other} OAuth Scopes").locator("option").filter(has_text=moved)).to_have_count(
            1
        )


def set_policies(keys: Keyboard) -> str:
    """The app's tab Policies: a shorter lifetime; then its consumer key."""
    page = keys.page
    keys.follow("link", "Policies")
    expect(page.get_by_role("link", name="Policies", exact=True)).to_have_attribute("aria-current", "page")
    keys.skip()
    keys.into("textbox", "Access token lifetime in minutes")
    keys.write("15")
    keys.into("button", "Save policies")
    keys.go()
    expect(page.get_by_label("Access token lifetime in minutes")).to_have_value("15")
    keys.follow("link", "Settings")
    keys.follow("link", "Consumer Key and Secret")
    return page.locator("#consumer-key").inner_text()


def activate_server(keys: Keyboard, *, has_script: bool) -> None:
    """A second MCP server is let in, and then for one permission set alone."""
    page = keys.page
    quick_find(keys, "mcp servers", then="MCP Servers", has_script=has_script)
    keys.follow("button", "Activate SObject Mutations")
    expect(page.get_by_role("button", name="Deactivate SObject Mutations")).to_be_visible()
    keys.follow("link", "SObject Mutations")
    keys.follow("link", "Settings")
    keys.skip()
    keys.into("checkbox", "Standard User")
    keys.press("Space")
    keys.into("button", "Save")
    keys.go()
    expect(page.get_by_role("link", name="Overview")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("main")).to_contain_text("Standard_User")


def allow(keys: Keyboard, url: str, user: dict[str, str]) -> str:
    """The user signs in and says yes; the URL with which the browser goes back to the client."""
    keys.page.goto(url)
    sign_in(keys, user)
    keys.into("button", "Allow")
    with keys.page.expect_request(f"{CALLBACK}?**") as way_back:
        keys.press("Enter")
    return way_back.value.url


def revoke(keys: Keyboard, *, has_script: bool) -> None:
    """The org's usage names the user; one button ends what they allowed."""
    quick_find(keys, "oauth usage", then="OAuth Usage", has_script=has_script)
    keys.follow("link", f"Users of {NAME}")
    expect(keys.page.get_by_role("main")).to_contain_text("Sam Lindqvist")
    keys.follow("button", "Revoke everything of sam@acme.example")
    expect(keys.page.get_by_role("main")).not_to_contain_text("Sam Lindqvist")


@pytest.mark.slow
@pytest.mark.parametrize("has_script", [True, False], ids=["with script", "without script"])
@requirement("journey:by-keyboard")
def test_the_keyboard_alone_makes_an_app_connects_a_user_and_ends_it_again(
    own_dev: Dev, browser: Browser, *, has_script: bool
):
    options: dict[str, Any] = {"viewport": WIDE, "java_script_enabled": has_script}
    with browsing.window(browser, **options) as page:
        keys = Keyboard(page)
        page.goto(f"{own_dev.issuer}/setup")
        sign_in(keys, own_dev.user(0))
        for shortcut in ("/", "Control+k"):
            search(keys, shortcut, has_script=has_script)
        quick_find(keys, "external client app m", then=MANAGER, has_script=has_script)
        make_app(keys)
        key = set_policies(keys)
        activate_server(keys, has_script=has_script)
        connect(browser, own_dev, key, options)
        revoke(keys, has_script=has_script)


def connect(browser: Browser, dev: Dev, key: str, options: dict[str, Any]) -> None:
    """Sam's client calls a tool in Sam's name."""
    assert re.fullmatch("3MVG9.{80}", key)
    client = PythonClient(dev.mcp_url, key, CALLBACK, "2026-07-28")
    client.begin_calling("soqlQuery", {"q": "SELECT COUNT() FROM Account"})
    with browsing.window(browser, **options) as page:
        client.receive(allow(Keyboard(page), client.page_to_open(), dev.user(1)))
    assert json.loads(client.result().content[0].text)["totalSize"] == 400
