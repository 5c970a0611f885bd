"""Second factors in a real Chromium: the one script, the strict policy, and everything that works without."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from pyotp.totp import TOTP

from tests.browsing import NARROW, axe, chromium, fill_sign_in, overflow, window
from tests.people import OAuthClient
from tests.requirements import requirement
from tests.running import Dev, running_dev

pytestmark = pytest.mark.slow
ROBIN, SAM, NOOR = 0, 1, 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A development org for these tests alone: they give its people second factors."""
    with running_dev(tmp_path_factory.mktemp("own")) as running:
        yield running


def with_authenticator(page: Page, *, verifies: bool = True) -> Any:
    """A virtual authenticator in this browser, as a laptop or a phone has one."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": verifies, "automaticPresenceSimulation": True,
    }  # fmt: skip
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session


def setup_link(page: Page, name: str) -> None:
    page.locator("details.account summary").click()
    page.get_by_role("link", name=name, exact=True).first.click()


@requirement("passkey:browser", "passkey:register", "passkey:first-factor")
def test_a_passkey_is_made_and_signs_in_to_setup_and_within_the_flow(own: Dev, browser: Browser):
    with window(browser) as page:
        with_authenticator(page)
        page.goto(f"{own.issuer}/setup")
        fill_sign_in(page, own.user(SAM))
        setup_link(page, "Second Factors")
        page.get_by_role("link", name="Add a passkey").click()
        page.get_by_label("Name of the passkey").fill("Laptop of Sam")
        assert axe(page) == []
        page.get_by_role("button", name="Create the passkey").click()
        page.get_by_role("heading", name="Recovery codes").first.wait_for()
        assert page.locator(".codes li").count() == 10
        assert axe(page) == []
        page.get_by_role("link", name="I have kept them").click()
        page.get_by_role("cell", name="Laptop of Sam", exact=True).wait_for()
        page.locator("details.account summary").click()
        page.get_by_role("button", name="Sign out").click()
        # The username field offers passkeys by itself, and this authenticator takes every offer.
        page.wait_for_url("**/setup")
        page.context.clear_cookies()
        client = OAuthClient(
            front=None,
            issuer=own.issuer,
            client_id=own.key("postman"),
            redirect_uri="https://oauth.pstmn.io/v1/callback",
        )
        page.context.route("https://oauth.pstmn.io/**", lambda route: route.fulfill(body="back at the client"))
        page.goto(client.authorize_url(login_hint=own.user(SAM)["username"]))
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.get_by_role("button", name="Allow").click()
        page.wait_for_url("https://oauth.pstmn.io/v1/callback?*code=*")


@requirement("passkey:browser", "second_factor:step-up")
def test_an_authenticator_app_is_set_up_and_asked_for_without_any_script(own: Dev, browser: Browser):
    user = own.user(NOOR)
    with window(browser, java_script_enabled=False) as page:
        page.goto(f"{own.issuer}/setup")
        fill_sign_in(page, user)
        page.goto(f"{own.issuer}/setup/second-factors")
        page.get_by_role("button", name="Set up an authenticator app").click()
        secret = (page.locator("#totp-secret").text_content() or "").replace(" ", "")
        box = page.locator(".qrbox svg").bounding_box()
        assert box and box["width"] > 120
        page.get_by_label("The six digits").fill(TOTP(secret).now())
        page.get_by_role("button", name="Turn it on").click()
        codes = page.locator(".codes code").all_text_contents()
        assert len(codes) == 10
    with window(browser, java_script_enabled=False) as page:
        page.goto(f"{own.issuer}/setup/sessions")
        page.get_by_label("Username").fill(user["username"])
        page.get_by_label("Password").fill(user["password"])
        page.keyboard.press("Enter")
        page.get_by_label("Code from your authenticator app").fill(codes[0])
        page.keyboard.press("Enter")
        page.wait_for_url("**/setup/sessions")
        page.get_by_role("button", name="End all other sessions").click()
        page.get_by_text("This browser").wait_for()


@requirement("passkey:browser")
def test_the_pages_have_no_fault_that_axe_finds_and_fit_a_narrow_window(own: Dev, browser: Browser):
    paths = ("second-factors", "second-factors/totp", "sessions", "connections", "password", "verify?next=/setup")
    with window(browser, viewport=NARROW) as page:
        page.goto(f"{own.issuer}/login")
        assert axe(page) == [] and overflow(page) <= 0
        page.goto(f"{own.issuer}/setup")
        fill_sign_in(page, own.user(ROBIN))
        page.goto(f"{own.issuer}/setup/second-factors")
        page.get_by_role("button", name="Set up an authenticator app").click()
        for path in paths:
            page.goto(f"{own.issuer}/setup/{path}")
            assert axe(page) == [], path
            assert overflow(page) <= 0, path
        page.goto(f"{own.issuer}/setup/users")
        page.get_by_role("link", name="sam@acme.example").click()
        page.get_by_role("button", name="Make a password reset link").click()
        link = page.locator("#reset-link").text_content() or ""
        assert axe(page) == [] and overflow(page) <= 0
        page.goto(link)
        assert axe(page) == [] and overflow(page) <= 0
        page.goto(f"{own.issuer}/login/factor?next=/setup")
        assert axe(page) == [] and overflow(page) <= 0
