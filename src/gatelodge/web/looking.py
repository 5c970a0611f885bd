"""Looking at servers: when an administrator asks, and by the clock once for the whole deployment (decision 0032).

A look reads all that an upstream offers, so that it tells both whether the server answers and whether it has changed.
"""

import asyncio
import time

import structlog

from gatelodge.core import secrets, server_health, server_items
from gatelodge.core.errors import Unavailable
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.server_health import Health
from gatelodge.core.server_items import Catalogue, LacksCredential, NotRead, ReadIn
from gatelodge.core.server_kinds import STDIO, UPSTREAM
from gatelodge.core.users import User
from gatelodge.web.site import Site

log = structlog.get_logger()

ROUND = 5.0
"""Seconds between two looks at whose turn it is."""
AT_ONCE = 4
"""Servers that one node looks at at the same time."""
EVERY = {UPSTREAM: server_health.EVERY, STDIO: server_health.EVERY_COMMAND}
"""The kinds that are looked at by the clock, and the seconds between two looks."""
PROBE = "the health probe"
"""Whom the audit names for what a look by the clock brought."""


async def look(
    site: Site, org: Org, server: McpServer, *, actor: str, reader: User | None = None, document: str = ""
) -> ReadIn:
    """Read what an upstream offers now, hold back what has changed, and note how it is. ``reader`` is whose credential
    is used where each user has their own, ``document`` a REST API's own, where it isn't to be fetched. Raises ``NotRead``.
    """
    began = time.monotonic()
    catalogue, why, lacking = Catalogue(offered=()), None, None
    try:
        catalogue = await site.read_catalogue(org, server, reader, document)
    except LacksCredential as error:
        lacking = error
    except NotRead as error:
        why = error.reason
    found = Health(
        server_id=server.id,
        checked_at=site.clock.now(),
        milliseconds=round((time.monotonic() - began) * 1000),
        why=why,
        speaks=catalogue.protocol_version,
    )
    await site.store.run(server_health.note, org.id, found)
    if lacking:
        raise lacking
    if why:
        raise NotRead(why)
    return await site.store.run(server_items.read_in, server, catalogue, actor=actor, now_ms=site.clock.now_ms())


class Early:
    """Looks at servers that have shown that they changed before their minute is over: one look of this node at each at a
    time, and one of the whole deployment in so many seconds (``server_health.SOONEST``).
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._not_before: dict[str, int] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def look(self, org: Org, server: McpServer) -> None:
        """Have this server looked at, unless that was just done; nobody waits for it."""
        now = self._site.clock.now()
        if server.id in self._under_way or now < self._not_before.get(server.id, 0):
            return
        self._not_before[server.id] = now + server_health.SOONEST
        task = asyncio.create_task(self._look(org, server), name="early-look")
        self._under_way[server.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(server.id, None))

    async def _look(self, org: Org, server: McpServer) -> None:
        try:
            if await _has_turn(self._site, org, server, is_early=True):
                found = await look(self._site, org, server, actor=PROBE)
                log.info("server.changed", org=org.name, server=server.name, held=found.held, taken=found.taken)
        except LacksCredential:
            pass  # each user has their own: an administrator reads it
        except (NotRead, Unavailable) as error:
            log.info("server.unwell", org=org.name, server=server.name, why=str(error))
        except Exception:
            log.exception("looking.failed")

    async def stop(self) -> None:
        """End the looks that are under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            _ = task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def keep_looking(site: Site) -> None:
    """Look at each active upstream and local command when its time is over, for as long as the node runs."""
    while True:
        await asyncio.sleep(ROUND)
        try:
            await look_at_all(site)
        except Unavailable:
            continue  # the next round does it
        except Exception:
            log.exception("looking.failed")  # a bug here must not end the rounds to come


async def look_at_all(site: Site) -> None:
    """Look at the active upstreams and commands whose turn it is, and that no other node looks at."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(org: Org, server: McpServer) -> None:
        async with places:
            try:
                _ = await look(site, org, server, actor=PROBE)
            except LacksCredential:
                pass  # it is there; its catalogue is read when an administrator looks
            except NotRead as error:
                log.info("server.unwell", org=org.name, server=server.name, why=str(error))

    async with asyncio.TaskGroup() as looks:
        for org in site.live.orgs():
            for live in (await site.live.servers(org.id)).values():
                if live.server.kind in EVERY and await _has_turn(site, org, live.server):
                    _ = looks.create_task(one(org, live.server))


async def _has_turn(site: Site, org: Org, server: McpServer, *, is_early: bool = False) -> bool:
    chance, now, every = secrets.random_bytes(1)[0], site.clock.now(), EVERY[server.kind]
    return await site.store.run(
        server_health.take_turn, org.id, server.id, chance=chance, now=now, every=every, is_early=is_early
    )  # fmt: skip
