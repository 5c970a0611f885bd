"""The frame around every page: Quick Find, the colour scheme, the account menu, and what small windows leave out."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from gatelodge.setup.tree import TREE
from tests import browsing
from tests.requirements import requirement
from tests.running import Dev, running_dev

MANAGER = "External Client App Manager"


def tree(page: Page) -> Any:
    return page.locator("#tree").get_by_role("link")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["external client app m", "EXTERNAL  Client app M", "connected app", "redirect uri", "client id"]
)
@requirement("setup:quick-find")
def test_quick_find_narrows_the_tree_while_one_types_and_the_arrow_keys_lead_into_it(page: Page, org: Dev, words: str):
    page.goto(f"{org.issuer}/setup")
    expect(tree(page)).to_have_count(len(TREE))
    page.get_by_label("Quick Find").press_sequentially(words)
    expect(tree(page)).to_have_text([MANAGER])
    expect(page.locator("#find-count")).to_have_text("1 match")
    page.keyboard.press("ArrowDown")
    expect(tree(page).first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Quick Find")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(MANAGER)


@pytest.mark.slow
@requirement("setup:quick-find")
def test_quick_find_works_without_javascript_and_marks_what_matches(plain: Page, org: Dev):
    plain.goto(f"{org.issuer}/setup")
    plain.get_by_label("Quick Find").fill("external client app m")
    plain.keyboard.press("Enter")
    expect(plain.locator("#find-count")).to_have_text("1 match")
    expect(plain.locator("#tree mark")).to_have_text("External Client App M")
    tree(plain).click()
    expect(plain.get_by_role("heading", level=1)).to_have_text(MANAGER)


@pytest.mark.slow
@requirement("setup:quick-find")
def test_what_quick_find_does_not_know_is_said(page: Page, plain: Page, org: Dev):
    plain.goto(f"{org.issuer}/setup?find=<b>nothing")
    expect(plain.get_by_role("navigation", name="Setup")).to_contain_text("Nothing in Setup is called “<b>nothing”.")
    page.goto(f"{org.issuer}/setup")
    page.get_by_label("Quick Find").fill("nothing")
    expect(page.locator("#find-count")).to_have_text("0 matches")


@pytest.mark.slow
@requirement("setup:small-windows")
def test_in_a_small_window_quick_find_still_reaches_every_page(browser: Browser, robin: Any, org: Dev):
    with browsing.window(browser, state=robin, viewport=browsing.NARROW) as page:
        page.goto(f"{org.issuer}/setup")
        expect(tree(page)).to_have_count(0)
        page.get_by_label("Quick Find").click()
        expect(tree(page)).to_have_count(len(TREE))
        tree(page).filter(has_text=re.compile("^Users$")).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Users")
    with browsing.window(browser, state=robin, viewport=browsing.NARROW, java_script_enabled=False) as page:
        page.goto(f"{org.issuer}/setup?find=external+client+app+m")
        expect(tree(page)).to_have_text([MANAGER])


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def choose(page: Page, colours: str) -> None:
    page.locator("#theme > summary").click()
    page.locator("#theme").get_by_role("button", name=colours).click()
    page.locator("#theme").get_by_role("button", name=colours, pressed=True).wait_for()


@pytest.mark.slow
@requirement("setup:theme")
def test_the_colour_scheme_changes_in_place_so_that_a_half_filled_form_stays(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup/apps/new")
    page.get_by_label("External Client App Name").fill("Half")
    before = background(page)
    choose(page, "Dark")
    assert background(page) != before
    expect(page.get_by_label("External Client App Name")).to_have_value("Half")
    page.goto(f"{org.issuer}/setup/users")
    assert background(page) != before
    choose(page, "System")
    assert background(page) == before


@pytest.mark.slow
@requirement("setup:theme")
def test_the_colours_follow_the_user_to_every_browser_and_the_browser_to_its_sign_in_page(browser: Browser, org: Dev):
    with browsing.window(browser) as page:
        browsing.sign_in(page, org, 1)
        choose(page, "Dark")
        dark = background(page)
        page.locator(".account > summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{org.issuer}/login")
        assert background(page) == dark
    with browsing.window(browser) as other:
        browsing.sign_in(other, org, 1)
        assert background(other) == dark
        choose(other, "System")


@pytest.mark.slow
@requirement("setup:theme")
def test_without_javascript_the_colour_scheme_changes_and_one_stays_on_the_page(plain: Page, org: Dev):
    plain.goto(f"{org.issuer}/setup/users")
    before = background(plain)
    plain.locator("#theme > summary").click()
    plain.get_by_role("button", name="Dark").click()
    expect(plain).to_have_url(f"{org.issuer}/setup/users")
    assert background(plain) != before
    plain.locator("#theme > summary").click()
    plain.get_by_role("button", name="System").click()


@pytest.mark.slow
@requirement("setup:sign-out")
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_the_account_menu_signs_out(browser: Browser, org: Dev, script: bool):
    with browsing.window(browser, java_script_enabled=script) as page:
        browsing.sign_in(page, org, 1)
        page.locator(".account > summary").click()
        expect(page.locator(".account")).to_contain_text("sam@acme.example")
        if script:
            page.keyboard.press("Escape")
            expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
            page.locator(".account > summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{org.issuer}/login")
        page.goto(f"{org.issuer}/setup")
        expect(page.get_by_role("heading")).to_have_text("Sign in")


@pytest.mark.slow
@requirement("setup:password")
def test_a_user_changes_the_password_with_the_old_one_as_proof(browser: Browser, tmp_path):
    with running_dev(tmp_path) as org, browsing.window(browser) as page:
        browsing.sign_in(page, org, 1)
        page.goto(f"{org.issuer}/setup/password")
        page.get_by_label("Current password").fill("not mine")
        page.get_by_label("New password").fill("a gate and a lodge")
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_label("Current password")).to_have_accessible_description(
            "This isn't your current password."
        )
        page.get_by_label("Current password").fill(org.user(1)["password"])
        page.get_by_label("New password").fill("short")
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_label("New password")).to_have_accessible_description(re.compile("at least 12 are needed"))
        page.get_by_label("Current password").fill(org.user(1)["password"])
        page.get_by_label("New password").fill("a gate and a lodge")
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_role("status").filter(has_text="Your password is changed.")).to_be_visible()
        with browsing.window(browser) as other:
            other.goto(f"{org.issuer}/login")
            other.get_by_label("Username").fill("sam@acme.example")
            other.get_by_label("Password").fill(org.user(1)["password"])
            other.keyboard.press("Enter")
            expect(other.get_by_role("alert")).to_contain_text("isn't right")
            expect(other.get_by_label("Username")).to_have_value("sam@acme.example")
            browsing.fill_sign_in(other, {"username": "sam@acme.example", "password": "a gate and a lodge"})
            expect(other.get_by_role("heading", level=1)).to_have_text("Acme")


@pytest.mark.slow
@requirement("setup:mcp-servers")
def test_a_server_is_deactivated_and_activated_and_each_apps_page_knows(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup/mcp-servers")
    page.get_by_role("button", name="Deactivate SObject Reads").click()
    expect(page.get_by_role("table")).to_contain_text("Inactive")
    page.goto(f"{org.issuer}/setup/apps")
    page.get_by_role("link", name="Codex").click()
    expect(page.get_by_role("main")).to_contain_text("Activate one under MCP Servers")
    page.goto(f"{org.issuer}/setup/mcp-servers")
    page.get_by_role("button", name="Activate SObject Reads").click()
    page.goto(f"{org.issuer}/setup/apps")
    expect(page.get_by_role("row", name=re.compile("Codex"))).to_contain_text("Ready")


@pytest.mark.slow
@requirement("setup:users")
def test_users_are_listed_with_their_permission_sets(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup/users")
    expect(page.get_by_role("row", name=re.compile("robin@acme.example"))).to_contain_text("Administrator")
    expect(page.get_by_role("row", name=re.compile("sam@acme.example"))).to_contain_text("Standard User")


@pytest.mark.slow
@requirement("setup:propagation-delay")
def test_an_org_that_imitates_the_originals_wait_says_how_long_and_turns_green_by_itself(browser: Browser, tmp_path):
    with running_dev(tmp_path, "--propagation-delay", "4s") as org, browsing.window(browser) as page:
        browsing.sign_in(page, org)
        page.goto(f"{org.issuer}/setup/apps/new?preset=claude")
        expect(page.get_by_role("main")).to_contain_text("Changes are live after 4 seconds.")
        page.get_by_role("button", name="Create", exact=True).click()
        expect(page.locator("#live")).to_have_text(re.compile(r"Live in [1-4] s"))
        expect(page.locator("#live")).to_have_text(re.compile(r"Live on 1 of 1 nodes, after 4\d{3} ms"), timeout=15_000)


@pytest.mark.slow
@requirement("setup:under-a-path")
def test_under_a_path_of_the_public_url_setup_is_whole(browser: Browser, tmp_path):
    with running_dev(tmp_path, path="/gate") as org, browsing.window(browser) as page:
        assert org.issuer.endswith("/gate")
        browsing.sign_in(page, org)
        tree(page).filter(has_text=MANAGER).click()
        page.get_by_role("link", name="New External Client App").click()
        page.locator(".preset", has_text="Codex").click()
        page.get_by_role("button", name="Create", exact=True).click()
        expect(page.get_by_label("API Name")).to_have_accessible_description(re.compile("'Codex' is taken in this org"))
        page.get_by_label("API Name").fill("Codex_2")
        page.get_by_role("button", name="Create", exact=True).click()
        page.get_by_role("link", name="Policies").click()
        page.get_by_role("button", name="Save policies").click()
        choose(page, "Dark")
        page.locator(".account > summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{org.issuer}/login")


@pytest.mark.slow
@requirement("setup:session-over")
def test_whoever_was_signed_out_elsewhere_signs_in_and_goes_on_where_they_were(browser: Browser, org: Dev):
    with browsing.window(browser) as page:
        browsing.sign_in(page, org)
        page.goto(f"{org.issuer}/setup/users")
        page.context.clear_cookies()
        page.locator("#theme > summary").click()
        page.get_by_role("button", name="Dark").click()
        browsing.fill_sign_in(page, org.user(0))
        expect(page.get_by_role("heading", level=1)).to_have_text("Acme")
        page.goto(f"{org.issuer}/setup/password")
        page.context.clear_cookies()
        page.get_by_label("Current password").fill("x")
        page.get_by_role("button", name="Change password").click()
        browsing.fill_sign_in(page, org.user(0))
        expect(page.get_by_role("heading", level=1)).to_have_text("Change Password")
