"""A real Chromium for the tests: people at our pages, and what no page may show: faults of axe, of the console, of width."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.running import Dev

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",  # the web of the tests is on this machine
]
AXE = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ("color-contrast", "link-in-text-block")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 320, "height": 640}
SHORTEST_WAIT = 8000
"""Milliseconds until an element that never comes fails a test."""
AN_ANSWER = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or the one that GATELODGE_TEST_CHROMIUM names."""
    path = os.environ.get("GATELODGE_TEST_CHROMIUM", "/usr/bin/chromium")
    assert Path(path).exists(), f"the tests need Chromium at {path}: on Debian, apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def window(browser: Browser, *, state: Any = None, viewport: Any = None, **options: Any) -> Iterator[Page]:
    """A page in a fresh profile; it fails the test at its end if the console ever showed a fault (CSP among them)."""
    context = browser.new_context(viewport=viewport or WIDE, storage_state=state, **options)
    context.set_default_timeout(SHORTEST_WAIT)
    page, faults = context.new_page(), []
    watch(context, faults)
    yield page
    context.close()
    assert not faults, faults


def watch(context: BrowserContext, faults: list[str]) -> None:
    """Collect what the console calls an error; that a page was answered 4xx is the page's own business."""

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not AN_ANSWER.match(message.text):
            faults.append(message.text)

    context.on("console", heard)
    context.on("weberror", lambda error: faults.append(str(error.error)))


def sign_in(page: Page, dev: Dev, n: int = 0) -> None:
    """The n-th seeded user (0 the administrator, 1 the standard user) goes to Setup and signs in."""
    page.goto(f"{dev.issuer}/setup")
    fill_sign_in(page, dev.user(n))


def fill_sign_in(page: Page, user: dict[str, str]) -> None:
    """The sign-in page as it stands, by keyboard."""
    page.get_by_label("Username").fill(user["username"])
    page.get_by_label("Password").fill(user["password"])
    page.keyboard.press("Enter")
    page.locator("input[name=password]").wait_for(state="detached")


def signed_in(browser: Browser, dev: Dev, n: int = 0) -> Any:
    """The cookies of a signed-in user, for as many windows as a test needs."""
    with window(browser) as page:
        sign_in(page, dev, n)
        return page.context.storage_state()


def axe(page: Page, *, rules: list[str] | None = None, without: tuple[str, ...] = ()) -> list[str]:
    """The faults that axe-core finds, in one line each: by all its rules, by these, or by all without those."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    changed = {rule: {"enabled": False} for rule in without} | ({} if rules else {"target-size": {"enabled": True}})
    options = {"runOnly": rules or RULES, "resultTypes": ["violations"], "rules": changed}
    found = page.evaluate("options => axe.run(options)", options)
    return [f"{fault['id']}: {node['html'][:160]}" for fault in found["violations"] for node in fault["nodes"]]


def overflow(page: Page) -> int:
    """Pixels that the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def faults(page: Page) -> list[str]:
    """What axe finds in both themes and in a narrow window, and where the page is wider than its window. Only the rules
    of colour depend on the theme, and they don't depend on the width.
    """
    page.set_viewport_size(NARROW)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found = [f"narrow: {fault}" for fault in axe(page, without=COLOURS)]
    if overflow(page):
        found.append(f"{overflow(page)} pixels wider than a narrow window")
    page.set_viewport_size(WIDE)
    found += [f"light: {fault}" for fault in axe(page)]
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    return found + [f"dark: {fault}" for fault in axe(page, rules=list(COLOURS))]


def answered(url: str) -> dict[str, str]:
    """The parameters that a way back brings."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
