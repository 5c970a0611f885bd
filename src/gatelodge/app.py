"""The one place that constructs and mounts. Time and chance enter the house here."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from starlette.types import Receive, Scope, Send

from gatelodge import oauth, setup
from gatelodge.config import Config, check
from gatelodge.core import connections, propagation, secrets
from gatelodge.core.clock import Clock
from gatelodge.core.errors import Unavailable
from gatelodge.gateway import Gateway
from gatelodge.live import LiveNode
from gatelodge.store import Store, open_store
from gatelodge.store.lock import FolderLock
from gatelodge.store.master_key import load_or_make
from gatelodge.store.opening import is_postgres
from gatelodge.web import pages
from gatelodge.web.passwords import Passwords
from gatelodge.web.routes import Dispatcher
from gatelodge.web.site import Site

CLEAN_EVERY = 600.0
"""Seconds between two removals of what nobody needs any more."""


class App:
    """A node, from its database to its last row of routes. ``start`` it before it is called, ``stop`` it after."""

    def __init__(self, site: Site, lock: FolderLock | None) -> None:
        self.site = site
        self._lock = lock
        self._gateway = Gateway(site)
        self._dispatch = Dispatcher(
            site, (*oauth.ENDPOINTS, *self._gateway.routes, *setup.ROUTES, *pages.STATIC_ROUTES)
        )
        self._cleaning: asyncio.Task[None] | None = None
        self.is_draining = False

    async def start(self) -> None:
        """Load what is live and follow the feed."""
        await self.site.live.start()
        self._cleaning = asyncio.create_task(self._clean(), name="cleaning")

    async def stop(self) -> None:
        """Stop the servers, leave the nodes, close the database."""
        if self._cleaning is not None:
            self._cleaning.cancel()
        await self._gateway.stop()
        await self.site.live.stop()
        await self.site.store.close()
        self.site.passwords.close()
        if self._lock is not None:
            self._lock.release()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; ``/livez`` and ``/readyz`` before anything looks at the Host."""
        if scope["type"] != "http":
            return
        if scope["path"] in ("/livez", "/readyz"):
            await self._health(scope, send)
        else:
            await self._dispatch(scope, receive, send)

    async def _health(self, scope: Scope, send: Send) -> None:
        checks = {"process": "ok"} if scope["path"] == "/livez" else await self._readiness()
        is_well = all(state == "ok" for state in checks.values())
        body = msgspec.json.encode(checks) + b"\n"
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200 if is_well else 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _readiness(self) -> dict[str, str]:
        """What a load balancer must know: each part says "ok" or what is wrong."""
        try:
            await self.site.store.read(propagation.newest_change)
            database = "ok"
        except Unavailable as error:
            database = str(error)
        return {
            "database": database,
            "feed": "ok" if self.site.live.is_fresh() else "not read for 3 seconds",
            "traffic": "stopping" if self.is_draining else "ok",
        }

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(CLEAN_EVERY)
            try:
                await self.site.store.run(connections.forget_old_codes, self.site.clock.now())
                await self.site.store.run(propagation.forget_old_changes, self.site.clock.now_ms())
            except Unavailable:
                continue  # the next round does it


async def build(config: Config, *, read_clock: Callable[[], float] = time.time) -> App:
    """A node made from its configuration. Raises ``ConfigRefused``, ``KeyRefused``, ``StoreRefused`` or ``Locked``."""
    check(config)
    is_file = not is_postgres(config.database_name)
    lock = FolderLock.take(Path(config.data)) if is_file else None
    ring = load_or_make(config.master_key_path, database_exists=is_file and Path(config.database_name).exists())
    clock = Clock(read_clock)
    store: Store = await open_store(config.database_name)
    live = LiveNode(
        store,
        clock,
        ring,
        node_id=secrets.new_token()[:16],
        name=config.node_name or f"{socket.gethostname()}:{os.getpid()}",
        public_url=config.public_url,
    )
    return App(Site(config=config, store=store, clock=clock, ring=ring, live=live, passwords=Passwords()), lock)
