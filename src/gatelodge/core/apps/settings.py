"""Settings: what an app's developer decides. Each field carries its label, help, section and default; the form,
the command line, the docs and the files all read them here. Settings travel in packages; they hold no secret.
"""

import re
from typing import Annotated, Any, Literal, cast

import msgspec

from gatelodge.core.apps import callbacks
from gatelodge.core.errors import Invalid
from gatelodge.core.scopes import BY_NAME, MCP_API

BASIC = "Basic Information"
API = "API (Enable OAuth Settings)"
SECURITY = "Security"
SECTIONS = (BASIC, API, SECURITY)

LONGEST_NAME = 80
LONGEST_TEXT = 255
MOST_CALLBACK_CHARACTERS = 2000  # all callback URLs of an app together, as in the original

API_NAME_SHAPE = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
EMAIL_SHAPE = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
PHONE_SHAPE = re.compile(r"[0-9+() ./x-]{3,40}")


def option(label: str, *, section: str, help: str = "", coming: bool = False) -> msgspec.Meta:
    """The words of one field. ``coming``: shown, but it cannot be selected until its flow exists."""
    return msgspec.Meta(title=label, description=help, extra={"section": section, "coming": coming})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What travels with an app: its name, where its users return to, its scopes and its security options."""

    label: Annotated[
        str, option("External Client App Name", section=BASIC, help="People see this name on the consent page.")
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
        str, option("Contact Email", section=BASIC, help="Whom to ask about this app. Users don't see it.")
    ] = ""
    distribution_state: Annotated[
        Literal["Local", "Packaged"],
        option("Distribution State", section=BASIC, help="Local: this org only. Packaged: other orgs can install it."),
    ] = "Local"
    contact_phone: Annotated[str, option("Contact Phone", section=BASIC)] = ""
    info_url: Annotated[
        str, option("Info URL", section=BASIC, help="A page about the app; the consent page links to it.")
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
            help="One per line, compared character by character. For http://localhost, http://127.0.0.1 and"
            " http://[::1] any port is accepted.",
        ),
    ] = ()
    scopes: Annotated[tuple[str, ...], option("OAuth Scopes", section=API)] = ()

    jwt_access_tokens: Annotated[
        bool,
        option(
            "Issue JSON Web Token (JWT)-based access tokens for named users",
            section=SECURITY,
            help="Needed by MCP clients: MCP servers accept only JWT access tokens.",
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
            help="The legacy user-agent flow. Leave off for MCP clients.",
            coming=True,
        ),
    ] = False
    client_credentials_flow: Annotated[
        bool,
        option(
            "Enable Client Credentials Flow",
            section=SECURITY,
            help="No person is present in this flow, so nobody can consent.",
            coming=True,
        ),
    ] = False
    require_secret_for_web_server_flow: Annotated[
        bool,
        option(
            "Require Secret for Web Server Flow",
            section=SECURITY,
            help="Leave off for MCP clients: they are public clients and hold no secret.",
            coming=True,
        ),
    ] = False
    require_secret_for_refresh_token_flow: Annotated[
        bool,
        option(
            "Require Secret for Refresh Token Flow",
            section=SECURITY,
            help="Leave off for MCP clients, for the same reason.",
            coming=True,
        ),
    ] = False
    code_credentials_flow: Annotated[
        bool,
        option(
            "Enable Authorization Code and Credentials Flow",
            section=SECURITY,
            help="Leave off for MCP clients.",
            coming=True,
        ),
    ] = False


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of Settings, as the form and the command line show it. ``kind``: text, choice, flag or list."""

    name: str
    label: str
    help: str
    section: str
    kind: Literal["text", "choice", "flag", "list"]
    default: object
    choices: tuple[str, ...] = ()
    is_coming: bool = False


def fields() -> tuple[Field, ...]:
    """The fields of Settings in the order of the form."""
    return FIELDS


def _field(info: msgspec.inspect.Field) -> Field:
    described = cast("msgspec.inspect.Metadata", info.type)
    schema = cast("dict[str, str] | None", described.extra_json_schema) or {}  # pyright: ignore[reportUnknownMemberType]
    extra = cast("dict[str, Any] | None", described.extra) or {}  # pyright: ignore[reportUnknownMemberType]
    bare = described.type
    choices = tuple(str(each) for each in bare.values) if isinstance(bare, msgspec.inspect.LiteralType) else ()
    is_flag, is_list = (isinstance(bare, each) for each in (msgspec.inspect.BoolType, msgspec.inspect.VarTupleType))
    return Field(
        name=info.name,
        label=schema.get("title", ""),
        help=schema.get("description", ""),
        section=extra["section"],
        kind="choice" if choices else "flag" if is_flag else "list" if is_list else "text",
        default=info.default,
        choices=choices,
        is_coming=extra["coming"],
    )


def api_name_from(label: str) -> str:
    """The API Name that a name suggests: other characters become single underscores."""
    return re.sub(r"[^A-Za-z0-9]+", "_", label).strip("_").lstrip("0123456789_")[:LONGEST_NAME].rstrip("_")


def check(settings: Settings) -> None:
    """Every rule of the form at once. Raises ``Invalid`` with one sentence for each field that breaks one."""
    found = {**_basic_problems(settings), **(_oauth_problems(settings) if settings.oauth_enabled else {})}
    found |= {
        field.name: f"{field.label} comes with the next release; leave it off."
        for field in FIELDS
        if field.is_coming and getattr(settings, field.name) != field.default
    }
    if found:
        raise Invalid(found)


def _basic_problems(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, longest in (("label", LONGEST_NAME), ("api_name", LONGEST_NAME), ("contact_email", LONGEST_NAME)):
        value: str = getattr(settings, name)
        if not value:
            found[name] = f"{LABELS[name]} is required."
        elif len(value) > longest:
            found[name] = f"{LABELS[name]} has {len(value)} characters; at most {longest} are allowed."
    for name in ("description", "info_url", "contact_phone"):
        if len(getattr(settings, name)) > LONGEST_TEXT:
            found[name] = (
                f"{LABELS[name]} has {len(getattr(settings, name))} characters; at most {LONGEST_TEXT} are allowed."
            )
    for name in ("label", "description", "contact_email"):
        if name not in found and not getattr(settings, name).replace("\n", " ").replace("\r", " ").isprintable():
            found[name] = f"{LABELS[name]} contains a control or formatting character; type it again as plain text."
    if "api_name" not in found and not API_NAME_SHAPE.fullmatch(settings.api_name):
        found["api_name"] = (
            f"{settings.api_name!r} is not an API Name: use letters, digits and single underscores, beginning with"
            f" a letter and not ending with an underscore, for example {api_name_from(settings.label) or 'My_App'!r}."
        )
    if "contact_email" not in found and not EMAIL_SHAPE.fullmatch(settings.contact_email):
        found["contact_email"] = f"{settings.contact_email!r} is not an e-mail address, for example you@example.com."
    if "contact_phone" not in found and settings.contact_phone and not PHONE_SHAPE.fullmatch(settings.contact_phone):
        found["contact_phone"] = f"{settings.contact_phone!r} is not a phone number, for example +353 1 234 5678."
    if "info_url" not in found and settings.info_url and not callbacks.is_https(settings.info_url):
        found["info_url"] = f"{settings.info_url!r} is not an https URL, for example https://example.com/about."
    return found


def _oauth_problems(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = {}
    if not settings.callback_urls:
        found["callback_urls"] = "Enter at least one Callback URL, or pick a client above to have it filled in."
    problems = [problem for url in settings.callback_urls if (problem := callbacks.problem(url))]
    if problems:
        found["callback_urls"] = "\n".join(problems)
    total = sum(map(len, settings.callback_urls))
    if total > MOST_CALLBACK_CHARACTERS:
        found["callback_urls"] = (
            f"The callback URLs have {total} characters together; at most {MOST_CALLBACK_CHARACTERS} are allowed."
        )
    unknown = [scope for scope in settings.scopes if scope not in BY_NAME]
    if not settings.scopes:
        found["scopes"] = "Select at least one OAuth scope: MCP clients need mcp_api and refresh_token."
    elif unknown:
        found["scopes"] = f"{', '.join(unknown)}: no such OAuth scope; choose from {', '.join(BY_NAME)}."
    if not settings.require_pkce and not settings.require_secret_for_web_server_flow:
        # RFC 9700 §2.1.1: a public client's code is protected by nothing but PKCE.
        found["require_pkce"] = "An app without a secret must require PKCE; select this option."
    if MCP_API in settings.scopes and not settings.jwt_access_tokens:
        found["jwt_access_tokens"] = (
            "MCP servers accept only JWT access tokens: select this option, or remove the scope mcp_api."
        )
    return found


FIELDS = tuple(_field(info) for info in cast("msgspec.inspect.StructType", msgspec.inspect.type_info(Settings)).fields)
LABELS = {field.name: field.label for field in FIELDS}
