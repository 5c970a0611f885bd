"""What an org decides once for all of its people and all of its apps: how long sessions last, and what apps may be."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from gatelodge.core.apps.fields import fields_of, option
from gatelodge.core.apps.settings import FIELDS as SETTINGS
from gatelodge.core.apps.settings import Settings
from gatelodge.core.errors import Invalid
from gatelodge.words import _

SESSIONS = "Sessions"
PEOPLE = "New Users"
RULES = "External Client App Settings"

LONGEST_SESSION = 720
SHORTEST_IDLE, LONGEST_IDLE = 5, 1440


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """How long people stay signed in, and what a new user begins with."""

    session_hours: Annotated[
        int,
        option(
            "Session lifetime in hours",
            section=SESSIONS,
            help=f"1 to {LONGEST_SESSION}, from sign-in to the end, however busy. Counts at once for everybody who is"
            " signed in; what apps were allowed does not hang on it.",
        ),
    ] = 12
    idle_minutes: Annotated[
        int,
        option(
            "Minutes without a page",
            section=SESSIONS,
            help=f"{SHORTEST_IDLE} to {LONGEST_IDLE}. Who looks at no page for so long signs in again.",
        ),
    ] = 120
    time_zone: Annotated[
        str,
        option(
            "Time zone of new users",
            section=PEOPLE,
            help="An IANA name, such as Europe/Dublin. Each user may choose another.",
        ),
    ] = "UTC"


class AppRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every app of the org, whatever its Settings and Policies say."""

    creates_in_scratch_orgs: Annotated[
        bool,
        option(
            "Allow creation of External Client Apps in Setup of a scratch org",
            section=RULES,
            help="As in the original, a scratch org gets its apps from a package: they are created in a developer hub,"
            " packaged, and installed. Selected, they can be made in its Setup too. Other kinds of org are not asked.",
        ),
    ] = False
    allows_unsafe_options: Annotated[
        bool,
        option(
            "Allow options that are unsafe for MCP clients",
            section=RULES,
            help="Cleared, an app can't be saved with an option that Setup marks as unsafe, such as the Client Credentials"
            " Flow. Apps that have one already keep it until they are saved again.",
        ),
    ] = True
    allows_opaque_tokens: Annotated[
        bool,
        option(
            "Allow apps with opaque access tokens",
            section=RULES,
            help="Cleared, only apps that get JWT-based access tokens for named users can be used: others are refused at"
            " sign-in, refresh and call, and their Settings can't be saved so.",
        ),
    ] = True
    only_approved_users: Annotated[
        bool,
        option(
            "Allow only apps for admin approved users",
            section=RULES,
            help="Selected, an app whose policy Permitted Users is “All users may self-authorize” is refused at sign-in,"
            " refresh and call, until an administrator approves its users by permission set.",
        ),
    ] = False


def check(preferences: Preferences, zones: Sequence[str]) -> None:
    """Raises ``Invalid`` with one sentence for each field that breaks a rule. ``zones`` are the time zones that exist."""
    found: dict[str, str] = {}
    if not 1 <= preferences.session_hours <= LONGEST_SESSION:
        found["session_hours"] = _("{session_hours} hours are not allowed: choose 1 to {longest_session}.").format(
            session_hours=preferences.session_hours, longest_session=LONGEST_SESSION
        )
    if not SHORTEST_IDLE <= preferences.idle_minutes <= LONGEST_IDLE:
        found["idle_minutes"] = _(
            "{idle_minutes} minutes are not allowed: choose {shortest_idle} to {longest_idle}."
        ).format(idle_minutes=preferences.idle_minutes, shortest_idle=SHORTEST_IDLE, longest_idle=LONGEST_IDLE)
    if preferences.time_zone not in zones:
        found["time_zone"] = _("{time_zone!r:.60} is not a time zone; write for example Europe/Dublin.").format(
            time_zone=preferences.time_zone
        )
    if found:
        raise Invalid(found)


def check_settings(rules: AppRules, settings: Settings) -> None:
    """What an app can't be saved with in this org. Raises ``Invalid`` with one sentence for each field."""
    found: dict[str, str] = {}
    if not rules.allows_unsafe_options:
        for field in SETTINGS:
            if field.unsafe and getattr(settings, field.name):
                found[field.name] = _(
                    "{label}: this org allows no options that are unsafe for MCP clients (External Client App"
                    " Settings)."
                ).format(label=_(field.label))
    if not rules.allows_opaque_tokens and not settings.jwt_access_tokens:
        found["jwt_access_tokens"] = _(
            "This org allows no apps with opaque access tokens (External Client App Settings): select this option."
        )
    if found:
        raise Invalid(found)


PREFERENCES = fields_of(Preferences)
APP_RULES = fields_of(AppRules)
