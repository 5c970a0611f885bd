"""A request as bytes. What could end a header, or a request, is refused: nothing that a client sends becomes a second one."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, urlsplit

import msgspec

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a header may be called (RFC 9110 §5.6.2)."""
TARGET = re.compile(r"/[!-~]*")
AS_IT_IS = "!$%&'()*+,-./:;=?@_~"
"""What a URL's path and query keep besides letters and digits (RFC 3986); the rest is encoded."""
DEFAULT_PORTS = {"https": 443, "http": 80}


class NotWritten(ValueError):
    """A request that can't be sent as it stands."""


class Place(msgspec.Struct, frozen=True):
    """Where an upstream is: what the certificate must name, the port, the header Host, and the target of a request."""

    is_tls: bool
    host: str
    port: int
    authority: str
    target: str


def place_of(url: str) -> Place:
    """Where this URL leads. Its fragment stays here."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return Place(
        is_tls=parts.scheme == "https",
        host=host,
        port=port,
        authority=shown if port == DEFAULT_PORTS[parts.scheme] else f"{shown}:{port}",
        target=quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=AS_IT_IS),
    )


def written(method: str, target: str, authority: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The whole request. Raises ``NotWritten`` for a name, a value or a target that no request may hold."""
    if not TARGET.fullmatch(target):
        raise NotWritten("the target of the request holds a character that none may hold")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {authority}"]
    lines += [f"{_checked(name)}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    elif method in ("POST", "PUT", "PATCH"):
        lines.append("Content-Length: 0")
    text = "\r\n".join(lines)
    # Each line is one: no value brings a line of its own, or an end (RFC 9110 §5.5, RFC 9112 §11.1).
    ends = len(lines) - 1
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise NotWritten("a header of the request holds the end of a line, or NUL")
    try:
        return text.encode("latin-1") + b"\r\n\r\n" + (body or b"")
    except UnicodeEncodeError:
        raise NotWritten("a header of the request holds a character that no header may hold") from None


@lru_cache(maxsize=1024)
def _checked(name: str) -> str:
    if not TOKEN.fullmatch(name) or name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
        raise NotWritten(f"no header of a request may be called {name!r:.80}")
    return name
