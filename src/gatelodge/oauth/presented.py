"""A token that somebody shows to have it revoked or explained: what it is, if it is one of this org's and still lives."""

import msgspec

from gatelodge.core import connections, refresh
from gatelodge.core.connections import Connection
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.refresh import Family
from gatelodge.core.tokens import Claims
from gatelodge.web.site import Site


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """A live token's connection, and what the token says: ``claims`` of an access token, or the family of a refresh
    token with this token's number in it.
    """

    connection: Connection
    claims: Claims | None = None
    family: Family | None = None
    n: int = 0

    def belongs_to(self, client: LiveClient) -> bool:
        """Whether this app was given it, under whichever of its consumer keys."""
        return self.connection.app_id == client.app_id


async def find(site: Site, org: Org, token: str) -> Presented | None:
    """What this text is. None: no token of this org, or one whose time or connection is over.

    ``token_type_hint`` isn't needed to find it (RFC 7009 §2.1): each kind has a shape of its own.
    """
    shown = refresh.parse(token)
    if shown is not None:
        held = await site.store.read(refresh.find_live, org.id, shown.family)
        if held is None or not refresh.is_ours(site.ring, shown, held.family):
            return None
        return Presented(connection=held.connection, family=held.family, n=shown.n)
    claims = await site.access.read(org, token)
    connection = await site.store.read(connections.find, org.id, claims.connection_id) if claims else None
    return Presented(connection=connection, claims=claims) if connection else None
