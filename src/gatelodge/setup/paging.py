"""Lists that go on: a keyset place in the query, so that any page costs the same."""

from urllib.parse import urlencode

from gatelodge.setup.frame import Visit
from gatelodge.web import forms

A_PAGE = 50
LONGEST_SEARCH = 100


def query_of(visit: Visit) -> dict[str, str]:
    """The query's parameters by name, the last of each, without spaces around it. Raises ``BadRequest``."""
    return {name: value.strip() for name, value in forms.parse(visit.request.scope["query_string"])}


def place_of(query: dict[str, str]) -> tuple[str, str] | None:
    """Where the page begins: behind the row with this value of the order and this id."""
    return (query["after"], query["after_id"]) if query.get("after_id") else None


def moment_of(query: dict[str, str]) -> tuple[int, str] | None:
    """The same, in an order of times. What is no time begins at the beginning."""
    place = place_of(query)
    at = forms.number(place[0], -1) if place else -1
    return (at, place[1]) if place and at >= 0 else None


def link(path: str, query: dict[str, str], **changes: str) -> str:
    """The list at this path with its filters, changed so; where it begins is among the changes or the start."""
    kept = {name: value for name, value in query.items() if name not in ("after", "after_id")} | changes
    sent = urlencode({name: value for name, value in kept.items() if value})
    return f"{path}?{sent}" if sent else path
