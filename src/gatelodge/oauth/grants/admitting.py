"""What the grants that work for a user share: the app's Policies, asked again at every exchange."""

from gatelodge.core import refresh, secrets
from gatelodge.core.apps import admission
from gatelodge.core.apps.policies import AT_ONCE
from gatelodge.core.connections import Connection
from gatelodge.core.errors import Denied
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.refresh import Family
from gatelodge.oauth.grants.granted import Exchange
from gatelodge.web.site import Site


async def refusal(
    site: Site, org: Org, asked: Exchange, connection: Connection, *, is_refreshing: bool = False
) -> Denied | None:
    """Why this connection's user may not use this app now, from here; None: they may. It leaves no mark."""
    if connection.client_id != asked.client.client_id and connection.app_id != asked.client.app_id:
        return None  # not this client's: the rule that follows says so
    live_user = await site.live.user(org.id, connection.user_id)
    if live_user is None:
        return Denied("invalid_grant", "inactive_user: the user is inactive")
    policies = asked.client.policies
    found = admission.check_user(policies, live_user.access) or admission.check_address(
        policies, org.trusted_ranges, asked.address, level=connection.level, is_refreshing=is_refreshing
    )
    return Denied("invalid_grant", found.why) if found else None


def fresh_family(client: LiveClient, org: Org, now: int) -> Family | None:
    """A refresh family for a connection that is about to begin; None where the app's policy expires it immediately."""
    if client.policies.refresh_token_policy == AT_ONCE:
        return None
    return refresh.Family(
        id=secrets.new_token()[:22],
        org_id=org.id,
        connection_id="",
        salt=secrets.new_token(),
        n=1,
        recent=(),
        began_at=now,
        used_at=now,
    )
