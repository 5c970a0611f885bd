"""What an administrator does in Setup, step by step, as the page that people follow describes it."""

from typing import Any

from playwright.sync_api import Page, expect

from tests import browsing
from tests.running import Dev


def sign_in_to_setup(page: Page, dev: Dev) -> None:
    browsing.sign_in(page, dev)


def quick_find(page: Page, words: str, then: str) -> None:
    page.get_by_label("Quick Find").press_sequentially(words)
    tree = page.get_by_role("navigation", name="Setup")
    expect(tree.get_by_role("link", name="Users")).to_have_count(0)
    tree.get_by_role("link", name=then).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(then)


def click_new(page: Page) -> None:
    page.get_by_role("link", name="New External Client App").click()


def fill_basic_information(page: Page, **fields: str) -> None:
    section = page.get_by_role("region", name="Basic Information")
    for label, value in fields.items():
        section.get_by_label(label.replace("_", " ")).fill(value)


def enable_oauth(page: Page) -> None:
    box = page.get_by_label("Enable OAuth", exact=False)
    expect(box).to_be_hidden()
    page.get_by_text("API (Enable OAuth Settings)").click()
    box.check()


def enter_callback_url(page: Page, url: str) -> None:
    page.get_by_label("Callback URL 1", exact=True).fill(url)


def include_scopes(page: Page, *labels: str) -> None:
    page.get_by_label("Available OAuth Scopes").select_option(label=list(labels))
    page.get_by_role("button", name="Add the marked scopes to Selected").click()
    expect(page.get_by_label("Selected OAuth Scopes").locator("option")).to_have_text(list(labels))


def choose_security(
    page: Page, *, select: tuple[str, ...], selected: tuple[str, ...], deselected: tuple[str, ...]
) -> None:
    """Select these; the others stand by themselves as they should."""
    security = page.get_by_role("region", name="Security")
    expect(security.get_by_role("checkbox")).to_have_count(len(select) + len(selected) + len(deselected))
    for label in select:
        security.get_by_role("checkbox", name=label).check()
    for label in selected:
        expect(security.get_by_role("checkbox", name=label)).to_be_checked()
    for label in deselected:
        expect(security.get_by_role("checkbox", name=label)).not_to_be_checked()


def create(page: Page) -> None:
    page.get_by_role("button", name="Create", exact=True).click()
    page.wait_for_url("**/setup/apps/0xI*")


def consumer_key(page: Page) -> str:
    page.get_by_role("navigation", name="Acme assistant").get_by_role("link", name="Settings").click()
    page.get_by_role("region", name="OAuth Settings", exact=True).get_by_role(
        "link", name="Consumer Key and Secret"
    ).click()
    return page.locator("#consumer-key").inner_text()


def live_on(page: Page) -> str:
    return page.locator("#live").inner_text()


def sign_in_and_allow(page: Page, url: str, user: dict[str, str], callback_url: str) -> str:
    """Open what the client asked for; the URL with which the browser comes back to it."""
    came_back: list[Any] = []
    page.route(f"{callback_url}?**", lambda route: (came_back.append(route.request.url), route.fulfill(body="Done")))
    page.goto(url)
    browsing.fill_sign_in(page, user)
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(f"{callback_url}?**")
    return came_back[0]
