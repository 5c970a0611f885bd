"""Whether an app will work with MCP clients, check by check, with the way to mend each."""

import msgspec

from gatelodge.core.apps import callbacks
from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.settings import Settings
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN


class Check(msgspec.Struct, frozen=True):
    """One condition: a sentence that is true when it is met, and what to do when it isn't."""

    sentence: str
    is_met: bool
    fix: str


def checks(settings: Settings, policies: Policies, active_servers: tuple[str, ...]) -> tuple[Check, ...]:
    """What an MCP client needs of an app, in the order of the form."""
    allowed = [name for name in active_servers if policies.mcp_servers is None or name in policies.mcp_servers]
    has_way_back = bool(settings.callback_urls) and not any(map(callbacks.problem, settings.callback_urls))
    has_scopes = {MCP_API, REFRESH_TOKEN} <= set(settings.scopes)
    return (
        Check("OAuth is enabled", settings.oauth_enabled, "Select Enable OAuth."),
        Check("There is a callback URL", has_way_back, "Pick a client, or enter its callback URL."),
        Check("Scopes include mcp_api and refresh_token", has_scopes, "Move both to Selected OAuth Scopes."),
        Check(
            "JWT access tokens and PKCE are on",
            settings.jwt_access_tokens and settings.require_pkce,
            "Select both options under Security.",
        ),
        Check(
            "At least one MCP server is active",
            bool(allowed),
            "Activate one under MCP Servers, and allow it in Policies.",
        ),
        Check("The app is enabled", policies.is_enabled, "Select Enable this app under Policies."),
    )
