"""An OpenAPI document as somebody wrote it: read as JSON or as plain YAML, and asked by references within itself.

Nothing in it is fetched, and nothing that it says of where the API stands is believed.
"""

import asyncio
import importlib
import re
from typing import Any, cast
from urllib.parse import unquote

import msgspec

from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_items import Catalogue, NotRead
from gatelodge.web.outbound import NotFetched, Outbound
from gatelodge.words import _, reason

LARGEST_JSON = 8 * 1024 * 1024
LARGEST_YAML = 2 * 1024 * 1024
"""Bytes. YAML takes much longer to read."""
SECONDS = 20.0
"""How long fetching a document may take."""
MOST_HOPS = 16
"""References that lead to references."""
MOST_STEPS = 3_000_000
"""Values that are looked at in one document, references followed: what goes round in it must not take long."""
VERSIONS = re.compile(r"3\.([01])\.[0-9]{1,3}")
ACCEPT = "application/vnd.oai.openapi+json, application/json, application/yaml;q=0.9, */*;q=0.1"
Object = dict[str, Any]


class Unsupported(Exception):
    """A part of the document can't become a tool; the message says why, beginning with a verb."""


class Document:
    """One document. ``is_3_0``: its schemas are of 3.0, which are not JSON Schema 2020-12."""

    def __init__(self, content: Object) -> None:
        version = content.get("openapi")
        found = VERSIONS.fullmatch(version) if isinstance(version, str) else None
        if found is None:
            said = "Swagger 2.0" if "swagger" in content else repr(version)[:40] if version else "no version"
            raise NotRead(
                reason(
                    "the document says {said}; OpenAPI 3.0 and 3.1 are read, with a line such as openapi: 3.1.0",
                    said=said,
                )
            )
        self.is_3_0 = found[1] == "0"
        self.content = content
        self._steps = MOST_STEPS

    def step(self) -> None:
        """One more value is looked at. Raises ``Unsupported`` when they were too many."""
        self._steps -= 1
        if self._steps < 0:
            raise Unsupported(
                _("is left over: the document takes more than {most_steps} steps to read").format(most_steps=MOST_STEPS)
            )

    def text(self, name: str) -> str:
        """A text of the document's ``info``."""
        info = self.content.get("info")
        value = cast("Object", info).get(name) if isinstance(info, dict) else None
        return value[:200] if isinstance(value, str) and value.isprintable() else ""

    def at(self, reference: object) -> Any:
        """What a reference within the document leads to (RFC 6901). Raises ``Unsupported``."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise Unsupported(
                _("refers to {reference!r:.100}: only references within the document, #/..., are followed").format(
                    reference=reference
                )
            )
        found: Any = self.content
        for part in reference.split("/")[1:]:
            self.step()
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = cast("Object", found)[name]
            elif isinstance(found, list) and name.isdecimal() and len(name) < 7 and int(name) < len(found):  # noqa: PLR2004
                found = cast("list[Any]", found)[int(name)]
            else:
                raise Unsupported(
                    _("refers to {reference!r:.100}, which the document doesn't have").format(reference=reference)
                )
        return found

    def resolved(self, node: object, what: str) -> Object:
        """An object, or the one that it refers to. Raises ``Unsupported``."""
        for _hop in range(MOST_HOPS):
            self.step()
            if not isinstance(node, dict):
                raise Unsupported(_("has {what} that is no object").format(what=_(what)))
            found = cast("Object", node)
            if "$ref" not in found:
                return found
            node = self.at(found["$ref"])
        raise Unsupported(
            _("has {what} whose references lead on more than {most_hops} times").format(
                what=_(what), most_hops=MOST_HOPS
            )
        )


async def read(server: McpServer, document: str) -> Catalogue:
    """The operations of a document, as tools: of the one that is given, or of the one at the server's URL for it.

    Raises ``NotRead``.
    """
    if not document:
        document = await _fetched(server)
    # Large documents take a second: others are waiting.
    operations = importlib.import_module("gatelodge.gateway.openapi.operations")
    return await asyncio.to_thread(lambda: operations.catalogue(parse(document)))


async def _fetched(server: McpServer) -> str:
    url = server.terms.document_url
    if not url:
        raise NotRead(reason("its document was pasted, so that there is nothing to fetch: paste the new one"))
    try:
        answer = await Outbound(seconds=SECONDS).fetch(
            url,
            headers={"Accept": ACCEPT},
            allows_private=server.terms.allows_private,
            most_bytes=LARGEST_JSON,
        )
    except NotFetched as error:
        raise NotRead(error.reason) from None
    if answer.status != 200:  # noqa: PLR2004
        raise NotRead(reason("the URL of the document answered with status {status}", status=answer.status))
    try:
        return answer.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotRead(reason("the document is no UTF-8 text")) from None


def parse(text: str) -> Document:
    """A document from its text. Raises ``NotRead``."""
    size = len(text.encode(errors="replace"))
    if size > LARGEST_JSON:
        raise NotRead(reason("the document has {size} bytes; at most {most} are read", size=size, most=LARGEST_JSON))
    try:
        content = msgspec.json.decode(text) if text.lstrip()[:1] in ("{", "[") else _yaml(text)
    except msgspec.DecodeError as error:
        raise NotRead(reason("the document is no JSON: {error}", error=error)) from None
    except (RecursionError, UnicodeError):
        raise NotRead(reason("the document is nested too deep, or holds half a character")) from None
    if not isinstance(content, dict):
        raise NotRead(reason("the document is no object with openapi, info and paths"))
    return Document(cast("Object", content))


def _yaml(text: str) -> object:
    if len(text) > LARGEST_YAML:
        raise NotRead(reason("a document in YAML may have {most} characters; write it as JSON", most=LARGEST_YAML))
    plain = importlib.import_module("gatelodge.gateway.openapi.plain_yaml")
    try:
        return plain.load(text)
    except plain.NotPlain as error:
        raise NotRead(reason("the document is no plain YAML: {error}", error=error)) from None
