"""Which headers pass, and how a value that no header can carry is written (MCP 2026-07-28: Value Encoding)."""

import base64
import binascii
import re

from gatelodge import __version__

SENTINEL = re.compile(r"=\?base64\?(.*)\?=")
PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
PASSED = {
    b"accept": "Accept",
    b"content-type": "Content-Type",
    b"last-event-id": "Last-Event-ID",
    b"mcp-protocol-version": "MCP-Protocol-Version",
    b"mcp-method": "Mcp-Method",
    b"mcp-name": "Mcp-Name",
    b"traceparent": "traceparent",
    b"tracestate": "tracestate",
}
"""All that an upstream gets of a client's headers, besides ``Mcp-Param-*``. Whatever isn't named stays here."""
PARAMETER = b"mcp-param-"
OURS = {"User-Agent": f"gatelodge/{__version__}", "Accept-Encoding": "identity"}


def encoded(value: str) -> str:
    """A value as a header carries it."""
    if PLAIN.fullmatch(value) and not SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def decoded(value: str) -> str | None:
    """What a header's value says; None for one that is encoded badly."""
    found = SENTINEL.fullmatch(value)
    if found is None:
        return value
    try:
        raw = base64.b64decode(found[1], validate=True)
        return raw.decode() if base64.b64encode(raw).decode() == found[1] else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def by_name(sent: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """A client's headers. A list that came as several lines is one (RFC 9110 §5.3); what is no list came once."""
    headers = dict(sent)
    if len(headers) < len(sent):
        headers = {}
        for name, value in sent:
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def passed_on(sent: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The client's headers that go on to an upstream. One that isn't ASCII has no meaning in MCP, and stays here."""
    headers = dict(OURS)
    for name, value in sent:
        known = PASSED.get(name)
        if known is None:
            if not name.startswith(PARAMETER):
                continue
            known = name.decode("latin-1")
        if value.isascii():
            text = value.strip(b" \t").decode("ascii")  # RFC 9110 §5.5: blanks around it are not its own
            headers[known] = f"{headers[known]}, {text}" if known in headers else text
    return headers
