"""A page for people who use no mouse, colours of their own, wider text, or no motion: what each of them would miss."""

from pathlib import Path

from playwright.sync_api import Page

from tests import browsing

SCRIPT = Path(__file__).with_name("seeing.js").read_text("utf-8")
WIDE = {"width": 1440, "height": 900}
LONGEST_WALK = 10_000
STOPS_OF_A_DATE = 4
"""Month, day, year and the calendar: so many keys it takes to leave the longest field."""


def faults(page: Page) -> list[str]:
    """All that is wrong with the page that stands there, a line each."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce", forced_colors="none")
    page.set_viewport_size(browsing.NARROW)
    found = [f"narrow, by keyboard: {fault}" for fault in by_keyboard(page)]
    found += [f"narrow, wider text: {fault}" for fault in page.evaluate("seeing.widen()")]
    page.set_viewport_size(WIDE)
    found += [f"by keyboard: {fault}" for fault in by_keyboard(page)]
    found += [f"wider text: {fault}" for fault in page.evaluate("seeing.widen()")]
    found += [f"without motion: {fault}" for fault in page.evaluate("seeing.moving()")]
    page.emulate_media(color_scheme="dark", forced_colors="active")
    found += [f"forced colours: {fault}" for fault in page.evaluate("seeing.forced()")]
    page.emulate_media(color_scheme="light", forced_colors="none")
    return found


def by_keyboard(page: Page, within: str = "main") -> list[str]:
    """Tab through this part of the page, by the skip link where there is one. What gets the focus is judged as it stands
    when the next key is pressed.
    """
    if not page.evaluate("'seeing' in window"):
        page.evaluate(SCRIPT)
    page.evaluate("within => (document.activeElement?.blur(), seeing.begin(within))", within)
    if within == "main" and page.locator(".skip").count():
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
    left, before = page.evaluate("seeing.left()"), LONGEST_WALK
    while 0 < left < before:
        for _ in range(left + STOPS_OF_A_DATE):
            page.keyboard.press("Tab")
        left, before = page.evaluate("seeing.left()"), left
    return page.evaluate("seeing.end()")
