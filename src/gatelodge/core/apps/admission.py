"""Whether a user may use an app, from where and how well signed in: the app's Policies, asked in one place.

Sign-in, the token endpoint, MCP servers and Setup's "can this user?" all ask here, so that they can't disagree.
"""

import msgspec

from gatelodge.core import addresses
from gatelodge.core.apps.policies import (
    APPROVED,
    HIGH,
    LEVELS,
    RELAX,
    RELAX_REFRESH,
    RELAX_SECOND_FACTOR,
    STEP_UP,
    Policies,
)
from gatelodge.core.apps.settings import Settings
from gatelodge.core.org_options import AppRules
from gatelodge.core.permissions import USE_MCP_SERVERS, Access, PermissionSet
from gatelodge.core.scopes import MCP_API
from gatelodge.words import Reason, mark


class NotAdmitted(msgspec.Struct, frozen=True):
    """Why not: ``code`` is the original's word for it, ``reason`` a sentence with places for ``values``.
    ``can_step_up``: a second factor helps.
    """

    code: str
    reason: str
    values: dict[str, str] = {}
    can_step_up: bool = False

    @property
    def why(self) -> str:
        """The reason as the wire tells it."""
        return str(self.told)

    @property
    def told(self) -> Reason:
        """The reason, to be told in the reader's language."""
        return Reason(self.reason, dict(self.values))

    def sentence(self) -> str:
        """The same in the reader's language, as a sentence that stands alone."""
        said = self.told.here()
        return f"{said[0].upper()}{said[1:]}."


def check_user(policies: Policies, access: Access) -> NotAdmitted | None:
    """Permitted Users: everybody, or those whom an administrator approved by permission set."""
    if policies.permitted_users != APPROVED or access.has_any(policies.permission_sets):
        return None
    if not policies.permission_sets:
        return NotAdmitted(
            "invalid_app_access",
            mark(
                "user is not admin approved to access this app: it is for users with one of the permission sets: none is"
                " named yet"
            ),
        )
    return NotAdmitted(
        "invalid_app_access",
        mark("user is not admin approved to access this app: it is for users with one of the permission sets: {sets}"),
        {"sets": ", ".join(policies.permission_sets)},
    )


def check_rules(rules: AppRules, settings: Settings, policies: Policies) -> NotAdmitted | None:
    """What the org decided for all of its apps (External Client App Settings)."""
    if not rules.allows_opaque_tokens and not settings.jwt_access_tokens:
        return NotAdmitted(
            "app_blocked",
            mark("app blocked: the External Client App Settings of this org allow no apps with opaque access tokens"),
        )
    if rules.only_approved_users and policies.permitted_users != APPROVED:
        return NotAdmitted(
            "app_blocked",
            mark(
                "app blocked: the External Client App Settings of this org allow no apps that every user may authorize,"
                " only those for approved users"
            ),
        )
    return None


def check_servers(scopes: tuple[str, ...], access: Access) -> NotAdmitted | None:
    """A token that is to open MCP servers is for users whose permission sets allow them."""
    if MCP_API not in scopes or access.may(USE_MCP_SERVERS):
        return None
    return NotAdmitted("mcp_not_permitted", mark("the user has no permission set that allows MCP servers"))


def groups(policies: Policies, scopes: tuple[str, ...], known: list[PermissionSet]) -> tuple[tuple[str, ...], ...]:
    """``check_user`` and ``check_servers`` as a question to the database: who holds one permission set of each of these
    groups passes both. ``known`` are the org's sets.
    """
    found: list[tuple[str, ...]] = []
    if policies.permitted_users == APPROVED:
        found.append(policies.permission_sets)
    if MCP_API in scopes:
        found.append(tuple(each.api_name for each in known if USE_MCP_SERVERS in each.system))
    return tuple(found)


def check_address(
    policies: Policies, org_ranges: tuple[str, ...], address: str, *, level: str, is_refreshing: bool = False
) -> NotAdmitted | None:
    """IP Relaxation: where the request comes from, unless the policy relaxes that. No ranges: no restriction."""
    ranges = (*policies.trusted_ranges, *org_ranges)
    is_relaxed = (
        policies.ip_relaxation == RELAX
        or (policies.ip_relaxation == RELAX_REFRESH and is_refreshing)
        or (policies.ip_relaxation == RELAX_SECOND_FACTOR and level == HIGH)
    )
    if not ranges or is_relaxed or addresses.are_within(address, ranges):
        return None
    return NotAdmitted(
        "ip_restricted",
        mark("ip restricted: {address} lies in none of the trusted ranges of the app and the org"),
        {"address": address},
        can_step_up=policies.ip_relaxation == RELAX_SECOND_FACTOR,
    )


def check_run_as(settings: Settings, policies: Policies, username: str) -> NotAdmitted | None:
    """Whether the app still works as this user by its own proof alone (Client Credentials Flow)."""
    is_on = settings.client_credentials_flow and policies.client_credentials
    if is_on and username.lower() == policies.run_as.lower():
        return None
    return NotAdmitted(
        "oauth_flow_disabled",
        mark("an administrator ended the Client Credentials Flow of this app as {username}"),
        {"username": username},
    )


def check_level(policies: Policies, level: str) -> NotAdmitted | None:
    """The session level that the app requires."""
    if LEVELS.index(level) >= LEVELS.index(policies.session_level):
        return None
    return NotAdmitted(
        "invalid_session_level",
        mark("Session security level required: {wanted}, and this session is {level}"),
        {"wanted": policies.session_level, "level": level},
        can_step_up=policies.below_level == STEP_UP,
    )
