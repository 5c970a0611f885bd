"""Token revocation (RFC 7009): a client says that it is done.

A connection is one sign-in, and every token of it stands for that sign-in: whichever is revoked, the connection ends,
its other tokens with it (§2.1 leaves that to the server). MCP servers refuse them as soon as their node has read of it.
"""

from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import connections
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.oauth import presented
from gatelodge.oauth.client_auth import authenticate, invalid
from gatelodge.oauth.errors import NO_STORE, OAuthError, as_json
from gatelodge.oauth.grants import GRANTS
from gatelodge.oauth.token import body_of
from gatelodge.web.site import Site


async def revoke(site: Site, org: Org, request: Request) -> Response:
    """End the connection of the token that was sent. 200 also when there is nothing to end (§2.2).

    The token is read from the body alone: one in a URL is in somebody's log.
    """
    try:
        form = await body_of(request)
        authenticated = await authenticate(site, org, request, form)
        if must_prove(authenticated.client) and not authenticated.is_proven:
            raise invalid("invalid client credentials: this app must send its secret, or sign an assertion")
        if "token" not in form:
            raise OAuthError("invalid_request", "token is missing")
        await _end(site, org, authenticated.client, form["token"])
    except OAuthError as refused:
        return as_json(refused)
    return Response(status_code=200, headers=NO_STORE)


def must_prove(client: LiveClient) -> bool:
    """Whether the app is confidential (RFC 6749 §2.1): in some flow of its own it must prove who it is."""
    return any(not grant.lacks(client) and grant.needs_proof(client) for grant in GRANTS.values())


async def _end(site: Site, org: Org, client: LiveClient, token: str) -> None:
    shown = await presented.find(site, org, token)
    # Another app's token is left alone, and the answer is that for an unknown one: nobody learns whether it lives.
    if shown is None or not shown.belongs_to(client):
        return
    _ = await site.store.run(connections.end, org.id, shown.connection.id, site.clock.now(), "revoked by its client")
    await site.live.catch_up()
