"""Reading what a server offers: of an upstream by the relay, of a hosted one from its own program."""

import asyncio
import importlib
from typing import Any

import msgspec

from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.server_items import TOOL, Catalogue, NotRead, Offered
from gatelodge.core.server_kinds import OPENAPI, RECORDS, RELAYED
from gatelodge.core.users import User
from gatelodge.gateway.openapi import document as openapi
from gatelodge.gateway.relaying import Relaying
from gatelodge.words import reason

LONGEST = 20.0
"""Seconds that reading everything may take, whatever the terms allow a call."""


class Reading:
    """Reads by this node's relay, which is there once the gateway is."""

    def __init__(self) -> None:
        self._relaying: Relaying | None = None

    def begin(self, relaying: Relaying) -> None:
        """From now on upstreams can be read."""
        self._relaying = relaying

    async def read(self, org: Org, server: McpServer, reader: User | None, document: str = "") -> Catalogue:
        """What this server offers now, to this user where each has a credential of their own. ``document`` is a REST
        API's own, where it isn't to be fetched. Raises ``NotRead``.
        """
        if server.kind == OPENAPI:
            return await openapi.read(server, document)
        if server.kind == RECORDS:
            return await asyncio.to_thread(_hosted, server)
        if server.kind not in RELAYED or self._relaying is None:
            raise NotRead(
                reason("a server of the kind {kind} offers nothing that can be read from it", kind=server.kind)
            )
        try:
            async with asyncio.timeout(min(LONGEST, server.terms.call_seconds)):
                return await self._relaying.catalogue(org, server, reader)
        except TimeoutError:
            raise NotRead(reason("it did not answer in time")) from None


def _hosted(server: McpServer) -> Catalogue:
    records: Any = importlib.import_module("gatelodge.gateway.records.server")
    variants: Any = importlib.import_module("gatelodge.gateway.records.variants")
    tools = (Offered(TOOL, each.name, _json(records.described(each))) for each in variants.VARIANTS[server.variant])
    return Catalogue(offered=tuple(tools), name=server.name)


def _json(model: Any) -> str:
    return msgspec.json.encode(model.model_dump(mode="json", by_alias=True, exclude_none=True)).decode()
