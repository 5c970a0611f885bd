"""What the grants that work for a user share: the app's Policies, asked again at every exchange."""

from gatelodge.core import connections, refresh, secrets
from gatelodge.core.apps import admission
from gatelodge.core.apps.admission import NotAdmitted
from gatelodge.core.apps.policies import AT_ONCE, LOW, STANDARD
from gatelodge.core.connections import Connection
from gatelodge.core.errors import Denied
from gatelodge.core.ids import AUTHORIZATION, CONNECTION
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.refresh import Family
from gatelodge.core.users import User
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
    # Below the standard level are only connections without a person, which that level lets through.
    policies, level = asked.client.policies, STANDARD if connection.level == LOW else connection.level
    found = (
        admission.check_rules(org.app_rules, asked.client.settings, policies)
        or admission.check_user(policies, live_user.access)
        or admission.check_level(policies, level)
        or admission.check_address(
            policies, org.trusted_ranges, asked.address, level=level, is_refreshing=is_refreshing
        )
    )
    return Denied("invalid_grant", in_words(found)) if found else None


def refusal_without_a_person(org: Org, asked: Exchange, live_user: LiveUser, scopes: tuple[str, ...]) -> Denied | None:
    """Why no token may be had in this user's name while nobody is there to sign in; None: one may.

    Where high assurance is required, nothing but a person with a second factor gives it.
    """
    policies = asked.client.policies
    found = (
        admission.check_rules(org.app_rules, asked.client.settings, policies)
        or admission.check_user(policies, live_user.access)
        or admission.check_servers(scopes, live_user.access)
        or admission.check_level(policies, STANDARD)
        or admission.check_address(policies, org.trusted_ranges, asked.address, level=STANDARD)
    )
    return Denied("invalid_grant", in_words(found)) if found else None


def in_words(found: NotAdmitted) -> str:
    """A policy's refusal with the original's code, by which the web knows it."""
    return found.why if found.why.startswith(found.code.replace("_", " ")) else f"{found.code}: {found.why}"


async def standing(
    site: Site, client: LiveClient, user: User, scopes: tuple[str, ...], resource: str, *, grant_type: str
) -> Connection:
    """The connection of a grant without a person: begun by the first call, and found again by each later one, which
    writes nothing. Its level is low, for nobody signed in.
    """
    now = site.clock.now()
    made = Connection(
        id=secrets.new_id(CONNECTION),
        org_id=user.org_id,
        authorization_id=secrets.new_id(AUTHORIZATION),
        user_id=user.id,
        app_id=client.app_id,
        client_id=client.client_id,
        scopes=scopes,
        resource=resource,
        signed_in_at=now,
        level=LOW,
        grant_type=grant_type,
    )
    known = await site.store.read(connections.find_standing, made)
    return known or await site.store.run(connections.stand, made, now)


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
