"""The way back in Chromium, whose CSP rule on form targets follows redirects: the client must really get its answer."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browsing
from tests.journeys.listening import Listener, listening
from tests.people import OAuthClient
from tests.requirements import requirement
from tests.running import Dev

NUMBERS = itertools.count(1)
CUSTOM = "com.example.client:/callback"
LOOPBACK = {
    "localhost": ("127.0.0.1", "http://localhost:{}/callback"),
    "127.0.0.1": ("127.0.0.1", "http://127.0.0.1:{}/callback"),
    "[::1]": ("::1", "http://[::1]:{}/callback"),
}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """A client at an https URL."""
    with listening(tls=tmp_path_factory.mktemp("tls")) as made:
        yield made


@pytest.fixture
def key(dev: Dev, secure: Listener) -> str:
    """An app with every kind of callback URL, which nobody has allowed yet."""
    urls = [f"https://client.example:{secure.port}/callback", CUSTOM, *(url.format(1) for _, url in LOOPBACK.values())]
    return dev.new_app(f"Way back {next(NUMBERS)}", *(word for url in urls for word in ("--callback", url)))


def client_of(dev: Dev, key: str, redirect_uri: str) -> OAuthClient:
    return OAuthClient(front=httpx2.Client(timeout=20), issuer=dev.issuer, client_id=key, redirect_uri=redirect_uri)


def sign_in_and_allow(page: Page, dev: Dev, client: OAuthClient) -> None:
    page.goto(client.authorize_url())
    browsing.fill_sign_in(page, dev.user(1))
    page.get_by_role("button", name="Allow").click()


def redeems(client: OAuthClient, url: str) -> None:
    """What came is the answer to this request, and its code opens the door."""
    got = browsing.answered(url)
    assert got["state"] == "the-state" and got["iss"] == client.issuer
    assert client.redeem(got["code"]).status_code == 200
    client.front.close()


@pytest.mark.slow
@pytest.mark.parametrize("host", LOOPBACK)
@requirement("way-back:loopback")
def test_a_client_on_this_computer_gets_its_code_and_later_one_click_is_enough(
    dev: Dev, browser: Browser, key: str, host: str
):
    address, url = LOOPBACK[host]
    with listening(address) as listener, browsing.window(browser) as page:
        client = client_of(dev, key, url.format(listener.port))
        sign_in_and_allow(page, dev, client)
        redeems(client, listener.received())
        expect(page).to_have_title("Connected")
        client = client_of(dev, key, url.format(listener.port))
        page.goto(client.authorize_url())
        page.get_by_role("button", name="Continue").click()
        redeems(client, listener.received())


@pytest.mark.slow
@requirement("way-back:https")
def test_a_client_on_the_web_gets_its_code_and_later_nothing_is_asked(
    dev: Dev, browser: Browser, key: str, secure: Listener
):
    redirect_uri = f"https://client.example:{secure.port}/callback"
    with browsing.window(browser, ignore_https_errors=True) as page:
        client = client_of(dev, key, redirect_uri)
        sign_in_and_allow(page, dev, client)
        redeems(client, secure.received())
        client = client_of(dev, key, redirect_uri)
        page.goto(client.authorize_url())
        redeems(client, secure.received())
    with browsing.window(browser, ignore_https_errors=True) as page:  # the sign-in itself leads back
        client = client_of(dev, key, redirect_uri)
        page.goto(client.authorize_url())
        browsing.fill_sign_in(page, dev.user(1))
        redeems(client, secure.received())


@pytest.mark.slow
@requirement("way-back:custom-scheme")
def test_an_installed_app_gets_its_code_by_a_link(dev: Dev, browser: Browser, key: str):
    with browsing.window(browser) as page:
        client = client_of(dev, key, CUSTOM)
        sign_in_and_allow(page, dev, client)
        expect(page.get_by_role("heading")).to_have_text(re.compile(r"Return to Way back \d+"))
        link = page.get_by_role("link", name="Return to Way back").get_attribute("href")
        assert link is not None and link.startswith(f"{CUSTOM}?")
        redeems(client, link)


@pytest.mark.slow
@requirement("way-back:denied")
def test_a_user_who_denies_goes_back_with_that_answer(dev: Dev, browser: Browser, key: str):
    with listening() as listener, browsing.window(browser) as page:
        client = client_of(dev, key, f"http://127.0.0.1:{listener.port}/callback")
        page.goto(client.authorize_url())
        browsing.fill_sign_in(page, dev.user(0))
        page.get_by_role("button", name="Deny").click()
        got = browsing.answered(listener.received())
        assert got["error"] == "access_denied" and got["state"] == "the-state" and "code" not in got


@pytest.mark.slow
@requirement("way-back:named-alone")
def test_chromium_would_stop_the_way_back_if_our_pages_did_not_name_it(
    dev: Dev, browser: Browser, key: str, tmp_path: Path
):
    """The other tests of this file can fail: without the target in form-action, nothing arrives."""
    with listening() as listener, browser.new_context() as context:
        faults: list[str] = []
        browsing.watch(context, faults)
        page = context.new_page()
        client = client_of(dev, key, f"http://127.0.0.1:{listener.port}/callback")
        target = f" http://127.0.0.1:{listener.port};"

        def without_target(route: Any) -> None:
            answer = route.fetch(max_redirects=0)
            policy = answer.headers.get("content-security-policy", "")
            assert target in policy or answer.status in (302, 303), policy
            route.fulfill(
                response=answer, headers=answer.headers | {"content-security-policy": policy.replace(target, ";")}
            )

        page.goto(client.authorize_url())
        browsing.fill_sign_in(page, dev.user(0))
        page.route("**/flow?**", without_target)
        page.goto(page.url)
        with page.expect_event("console", lambda said: "form-action" in said.text):
            page.get_by_role("button", name="Allow").click()
        assert listener.got_nothing()
