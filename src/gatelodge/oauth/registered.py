"""Whether a request names a client of this org and a way back that was registered: asked wherever a request comes in."""

from gatelodge.core.orgs import Org
from gatelodge.oauth import requests
from gatelodge.oauth.requests import Asked, AuthorizeRequest, Registered
from gatelodge.web.site import Site


async def check_client(site: Site, org: Org, request: AuthorizeRequest) -> Asked:
    """The client and its way back. Raises ``ToldToTheUser``: before this nothing may be sent anywhere."""
    known = await _registered(site, org, request.client_id)
    for check in requests.TOLD_TO_THE_USER:
        check(request, known)
    client = known.client
    assert client is not None  # client_is_live has passed
    scopes, adds_refresh = requests.granted_scopes(request, client)
    return Asked(
        request=request,
        client=client,
        redirect_uri=requests.way_back(request, client),
        scopes=scopes,
        adds_refresh=adds_refresh,
        org=org,
        servers=await site.live.servers(org.id),
    )


async def _registered(site: Site, org: Org, client_id: str) -> Registered:
    client = await site.live.client(org.id, client_id)
    if client is not None:
        return Registered(client)
    connected = await site.live.connected_app(org.id, client_id)
    return Registered(None, await site.live.seconds_until_live(org.id, client_id), connected.name if connected else "")
