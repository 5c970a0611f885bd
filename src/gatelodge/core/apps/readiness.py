"""Whether an app will work with MCP clients, check by check, with the way to mend each."""

import msgspec

from gatelodge.core.apps import callbacks
from gatelodge.core.apps.policies import APPROVED, AT_ONCE, Policies
from gatelodge.core.apps.settings import FIELDS, LABELS, Settings
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN
from gatelodge.words import _

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
            met=_("OAuth is enabled"),
            unmet=_("OAuth is off: no client can sign anybody in"),
            fix=_("Select Enable OAuth."),
            is_met=settings.oauth_enabled,
        ),
        Check(
            met=_("There is a callback URL"),
            unmet=_("There is no callback URL that can be used"),
            fix=_("Pick a client, or enter its callback URL."),
            is_met=has_way_back,
        ),
        Check(
            met=_("Scopes include mcp_api and refresh_token"),
            unmet=_("Scopes lack mcp_api or refresh_token"),
            fix=_("Move both to Selected OAuth Scopes."),
            is_met={MCP_API, REFRESH_TOKEN} <= set(settings.scopes),
        ),
    )


def _about_security(settings: Settings) -> tuple[Check, ...]:
    demands = settings.require_secret_for_web_server_flow or settings.require_secret_for_refresh_token_flow
    jwt = LABELS["jwt_access_tokens"]
    return (
        Check(
            met=_("JWT access tokens are on"),
            unmet=_("JWT access tokens are off: MCP servers will refuse this app's tokens"),
            fix=_("Select {field}.").format(field=_(jwt)),
            is_met=settings.jwt_access_tokens,
        ),
        Check(
            met=_("PKCE is required"),
            unmet=_("PKCE is not required: a client that leaves it out is let in"),
            fix=_("Select Require PKCE. Every MCP client uses it."),
            is_met=settings.require_pkce,
        ),
        Check(
            met=_("No secret is required"),
            unmet=_("A secret is required: MCP clients hold no secret"),
            fix=_("Deselect the two Require Secret options, unless your client has a place for a secret."),
            is_met=not demands,
        ),
    )


def _about_policies(policies: Policies, active_servers: tuple[str, ...]) -> tuple[Check, ...]:
    allowed = [name for name in active_servers if policies.mcp_servers is None or name in policies.mcp_servers]
    found: tuple[Check, ...] = (
        Check(
            met=_("At least one MCP server is active"),
            unmet=_("No MCP server is active for this app"),
            fix=_("Activate one under MCP Servers, and allow it in Policies."),
            is_met=bool(allowed),
        ),
        Check(
            met=_("The app is enabled"),
            unmet=_("The app is disabled: its tokens are refused"),
            fix=_("Select Enable this app under Policies."),
            is_met=policies.is_enabled,
        ),
    )
    if policies.permitted_users == APPROVED and not policies.permission_sets:
        nobody = Check(
            met="",
            unmet=_("No permission set is pre-authorized: nobody may use the app"),
            fix=_("Select one under Policies, or let all users self-authorize."),
            is_met=False,
        )
        found = (*found, nobody)
    if policies.refresh_token_policy == AT_ONCE:
        again = Check(
            met="",
            unmet=_(
                "Refresh tokens expire immediately: users sign in again every {access_token_minutes} minutes"
            ).format(access_token_minutes=policies.access_token_minutes),
            fix=_("Choose another Refresh Token Policy, unless that is meant."),
            is_met=False,
            is_needed=False,
        )
        found = (*found, again)
    return found


def _unsafe_options(settings: Settings) -> tuple[Check, ...]:
    selected = [field for field in FIELDS if field.unsafe and getattr(settings, field.name)]
    if not selected:
        return (Check(met=_("No unsafe option is selected"), unmet="", fix="", is_met=True),)
    return tuple(
        Check(
            met="",
            unmet=_("{label} is unsafe").format(label=_(field.label)),
            fix=_("{unsafe} Deselect it, unless this app is no MCP client.").format(unsafe=_(field.unsafe)),
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
            on, off = (_("Settings"), _("Policies")) if developer else (_("Policies"), _("Settings"))
            found.append(
                Check(
                    met="",
                    unmet=_("{field} is on in {on} alone, so the flow is refused").format(
                        field=_(LABELS[setting]), on=on
                    ),
                    fix=_("Select it in {off} too, or deselect it in {on}.").format(off=off, on=on),
                    is_met=False,
                    is_needed=False,
                )
            )
    return tuple(found)
