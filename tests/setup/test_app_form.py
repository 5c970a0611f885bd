"""Making an app in Chromium: by keyboard alone, without JavaScript, from a preset, and when something is wrong."""

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gatelodge.core.scopes import SCOPES
from tests import browsing
from tests.requirements import requirement
from tests.running import Dev

CLAUDE = ["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"]


COVERED = """node => {
    const box = node.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return node.contains(top) || top?.closest('label')?.control === node ? '' : top?.outerHTML.slice(0, 80) ?? box.y;
}"""
"""What lies over the middle of an element."""


def open_form(page: Page, org: Dev) -> None:
    page.goto(f"{org.issuer}/setup/apps/new")


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, as somebody without a mouse does; the focus must be seen meanwhile."""
    target.wait_for()
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("node => node === document.activeElement"):
            assert target.evaluate("node => node.matches(':focus-visible')")
            covered = target.evaluate(COVERED)
            assert not covered, f"{target} has the focus under {covered}"
            return
    raise AssertionError(f"the keyboard does not reach {target}")


@pytest.mark.slow
@requirement("setup:keyboard")
def test_the_keyboard_alone_makes_an_app(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup/apps")
    tab_to(page, page.get_by_role("link", name="New External Client App"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("External Client App Name"))
    page.keyboard.type("By keyboard")
    tab_to(page, page.get_by_label("API Name"))
    expect(page.get_by_label("API Name")).to_have_value("By_keyboard")
    tab_to(page, page.locator("summary", has_text="API (Enable OAuth Settings)"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Enable OAuth", exact=False))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_label("Callback URL 1", exact=True))
    page.keyboard.type(CLAUDE[0])
    tab_to(page, page.get_by_label("Available OAuth Scopes"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    tab_to(page, page.get_by_role("button", name="Add the marked scopes"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Selected OAuth Scopes").locator("option")).to_have_count(2)
    tab_to(page, page.get_by_label("Selected OAuth Scopes"))
    page.keyboard.press("End")
    page.keyboard.press("Shift+Tab")  # back to the button that removes
    page.keyboard.press("Enter")
    expect(page.get_by_label("Selected OAuth Scopes").locator("option")).to_have_count(1)
    tab_to(page, page.get_by_role("button", name="Create", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("By keyboard")
    expect(page.get_by_role("main")).to_contain_text("Access MCP servers (mcp_api)")
    expect(page.get_by_role("main")).not_to_contain_text("(refresh_token)")


@pytest.mark.slow
@requirement("setup:without-script")
def test_without_javascript_an_app_is_made_from_a_preset_with_scopes_moved(plain: Page, org: Dev):
    open_form(plain, org)
    plain.get_by_label("External Client App Name").fill("Without script")
    plain.get_by_text("API (Enable OAuth Settings)").click()
    plain.get_by_label("Available OAuth Scopes").select_option("refresh_token")
    plain.get_by_role("button", name="Add the marked scopes").click()
    expect(plain.get_by_label("Selected OAuth Scopes").locator("option")).to_have_count(1)
    expect(plain.get_by_label("External Client App Name")).to_have_value("Without script")
    plain.locator(".preset", has_text="Claude").first.click()
    plain.get_by_role("button", name="Use this client").click()
    expect(plain.get_by_label("Callback URL 1", exact=True)).to_have_value(CLAUDE[0])
    plain.get_by_label("Selected OAuth Scopes").select_option("refresh_token")
    plain.get_by_role("button", name="Remove the marked scopes").click()
    expect(plain.get_by_label("Available OAuth Scopes").locator("option")).to_have_count(len(SCOPES) - 1)
    plain.get_by_role("button", name="Create", exact=True).click()
    expect(plain.get_by_role("heading", level=1)).to_have_text("Without script")
    expect(plain.get_by_role("main")).to_contain_text("Without_script")
    plain.get_by_role("link", name="Consumer Key and Secret").click()
    assert re.fullmatch(r"3MVG9[A-Za-z0-9._]{80}", plain.locator("#consumer-key").inner_text())


@pytest.mark.slow
@requirement("setup:presets")
def test_pointing_at_a_client_fills_the_form_and_the_arrow_keys_only_choose(page: Page, org: Dev):
    open_form(page, org)
    page.get_by_label("External Client App Name").fill("Typed before")
    page.locator(".preset", has_text="Cursor").click()
    expect(page.get_by_label("Callback URL 1", exact=True)).to_have_value(
        re.compile("cursor://anysphere.cursor-mcp/oauth/callback")
    )
    expect(page.get_by_label("External Client App Name")).to_have_value("Typed before")
    expect(page.get_by_label("Selected OAuth Scopes").locator("option")).to_have_count(2)
    page.get_by_role("radio", name="Cursor").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="ChatGPT")).to_be_checked()
    expect(page.get_by_label("Callback URL 1", exact=True)).to_have_value(re.compile("cursor://"))
    page.get_by_role("button", name="Use this client").press("Enter")
    expect(page.get_by_label("Callback URL 1", exact=True)).to_have_value("")
    expect(page.get_by_role("main")).to_contain_text("Copy the callback URL from ChatGPT's own settings")


@pytest.mark.slow
@requirement("setup:keeps-what-was-typed", "setup:errors-beside-fields")
def test_a_refused_form_keeps_everything_and_its_summary_leads_to_each_field(page: Page, org: Dev):
    open_form(page, org)
    page.get_by_text("API (Enable OAuth Settings)").click()
    page.get_by_label("Enable OAuth", exact=False).check()
    typed = {
        "External Client App Name": "", "API Name": "two__parts", "Contact Email": "nobody",
        "Contact Phone": "call me", "Info URL": "http://a.example", "Callback URL 1": "http://a.example/x",
    }  # fmt: skip
    for label, value in typed.items():
        page.get_by_role("textbox", name=label).fill(value)
    page.get_by_label("Distribution State").select_option("Packaged")
    page.get_by_label("Description").fill("Two\nlines")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page).to_have_title(re.compile("^Error: "))
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("Nothing was saved. 7 fields need another look:")
    for label, value in typed.items():
        field = page.get_by_role("textbox", name=label)
        expect(field).to_have_value(value)
        expect(field).to_have_attribute("aria-invalid", "true")
        message = page.locator(f"#{field.get_attribute('id')}-error").inner_text()
        expect(field).to_have_accessible_description(re.compile(re.escape(" ".join(message.split()))))
        summary.get_by_role("link", name=message).click()
        expect(field).to_be_focused()
    expect(page.get_by_label("Distribution State")).to_have_value("Packaged")
    expect(page.get_by_label("Description")).to_have_value("Two\nlines")
    summary.get_by_role("link", name="Select at least one OAuth scope").click()
    expect(page.get_by_label("Available OAuth Scopes")).to_be_focused()


@pytest.mark.slow
@requirement("setup:consumer-key")
def test_copy_puts_the_whole_key_on_the_clipboard_and_says_so(page: Page, org: Dev):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=org.issuer)
    page.goto(f"{org.issuer}/setup/apps")
    page.get_by_role("link", name="Claude Code").click()
    page.get_by_role("link", name="Connect", exact=True).click()
    page.get_by_role("button", name="Copy A terminal").click()
    assert copied(page) == (
        f"claude mcp add --transport http --client-id {org.key('claude-code')} --callback-port 8080"
        f" gatelodge-sobject-reads {org.mcp_url}"
    )
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_role("link", name="Consumer Key and Secret").click()
    page.get_by_role("button", name="Copy the consumer key").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_have_count(1)
    assert copied(page) == org.key("claude-code") == page.locator("#consumer-key").inner_text()
    assert re.fullmatch(r"3MVG9[A-Za-z0-9._]{80}", copied(page))


def copied(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


@pytest.mark.slow
@requirement("setup:live-on")
def test_an_apps_page_says_where_it_is_live_and_how_long_it_took(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup/apps/new?preset=claude")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator("#live")).to_have_text(re.compile(r"Live on 1 of 1 nodes, after \d+ ms"))
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("External Client App Name").fill("Claude for all")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Claude for all")
    expect(page.locator("#live")).to_have_text(re.compile(r"Live on 1 of 1 nodes, after \d+ ms"))


@pytest.mark.slow
@requirement("setup:hostile-text")
def test_a_name_that_is_a_script_runs_nowhere(browser: Browser, page: Page, org: Dev):
    name = '<img src=x onerror="document.title=1">'
    page.goto(f"{org.issuer}/setup/apps/new?preset=claude-code")
    page.get_by_label("External Client App Name").fill(name)
    page.get_by_label("API Name").fill("Hostile")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_role("link", name="Consumer Key and Secret").click()
    key = page.locator("#consumer-key").inner_text()
    page.goto(f"{org.issuer}/setup/apps")
    expect(page.get_by_role("link", name=name)).to_be_visible()
    with browsing.window(browser) as window:
        window.goto(
            f"{org.issuer}/services/oauth2/authorize?response_type=code&client_id={key}&code_challenge={'a' * 43}"
            "&code_challenge_method=S256&redirect_uri=http://localhost:8080/callback"
        )
        browsing.fill_sign_in(window, org.user(1))
        expect(window.get_by_role("heading", level=1)).to_have_text(f"Allow {name}?")
        assert window.locator("img").count() == 0
