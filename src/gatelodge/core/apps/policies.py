"""Policies: what the org's administrator decides about an app. They never travel with it."""

import re
from typing import Annotated, Literal

import msgspec

from gatelodge.core import addresses
from gatelodge.core.apps.fields import fields_of, option
from gatelodge.core.errors import Invalid
from gatelodge.words import _

APP = "App Policies"
OAUTH = "OAuth Policies"
FLOWS = "OAuth Flows"
MCP = "MCP Servers"
SECTIONS = (APP, OAUTH, FLOWS, MCP)

ANYONE = "AllSelfAuthorized"
APPROVED = "AdminApprovedPreAuthorized"
ENFORCE = "Enforce"
RELAX_REFRESH = "Enforce_RelaxRefresh"
RELAX_SECOND_FACTOR = "Bypass_2factor"
RELAX = "Bypass"
UNTIL_REVOKED = "Infinite"
AT_ONCE = "Zero"
AFTER = "SpecificLifetime"
IF_UNUSED = "SpecificInactivity"
UNITS = {"Hours": 3600, "Days": 86_400, "Months": 30 * 86_400}
"""Seconds of each unit of the refresh token policy; a month is 30 days."""
LOW, STANDARD, HIGH = "LOW", "STANDARD", "HIGH_ASSURANCE"
LEVELS = (LOW, STANDARD, HIGH)
BLOCK = "Block"
STEP_UP = "StepUpMFA"

HOUR = 3600
LONGEST_ACCESS = 720
MOST_CALLS = 100_000
MOST_NAMED = 10
"""Unknown names that one sentence lists."""
LONGEST_REFRESH = 3650 * 86_400
MOST_ATTRIBUTES = 128
ATTRIBUTE_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
SOURCES = (
    "User.Id", "User.Username", "User.Name", "User.Email", "User.TimeZone", "User.PermissionSets",
    "Organization.Id", "Organization.Name", "Organization.Kind",
)  # fmt: skip
"""What a custom attribute may say of the user or the org."""


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use the app, from where and for how long, and which MCP servers it may call.

    ``mcp_servers`` None: every active one; ``mcp_tools`` None: every tool that is on.
    """

    is_enabled: Annotated[
        bool,
        option(
            "Enable this app",
            section=APP,
            help="Turned off, the app's tokens are refused at once, on every node, and nobody can sign in through it.",
        ),
    ] = True
    permitted_users: Annotated[
        Literal["AllSelfAuthorized", "AdminApprovedPreAuthorized"],
        option(
            "Permitted Users",
            section=OAUTH,
            choices={
                ANYONE: "All users may self-authorize",
                APPROVED: "Admin approved users are pre-authorized",
            },
            help="Pre-authorized users are those with one of the permission sets below; they skip the consent page,"
            " and nobody else may use the app. Asked at every sign-in, refresh and call, so a change counts for those"
            " who are connected already.",
        ),
    ] = "AllSelfAuthorized"
    permission_sets: Annotated[
        tuple[str, ...],
        option(
            "Pre-authorized permission sets",
            section=OAUTH,
            help="Only for admin approved users: who has one of these may use the app.",
        ),
    ] = ()
    ip_relaxation: Annotated[
        Literal["Enforce", "Enforce_RelaxRefresh", "Bypass_2factor", "Bypass"],
        option(
            "IP Relaxation",
            section=OAUTH,
            choices={
                ENFORCE: "Enforce IP restrictions",
                RELAX_REFRESH: "Enforce IP restrictions, but relax for refresh tokens",
                RELAX_SECOND_FACTOR: "Relax IP restrictions with second factor",
                RELAX: "Relax IP restrictions",
            },
            help="Restrictions are the app's trusted ranges and the org's together; without any there are none. Asked at"
            " every sign-in, refresh and call.",
        ),
    ] = "Enforce"
    trusted_ranges: Annotated[
        tuple[str, ...],
        option(
            "Trusted IP ranges of this app",
            section=OAUTH,
            help="One per line, such as 198.51.100.0/24 or 10.0.0.1-10.0.0.9.",
        ),
    ] = ()
    refresh_token_policy: Annotated[
        Literal["Infinite", "Zero", "SpecificInactivity", "SpecificLifetime"],
        option(
            "Refresh Token Policy",
            section=OAUTH,
            choices={
                UNTIL_REVOKED: "Refresh token is valid until revoked",
                AT_ONCE: "Immediately expire refresh token",
                IF_UNUSED: "Expire refresh token if not used for",
                AFTER: "Expire refresh token after",
            },
            help="Counts for refresh tokens that are out already, too.",
        ),
    ] = "SpecificInactivity"
    refresh_token_period: Annotated[int, option("Refresh period", section=OAUTH, help="For the last two policies.")] = (
        30
    )
    refresh_token_unit: Annotated[
        Literal["Hours", "Days", "Months"],
        option(
            "Refresh unit", section=OAUTH, choices={each: each for each in UNITS}, help="A month counts as 30 days."
        ),
    ] = "Days"
    access_token_minutes: Annotated[
        int,
        option(
            "Access token lifetime in minutes",
            section=OAUTH,
            help="1 to 720; 10 is a good choice. Counts for tokens issued from now on.",
        ),
    ] = 10
    session_level: Annotated[
        Literal["LOW", "STANDARD", "HIGH_ASSURANCE"],
        option(
            "Session security level required",
            section=OAUTH,
            choices={LOW: "Low", STANDARD: "Standard", HIGH: "High assurance"},
            help="High assurance: the user signed in with a second factor or a passkey. Asked whenever a user connects the"
            " app.",
        ),
    ] = "STANDARD"
    below_level: Annotated[
        Literal["Block", "StepUpMFA"],
        option(
            "Below that level",
            section=OAUTH,
            choices={BLOCK: "Block", STEP_UP: "Ask for a second factor"},
        ),
    ] = "StepUpMFA"
    custom_attributes: Annotated[
        tuple[str, ...],
        option(
            "Custom attributes",
            section=OAUTH,
            help="One per line, such as department = Organization.Name. They stand in access tokens and userinfo under"
            f" custom_attributes. Sources: {', '.join(SOURCES)}.",
        ),
    ] = ()
    client_credentials: Annotated[
        bool,
        option("Enable Client Credentials Flow", section=FLOWS, help="Works where Settings enable the flow too."),
    ] = False
    run_as: Annotated[
        str, option("Run As", section=FLOWS, help="The username that the Client Credentials Flow works as.")
    ] = ""
    token_exchange: Annotated[
        bool, option("Enable Token Exchange Flow", section=FLOWS, help="Works where Settings enable the flow too.")
    ] = False
    mcp_servers: Annotated[
        tuple[str, ...] | None,
        option("MCP servers this app may use", section=MCP, help="Asked at every call."),
    ] = None
    mcp_tools: Annotated[
        tuple[str, ...] | None,
        option(
            "Tools this app may use",
            section=MCP,
            help="Each as server/tool. A tool that isn't among them is neither listed nor called. Asked at every call.",
        ),
    ] = None
    mcp_read_only: Annotated[
        bool,
        option(
            "Read only",
            section=MCP,
            help="Tools marked as writing or destructive are neither listed nor called through this app.",
        ),
    ] = False
    mcp_calls_per_minute: Annotated[
        int,
        option(
            "Calls per minute of each user",
            section=MCP,
            help="0 to 100000; 0 is no limit. Counts every request to an MCP server, on each node; one too many is"
            " answered with 429 and the seconds to wait.",
        ),
    ] = 0
    default_mcp_server: Annotated[
        str,
        option(
            "Default MCP server",
            section=MCP,
            help="Where a token opens when the client names no server and may use several.",
        ),
    ] = ""

    @property
    def refresh_seconds(self) -> int:
        """The period of the refresh token policy, in seconds."""
        return self.refresh_token_period * UNITS[self.refresh_token_unit]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the org has that policies may name."""

    servers: tuple[str, ...]
    permission_sets: tuple[str, ...]
    tools: frozenset[str] = frozenset()
    run_as_exists: bool = True


def attributes(policies: Policies) -> dict[str, str]:
    """The custom attributes as key and source."""
    pairs = (line.partition("=") for line in policies.custom_attributes)
    return {key.strip(): source.strip() for key, _, source in pairs}


def check(policies: Policies, known: Known) -> None:
    """Raises ``Invalid`` with one sentence for each field that breaks a rule."""
    found = {**_server_problems(policies, known), **_people_problems(policies, known), **_time_problems(policies)}
    texts = {
        "trusted_ranges": addresses.problem(policies.trusted_ranges),
        "custom_attributes": _attribute_problem(policies),
    }
    found |= {name: sentence for name, sentence in texts.items() if sentence}
    if found:
        raise Invalid(found)


def _server_problems(policies: Policies, known: Known) -> dict[str, str]:
    found: dict[str, str] = {}
    unknown = [name for name in policies.mcp_servers or () if name not in known.servers]
    if unknown:
        found["mcp_servers"] = _("{unknown}: no such MCP server; this org has {servers}.").format(
            unknown=", ".join(unknown), servers=", ".join(known.servers)
        )
    allowed = policies.mcp_servers if policies.mcp_servers is not None else known.servers
    if policies.default_mcp_server and policies.default_mcp_server not in allowed:
        found["default_mcp_server"] = _(
            "{default_mcp_server} is not among the servers this app may use: {allowed}."
        ).format(default_mcp_server=policies.default_mcp_server, allowed=", ".join(allowed) or _("none"))
    if lost := [name for name in policies.mcp_tools or () if name not in known.tools]:
        more = _(" and {n} more").format(n=len(lost) - MOST_NAMED) if len(lost) > MOST_NAMED else ""
        listed = ", ".join(f"{name:.100}" for name in lost[:MOST_NAMED])
        found["mcp_tools"] = _("{listed}{more}: no such tool; write server/tool as MCP Servers lists them.").format(
            listed=listed, more=more
        )
    if not 0 <= policies.mcp_calls_per_minute <= MOST_CALLS:
        found["mcp_calls_per_minute"] = _("{mcp_calls_per_minute} is not allowed: choose 0 to {most_calls}.").format(
            mcp_calls_per_minute=policies.mcp_calls_per_minute, most_calls=MOST_CALLS
        )
    return found


def _people_problems(policies: Policies, known: Known) -> dict[str, str]:
    found: dict[str, str] = {}
    unknown = [name for name in policies.permission_sets if name not in known.permission_sets]
    if unknown:
        found["permission_sets"] = _("{unknown}: no such permission set; this org has {permission_sets}.").format(
            unknown=", ".join(unknown), permission_sets=", ".join(known.permission_sets)
        )
    if policies.client_credentials and not policies.run_as:
        found["run_as"] = _("Enable Client Credentials Flow needs a Run As user: enter a username.")
    elif policies.run_as and not known.run_as_exists:
        found["run_as"] = _("{run_as!r} is not an active user of this org.").format(run_as=policies.run_as)
    return found


def _time_problems(policies: Policies) -> dict[str, str]:
    found: dict[str, str] = {}
    if not 1 <= policies.access_token_minutes <= LONGEST_ACCESS:
        found["access_token_minutes"] = _(
            "{access_token_minutes} minutes are not allowed: choose 1 to {longest_access}."
        ).format(access_token_minutes=policies.access_token_minutes, longest_access=LONGEST_ACCESS)
    if policies.refresh_token_policy in (AFTER, IF_UNUSED) and not HOUR <= policies.refresh_seconds <= LONGEST_REFRESH:
        found["refresh_token_period"] = _(
            "{refresh_token_period} {refresh_token_unit} are not allowed: choose one hour to {n} days."
        ).format(
            refresh_token_period=policies.refresh_token_period,
            refresh_token_unit=policies.refresh_token_unit.lower(),
            n=LONGEST_REFRESH // 86400,
        )
    return found


def _attribute_problem(policies: Policies) -> str:
    named = attributes(policies)
    if len(named) != len(policies.custom_attributes) or len(named) > MOST_ATTRIBUTES:
        return _("Each attribute has a key of its own, and there are at most {most_attributes}.").format(
            most_attributes=MOST_ATTRIBUTES
        )
    for key, source in named.items():
        if not ATTRIBUTE_KEY.fullmatch(key):
            return _(
                "{key!r:.80} is not an attribute's key: use letters, digits and underscores, beginning with a letter."
            ).format(key=key)
        if source not in SOURCES:
            return _("{source!r:.80} is not a source; choose from {sources}.").format(
                source=source, sources=", ".join(SOURCES)
            )
    return ""


FIELDS = fields_of(Policies)
LABELS = {field.name: field.label for field in FIELDS}
