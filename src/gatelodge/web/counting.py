"""Counts what the list of apps is sorted by, once a minute for the whole deployment."""

import asyncio

import structlog

from gatelodge.core.apps import counting
from gatelodge.core.errors import Unavailable
from gatelodge.web.site import Site

log = structlog.get_logger()

A_ROUND = 2000
"""Apps that are looked at in one round besides those that were just used."""


class Counting:
    """One node's rounds. The apps that were just used are counted in each; of the others so many, in turn, as their
    calls of 12 days ago fall out.
    """

    def __init__(self, site: Site) -> None:
        self._site, self._place = site, ("", "")

    async def keep_counting(self) -> None:
        """Count for as long as the node runs."""
        while True:
            await asyncio.sleep(counting.EVERY)
            try:
                if await self._site.store.run(counting.take_turn, self._site.clock.now()):
                    await self.count()
            except Unavailable:
                continue  # the next round does it
            except Exception:
                log.exception("counting.failed")  # a bug here must not end the rounds to come

    async def count(self) -> None:
        """One round."""
        store, left = self._site.store, A_ROUND
        orgs = sorted(org.id for org in self._site.live.orgs())
        for org_id in orgs:
            await self._note(org_id, await store.read(counting.active, org_id, self._site.clock.now()))
        here, after = self._place
        for org_id in (each for each in orgs if each >= here):
            after = after if org_id == here else ""
            while left > 0:
                page = await store.read(counting.in_turn, org_id, after=after, limit=min(left, counting.A_BATCH))
                if not page:
                    break
                left, after = left - len(page), page[-1][1]
                await self._note(org_id, tuple(app_id for app_id, _key in page))
            if left <= 0:
                self._place = (org_id, after)
                return
        self._place = ("", "")

    async def _note(self, org_id: str, app_ids: tuple[str, ...]) -> None:
        for first in range(0, len(app_ids), counting.A_BATCH):
            batch = app_ids[first : first + counting.A_BATCH]
            if found := await self._site.store.read(counting.differing, org_id, batch, self._site.clock.now()):
                await self._site.store.run(counting.note, org_id, found)
