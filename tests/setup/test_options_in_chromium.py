"""Options, policies, secrets and org settings as people meet them in Chromium, with and without JavaScript."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browsing import faults
from tests.requirements import requirement
from tests.running import Dev
from tests.setup import places


def open_app(page: Page, org: Dev, name: str, below: str = "") -> None:
    page.goto(f"{org.issuer}/setup/apps")
    page.get_by_role("link", name=name, exact=True).click()
    page.wait_for_url("**/setup/apps/0xI*")
    if below:
        page.goto(f"{page.url}{below}")


@pytest.mark.slow
@requirement("options:unsafe-is-said", "options:readiness")
def test_a_warning_and_the_readiness_list_follow_what_is_selected_before_it_is_saved(page: Page, org: Dev):
    open_app(page, org, "Codex", "/edit")
    warning = page.get_by_text("Unsafe: Every call is made as one user")
    panel = page.locator("#ready-panel")
    expect(warning).to_be_hidden()
    expect(panel).to_contain_text("9 of 9")
    page.get_by_label("Enable Client Credentials Flow").check()
    expect(warning).to_be_visible()
    expect(panel).to_contain_text("Enable Client Credentials Flow is unsafe")
    page.get_by_label("Issue JSON Web Token").uncheck()
    expect(panel).to_contain_text("JWT access tokens are off: MCP servers will refuse this app's tokens")
    page.get_by_label("Issue JSON Web Token").check()
    page.get_by_label("Enable Client Credentials Flow").uncheck()
    expect(warning).to_be_hidden()
    expect(panel).to_contain_text("9 of 9")
    page.get_by_label("Selected OAuth Scopes").select_option("mcp_api")
    page.get_by_role("button", name="Remove the marked scopes").click()
    expect(panel).to_contain_text("Scopes lack mcp_api or refresh_token")
    expect(page.get_by_role("button", name="Check again")).to_be_hidden()


@pytest.mark.slow
@requirement("options:readiness", "policies:kept-as-typed")
def test_without_javascript_a_button_checks_again_and_policies_are_saved(plain: Page, org: Dev):
    open_app(plain, org, "VS Code", "/edit")
    plain.get_by_label("Require Secret for Web Server Flow").check()
    plain.get_by_label("External Client App Name").fill("Typed and kept")
    plain.get_by_role("button", name="Check again").click()
    expect(plain.locator("#ready-panel")).to_contain_text("A secret is required: MCP clients hold no secret")
    expect(plain.get_by_label("External Client App Name")).to_have_value("Typed and kept")
    open_app(plain, org, "VS Code", "/policies")
    plain.get_by_label("Permitted Users").select_option("Admin approved users are pre-authorized")
    plain.get_by_label("Standard User").check()
    plain.get_by_label("Access token lifetime in minutes").fill("soon")
    plain.get_by_role("button", name="Save policies").click()
    expect(plain.get_by_role("alert")).to_contain_text("'soon' is not a whole number.")
    field = plain.get_by_label("Access token lifetime in minutes")
    expect(field).to_have_value("soon")
    expect(field).to_have_accessible_description(re.compile("1 to 720.*'soon' is not a whole number"))
    field.fill("5")
    plain.get_by_role("button", name="Save policies").click()
    expect(plain.get_by_role("alert")).to_have_count(0)
    expect(plain.get_by_label("Standard User")).to_be_checked()
    plain.get_by_role("link", name="Users", exact=True).last.click()
    expect(plain.locator("#who-count")).to_have_text("1 of 3 active users")
    plain.get_by_label("Username").fill("robin@acme.example")
    plain.get_by_role("button", name="Ask").click()
    expect(plain.locator("#answer")).to_contain_text("No, robin@acme.example can't use VS Code.")


@pytest.mark.slow
@requirement("secrets:shown-once", "secrets:staged", "pages:accessible", "pages:fit")
def test_a_secret_is_made_copied_replaced_and_each_page_of_it_is_accessible(page: Page, org: Dev):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_app(page, org, "Postman app", "/edit")
    page.get_by_label("Require Secret for Web Server Flow").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Consumer Key and Secret").click()
    page.get_by_role("button", name="Make a consumer secret").click()
    secret = page.locator("#consumer-secret").inner_text()
    assert re.fullmatch(r"[0-9A-F]{64}", secret) and secret not in page.url
    page.get_by_role("button", name="Copy the consumer secret").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_have_count(1)
    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert faults(page) == []
    page.reload()  # sends the form again
    expect(page.get_by_role("alert")).to_contain_text("has a secret already")
    expect(page.locator("#consumer-secret")).to_have_count(0)
    page.get_by_role("button", name="Stage a new key and secret").click()
    staged = page.locator("#staged-key").inner_text()
    page.get_by_role("link", name="I have copied it").click()
    assert faults(page) == []
    page.get_by_role("button", name="Apply the staged pair").click()
    expect(page.get_by_label("To apply or discard it")).to_have_accessible_description(re.compile("Type the API Name"))
    assert faults(page) == []
    page.get_by_label("To apply or discard it").fill("Postman_app")
    page.get_by_role("button", name="Apply the staged pair").click()
    expect(page.locator("#consumer-key")).to_have_text(staged)
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.slow
@requirement("org:algorithm", "pages:accessible")
def test_the_page_of_org_settings_says_when_the_next_key_signs(plain: Page, page: Page, org: Dev):
    plain.goto(f"{org.issuer}/setup?find=org+settings")
    plain.get_by_role("link", name="Org Settings").click()
    plain.get_by_label("Signing algorithm").select_option("RS256")
    plain.get_by_role("button", name="Save", exact=True).click()
    expect(plain.locator("#coming-key")).to_contain_text("RS256, signs from")
    page.goto(f"{org.issuer}/setup/org")
    assert faults(page) == []


@pytest.mark.slow
@requirement("policies:permission", "pages:accessible")
def test_every_tab_of_an_app_is_accessible_with_an_unsafe_option_saved(page: Page, org: Dev):
    places.of_an_app("/edit")(page, org)
    page.get_by_label("Enable Client Credentials Flow").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("Unsafe: Every call is made as one user")
    assert faults(page) == []
