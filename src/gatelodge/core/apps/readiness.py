"""Whether an app will work with MCP clients, check by check, with the way to mend each."""

import msgspec

from gatelodge.core.apps import callbacks
from gatelodge.core.apps.policies import APPROVED, AT_ONCE, Policies
from gatelodge.core.apps.settings import FIELDS, LABELS, Settings
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN

TWO_SWITCHES = (("client_credentials_flow", "client_credentials"), ("token_exchange_flow", "token_exchange"))
"""Flows that both Settings and Policies must enable."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One condition: a sentence that is true when it is met, one that is true when it isn't, and then what to do.

    ``is_needed``: no MCP client works without it; else it is advice.
    """

    met: str
    unmet: str
    fix: str
    is_met: bool
    is_needed: bool = True

    @property
    def sentence(self) -> str:
        """The one that is true."""
        return self.met if self.is_met else self.unmet


def checks(settings: Settings, policies: Policies, active_servers: tuple[str, ...]) -> tuple[Check, ...]:
    """What an MCP client needs of an app, in the order of the form, then what an administrator had better know."""
    return (
        *_about_oauth(settings),
        *_about_security(settings),
        *_about_policies(policies, active_servers),
        *_unsafe_options(settings),
        *_one_sided_flows(settings, policies),
    )


READY, ATTENTION, UNREADY, DISABLED = "ready", "attention", "unready", "disabled"
STATES = (READY, ATTENTION, UNREADY, DISABLED)
"""An app in one word, as the list is filtered by it."""


def state(settings: Settings, policies: Policies) -> str:
    """The app by itself, in one of ``STATES``: whether the org has an active MCP server is no fault of the app's."""
    if not policies.is_enabled:
        return DISABLED
    unmet = [each for each in checks(settings, policies, policies.mcp_servers or ("any",)) if not each.is_met]
    if any(each.is_needed for each in unmet):
        return UNREADY
    return ATTENTION if unmet else READY


def _about_oauth(settings: Settings) -> tuple[Check, ...]:
    has_way_back = bool(settings.callback_urls) and not any(map(callbacks.problem, settings.callback_urls))
    return (
        Check(
            met="OAuth is enabled",
            unmet="OAuth is off: no client can sign anybody in",
            fix="Select Enable OAuth.",
            is_met=settings.oauth_enabled,
        ),
        Check(
            met="There is a callback URL",
            unmet="There is no callback URL that can be used",
            fix="Pick a client, or enter its callback URL.",
            is_met=has_way_back,
        ),
        Check(
            met="Scopes include mcp_api and refresh_token",
            unmet="Scopes lack mcp_api or refresh_token",
            fix="Move both to Selected OAuth Scopes.",
            is_met={MCP_API, REFRESH_TOKEN} <= set(settings.scopes),
        ),
    )


def _about_security(settings: Settings) -> tuple[Check, ...]:
    demands = settings.require_secret_for_web_server_flow or settings.require_secret_for_refresh_token_flow
    return (
        Check(
            met="JWT access tokens are on",
            unmet="JWT access tokens are off: MCP servers will refuse this app's tokens",
            fix=f"Select {LABELS['jwt_access_tokens']}.",
            is_met=settings.jwt_access_tokens,
        ),
        Check(
            met="PKCE is required",
            unmet="PKCE is not required: a client that leaves it out is let in",
            fix="Select Require PKCE. Every MCP client uses it.",
            is_met=settings.require_pkce,
        ),
        Check(
            met="No secret is required",
            unmet="A secret is required: MCP clients hold no secret",
            fix="Deselect the two Require Secret options, unless your client has a place for a secret.",
            is_met=not demands,
        ),
    )


def _about_policies(policies: Policies, active_servers: tuple[str, ...]) -> tuple[Check, ...]:
    allowed = [name for name in active_servers if policies.mcp_servers is None or name in policies.mcp_servers]
    found: tuple[Check, ...] = (
        Check(
            met="At least one MCP server is active",
            unmet="No MCP server is active for this app",
            fix="Activate one under MCP Servers, and allow it in Policies.",
            is_met=bool(allowed),
        ),
        Check(
            met="The app is enabled",
            unmet="The app is disabled: its tokens are refused",
            fix="Select Enable this app under Policies.",
            is_met=policies.is_enabled,
        ),
    )
    if policies.permitted_users == APPROVED and not policies.permission_sets:
        nobody = Check(
            met="",
            unmet="No permission set is pre-authorized: nobody may use the app",
            fix="Select one under Policies, or let all users self-authorize.",
            is_met=False,
        )
        found = (*found, nobody)
    if policies.refresh_token_policy == AT_ONCE:
        again = Check(
            met="",
            unmet=f"Refresh tokens expire immediately: users sign in again every {policies.access_token_minutes} minutes",
            fix="Choose another Refresh Token Policy, unless that is meant.",
            is_met=False,
            is_needed=False,
        )
        found = (*found, again)
    return found


def _unsafe_options(settings: Settings) -> tuple[Check, ...]:
    selected = [field for field in FIELDS if field.unsafe and getattr(settings, field.name)]
    if not selected:
        return (Check(met="No unsafe option is selected", unmet="", fix="", is_met=True),)
    return tuple(
        Check(
            met="",
            unmet=f"{field.label} is unsafe",
            fix=f"{field.unsafe} Deselect it, unless this app is no MCP client.",
            is_met=False,
            is_needed=False,
        )
        for field in selected
    )


def _one_sided_flows(settings: Settings, policies: Policies) -> tuple[Check, ...]:
    """A flow that one side enables and the other doesn't is refused: an administrator should not have to find out."""
    found: list[Check] = []
    for setting, policy in TWO_SWITCHES:
        developer, administrator = getattr(settings, setting), getattr(policies, policy)
        if developer != administrator:
            on, off = ("Settings", "Policies") if developer else ("Policies", "Settings")
            found.append(
                Check(
                    met="",
                    unmet=f"{LABELS[setting]} is on in {on} alone, so the flow is refused",
                    fix=f"Select it in {off} too, or deselect it in {on}.",
                    is_met=False,
                    is_needed=False,
                )
            )
    return tuple(found)
