"""What the grants that work for a user share: the app's Policies, asked again at every exchange."""

from gatelodge.core import connections, refresh, secrets
from gatelodge.core.apps import admission
from gatelodge.core.apps.admission import NotAdmitted
from gatelodge.core.apps.policies import AT_ONCE
from gatelodge.core.connections import Connection
from gatelodge.core.errors import Denied
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import USE_MCP_SERVERS
from gatelodge.core.propagation import LiveClient
from gatelodge.core.refresh import Family
from gatelodge.core.scopes import MCP_API
from gatelodge.live import LiveUser
from gatelodge.oauth.grants.granted import Exchange
from gatelodge.web.site import Site

INACTIVE = Denied("invalid_grant", "inactive_user: the user is inactive")


async def refusal(
    site: Site, org: Org, asked: Exchange, connection: Connection, *, is_refreshing: bool = False
) -> Denied | None:
    """Why this connection's user may not use this app now, from here; None: they may. It leaves no mark."""
    if connection.client_id != asked.client.client_id and connection.app_id != asked.client.app_id:
        return None  # not this client's: the rule that follows says so
    live_user = await site.live.user(org.id, connection.user_id)
    if live_user is None:
        return INACTIVE
    return refusal_of_user(org, asked, live_user, level=connection.level, is_refreshing=is_refreshing)


def refusal_of_user(
    org: Org, asked: Exchange, live_user: LiveUser, *, level: str, is_refreshing: bool = False
) -> Denied | None:
    """Why this user may not use this app now, from here; None: they may."""
    policies = asked.client.policies
    found = admission.check_user(policies, live_user.access) or admission.check_address(
        policies, org.trusted_ranges, asked.address, level=level, is_refreshing=is_refreshing
    )
    return Denied("invalid_grant", in_words(found)) if found else None


def in_words(found: NotAdmitted) -> str:
    """A policy's refusal with the original's code, by which the web knows it."""
    return found.why if found.why.startswith(found.code.replace("_", " ")) else f"{found.code}: {found.why}"


def refusal_of_mcp(live_user: LiveUser, scopes: tuple[str, ...]) -> Denied | None:
    """Why a token with these scopes would open no MCP server for this user; None: it does, or isn't for one."""
    if MCP_API not in scopes or live_user.access.may(USE_MCP_SERVERS):
        return None
    return Denied("invalid_grant", f"{live_user.user.username} has no permission set that allows MCP servers")


async def standing(site: Site, made: Connection) -> Connection:
    """The connection of a grant without a person: begun by the first call, and found again by each later one, which
    writes nothing.
    """
    known = await site.store.read(connections.find_standing_now, made)
    return known or await site.store.run(connections.stand, made, site.clock.now())


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
