"""Second factors in a real Chromium: the one script, the strict policy, and everything that works without."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pyotp.totp import TOTP

from tests.browsing import answered, axe, faults, fill_sign_in, window
from tests.people import OAuthClient
from tests.requirements import requirement
from tests.running import Dev, running_dev

pytestmark = pytest.mark.slow
SAM, NOOR = 1, 2
CALLBACK = "https://vault.example/callback"
PASSWORD = "a password long enough"
NUMBERS = itertools.count(1)


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


def set_up_authenticator(page: Page) -> tuple[TOTP, list[str]]:
    """From the page of second factors: the app on the phone, and the recovery codes."""
    page.get_by_role("button", name="Set up an authenticator app").click()
    app = TOTP((page.locator("#totp-secret").text_content() or "").replace(" ", ""))
    box = page.locator(".qrbox svg").bounding_box()
    assert box and box["width"] > 120
    page.get_by_label("The six digits").fill(app.now())
    page.get_by_role("button", name="Turn it on").click()
    page.get_by_role("heading", name="Recovery codes").first.wait_for()
    codes = page.locator(".codes code").all_text_contents()
    assert len(codes) == 10
    return app, codes


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
        _, codes = set_up_authenticator(page)
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


@pytest.fixture(scope="module")
def vault(own: Dev) -> OAuthClient:
    """A client whose app is for sessions of high assurance alone."""
    key = own.new_app("Vault", "--callback", CALLBACK)
    own.tell("app", "policies", "Vault", "--set", "session_level=HIGH_ASSURANCE")
    return OAuthClient(front=None, issuer=own.issuer, client_id=key, redirect_uri=CALLBACK)


@contextlib.contextmanager
def new_person(own: Dev, browser: Browser, **options: Any) -> Iterator[Page]:
    """A window in which a fresh standard user is signed in by password, with the client's callback within reach."""
    name = f"kim{next(NUMBERS)}@acme.example"
    own.tell(
        "user", "create", "--username", name, "--permission-set", "Standard_User", "--password-stdin", stdin=PASSWORD
    )
    with window(browser, **options) as page:
        page.context.route(f"{CALLBACK}?**", lambda route: route.fulfill(body="back at the client"))
        page.goto(f"{own.issuer}/setup/second-factors")
        fill_sign_in(page, {"username": name, "password": PASSWORD})
        yield page


def allow(page: Page) -> dict[str, str]:
    """Consent, and what the client is told."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow Vault?")
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(f"{CALLBACK}?*code=*")
    return answered(page.url)


@pytest.mark.parametrize("has_script", [True, False], ids=["with script", "without"])
@requirement("journey:second-factor", "second_factor:step-up")
def test_an_app_of_high_assurance_asks_for_the_second_factor_and_then_goes_on(
    own: Dev, browser: Browser, vault: OAuthClient, has_script: bool
):
    with new_person(own, browser, java_script_enabled=has_script) as page:
        app, _ = set_up_authenticator(page)
        page.goto(vault.authorize_url())
        expect(page.get_by_role("heading")).to_contain_text("Verify it")
        assert not has_script or faults(page) == []
        code = page.get_by_label("Code from your authenticator app")
        code.fill("000000")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("This code isn't right")
        assert not has_script or faults(page) == []
        code.fill(app.at(int(time.time()) + 30))  # the code of now was used to set it up
        page.keyboard.press("Enter")
        assert allow(page)["state"] == "the-state"
        again = page.context.request.get(vault.authorize_url(), max_redirects=0)
        assert "code=" in again.headers["location"], "the session has it now, and the client is known"


@requirement("journey:second-factor", "second_factor:step-up")
def test_who_has_no_second_factor_is_told_what_to_do_does_it_and_goes_on(
    own: Dev, browser: Browser, vault: OAuthClient
):
    with new_person(own, browser) as page:
        page.goto(vault.authorize_url())
        expect(page.get_by_role("main")).to_contain_text("You have no second factor yet")
        assert faults(page) == []
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Add an authenticator app or a passkey").click()
        app, _ = set_up_authenticator(opened.value)
        opened.value.close()
        page.get_by_role("link", name="I have added one").click()
        page.get_by_label("Code from your authenticator app").fill(app.at(int(time.time()) + 30))
        page.keyboard.press("Enter")
        assert allow(page)["iss"] == own.issuer
