"""The XML of metadata files as the platform itself writes it: four spaces, one element a line, in the order given."""

import re

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
Plain = bool | int | str
Value = Plain | list[tuple[str, str]]
"""A flag, a number, a text, or elements within (name and text)."""

FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document holds (XML 1.0, 2.2)."""


def write(root: str, elements: list[tuple[str, Value]]) -> str:
    """A document with these elements, ending in a newline. The same elements always give the same bytes."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<{root} xmlns="{NAMESPACE}">']
    for name, value in elements:
        if isinstance(value, list):
            within = [f"        <{inner}>{_text(text)}</{inner}>" for inner, text in value]
            lines += [f"    <{name}>", *within, f"    </{name}>"]
        else:
            lines.append(f"    <{name}>{_text(value)}</{name}>")
    return "\n".join([*lines, f"</{root}>", ""])


def _text(value: Plain) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    kept = FORBIDDEN.sub("", str(value)).replace("\r\n", "\n").replace("\r", "\n")
    escaped = kept.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("'", "&apos;").replace('"', "&quot;")
