"""The kinds of MCP servers, and what each one's source must be."""

from urllib.parse import urlsplit

import msgspec

from gatelodge.core import hosted
from gatelodge.words import _, mark

RECORDS, UPSTREAM, OPENAPI, STDIO = "records", "upstream", "openapi", "stdio"
RELAYED = (UPSTREAM, STDIO)
"""Kinds whose programs speak MCP themselves: what they offer is read from them, and calls are passed on."""
KINDS = {
    RECORDS: "Records of a database",
    UPSTREAM: "Remote MCP server",
    OPENAPI: "REST API (OpenAPI)",
    STDIO: "Local command (stdio)",
}
SOURCES = {
    RECORDS: "Database URL",
    UPSTREAM: "MCP URL",
    OPENAPI: "Base URL of the API",
    STDIO: "Command line",
}
"""What the source of each kind is called."""
DATABASES = ("sample:", "sqlite:///", "postgresql://", "mysql://")
LONGEST_SOURCE = 2000
MOST_WORDS = 100


def source_problem(kind: str, source: str, *, allows_private: bool) -> str:
    """The sentence against a source of this kind, "" for none. Addresses are checked when it is asked, not here."""
    if not source.strip() or len(source) > LONGEST_SOURCE:
        return _("{value} has {n} characters; enter 1 to {longest_source}.").format(
            value=_(SOURCES.get(kind, mark("The source"))), n=len(source), longest_source=LONGEST_SOURCE
        )
    match kind:
        case "records":
            return _database_problem(source)
        case "stdio":
            return (
                "" if command_line(source) else _("A command line is a JSON list of texts: write it in quotes and [ ].")
            )
        case "openapi" if "?" in source:
            return _("{source!r:.120} must hold no query: the paths of the API's document are added to it.").format(
                source=source
            )
        case _:
            return url_problem(source, allows_private=allows_private)


def variant_problem(kind: str, variant: str) -> str:
    """The sentence against the variant of a server of this kind."""
    if kind != RECORDS:
        return (
            _("Only a records server has a variant; this one is {variant!r:.40}.").format(variant=variant)
            if variant
            else ""
        )
    known = ", ".join(hosted.TOOLS)
    return (
        ""
        if variant in hosted.TOOLS
        else _("{variant!r:.40} is not a choice of tools; choose from {known}.").format(variant=variant, known=known)
    )


def command_line(source: str) -> tuple[str, ...]:
    """The words of a command line that is written as a JSON list; none when it is no such list."""
    try:
        words = msgspec.json.decode(source, type=tuple[str, ...])
    except msgspec.MsgspecError:
        return ()
    return words if words and words[0] and len(words) <= MOST_WORDS else ()


def url_problem(url: str, *, allows_private: bool) -> str:
    """The sentence against a URL that this server shall ask: its text alone, not where it leads."""
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError:
        return _("{url!r:.120} is not a URL.").format(url=url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return _("{url!r:.120} must begin with https:// and name a host.").format(url=url)
    if parts.scheme == "http" and not allows_private:
        return _(
            "{url!r:.120} must be https. Only a server on this machine may be http: allow private addresses for it."
        ).format(url=url)
    if "@" in parts.netloc or "#" in url:
        return _("{url!r:.120} must hold no user, no password and no fragment.").format(url=url)
    if not url.isascii() or any(ord(letter) <= 0x20 or letter == "\\" for letter in url):  # noqa: PLR2004 - blanks and controls
        return _(
            "{url!r:.120} must hold no blank, no backslash and only ASCII; write the host in its xn-- form."
        ).format(url=url)
    return ""


def _database_problem(source: str) -> str:
    if not source.startswith(DATABASES):
        return _no_database(source)
    if ":" in source.partition("://")[2].rpartition("@")[0]:
        return _(
            "A password must not stand here, where it would be kept in clear. gatelodge server create"
            " --kind records takes the URL with it and seals it."
        )
    return ""


def _no_database(source: str) -> str:
    return _("{source!r:.40} is no database that is known: begin with one of {databases}").format(
        source=source.partition(":")[0], databases=", ".join(DATABASES)
    )
