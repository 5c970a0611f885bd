"""The forms of a page as somebody sends them who gets everything wrong."""

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

import msgspec

TYPED = ("text", "search", "email", "url", "number", "password", "date", "tel", "datetime-local")
WRONG = ("", "?")
"""What stands in every box that can be typed into: nothing, and what is nothing's value."""


class Sent(msgspec.Struct, frozen=True):
    """One way to send a form: how, to which path, with which fields in order."""

    method: str
    path: str
    fields: tuple[tuple[str, str], ...]


class Form:
    """A form with what it would send unchanged: ``boxes`` are typed into, ``kept`` stay as they are."""

    def __init__(self, given: dict[str, str], here: str) -> None:
        target = urlsplit(given.get("action") or here)
        self.path = f"{target.path}?{target.query}" if target.query else target.path
        self.method = given.get("method", "get").upper()
        self.boxes, self.kept, self.buttons = list[str](), list[tuple[str, str]](), list[tuple[str, str]]()


class Forms(HTMLParser):
    """The forms of a page, in order."""

    def __init__(self, page: str, here: str) -> None:
        super().__init__()
        self.forms, self._here, self._select, self._is_open = list[Form](), here, "", False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given, self._here))
            self._is_open = True
        elif self._is_open and tag == "option" and self._select and "selected" in given:
            self.forms[-1].kept.append((self._select, given.get("value", "")))
        elif self._is_open and given.get("name"):
            self._field(self.forms[-1], tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_open = False

    def _field(self, form: Form, tag: str, given: dict[str, str]) -> None:
        name, value, kind = given["name"], given.get("value", ""), given.get("type", "text")
        if tag == "textarea" or (tag == "input" and kind in TYPED):
            form.boxes.append(name)
        elif tag == "select":
            self._select = name
        elif tag == "button":
            form.buttons.append((name, value))
        elif tag == "input" and (kind not in ("checkbox", "radio") or "checked" in given):
            form.kept.append((name, value or "on"))


def ways(page: str, here: str) -> Iterator[Sent]:
    """Every way to send a page's forms that have something to type into: each wrong value, by each button."""
    for form in Forms(page, here).forms:
        for wrong in WRONG if form.boxes else ():
            fields = (*form.kept, *((name, wrong) for name in form.boxes))
            for button in form.buttons or [None]:
                yield Sent(form.method, form.path, (*fields, button) if button else fields)
