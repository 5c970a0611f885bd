"""Definitions of tools, resources and prompts as texts that others wrote: their digest, their mark, and their names.

A definition is pinned by the digest of its canonical form: members in order, no blanks, every value as it is. A text that
two readers could read differently (a member named twice, a number that is none) can't be pinned and is left out.
"""

import hashlib
import json
import unicodedata
from typing import Any, Literal, NoReturn, cast

from gatelodge.words import _

Mark = Literal["read", "write", "destructive"]
LONGEST_DEFINITION = 64 * 1024
LONGEST_NAME = 500
NOT_IN_NAMES = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that would end a line or can't be written: in forms and commands a name is one line."""


def canonical(definition: str) -> str:
    """The canonical form of a definition. Raises ``ValueError`` with the reason why it has none."""
    if len(definition) > LONGEST_DEFINITION:
        raise ValueError(
            _("has a definition of {n} characters; at most {longest_definition} are read").format(
                n=len(definition), longest_definition=LONGEST_DEFINITION
            )
        )
    try:
        read = json.loads(definition, object_pairs_hook=_once, parse_constant=_no_number)
        made = json.dumps(read, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        _bytes = made.encode()
    except Twice as error:
        raise ValueError(_("has a definition that names {value!r:.60} twice").format(value=str(error))) from None
    except (ValueError, RecursionError):
        raise ValueError(_("has a definition that can't be read as JSON")) from None
    if not isinstance(read, dict):
        raise ValueError(_("has a definition that is no JSON object"))  # noqa: TRY004 - a reason, not a bug
    return made


def digest(definition: str) -> str:
    """The pin: SHA-256 of the canonical form, in hexadecimal. Raises ``ValueError``."""
    return hashlib.sha256(canonical(definition).encode()).hexdigest()


def mark_of(kind: str, definition: str) -> Mark:
    """What the server's annotations say that a tool does; without any a tool may destroy (MCP: ToolAnnotations). The
    other kinds are read.
    """
    if kind != "tool":
        return "read"
    told = fields(definition).get("annotations")
    annotations = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    if annotations.get("readOnlyHint") is True:
        return "read"
    return "write" if annotations.get("destructiveHint") is False else "destructive"


def mark_after(mark: Mark, kind: str, before: str, after: str) -> Mark:
    """The mark of a tool whose definition changed: the one that it had, unless the server says another thing now."""
    said = mark_of(kind, after)
    return mark if said == mark_of(kind, before) else said


def fields(definition: str) -> dict[str, Any]:
    """The members of a definition that was pinned; none of an empty one."""
    return cast("dict[str, Any]", json.loads(definition)) if definition else {}


def name_problem(name: str) -> str:
    """Why a name can't be used here, "" when it can."""
    if not 1 <= len(name) <= LONGEST_NAME:
        return _("has a name of {n} characters; 1 to {longest_name} are allowed").format(
            n=len(name), longest_name=LONGEST_NAME
        )
    if name != name.strip() or any(unicodedata.category(letter) in NOT_IN_NAMES for letter in name):
        return _("has a name with control characters, or with blanks around it")
    return ""


class Twice(ValueError):
    """A member stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Twice(next(name for n, (name, _) in enumerate(pairs) if name in [other for other, _ in pairs[:n]]))
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
