"""Reading what a server offers: of an upstream by the ``mcp`` library's client, of a hosted one from its own program."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.server_items import MOST_ITEMS, PROMPT, RESOURCE, TEMPLATE, TOOL, Catalogue, NotRead, Offered
from gatelodge.core.server_kinds import OPENAPI, RECORDS, UPSTREAM
from gatelodge.core.server_terms import Terms
from gatelodge.gateway.openapi import document as openapi
from gatelodge.web.outbound import NotFetched, default_tls, place_of

if TYPE_CHECKING:
    import httpx2
    from mcp import Client

LONGEST = 20.0
"""Seconds that reading everything may take, whatever the terms allow a call."""
LARGEST = 16 * 1024 * 1024
"""Bytes of all answers together."""
MOST_PAGES = 100


async def read(org: Org, server: McpServer, document: str = "") -> Catalogue:
    """What this server offers now. ``document`` is a REST API's own, where it isn't to be fetched. Raises ``NotRead``."""
    if server.kind == OPENAPI:
        return await openapi.read(server, document)
    if server.kind == RECORDS:
        return await asyncio.to_thread(_hosted, server)
    if server.kind != UPSTREAM:
        raise NotRead(f"a server of the kind {server.kind} offers nothing that can be read from it")
    try:
        async with asyncio.timeout(min(LONGEST, server.terms.call_seconds)):
            return await _upstream(server.source, server.terms)
    except TimeoutError:
        raise NotRead("it did not answer in time") from None
    except Exception as error:  # noqa: BLE001 - whatever a foreign server makes the library raise is its fault
        raise NotRead(_reason(error)) from None


def _hosted(server: McpServer) -> Catalogue:
    hosted = importlib.import_module("gatelodge.gateway.records.server")
    offered = tuple(Offered(TOOL, each.name, _json(each)) for each in hosted.DESCRIBED)
    return Catalogue(offered=offered, name=server.name, instructions=hosted.INSTRUCTIONS)


async def _upstream(url: str, terms: Terms) -> Catalogue:
    httpx2 = importlib.import_module("httpx2")
    mcp = await asyncio.to_thread(importlib.import_module, "mcp")
    http = importlib.import_module("mcp.client.streamable_http")
    timeout = httpx2.Timeout(terms.first_byte_seconds, connect=terms.connect_seconds)
    modes = {"auto": "auto", "legacy": "legacy", "modern": "2026-07-28"}
    async with httpx2.AsyncClient(transport=guarded(terms), timeout=timeout, trust_env=False) as client:
        transport = http.streamable_http_client(url, http_client=client)
        async with mcp.Client(transport, mode=modes[terms.era], cache=None) as session:
            return await _everything(session)


async def _everything(client: "Client") -> Catalogue:
    can, found = client.server_capabilities, list[Offered]()
    if can.tools:
        found += [Offered(TOOL, each.name, _json(each)) for each in await _pages(client.list_tools, "tools")]
    if can.resources:
        found += [Offered(RESOURCE, str(r.uri), _json(r)) for r in await _pages(client.list_resources, "resources")]
        templates = await _pages(client.list_resource_templates, "resource_templates")
        found += [Offered(TEMPLATE, each.uri_template, _json(each)) for each in templates]
    if can.prompts:
        found += [Offered(PROMPT, each.name, _json(each)) for each in await _pages(client.list_prompts, "prompts")]
    about = client.server_info
    return Catalogue(
        offered=tuple(found),
        name=about.name if about else "",
        version=about.version if about else "",
        instructions=client.instructions or "",
        protocol_version=str(client.protocol_version),
    )


async def _pages(ask: Any, name: str) -> list[Any]:
    found: list[Any] = []
    cursor = None
    for _ in range(MOST_PAGES):
        page = await ask(cursor=cursor)
        found += getattr(page, name)
        cursor = page.next_cursor
        if not cursor or len(found) > 2 * MOST_ITEMS:
            return found
    raise NotRead(f"its list of {name} has more than {MOST_PAGES} pages")


def _json(model: Any) -> str:
    return msgspec.json.encode(model.model_dump(mode="json", by_alias=True, exclude_none=True)).decode()


def guarded(terms: Terms) -> "httpx2.AsyncBaseTransport":
    """A transport that resolves each name once, checks every address, connects to what it checked, and reads so many
    bytes in all.
    """
    httpx2 = importlib.import_module("httpx2")
    left = [LARGEST]

    class Counted(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for chunk in self._stream:
                left[0] -= len(chunk)
                if left[0] < 0:
                    raise NotRead(f"it answered with more than {LARGEST} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Guarded(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: Any) -> Any:
            place = await place_of(str(request.url), allows_private=terms.allows_private)
            request.url = httpx2.URL(place.at(place.addresses[0]))
            request.extensions = {**request.extensions, "sni_hostname": place.host}
            response = await super().handle_async_request(request)
            if 300 <= response.status_code < 400:  # noqa: PLR2004 - a redirect leads where nobody checked
                await response.aclose()
                raise NotRead("it redirects, and redirects are not followed")
            response.stream = Counted(response.stream)
            return response

    return Guarded(verify=default_tls(), trust_env=False)


def _reason(error: BaseException) -> str:
    """Why, in a sentence: the first of ours behind it, else the library's own words."""
    behind: list[BaseException] = [error]
    while behind:
        each = behind.pop(0)
        if isinstance(each, NotRead | NotFetched):
            return str(each)
        behind += [*getattr(each, "exceptions", ()), *filter(None, (each.__cause__, each.__context__))]
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300] if str(error) else type(error).__name__
