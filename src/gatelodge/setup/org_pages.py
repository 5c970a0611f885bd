"""Setup's page of the org's users."""

from starlette.responses import Response

from gatelodge.core import permissions, users
from gatelodge.setup.frame import Visit
from gatelodge.web import forms

A_PAGE = 50


async def show_users(visit: Visit) -> Response:
    """A page of the org's users with their permission sets."""
    after = dict(forms.parse(visit.request.scope["query_string"])).get("after", "")
    found = await visit.site.store.read(users.in_order, visit.org.id, after=after, limit=A_PAGE + 1)
    rows = []
    for user in found[:A_PAGE]:
        access = await visit.site.store.read(permissions.access_of, visit.org.id, user.id)
        rows.append({"user": user, "sets": [each.label for each in access.sets]})
    next_page = found[A_PAGE - 1].username if len(found) > A_PAGE else ""
    return visit.page("users.html", title="Users", rows=rows, next_page=next_page)
