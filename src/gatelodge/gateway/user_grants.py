"""A user's own grant at an upstream, kept working: refreshed by one caller of all nodes, who all get what came of it."""

import asyncio

from gatelodge.core import upstream_grants
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.upstream_grants import Grant, Tokens
from gatelodge.web.site import Site
from gatelodge.web.token_cache import EARLY, Fetched
from gatelodge.web.upstream_oauth.clients import client_of_grant
from gatelodge.web.upstream_oauth.discovery import NotConnected
from gatelodge.web.upstream_oauth.tokens import Answered, NotGiven, ask, ends_at
from gatelodge.words import Because, reason, verbatim

LOOK_AGAIN = 0.1
"""Seconds between two looks at a grant that another caller is refreshing."""
LOOKS = 10 * upstream_grants.TURN
INVALID_GRANT = "invalid_grant"


class NeedsGrant(Because):
    """The user must agree at the upstream first, at ``url``."""

    def __init__(self, server: McpServer, url: str) -> None:
        super().__init__(
            reason(
                "{server} needs you to connect your own account there first: open {url}",
                server=server.label,
                url=verbatim(url),
            )
        )
        self.url = url


def connect_url(org: Org, server: McpServer) -> str:
    """The page on which a user connects their own account at the upstream."""
    return f"{org.issuer}/setup/upstreams/{server.name}"


async def token(site: Site, org: Org, server: McpServer, user_id: str, *, refused: str) -> Fetched:
    """The value of Authorization for this user. ``refused`` is one that the upstream took no more.

    Raises ``NeedsGrant`` and ``NotGiven``.
    """
    for _ in range(LOOKS):
        held = await site.store.read(upstream_grants.find, org.id, server.id, user_id)
        if held is None or held.place.url != server.source:
            # A grant for another place is not sent to this one.
            raise NeedsGrant(server, connect_url(org, server))
        tokens, now = upstream_grants.opened(site.ring, held), site.clock.now()
        value = f"Bearer {tokens.access}"
        if value != refused and (held.expires_at == 0 or held.expires_at - EARLY > now):
            return Fetched(value, held.expires_at)
        if not tokens.refresh:
            if value != refused and held.expires_at > now:
                return Fetched(value, held.expires_at)
            await _lose(site, held, "it has ended, and there is no refresh token")
            raise NeedsGrant(server, connect_url(org, server))
        if await site.store.run(upstream_grants.take_turn, held, now):
            return await _refreshed(site, org, server, held, tokens)
        await asyncio.sleep(LOOK_AGAIN)
    raise NotGiven(reason("another caller is refreshing the grant, and nothing came of it"))


async def _refreshed(site: Site, org: Org, server: McpServer, held: Grant, tokens: Tokens) -> Fetched:
    try:
        answered = await _ask(site, server, held, tokens)
    except NotGiven as error:
        if error.error == INVALID_GRANT:
            await _lose(site, held, str(error))
            raise NeedsGrant(server, connect_url(org, server)) from None
        await site.store.run(upstream_grants.give_turn_back, held)
        raise
    except NotConnected as error:
        await _lose(site, held, str(error))
        raise NeedsGrant(server, connect_url(org, server)) from None
    now = site.clock.now()
    # An issuer that doesn't rotate sends no refresh token, and the one before stays good (RFC 6749 §6).
    fresh = Tokens(answered.access_token, answered.refresh_token or tokens.refresh)
    until = ends_at(answered, now)
    was_kept = await site.store.run(
        upstream_grants.refresh,
        held,
        sealed=upstream_grants.seal(site.ring, fresh, held.org_id, held.server_id, held.user_id),
        expires_at=until,
        scope=answered.scope or held.scope,
        now=now,
    )
    if not was_kept:
        raise NeedsGrant(server, connect_url(org, server))
    return Fetched(f"Bearer {fresh.access}", until)


async def _ask(site: Site, server: McpServer, held: Grant, tokens: Tokens) -> Answered:
    place = held.place
    client = await client_of_grant(site, server, held.issuer, place.client_id, place.auth_method)
    asked = {"grant_type": "refresh_token", "refresh_token": tokens.refresh, "resource": place.resource}
    return await ask(site, server, place.token_url, client, asked)


async def _lose(site: Site, held: Grant, why: str) -> None:
    if await site.store.run(upstream_grants.lose, held, why=why, now_ms=site.clock.now_ms()):
        await site.live.catch_up()
