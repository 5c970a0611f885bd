"""Texts that others wrote, as an administrator must see them: nothing in them hides, and what has changed is marked."""

import difflib
import json
import re
import unicodedata
from typing import Any

import msgspec
from markupsafe import Markup, escape

from gatelodge.core import definitions
from gatelodge.words import _, mark

HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
BLANKS = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that look like nothing though their category says that they are letters or marks."""
WORDS = re.compile(r"\w+|\s+|[^\w\s]")
MOST_PARTS = 6000
"""Of both texts together: longer ones are compared line by line, or shown side by side without marks."""
LABELS = {
    "title": mark("Title"),
    "description": mark("Description"),
    "inputSchema": mark("Input schema"),
    "outputSchema": mark("Output schema"),
    "annotations": mark("Annotations"),
    "arguments": mark("Arguments"),
    "request": mark("What is sent"),
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a definition before and after, each with what differs marked; "" where it wasn't."""

    label: str
    before: Markup
    after: Markup
    is_code: bool


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a definition, as a page shows it."""

    label: str
    text: Markup
    is_code: bool


def shown(text: str) -> Markup:
    """The text, with each character that can't be seen named by its number and its name."""
    return Markup("").join(_letter(letter) for letter in text)


def is_hiding(text: str) -> bool:
    """Whether the text holds characters that can't be seen."""
    return any(_is_hidden(letter) for letter in text)


def _is_hidden(letter: str) -> bool:
    if letter in "\n\t":
        return False
    category = unicodedata.category(letter)
    is_selector = "\ufe00" <= letter <= "\ufe0f" or letter >= "\U000e0000"
    return category in HIDDEN or letter in BLANKS or is_selector or (category == "Zs" and letter != " ")


def _letter(letter: str) -> Markup:
    if not _is_hidden(letter):
        return escape(letter)
    name = unicodedata.name(letter, "").lower()
    said = f"U+{ord(letter):04X}{' ' if name else ''}{name}"
    return Markup('<span class="unseen">{}</span>').format(said)


def members(definition: str) -> list[Member]:
    """A definition's members in its own order, without its name."""
    return [
        Member(label=_label(name), text=shown(_text(value)), is_code=not isinstance(value, str))
        for name, value in definitions.fields(definition).items()
        if name not in ("name", "uri", "uriTemplate")
    ]


def changes(before: str, after: str) -> list[Change]:
    """What differs between two definitions, member by member."""
    old, new = definitions.fields(before), definitions.fields(after)
    names = [name for name in {**old, **new} if old.get(name, ...) != new.get(name, ...)]
    return [_change(name, old, new) for name in names]


def _change(name: str, old: dict[str, Any], new: dict[str, Any]) -> Change:
    texts = [_text(each[name]) if name in each else "" for each in (old, new)]
    before, after = marked(*texts)
    is_code = not all(isinstance(each.get(name, ""), str) for each in (old, new))
    return Change(label=_label(name), before=before, after=after, is_code=is_code)


def marked(before: str, after: str) -> tuple[Markup, Markup]:
    """Both texts, with the words that only one of them has marked."""
    parts = [WORDS.findall(before), WORDS.findall(after)]
    if sum(map(len, parts)) > MOST_PARTS:
        parts = [before.splitlines(keepends=True), after.splitlines(keepends=True)]
    if sum(map(len, parts)) > MOST_PARTS:
        return shown(before), shown(after)
    old, new = Markup(""), Markup("")
    for word, i, j, k, n in difflib.SequenceMatcher(None, *parts, autojunk=False).get_opcodes():
        gone, come = shown("".join(parts[0][i:j])), shown("".join(parts[1][k:n]))
        old += gone if word == "equal" else Markup("<del>{}</del>").format(gone) if gone else ""
        new += come if word == "equal" else Markup("<ins>{}</ins>").format(come) if come else ""
    return old, new


def _label(name: str) -> Markup:
    return escape(_(LABELS[name])) if name in LABELS else shown(name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
