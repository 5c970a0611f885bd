"""What an administrator decides about an MCP server, and how it is reached: each field with its label, help and default."""

import re
from typing import Annotated, Literal

import msgspec

from gatelodge.core.apps.fields import fields_of, option
from gatelodge.core.server_kinds import url_problem
from gatelodge.words import _

USE = "Who may use it"
RECORDING = "Recording"
REACHING = "How it is reached"
CREDENTIAL = "What it gets from us"
LIMITS = "Limits"
SECTIONS = (USE, RECORDING)
TERM_SECTIONS = (REACHING, CREDENTIAL, LIMITS)
USER_BOUND = ("token_exchange", "user_grant")
"""Credentials that each user has for themselves."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What the org decides about a server of any kind. No permission sets: any user who may use MCP servers."""

    permission_sets: Annotated[
        tuple[str, ...],
        option(
            "Permission sets",
            section=USE,
            help="Only users with one of these may use the server. None selected: everybody who may use MCP servers.",
        ),
    ] = ()
    read_only: Annotated[
        bool,
        option(
            "Read only",
            section=USE,
            help="Tools marked as writing or destructive are neither listed nor called, whatever an app's policies say.",
        ),
    ] = False
    holds_changes: Annotated[
        bool,
        option(
            "Hold changed definitions back",
            section=USE,
            help="A tool whose definition the server has changed can't be called until somebody has looked at the"
            " difference. Turned off, changes are taken as they come, and written down.",
        ),
    ] = True
    records_arguments: Annotated[
        bool,
        option(
            "Record the arguments of calls",
            section=RECORDING,
            help="Turned off, a call's record holds a keyed digest of its arguments and nothing of what they say.",
        ),
    ] = False
    masked: Annotated[
        tuple[str, ...],
        option(
            "Arguments never recorded",
            section=RECORDING,
            help="One per line, as a path, such as password or customer.email. They are left out of the record.",
        ),
    ] = ()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How an upstream is reached and what it gets. Secrets never stand here."""

    credential: Annotated[
        Literal["none", "header", "client_credentials", "token_exchange", "user_grant"],
        option(
            "Credential",
            section=CREDENTIAL,
            choices={
                "none": "None",
                "header": "A fixed header",
                "client_credentials": "OAuth client credentials",
                "token_exchange": "A token exchanged for each user",
                "user_grant": "Each user's own grant at the server",
            },
            help="The client's own token is never passed on.",
        ),
    ] = "none"
    header_name: Annotated[str, option("Header name", section=CREDENTIAL, help="Where a fixed header is sent.")] = (
        "Authorization"
    )
    token_url: Annotated[
        str, option("Token URL", section=CREDENTIAL, help="Where tokens for the server are issued, or exchanged.")
    ] = ""
    authorize_url: Annotated[
        str,
        option(
            "Authorize URL",
            section=CREDENTIAL,
            help="Where a user agrees, for a grant of their own. Empty: found out from the server's metadata.",
        ),
    ] = ""
    client_id: Annotated[str, option("Client ID", section=CREDENTIAL, help="What the token's issuer calls us.")] = ""
    scope: Annotated[str, option("Scope", section=CREDENTIAL, help="What is asked for, parted by blanks.")] = ""
    audience: Annotated[
        str, option("Audience", section=CREDENTIAL, help="The resource that tokens are asked for. Default: the URL.")
    ] = ""
    sends_identity: Annotated[
        bool,
        option(
            "Send a signed identity header",
            section=CREDENTIAL,
            help="Each call carries a short-lived JWT that says which user and app it is for.",
        ),
    ] = False
    allows_private: Annotated[
        bool,
        option(
            "Allow private addresses",
            section=REACHING,
            help="The server stands in a private network or on this machine. Only then may it be asked there, and by"
            " http only on this machine.",
        ),
    ] = False
    document_url: Annotated[
        str,
        option(
            "URL of the document",
            section=REACHING,
            help="Where the OpenAPI document of the API is read when somebody looks again. Empty: it is pasted.",
        ),
    ] = ""
    era: Annotated[
        Literal["auto", "modern", "legacy"],
        option(
            "Protocol",
            section=REACHING,
            choices={
                "auto": "Find out",
                "modern": "2026-07-28, without sessions",
                "legacy": "2025-11-25 and before, with sessions",
            },
            help="Clients of either kind reach it, whatever it speaks.",
        ),
    ] = "auto"
    connect_seconds: Annotated[int, option("Seconds to connect", section=LIMITS, help="1 to 60.")] = 5
    first_byte_seconds: Annotated[
        int, option("Seconds to the first byte of an answer", section=LIMITS, help="1 to 600.")
    ] = 30
    idle_seconds: Annotated[int, option("Seconds of silence within an answer", section=LIMITS, help="1 to 3600.")] = 60
    call_seconds: Annotated[int, option("Seconds for a whole call", section=LIMITS, help="1 to 3600.")] = 300
    largest_answer: Annotated[
        int, option("Bytes of the largest answer", section=LIMITS, help="1024 to 536870912 (512 MiB).")
    ] = 32 * 1024 * 1024
    most_connections: Annotated[int, option("Connections of a node at once", section=LIMITS, help="1 to 1000.")] = 32


RANGES = {
    "connect_seconds": (1, 60),
    "first_byte_seconds": (1, 600),
    "idle_seconds": (1, 3600),
    "call_seconds": (1, 3600),
    "largest_answer": (1024, 512 * 1024 * 1024),
    "most_connections": (1, 1000),
}
"""What each number may be; the helps say the same."""
DECIDED_FIELDS = fields_of(Decided)
TERM_FIELDS = fields_of(Terms)
LABELS = {field.name: field.label for field in (*DECIDED_FIELDS, *TERM_FIELDS)}
MOST_MASKED = 100
LONGEST_TEXT = 2000
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
NOT_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "accept", "te"})
"""Headers that say how a request is framed or read, so that no credential can stand there (RFC 9110 §7.6.1)."""
URLS = ("token_url", "authorize_url", "document_url")
NEEDS = {
    "client_credentials": ("token_url", "client_id"),
    "token_exchange": ("token_url",),
}
"""What each credential can't do without."""


def problems(decided: Decided, terms: Terms) -> dict[str, str]:
    """A sentence for each field that breaks a rule, "" for those that don't."""
    found = {name: _number_problem(name, getattr(terms, name)) for name in RANGES}
    found |= {
        name: url_problem(getattr(terms, name), allows_private=terms.allows_private)
        for name in URLS
        if getattr(terms, name)
    }
    for name in NEEDS.get(terms.credential, ()):
        if not getattr(terms, name):
            found[name] = _("{field} is needed for this credential.").format(field=_(LABELS[name]))
    if not HEADER_NAME.fullmatch(terms.header_name) or terms.header_name.lower() in NOT_OURS:
        found["header_name"] = _("{header_name!r:.100} is not a header that a credential may be sent in.").format(
            header_name=terms.header_name
        )
    for name in ("client_id", "scope", "audience"):
        text = getattr(terms, name)
        if len(text) > LONGEST_TEXT or not (text.isascii() and text.isprintable()):
            found[name] = _("{field} must be at most {longest_text} printable ASCII characters.").format(
                field=_(LABELS[name]), longest_text=LONGEST_TEXT
            )
    if len(decided.masked) > MOST_MASKED:
        found["masked"] = _("There are {n} arguments; at most {most_masked} are allowed.").format(
            n=len(decided.masked), most_masked=MOST_MASKED
        )
    return found


def _number_problem(name: str, n: int) -> str:
    low, high = RANGES[name]
    return "" if low <= n <= high else _("{n} is not allowed: choose {low} to {high}.").format(n=n, low=low, high=high)
