"""Settings: what an app's developer decides. Each field carries its label, help, section and default; the form,
the command line, the docs and the files all read them here. Settings travel in packages; they hold no secret.
"""

import re
from typing import Annotated, Literal

import msgspec

from gatelodge.core import public_keys
from gatelodge.core import scopes as scope_words
from gatelodge.core.apps import callbacks
from gatelodge.core.apps.fields import fields_of, option
from gatelodge.core.errors import Invalid
from gatelodge.core.scopes import MCP_API
from gatelodge.words import _

BASIC = "Basic Information"
API = "API (Enable OAuth Settings)"
SECURITY = "Security"
FLOWS = "Flow Enablement"
SECTIONS = (BASIC, API, SECURITY, FLOWS)

LONGEST_NAME = 80
LONGEST_TEXT = 255
MOST_CALLBACK_CHARACTERS = 2000  # all callback URLs of an app together, as in the original

API_NAME_SHAPE = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
EMAIL_SHAPE = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
PHONE_SHAPE = re.compile(r"[0-9+() ./x-]{3,40}")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What travels with an app: its name, where its users return to, its scopes and its security options."""

    label: Annotated[
        str,
        option(
            "External Client App Name", section=BASIC, help="People see this name on the consent page.", flag="--name"
        ),
    ] = ""
    api_name: Annotated[
        str,
        option(
            "API Name",
            section=BASIC,
            help="Letters, digits and single underscores, beginning with a letter. It can't change after you create"
            " the app.",
        ),
    ] = ""
    contact_email: Annotated[
        str,
        option("Contact Email", section=BASIC, help="Whom to ask about this app. Users don't see it.", flag="--email"),
    ] = ""
    distribution_state: Annotated[
        Literal["Local", "Packaged"],
        option("Distribution State", section=BASIC, help="Local: this org only. Packaged: other orgs can install it."),
    ] = "Local"
    contact_phone: Annotated[str, option("Contact Phone", section=BASIC)] = ""
    info_url: Annotated[
        str, option("Info URL", section=BASIC, help="A page about the app; the consent page links to it.")
    ] = ""
    logo_url: Annotated[
        str,
        option(
            "Logo Image URL",
            section=BASIC,
            help="Travels in the metadata files. Pages here show no image of another host.",
        ),
    ] = ""
    icon_url: Annotated[
        str, option("Icon URL", section=BASIC, help="Travels in the metadata files, as the logo does.")
    ] = ""
    description: Annotated[str, option("Description", section=BASIC)] = ""

    oauth_enabled: Annotated[
        bool, option("Enable OAuth", section=API, help="Lets clients sign users in through this app.")
    ] = True
    callback_urls: Annotated[
        tuple[str, ...],
        option(
            "Callback URL",
            section=API,
            help="Compared character by character. For http://localhost, http://127.0.0.1 and http://[::1] any port is"
            " accepted.",
            flag="--callback",
        ),
    ] = ()
    scopes: Annotated[tuple[str, ...], option("OAuth Scopes", section=API, flag="--scope")] = ()

    logout_urls: Annotated[
        tuple[str, ...],
        option(
            "Single Logout URL",
            section=API,
            help="Where a user may be sent after signing out through this app. One per line, compared character by"
            " character.",
            flag="--logout-url",
        ),
    ] = ()

    jwt_access_tokens: Annotated[
        bool,
        option(
            "Issue JSON Web Token (JWT)-based access tokens for named users",
            section=SECURITY,
            help="Needed by MCP clients: MCP servers accept only JWT access tokens. Turned off, access tokens are"
            " opaque.",
        ),
    ] = True
    require_pkce: Annotated[
        bool,
        option(
            "Require Proof Key for Code Exchange (PKCE) extension for Supported Authorization Flows",
            section=SECURITY,
            help="Needed by MCP clients, and by every app without a secret.",
        ),
    ] = True
    access_token_parameter: Annotated[
        bool,
        option(
            "Issue access tokens in access_token parameter",
            section=SECURITY,
            help="The legacy user-agent flow: the token travels in the callback's URL. Leave off for MCP clients.",
            unsafe="A token in a URL is kept by browsers, logs and proxies (RFC 9700 2.1.2).",
        ),
    ] = False
    client_credentials_flow: Annotated[
        bool,
        option(
            "Enable Client Credentials Flow",
            section=SECURITY,
            help="No person is present in this flow, so nobody can consent. An administrator also has to enable it"
            " under Policies, and say whom it runs as.",
            unsafe="Every call is made as one user, whoever is behind it.",
        ),
    ] = False
    require_secret_for_web_server_flow: Annotated[
        bool,
        option(
            "Require Secret for Web Server Flow",
            section=SECURITY,
            help="Leave off for MCP clients: they are public clients and hold no secret. Turned off, a secret that is"
            " sent is still checked.",
        ),
    ] = False
    require_secret_for_refresh_token_flow: Annotated[
        bool,
        option(
            "Require Secret for Refresh Token Flow",
            section=SECURITY,
            help="Leave off for MCP clients, for the same reason.",
        ),
    ] = False
    code_credentials_flow: Annotated[
        bool,
        option(
            "Enable Authorization Code and Credentials Flow",
            section=SECURITY,
            help="The app itself asks for the user's name and password. Leave off for MCP clients.",
            unsafe="The app sees the user's password.",
        ),
    ] = False
    refresh_token_rotation: Annotated[
        bool,
        option(
            "Enable Refresh Token Rotation",
            section=SECURITY,
            help="Each use of a refresh token replaces it, and a stolen one ends its connection. Needed by every app"
            " that may refresh without a secret.",
        ),
    ] = True
    introspect_all_tokens: Annotated[
        bool,
        option(
            "Introspect All Tokens",
            section=API,
            help="Lets this app ask about every token of the org; turned off, about its own.",
        ),
    ] = False

    device_flow: Annotated[
        bool,
        option(
            "Enable Device Flow",
            section=FLOWS,
            help="For clients without a browser: the user enters a code on another device.",
        ),
    ] = False
    jwt_bearer_flow: Annotated[
        bool,
        option(
            "Enable JWT Bearer Flow",
            section=FLOWS,
            help="The app signs a statement for a user who has authorized it before. Needs a certificate or JWK Set.",
        ),
    ] = False
    token_exchange_flow: Annotated[
        bool,
        option(
            "Enable Token Exchange Flow",
            section=FLOWS,
            help="The app swaps a user's access token for one with fewer scopes or for another MCP server. An"
            " administrator also has to enable it under Policies.",
        ),
    ] = False
    public_keys: Annotated[
        str,
        option(
            "Certificate or JWK Set",
            section=FLOWS,
            is_long=True,
            help="A PEM certificate or a JSON Web Key Set with the app's public keys. The app may then prove who it"
            " is by a signed assertion (private_key_jwt) in place of a secret.",
        ),
    ] = ""


def api_name_from(label: str) -> str:
    """The API Name that a name suggests: other characters become single underscores."""
    return re.sub(r"[^A-Za-z0-9]+", "_", label).strip("_").lstrip("0123456789_")[:LONGEST_NAME].rstrip("_")


def check(settings: Settings, custom: scope_words.Custom = ()) -> None:
    """Every rule of the form at once; ``custom`` are the scopes of the org's own. Raises ``Invalid`` with one sentence for each field that breaks one."""
    found = _basic_problems(settings)
    if settings.oauth_enabled:
        found |= {**_oauth_problems(settings, custom), **_security_problems(settings)}
    if found:
        raise Invalid(found)


def _basic_problems(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, longest in (("label", LONGEST_NAME), ("api_name", LONGEST_NAME), ("contact_email", LONGEST_NAME)):
        value: str = getattr(settings, name)
        if not value:
            found[name] = _("{field} is required.").format(field=_(LABELS[name]))
        elif len(value) > longest:
            found[name] = _("{field} has {n} characters; at most {longest} are allowed.").format(
                field=_(LABELS[name]), n=len(value), longest=longest
            )
    for name in ("description", "info_url", "logo_url", "icon_url", "contact_phone"):
        if len(getattr(settings, name)) > LONGEST_TEXT:
            found[name] = _("{field} has {n} characters; at most {longest_text} are allowed.").format(
                field=_(LABELS[name]), n=len(getattr(settings, name)), longest_text=LONGEST_TEXT
            )
    for name in ("label", "description", "contact_email"):
        if name not in found and not getattr(settings, name).replace("\n", " ").replace("\r", " ").isprintable():
            found[name] = _("{field} contains a control or formatting character; type it again as plain text.").format(
                field=_(LABELS[name])
            )
    if "api_name" not in found and not API_NAME_SHAPE.fullmatch(settings.api_name):
        found["api_name"] = _(
            "{api_name!r} is not an API Name: use letters, digits and single underscores, beginning with"
            " a letter and not ending with an underscore, for example {value!r}."
        ).format(api_name=settings.api_name, value=api_name_from(settings.label) or "My_App")
    if "contact_email" not in found and not EMAIL_SHAPE.fullmatch(settings.contact_email):
        found["contact_email"] = _("{contact_email!r} is not an e-mail address, for example you@example.com.").format(
            contact_email=settings.contact_email
        )
    if "contact_phone" not in found and settings.contact_phone and not PHONE_SHAPE.fullmatch(settings.contact_phone):
        found["contact_phone"] = _("{contact_phone!r} is not a phone number, for example +353 1 234 5678.").format(
            contact_phone=settings.contact_phone
        )
    for name in ("info_url", "logo_url", "icon_url"):
        url: str = getattr(settings, name)
        if name not in found and url and not callbacks.is_https(url):
            found[name] = _("{url!r} is not an https URL, for example https://example.com/about.").format(url=url)
    return found


def _oauth_problems(settings: Settings, custom: scope_words.Custom) -> dict[str, str]:
    found: dict[str, str] = {}
    if not settings.callback_urls:
        found["callback_urls"] = _("Enter at least one Callback URL, or pick a client above to have it filled in.")
    problems = [problem for url in settings.callback_urls if (problem := callbacks.problem(url))]
    if problems:
        found["callback_urls"] = "\n".join(problems)
    total = sum(map(len, settings.callback_urls))
    if total > MOST_CALLBACK_CHARACTERS:
        found["callback_urls"] = _(
            "The callback URLs have {total} characters together; at most {most_callback_characters} are allowed."
        ).format(total=total, most_callback_characters=MOST_CALLBACK_CHARACTERS)
    known = scope_words.known(custom)
    unknown = [scope for scope in settings.scopes if scope not in known]
    if not settings.scopes:
        found["scopes"] = _("Select at least one OAuth scope: MCP clients need mcp_api and refresh_token.")
    elif unknown:
        found["scopes"] = _("{unknown}: no such OAuth scope; choose from {known}.").format(
            unknown=", ".join(unknown), known=", ".join(known)
        )
    for url in settings.logout_urls:
        if problem := callbacks.problem(url):
            found["logout_urls"] = problem
    return found


def _security_problems(settings: Settings) -> dict[str, str]:
    """What the security options demand of one another."""
    found: dict[str, str] = {}
    if not settings.require_pkce and not settings.require_secret_for_web_server_flow:
        # RFC 9700 §2.1.1: a public client's code is protected by nothing but PKCE.
        found["require_pkce"] = _(
            "An app without a secret must require PKCE; select this option, or Require Secret for Web Server Flow."
        )
    if not settings.refresh_token_rotation and not settings.require_secret_for_refresh_token_flow:
        # RFC 9700 §2.2.2: a public client's refresh token is rotated or bound to its sender.
        found["refresh_token_rotation"] = _(
            "An app that refreshes without a secret must rotate its refresh tokens; select this option,"
            " or Require Secret for Refresh Token Flow."
        )
    if MCP_API in settings.scopes:
        for name in ("access_token_parameter", "code_credentials_flow"):
            if getattr(settings, name):
                found[name] = _("{field} can't stand beside the scope mcp_api: {why} Deselect one of the two.").format(
                    field=_(LABELS[name]), why=_(UNSAFE[name])
                )
    problem = public_keys.problem(settings.public_keys) if settings.public_keys else ""
    if problem:
        found["public_keys"] = problem
    elif settings.jwt_bearer_flow and not settings.public_keys:
        found["public_keys"] = _(
            "Enable JWT Bearer Flow needs a certificate or JWK Set to check the app's statements with."
        )
    return found


DEMAND_A_SECRET = (
    "client_credentials_flow",
    "require_secret_for_web_server_flow",
    "require_secret_for_refresh_token_flow",
    "introspect_all_tokens",
    "token_exchange_flow",
)
"""Options that only an app that proves who it is can use."""
ALLOW_A_SECRET = ("code_credentials_flow", "device_flow", "jwt_bearer_flow")
"""Options of apps that run on a server, where a secret can be kept."""


def demanding_a_secret(settings: Settings) -> tuple[str, ...]:
    """The labels of the selected options that demand a consumer secret or a signed assertion."""
    return tuple(LABELS[name] for name in DEMAND_A_SECRET if getattr(settings, name))


def may_hold_a_secret(settings: Settings) -> bool:
    """Whether a secret is of any use to this app; a public client holds none (RFC 6749 §2.1)."""
    return any(getattr(settings, name) for name in (*DEMAND_A_SECRET, *ALLOW_A_SECRET))


FIELDS = fields_of(Settings)
LABELS = {field.name: field.label for field in FIELDS}
UNSAFE = {field.name: field.unsafe for field in FIELDS}
