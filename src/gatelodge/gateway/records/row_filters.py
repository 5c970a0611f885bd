"""The row filters of permission sets: a condition of SOQL over an object's own fields, such as ``OwnerId = $user.id``."""

import re

QUOTED_OR_NAMED = re.compile(r"'(?:[^'\\]|\\.)*'|\$[A-Za-z_.]*", re.DOTALL)
USER = "$user.id"
"""Stands for the id of the user who asks."""


def problem(text: str) -> str:
    """What is wrong with a row filter, as a sentence; "" for one that can be read."""
    from gatelodge.gateway.records.errors import RecordError  # noqa: PLC0415 - the parser comes after readiness alone
    from gatelodge.gateway.records.soql.parsing import parse  # noqa: PLC0415

    unknown = [each for each in QUOTED_OR_NAMED.findall(text) if each.startswith("$") and each.lower() != USER]
    if unknown:
        return f"The row filter names {unknown[0]!r:.40}; only {USER} stands for something."
    condition = QUOTED_OR_NAMED.sub(lambda found: "'x'" if found[0].lower() == USER else found[0], text)
    try:
        query = parse(f"SELECT Id FROM Any WHERE {condition}")
    except RecordError as error:
        return f"The row filter {text!r:.120} can't be read: {error.message}"
    if query.group or query.order or query.limit is not None or query.offset is not None:
        return "The row filter is a condition alone, without GROUP BY, ORDER BY, LIMIT and OFFSET."
    return ""
