"""What a records server is started from: its row, and what is kept of its database."""

from functools import partial
from typing import TYPE_CHECKING

from gatelodge.core import record_databases
from gatelodge.core.orgs import Org
from gatelodge.gateway.hosting import Prepared
from gatelodge.gateway.records import registering
from gatelodge.live import LiveServer
from gatelodge.web.site import Site

if TYPE_CHECKING:
    from gatelodge.gateway.records.server import RecordsServer


async def prepared(site: Site, org: Org, live: LiveServer) -> "Prepared[RecordsServer]":
    """How the server of this row is started. Starting raises ``Refused`` where its database can't be used any more."""
    row = live.server
    kept = await site.store.read(record_databases.of_server, row.org_id, row.id)
    key = (row.label, row.source, row.variant, row.terms.allows_private, kept.revision)
    return Prepared(key, partial(registering.opened, site, row, kept))
