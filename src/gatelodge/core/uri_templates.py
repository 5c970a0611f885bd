"""Which URIs a resource template stands for (RFC 6570), asked in time that grows with the URI and no faster.

A template is texts and expressions in turn. Matching keeps every place of the URI that can be reached so far, so that no
template and no URI can make it slow, as backtracking would.
"""

import re

import msgspec

EXPRESSION = re.compile(r"\{([+#./;?&]?)([^{}]*)\}")
LONGEST_URI = 2048
MOST_EXPRESSIONS = 20
ALL = frozenset("+#")
"""Operators whose values may hold any character (RFC 6570 §3.2.3, §3.2.4)."""
ENDS = {"": "/?#", ".": "/?#", "/": "?#", ";": "/?#", "?": "#", "&": "#"}
"""The characters that end what an expression of each operator stands for: they would be percent-encoded in a value."""


class Part(msgspec.Struct, frozen=True):
    """A text, or an expression: the ``text`` that it begins with, the characters that end it, and whether it may stand
    for nothing.
    """

    text: str
    ends: str | None = None
    may_be_empty: bool = False


def parse(template: str) -> tuple[Part, ...] | None:
    """The parts of a template; None for one that is too long or has too many expressions to be asked."""
    parts: list[Part] = []
    at = 0
    for found in EXPRESSION.finditer(template):
        if found.start() > at:
            parts.append(Part(template[at : found.start()]))
        operator = found[1]
        begins = "" if operator in ("", "+") else operator
        parts.append(Part(begins, "" if operator in ALL else ENDS[operator], bool(begins)))
        at = found.end()
    if at < len(template):
        parts.append(Part(template[at:]))
    is_small = len(template) <= LONGEST_URI and sum(part.ends is not None for part in parts) <= MOST_EXPRESSIONS
    return tuple(parts) if is_small else None


def matches(parts: tuple[Part, ...], uri: str) -> bool:
    """Whether the template can have made this URI."""
    if len(uri) > LONGEST_URI:
        return False
    places: set[int] = {0}
    for part in parts:
        begun = {at + len(part.text) for at in places if uri.startswith(part.text, at)}
        if part.ends is None:
            places = begun
        else:
            places = _after(uri, begun, part.ends) | (places if part.may_be_empty else set())
    return len(uri) in places


def _after(uri: str, begun: set[int], ends: str) -> set[int]:
    """Every place that at least one character of a value reaches from one of these."""
    found: set[int] = set()
    for start in sorted(begun):
        at = start
        while at < len(uri) and uri[at] not in ends and at + 1 not in found:
            at += 1
            found.add(at)
    return found
