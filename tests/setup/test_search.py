"""The search of the top bar, the preferences, and the org's chip."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from gatelodge.core import orgs
from tests.house import House
from tests.oauth.scenes import person
from tests.people import Person, form
from tests.requirements import requirement
from tests.running import Dev
from tests.setup.offices import app_of, sign_in, words


def searched(who: Person, wanted: str) -> str:
    return words(who.front.get("/setup/search", params={"q": wanted}))


@requirement("setup:search")
def test_the_search_finds_pages_apps_servers_and_users(house_on: House):
    who, app = sign_in(person(house_on, 0)), app_of(house_on)
    assert "External Client App Manager" in searched(who, "redirect URI")
    assert app.settings.label in searched(who, app.consumer_key)
    assert app.settings.label in searched(who, app.settings.api_name.upper())
    assert "SObject Reads" in searched(who, "sobject") and "SObject Reads" in searched(
        who, f"{house_on.issuer}/mcp/sobject-reads"
    )
    assert "sam@acme.example" in searched(who, "LINDQ") and "sam@acme.example" in searched(who, "sam@")
    assert "0 results" in searched(who, "%") and "0 results" in searched(who, "__")
    assert "Search knows pages of Setup" in searched(who, "nothing of the kind")


@requirement("setup:search")
def test_the_search_shows_nobody_what_they_may_not_see(house: House):
    who, app = sign_in(person(house, 2)), app_of(house)
    for wanted in (app.consumer_key, "sam@acme.example", "sobject", "redirect uri"):
        assert "0 results" in searched(who, wanted), wanted
    assert "My Connections" in searched(who, "revoke")


@pytest.mark.slow
@requirement("setup:search")
def test_what_was_found_opens_below_the_search_while_one_types_and_the_keyboard_leads_through(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup/users")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Search Setup, apps, servers and users")
    expect(search).to_be_focused()
    search.press_sequentially("cursor")
    expect(page.locator("#search-found a")).to_have_text(["CursorCursor"])
    page.keyboard.press("Escape")
    expect(page.locator("#search-found a")).to_have_count(0)
    page.keyboard.press("Backspace")
    expect(page.locator("#search-found a")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#search-found a")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(search).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Cursor")
    page.keyboard.press("Control+k")
    expect(search).to_be_focused()
    page.keyboard.type("sam")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/setup/search\?q=sam$"))
    expect(page.locator("#found")).to_contain_text("sam@acme.example")


@pytest.mark.slow
@requirement("setup:search")
def test_without_javascript_the_search_is_a_page(plain: Page, org: Dev):
    plain.goto(f"{org.issuer}/setup")
    plain.get_by_role("searchbox", name="Search Setup, apps, servers and users").fill("cursor")
    plain.keyboard.press("Enter")
    plain.get_by_role("main").get_by_role("link", name="Cursor").click()
    expect(plain.get_by_role("heading", level=1)).to_have_text("Cursor")


@pytest.mark.slow
@requirement("setup:preferences")
def test_single_keys_do_nothing_once_they_are_turned_off(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup/preferences")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("#search")).not_to_be_focused()
    page.get_by_label("Single-key shortcuts").check()
    page.get_by_role("button", name="Save").click()


@requirement("setup:preferences")
def test_preferences_are_the_users_own_and_what_is_not_offered_is_refused(house_on: House):
    who, other = sign_in(person(house_on, 0)), sign_in(person(house_on, 1))
    page = who.front.get("/setup/preferences")
    fields: dict[str, Any] = form(page, "/setup/preferences") | {"theme": "dark", "time_zone": "Asia/Kathmandu"}
    assert who.front.post("/setup/preferences", data=fields).status_code == 303
    page = who.front.get("/setup/preferences")
    assert 'data-theme="dark"' in page.text and "Asia/Kathmandu (UTC+5:45)" in words(page)
    assert 'data-theme="dark"' not in other.front.get("/setup").text
    for wrong in ({"language": "tlh"}, {"time_zone": "Mars/Olympus"}, {"theme": "pink"}):
        refused = who.front.post("/setup/preferences", data=fields | wrong)
        assert refused.status_code == 400 and next(iter(wrong.values())) in words(refused)


@requirement("setup:org-chip")
def test_every_page_names_the_org_and_its_kind(house: House):
    page = sign_in(person(house, 0)).front.get("/setup")
    assert re.search(r'class="env dev">Acme<span class="kind">Developer hub<', page.text)
    assert set(orgs.KINDS) == {"production", "developer hub", "sandbox", "scratch"}
