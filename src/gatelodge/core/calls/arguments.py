"""The arguments of a call as its server records them: JSON text, without what is never kept, and bounded."""

from typing import Any, cast

import msgspec

LONGEST = 8192
"""Characters of recorded arguments; longer ones are left out, and their length is told."""


def recorded(raw: bytes, masked: tuple[str, ...]) -> str:
    """What is kept of a call's arguments (JSON). ``masked``: paths such as ``password`` or ``card.number`` which are
    left out; a step into a list goes to all of its items.
    """
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return ""
    for path in masked:
        _mask(found, path.split("."))
    text = msgspec.json.encode(found).decode()
    return text if len(text) <= LONGEST else msgspec.json.encode({"left_out": f"{len(text)} characters"}).decode()


def _mask(inside: Any, steps: list[str]) -> None:
    if isinstance(inside, list):
        for each in cast("list[Any]", inside):
            _mask(each, steps)
    elif isinstance(inside, dict) and steps[0] in inside:
        found = cast("dict[str, Any]", inside)
        if len(steps) == 1:
            del found[steps[0]]
        else:
            _mask(found[steps[0]], steps[1:])
