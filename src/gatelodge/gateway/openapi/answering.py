"""What an API answered, as a tool's result: JSON and text are passed on, all else is told."""

import codecs
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import mcp_types as types
import msgspec

from gatelodge.gateway.openapi import checking
from gatelodge.gateway.openapi.document import Object
from gatelodge.gateway.openapi.parameters import essence, is_json

MOST_OF_AN_ERROR = 4000
"""Characters of a body that tells of an error."""
TEXTS = ("application/xml", "application/yaml", "application/x-yaml", "application/csv", "application/x-ndjson")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: its status, its headers by lower-case name, its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """Its media type without parameters, "" for none."""
        return essence(self.headers.get("content-type", ""))

    @property
    def told(self) -> str:
        """The status in words."""
        known = self.status in HTTPStatus._value2member_map_
        return f"{self.status} {HTTPStatus(self.status).phrase}" if known else str(self.status)


def result(answer: Answer, output_schema: Object | None) -> types.CallToolResult:
    """The tool's result."""
    text = _text(answer)
    if 300 <= answer.status < 400:  # noqa: PLR2004
        return failed(f"The API answered {answer.told}: redirects are not followed.")
    if not 200 <= answer.status < 300:  # noqa: PLR2004
        said = f"The API answered {answer.told}."
        more = f"\n{text[:MOST_OF_AN_ERROR]}" if text else ""
        cut = "\n…" if text and len(text) > MOST_OF_AN_ERROR else ""
        return failed(said + more + cut)
    if text is None:
        kind = answer.media_type or "no content type"
        return failed(
            f"The API answered {answer.told} with {len(answer.body)} bytes of {kind}: it did what was asked, but only"
            " JSON and text can be passed on."
        )
    if not is_json(answer.media_type):
        if output_schema is not None:
            return failed(f"The API answered {answer.told}, and not the JSON that its document promises:\n{text}")
        return types.CallToolResult(content=_content(text or f"The API answered {answer.told}, without a body."))
    return _json(answer, text, output_schema)


def _json(answer: Answer, text: str, output_schema: Object | None) -> types.CallToolResult:
    try:
        value: Any = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return failed(
            f"The API answered {answer.told} with what is no JSON, though it says so:\n{text[:MOST_OF_AN_ERROR]}"
        )
    wrong = checking.problems(output_schema, value, "member") if output_schema is not None else []
    if wrong:
        return failed(
            f"The API answered {answer.told} and did what was asked, but not as its document says:"
            f" {'; '.join(wrong)}.\n{text}"
        )
    # Before 2026-07-28 what is structured is an object.
    structured = cast("Object", value) if isinstance(value, dict) else None
    return types.CallToolResult(content=_content(text), structured_content=structured)


def failed(sentence: str) -> types.CallToolResult:
    """A result that tells why there is none."""
    return types.CallToolResult(content=_content(sentence), is_error=True)


def _content(text: str) -> list[types.ContentBlock]:
    return [types.TextContent(type="text", text=text)]


def _text(answer: Answer) -> str | None:
    """The body as text, "" for none; None for what isn't text."""
    if not answer.body:
        return ""
    if answer.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        return None
    kind = answer.media_type
    if not (is_json(kind) or kind.startswith("text/") or kind.endswith("+xml") or kind in TEXTS):
        return None
    named = answer.headers.get("content-type", "").lower().partition("charset=")[2].strip(' "').partition(";")[0]
    try:
        name = codecs.lookup(named or "utf-8").name
    except LookupError:
        name = "utf-8"
    return answer.body.decode(name if name in ("utf-8", "ascii", "iso8859-1", "cp1252") else "utf-8", errors="replace")
