"""What the server of a REST API is started from: its org and its row."""

import asyncio
import importlib
from functools import partial
from typing import TYPE_CHECKING

from gatelodge.core.orgs import Org
from gatelodge.gateway.hosting import Prepared
from gatelodge.live import LiveServer
from gatelodge.web.site import Site

if TYPE_CHECKING:
    from gatelodge.gateway.openapi.server import OpenApiServer


async def prepared(site: Site, org: Org, live: LiveServer) -> "Prepared[OpenApiServer]":
    """How the server of this row is started."""
    return Prepared((org, live.server), partial(_started, site, org, live))


async def _started(site: Site, org: Org, live: LiveServer) -> "OpenApiServer":
    # The HTTP client takes a while to import, and others are waiting.
    module = await asyncio.to_thread(importlib.import_module, "gatelodge.gateway.openapi.server")
    made: OpenApiServer = module.OpenApiServer(site, org, live)
    await made.start()
    return made
