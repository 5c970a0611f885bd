"""The one place that constructs and mounts. Time and chance enter the house here."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from gatelodge import oauth, setup
from gatelodge.config import Config, check
from gatelodge.core import (
    approvals,
    authorizations,
    calls,
    codes,
    device_codes,
    keys,
    opaque,
    orgs,
    propagation,
    pushed_requests,
    secrets,
    sessions,
    sign_in_failures,
    told_refusals,
    used_once,
)
from gatelodge.core.apps import deleted, registry
from gatelodge.core.clock import Clock
from gatelodge.core.errors import Unavailable
from gatelodge.core.operation import Operation
from gatelodge.core.secrets import KeyMissing
from gatelodge.gateway import Gateway
from gatelodge.gateway.reading import Reading
from gatelodge.gateway.records import registering
from gatelodge.live import LiveNode
from gatelodge.store import open_store
from gatelodge.store.lock import FolderLock
from gatelodge.store.master_key import KeyRefused, load_or_make
from gatelodge.store.opening import is_postgres
from gatelodge.web import looking, pages
from gatelodge.web.access_tokens import AccessTokens
from gatelodge.web.counting import Counting
from gatelodge.web.limits import RateLimits
from gatelodge.web.passwords import Passwords
from gatelodge.web.recording import Calls, purge
from gatelodge.web.routes import Dispatcher
from gatelodge.web.site import Site

log = structlog.get_logger()

CLEAN_EVERY = 600.0
"""Seconds between two removals of what nobody needs any more."""
FORGETTING: tuple[Callable[[int], Operation[bool]], ...] = (
    approvals.forget_old,
    authorizations.forget_held,
    calls.forget_counts,
    codes.forget_old,
    deleted.forget_old,
    device_codes.forget_old,
    keys.forget_old,
    opaque.forget_old,
    propagation.forget_old_changes,
    pushed_requests.forget_old,
    sessions.forget_old,
    sign_in_failures.forget_old,
    told_refusals.forget_old,
    used_once.forget_old,
)
"""One row for each kind of record whose time comes. Each removes a batch at a time and says whether there may be more."""


class App:
    """A node, from its database to its last row of routes. ``start`` it before it is called, ``stop`` it after."""

    def __init__(self, site: Site, held: contextlib.AsyncExitStack, reading: Reading) -> None:
        self.site = site
        self._held = held
        self._gateway = Gateway(site)
        reading.begin(self._gateway.relaying)
        self._dispatch = Dispatcher(
            site,
            (*oauth.ENDPOINTS, *self._gateway.routes, *setup.ROUTES, *pages.STATIC_ROUTES),
            lost=setup.LOST,
        )
        self._cleaning: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._indexing: asyncio.Task[None] | None = None
        self._counting: asyncio.Task[None] | None = None
        self.counting = Counting(site)
        self.is_draining = False

    async def start(self) -> None:
        """Load what is live and follow the feed. Raises ``KeyRefused`` for a master key of another database."""
        try:
            await self.site.live.start()
        except KeyMissing as error:
            path = self.site.config.master_key_path
            raise KeyRefused(f"{path} isn't the master key that this database was made with: {error}") from None
        await self.site.calls.start()
        self._cleaning = asyncio.create_task(self._clean(), name="cleaning")
        self._indexing = asyncio.create_task(self._index(), name="indexing")
        self._counting = asyncio.create_task(self.counting.keep_counting(), name="counting")
        self._looking = asyncio.create_task(looking.keep_looking(self.site), name="looking")

    async def stop(self) -> None:
        """Stop the servers, leave the nodes, close the database."""
        for task in (self._cleaning, self._counting, self._indexing, self._looking):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        await self._gateway.stop()
        await self.site.calls.stop()
        await self.site.live.stop()
        self.site.passwords.close()
        await self._held.aclose()

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
                await self.clean()
            except Unavailable:
                continue  # the next round does it
            except Exception:
                log.exception("cleaning.failed")  # a bug here must not end the rounds to come

    async def _index(self) -> None:
        """Index the apps that another version of the program wrote; none, except once after an upgrade."""
        with contextlib.suppress(Unavailable):  # they are listed all the same, and the next start finds them
            while await self.site.store.run(registry.index_some, self.site.clock.now()):
                pass

    async def clean(self) -> None:
        """Remove what nobody needs any more, in batches, so that no request waits long behind one."""
        for forget in FORGETTING:
            while await self.site.store.run(forget, self.site.clock.now()):
                pass
        for org in self.site.live.orgs():
            await purge(self.site.store, self.site.calls.rules(org.id), self.site.clock.now_ms())


def _rows_problem(text: str) -> str:
    """What is wrong with a permission set's row filter: the gateway that obeys it says so, to Setup that keeps it."""
    from gatelodge.gateway.records.soql import sight  # noqa: PLC0415 - the parser comes after readiness alone

    return sight.problem(text)


async def build(config: Config, *, read_clock: Callable[[], float] = time.time) -> App:
    """A node made from its configuration.

    Raises ``ConfigRefused``, ``KeyRefused``, ``StoreRefused``, ``Locked`` or ``Unavailable``, and then holds nothing.
    """
    check(config)
    async with contextlib.AsyncExitStack() as held:
        if not is_postgres(config.database_name):
            held.callback(FolderLock.take(config.database_folder).release)
        store = await open_store(config.database_name)
        held.push_async_callback(store.close)
        known = await store.read(orgs.all_orgs, config.public_url)
        ring = load_or_make(config.master_key_path, database_has_orgs=bool(known))
        clock = Clock(read_clock)
        node_id, name = secrets.new_token()[:16], config.node_name or f"{socket.gethostname()}:{os.getpid()}"
        live = LiveNode(store, clock, ring, node_id=node_id, name=name, public_url=config.public_url)
        is_alone = not is_postgres(config.database_name)
        access = AccessTokens(store, clock, live, config)
        reading = Reading()
        site = Site(
            config=config,
            store=store,
            clock=clock,
            ring=ring,
            live=live,
            passwords=Passwords(),
            access=access,
            limits=RateLimits(config.rate_limit),
            read_catalogue=reading.read,
            check_database=registering.check,
            rows_problem=_rows_problem,
            calls=Calls(store, clock, ring, node_id=node_id, name=name, is_alone=is_alone),
        )
        return App(site, held.pop_all(), reading)
