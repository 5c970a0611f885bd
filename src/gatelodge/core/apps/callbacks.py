"""Callback URLs: which may be registered, when a requested one matches, and what a near miss looks like.

A URL is judged as the text it is. Nothing here parses it into parts that another parser might see otherwise: a
registered URL matches the very same characters, and a loopback URL may differ in its port alone.
"""

import ipaddress
import re

from gatelodge.words import _, mark

LOOPBACK = re.compile(r"(http://(?:localhost|127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?((?:/[^#]*)?)")
HTTPS = re.compile(
    r"https://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?][^#]*)?"
)
CUSTOM = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):(?!//[^/?]*[\[\]])[^#]+")  # no address in place of an app
VISIBLE_ASCII = re.compile(r"[!-~]+")
# Dot segments also as %2e, which browsers resolve and exact comparison doesn't.
UNSAFE = re.compile(
    r"""[\\"<>^`{|}*]|/(?:\.|%2[Ee]){1,2}(?:[/?]|$)|%(?![0-9A-Fa-f]{2})|%(?:0[0-9A-Fa-f]|1[0-9A-Fa-f]|7[Ff])"""
)
PORT = re.compile(r"https?://(?:\[[^\]]*\]|[^:/?]*):([0-9]+)")
THIS_COMPUTER = re.compile(
    r"https?://(?:localhost|(?:[^/?:]*\.)localhost|127\.[0-9.]+|\[::1\])(?:[:/?]|$)", re.IGNORECASE
)
LONGEST = 512

REVERSED_DOMAIN = re.compile(r"(?:[a-z]{2,}|xn--[a-z0-9-]+)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")

# Schemes of known MCP clients. Any other custom scheme must be a reversed domain name (RFC 8252 §7.1), so that it
# has an owner and cannot be one that the browser or the system gives a meaning of its own (javascript:, data:, ms-...,
# x-apple.systempreferences:).
CLIENT_SCHEMES = frozenset({"cursor", "vscode", "vscode-insiders", "claude", "codex", "windsurf", "zed", "postman"})


def is_https(url: str) -> bool:
    """Whether this is an https URL without user information or fragment."""
    return url.startswith("https:") and not problem(url)


def is_loopback(url: str) -> bool:
    """Whether the client listens on the user's own machine (RFC 8252 §7.3)."""
    return bool(LOOPBACK.fullmatch(url))


def is_custom_scheme(url: str) -> bool:
    """Whether the operating system hands this URL to an installed app (RFC 8252 §7.1)."""
    return not url.startswith(("http:", "https:"))


def is_on_this_computer(url: str) -> bool:
    """Whether the browser's own machine answers at this URL, under whichever of its names."""
    return bool(THIS_COMPUTER.match(url))


def has_assured_identity(url: str) -> bool:
    """Whether reaching this URL proves which client is there: https, and not on the user's own machine, where any
    program can listen (RFC 8252 §8.6).
    """
    return url.startswith("https:") and not is_on_this_computer(url)


def problem(url: str) -> str:
    """Why this callback URL can't be registered, as a sentence; "" when it can."""
    if len(url) > LONGEST:
        return _("{url}... has {n} characters; a callback URL has at most {most}.").format(
            url=url[:60], n=len(url), most=LONGEST
        )
    if not url:
        return _("An empty text is not a URL; an example is https://client.example/callback.")
    if not VISIBLE_ASCII.fullmatch(url):
        return _("{url!r} contains a space or a character outside ASCII; percent-encode it.").format(url=url)
    if "#" in url:
        return _("{url} has a fragment; remove everything from the # on (RFC 6749 §3.1.2).").format(url=url)
    if "*" in url:
        return _("{url} has a wildcard; list each URL. For loopback addresses any port is accepted already.").format(
            url=url
        )
    if UNSAFE.search(url):
        return _(
            "{url} contains a character or a path segment (.. or a bare %) that programs read in different ways."
        ).format(url=url)
    if not has_a_port(url):
        return _("{url} names no TCP port; a port is 1 to 65535.").format(url=url)
    if LOOPBACK.fullmatch(url) or (HTTPS.fullmatch(url) and not has_a_broken_address(url)):
        return ""
    if is_on_this_computer(url) and url.startswith("http:"):
        return _(
            "{url} is not a loopback URL that every program reads alike; an example is http://localhost:8080/callback."
        ).format(url=url)
    if url.startswith("http:"):
        return _("{url} is not encrypted: use https, or http with the host localhost, 127.0.0.1 or [::1].").format(
            url=url
        )
    if url.startswith("https:"):
        return _(
            "{url} is not an https URL with a plain host name or address; user information is not allowed."
        ).format(url=url)
    return _scheme_problem(url)


def _scheme_problem(url: str) -> str:
    custom = CUSTOM.fullmatch(url)
    if custom is None:
        return _("{url} is not a URL; an example is https://client.example/callback.").format(url=url)
    scheme = custom["scheme"]
    if scheme in CLIENT_SCHEMES or REVERSED_DOMAIN.fullmatch(scheme):
        return ""
    return _(
        "{url} has the scheme {scheme}:, which no known client uses; a custom scheme must be a reversed"
        " domain name such as com.example.app: (RFC 8252 §7.1)."
    ).format(url=url, scheme=scheme)


def matches(registered: str, asked: str) -> bool:
    """The one rule of the authorize endpoint: the same characters, or the same loopback URL on another port.

    RFC 8252 §7.3: each loopback host stands only for itself, and the path is exact (RFC 9700 §4.1.3). What could not be
    registered matches nothing, itself included: an app whose OAuth is off may hold any text.
    """
    if problem(asked):
        return False
    if registered == asked:
        return True
    ours, theirs = LOOPBACK.fullmatch(registered), LOOPBACK.fullmatch(asked)
    return ours is not None and theirs is not None and ours[1] == theirs[1] and ours[3] == theirs[3]


def has_a_broken_address(url: str) -> bool:
    """Whether the brackets behind the scheme hold something else than an IPv6 address."""
    literal = url.partition("://[")[2].partition("]")[0]
    try:
        return bool(literal) and not ipaddress.IPv6Address(literal)
    except ValueError:
        return True


def has_a_port(url: str) -> bool:
    """Whether the digits behind the host name a TCP port (none: the scheme's own)."""
    found = PORT.match(url)
    return found is None or (found[1].strip("0") != "" and int(found[1][:6]) < 65536)  # noqa: PLR2004 - the range of ports


def near_miss(registered: tuple[str, ...], asked: str) -> tuple[str, str] | None:
    """The registered URL closest to the one asked for, and the one difference in words; None: nothing is close."""
    for url in registered:
        if difference := _difference(url, asked):
            return url, _(difference)
    return None


SLASH, CASE, SCHEME = mark("a slash at the end"), mark("upper and lower case"), mark("the scheme")
SLIPS = (SLASH, CASE, SCHEME)
TWINS = (("http://localhost", "http://127.0.0.1"), ("http://127.0.0.1", "http://localhost"))


def doubt(url: str, registered: tuple[str, ...], known: tuple[str, ...]) -> str:
    """What looks like a slip in a callback URL of an app, as a sentence; "" for nothing. ``registered`` are all of the
    app's, ``known`` those that known clients use.
    """
    if url in known:
        return ""
    for each in known:
        if (difference := _difference(each, url)) in SLIPS:
            return _("A known client uses {each}; what differs is {difference}.").format(
                each=each, difference=_(difference)
            )
    for host, twin in TWINS:
        if is_loopback(url) and not problem(url) and url.startswith(host):
            other = twin + url[len(host) :]
            if not any(matches(each, other) for each in registered):
                return _("Stands for {host} alone: a client that returns to {other} is refused.").format(
                    host=host[7:], other=other
                )
    return ""


def _difference(registered: str, asked: str) -> str:
    """The one thing that differs, to be translated where it is told; "" when that isn't one thing."""
    ours, theirs = _parts(registered), _parts(asked)
    if ours is None or theirs is None:
        return ""
    both_loopback = is_loopback(registered) and is_loopback(asked)
    differing = [name for name, a, b in zip(PARTS, ours, theirs, strict=True) if a != b]
    if both_loopback and "port" in differing and has_a_port(asked):
        differing.remove("port")  # RFC 8252 §7.3: never the reason
    if registered.lower() == asked.lower():
        return CASE
    if differing == ["host"] and both_loopback:
        return mark("the name of the loopback host: localhost, 127.0.0.1 and [::1] each stand only for themselves")
    if differing == ["path"] and ours[PATH].rstrip("/") == theirs[PATH].rstrip("/"):
        return SLASH
    return DIFFERENCES[differing[0]] if len(differing) == 1 else ""


PARTS = ("scheme", "host", "port", "path", "query")
PATH = PARTS.index("path")
DIFFERENCES = {
    "scheme": SCHEME,
    "host": mark("the host"),
    "port": mark("the port"),
    "path": mark("the path"),
    "query": mark("the query"),
}
ANY_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[^\]/?#]*\]|[^:/?#\[\]@]*)(?::(\d*))?([^?#]*)(\?[^#]*)?")


def _parts(url: str) -> tuple[str, ...] | None:
    found = ANY_URL.fullmatch(url)
    return tuple(part or "" for part in found.groups()) if found else None
