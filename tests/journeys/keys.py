"""A person who has a keyboard and nothing else: every step is a key, and what is not reached in time can't be reached."""

from playwright.sync_api import Locator, Page, expect

LONGEST_WALK = 140
"""Stops from the top of a page to its end, and some more."""
IS_FOCUSED = "element => element === document.activeElement"


class Keyboard:
    """The keys of a window. No step of it points, and none sets the focus by script."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def write(self, text: str) -> None:
        """Type over what stands in the field that has the focus."""
        self.press("Control+a")
        self.page.keyboard.type(text)

    def to(self, target: Locator, key: str = "Tab") -> None:
        """Walk on until the target has the focus, with this key."""
        expect(target).to_have_count(1)
        for _ in range(LONGEST_WALK):
            if target.evaluate(IS_FOCUSED):
                return
            self.press(key)
        raise AssertionError(f"no {key} leads to {target}")

    def into(self, role: str, name: str, *, exact: bool = True, key: str = "Tab") -> None:
        """Walk on to the element of this role and name."""
        self.to(self.page.get_by_role(role, name=name, exact=exact), key)  # type: ignore[arg-type]

    def skip(self) -> None:
        """By the link that every page begins with, past the frame."""
        self.into("link", "Skip to main content")
        self.press("Enter")
        expect(self.page.locator("#main")).to_be_focused()

    def go(self) -> None:
        """Enter, which leads to another page."""
        with self.page.expect_navigation():
            self.press("Enter")

    def follow(self, role: str, name: str, *, exact: bool = True) -> None:
        """From the page's own beginning to this link or button, and through it."""
        self.skip()
        self.into(role, name, exact=exact)
        self.go()
