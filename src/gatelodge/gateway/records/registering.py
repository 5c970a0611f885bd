"""Registering a database: its URL is checked, its password kept apart, its tables read once to say what is there."""

import asyncio
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.record_databases import Found, RecordDatabase
from gatelodge.gateway.records import sources
from gatelodge.gateway.records.mapping import Mapping, parse, written
from gatelodge.web.site import Site
from gatelodge.words import _

if TYPE_CHECKING:
    from gatelodge.gateway.records.server import RecordsServer

FOLDER = "records"
"""The folder in the data folder where SQLite files may be: whoever may put a file there may have it read."""
SECONDS = 10.0


def folder(site: Site) -> Path:
    """Where this deployment's SQLite files for records servers are."""
    return Path(site.config.data) / FOLDER


async def check(site: Site, url: str, *, password: str = "", mapping: str = "", allows_private: bool = False) -> Found:
    """Look at a database before it is kept. ``password`` is for a URL without one. Raises ``Refused`` ("source" or
    "mapping") that says why not.

    Keep the server with ``source=found.source`` and, by ``record_databases.register`` or ``move``, the password as
    ``record_databases.sealed(site.ring, org_id, server_id, found.password)``.
    """
    words = parse(mapping) if mapping.strip() else Mapping()
    return await asyncio.to_thread(_look, url, password, words, folder(site), allows_private)


def _look(url: str, password: str, mapping: Mapping, inside: Path, allows_private: bool) -> Found:  # noqa: FBT001 - for a thread
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - on use alone

    from gatelodge.gateway.records.desk import SAMPLE, Desk  # noqa: PLC0415

    source = sources.parse(url, inside)
    source = msgspec.structs.replace(source, password=source.password or password)
    kept = written(mapping)
    if source.makes_sample:
        return Found(source=source.shown, mapping=kept, objects=tuple(each.name for each in SAMPLE.objects))
    desk = Desk(source, mapping, connections=1, seconds=SECONDS, allows_private=allows_private, now=lambda: 0.0)
    try:
        schema = desk.look()
    except sources.NotReached as error:
        raise Refused(_("the database can't be reached: {error}").format(error=error), "source") from None
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        raise Refused(_("{shown} can't be read: {why:.300}").format(shown=source.shown, why=why), "source") from None
    finally:
        desk.close()
    if not schema.objects:
        raise Refused(
            _("{shown} has no table that can be shown: {problems}").format(
                shown=source.shown, problems="; ".join(schema.problems) or _("it is empty")
            ),
            "source",
        )
    names = tuple(each.name for each in schema.objects)
    return Found(source=source.shown, password=source.password, mapping=kept, objects=names, problems=schema.problems)


async def opened(site: Site, server: McpServer, kept: RecordDatabase) -> "RecordsServer":
    """Start the server of a registered database. Raises ``Refused`` for a source that can't be used any more."""
    # The MCP library takes longer to import than the whole node to start, and others are waiting.
    hosted = await asyncio.to_thread(importlib.import_module, "gatelodge.gateway.records.server")
    source = sources.parse(server.source, folder(site))
    made: RecordsServer = hosted.RecordsServer(
        server.name,
        server.label,
        msgspec.structs.replace(source, password=kept.password(site.ring)),
        now=site.clock.exact,
        variant=server.variant,
        mapping=parse(kept.mapping),
        allows_private=server.terms.allows_private,
    )
    await made.start()
    return made
