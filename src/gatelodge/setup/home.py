"""Home: what is connected, what needs a look, and the next step of an org that has nothing yet."""

from starlette.responses import Response

from gatelodge.core import mcp_servers
from gatelodge.core.apps import presets
from gatelodge.core.permissions import EDIT_POLICIES, MANAGE_APPS
from gatelodge.setup.frame import Visit
from gatelodge.words import _


async def show(visit: Visit) -> Response:
    """What this org is, and the next step."""
    servers = await visit.site.live.servers(visit.org.id)
    return visit.page(
        "home.html",
        title=_("Home"),
        sees_apps=visit.access.may(MANAGE_APPS) or visit.access.may(EDIT_POLICIES),
        may_create=visit.access.may(MANAGE_APPS),
        presets=presets.PRESETS,
        server_urls=[mcp_servers.resource(visit.org, name) for name in servers],
    )
