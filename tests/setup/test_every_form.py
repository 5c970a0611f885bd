"""Every form that a page of the route table shows, with text in its fields that nobody should be able to do harm with."""

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.conftest import copy_of
from tests.house import House
from tests.people import Person
from tests.requirements import requirement
from tests.setup import offices
from tests.setup.test_every_route import GETS, ON_THEIR_WAY, filled

BIDI = "\u202e\u2066\u200f"
HOSTILE = {
    "a script": "\"'></textarea><script>hostile()</script><img src=x onerror=hostile()>",
    "bidi controls": f"safe{BIDI}evil",
    "10,000 characters": "W" * 10_000,
    "emoji": "👩🏽‍💻🏳️‍🌈 שלום",
}
TYPED = ("text", "email", "search", "url", "password", "date", "tel", "number")
AGREED = (200, 303)
REFUSED = (400, 401, 403, 404, 409, 410, 413, 422, 429)
SIGNS_IN = ("/login", "/login/factor", "/login/reset")
"""Pages that don't say which field was wrong: that is a stranger's business least of all."""


class Control(msgspec.Struct):
    """A field as its tag tells it; ``values`` are those that a browser would send."""

    name: str
    kind: str
    given: dict[str, str]
    values: list[str] = []

    @property
    def is_typed(self) -> bool:
        return (self.kind in TYPED or self.kind == "textarea") and "readonly" not in self.given


class Form(msgspec.Struct):
    method: str
    action: str
    controls: list[Control] = []

    def sent(self, **changes: str) -> dict[str, list[str]]:
        """What a browser would send, but for these fields."""
        values: dict[str, list[str]] = {}
        for control in self.controls:
            if control.name:
                values.setdefault(control.name, []).extend(control.values)
        return {name: each for name, each in values.items() if each} | {name: [each] for name, each in changes.items()}


class Forms(HTMLParser):
    """The forms of a page, each with its fields and with the first button that sends it where its action says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.controls: list[Control] = []
        self._open: Form | None = None
        self._area: Control | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, kind = given.get("name", ""), given.get("type", "text") if tag == "input" else tag
        if tag == "form":
            self._open = Form(given.get("method", "get").lower(), given.get("action", ""))
            self.forms.append(self._open)
        elif tag == "option" and self._area is not None:
            if "selected" in given or not self._area.values:
                self._area.values = [given.get("value", "")]
        elif tag in ("input", "textarea", "select") or (tag == "button" and self._is_first_button(given)):
            made = Control(name, kind, given, [])
            if tag == "textarea":
                self._area, made.values = made, [""]
            elif tag == "select":
                self._area = None if "multiple" in given else made
            elif kind not in ("checkbox", "radio") or "checked" in given:
                made.values = [given.get("value", "")]
            self.controls.append(made)
            if self._open is not None:
                self._open.controls.append(made)

    def _is_first_button(self, given: dict[str, str]) -> bool:
        return (
            self._open is not None and given.get("type") != "button" and "formaction" not in given
            and not any(each.kind == "button" and each.name for each in self._open.controls)
        )  # fmt: skip

    def handle_data(self, data: str) -> None:
        if self._area is not None and self._area.kind == "textarea":
            self._area.values[0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("textarea", "select"):
            self._area = None
        if tag == "form":
            self._open = None


@pytest.fixture(scope="module")
def office(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Person]]:
    """One org for all of it: what was let in by one form is on the pages of the next."""
    with copy_of(furnished, tmp_path_factory.mktemp("forms") / "data") as house:
        yield house, offices.administrator(house)


def paths(house: House) -> list[str]:
    return [filled(house, path) for path in GETS if path not in ON_THEIR_WAY]


def shown(text: str) -> str:
    """What stands on the page itself, outside of the fields that repeat what was typed."""
    outside = re.sub(r"<textarea.*?</textarea>|<script.*?</script>", "", text, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", outside))


def faults(answer: httpx2.Response, form: Form, typed: dict[str, str]) -> list[str]:
    """What is wrong with an answer to a form, a line each."""
    text, found = answer.text, list[str]()
    if answer.status_code not in (*AGREED, *REFUSED):
        found.append(f"answered {answer.status_code}")
    if "hostile()</script>" in text or "<img src=x" in text:
        found.append("the script stands on the page")
    if turned := re.search(f".{{0,40}}[{BIDI}].{{0,20}}", shown(text)):
        found.append(f"a bidi control stands on the page: {turned[0]!r}")
    if answer.status_code != 422 or form.action.endswith(SIGNS_IN):
        return found
    controls = Forms(text).controls
    if 'role="alert"' not in text and "-error" not in text:
        found.append("nothing says what is wrong")
    for name in re.findall(r'class="err" id="([^"]+)-error"', text):
        tied = [each for each in controls if f"{name}-error" in each.given.get("aria-describedby", "").split()]
        groups = re.findall(rf'aria-describedby="[^"]*\b{re.escape(name)}-error\b', text)
        if not groups:
            found.append(f"the sentence of {name} is tied to no field")
        found += [f"{each.name} is not marked" for each in tied if each.given.get("aria-invalid") != "true"]
    for name, value in typed.items():
        kept = [each for control in controls if control.name == name for each in control.values]
        kind = next((each.kind for each in form.controls if each.name == name), "")
        if (
            kind not in ("password", "")
            and name != "confirm"
            and not any(value.strip() == each.strip() for each in kept)
        ):
            found.append(f"{name} was lost")
    return found


@pytest.mark.parametrize("kind", HOSTILE)
@requirement("pages:hostile-text")
def test_no_field_of_any_form_lets_text_do_harm_and_a_refused_one_is_named_and_kept(
    office: tuple[House, Person], kind: str
):
    house, robin = office
    wrong: list[str] = []
    tried: set[tuple[str, str]] = set()
    for path in paths(house):
        forms = Forms(robin.front.get(path).text).forms
        for n, named in enumerate(forms):
            for name in [each.name for each in named.controls if each.is_typed and each.name]:
                if (
                    named.action or path,
                    name,
                ) in tried:  # the frame's own forms, and others that stand on several pages
                    continue
                tried.add((named.action or path, name))
                form, typed = forms[n], {name: HOSTILE[kind]}
                answer = send(robin, path, form, typed)
                wrong += [f"{path}: {form.action} {name}: {fault}" for fault in faults(answer, form, typed)]
                if answer.status_code == 303:  # the page is another now
                    forms = Forms(robin.front.get(path).text).forms
    for path in paths(house):  # and what was let in is text wherever it stands
        page = robin.front.get(path)
        wrong += [f"{path} after it: {fault}" for fault in faults(page, Form("get", path), {})]
    assert not wrong and len(tried) > 80, "\n".join(wrong)


def send(robin: Person, path: str, form: Form, typed: dict[str, str]) -> Any:
    """The form of this page as it stands, but for what was typed."""
    target = form.action.partition("#")[0] or path
    if form.method == "get":
        return robin.front.get(target, params=form.sent(**typed))
    return robin.front.post(target, data=form.sent(**typed))
