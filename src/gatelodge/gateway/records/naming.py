"""API names for what a database calls otherwise: letters, digits and _, each once whatever the case, always the same."""

import re

from gatelodge.gateway.records.schema import ID

LONGEST = 80


def api_name(native: str, given: str, taken: set[str]) -> str:
    """The name that was given, or one made from the database's. ``taken`` (lower case) gains it."""
    made = given or re.sub(r"[^A-Za-z0-9_]", "_", native)[:LONGEST] or "X"
    if not re.match(r"[A-Za-z]", made):
        made = f"X{made}"
    if made.upper() == "FROM":
        made = f"{made}_"
    name, n = made, 2
    while name.lower() in taken:
        name, n = f"{made}_{n}", n + 1
    taken.add(name.lower())
    return name


def label(name: str) -> str:
    """Words for people from a name: ``order_items`` and ``OrderItems`` are Order Items."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.replace("_", " ")).split()
    return " ".join(word[:1].upper() + word[1:] for word in words)


def relationship(field: str, taken: set[str]) -> str:
    """How the parent is called behind a reference: AccountId and account_id lead to Account and account."""
    stem = re.sub(r"(?<=[A-Za-z0-9])(_id|Id|_ID)$", "", field)
    return api_name(stem if field not in (stem, ID) else f"{field}__r", "", taken)


def plural(name: str) -> str:
    """The name of many: what children are called by."""
    if name.lower().endswith("s"):
        return name
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}s"
