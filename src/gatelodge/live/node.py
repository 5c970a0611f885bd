"""The serving side of a node: what is live, from memory, kept true by following the feed (architecture section 4).

A node that could not read the feed for three seconds answers nothing from here: stale is worse than unavailable.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

from gatelodge.core import (
    authorizations,
    connected_apps,
    connections,
    keys,
    orgs,
    propagation,
    tokens,
)
from gatelodge.core.clock import Clock
from gatelodge.core.connected_apps import ConnectedApp
from gatelodge.core.errors import Unavailable
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient, Received, Release
from gatelodge.core.secrets import KeyRing
from gatelodge.live.cache import Cache
from gatelodge.live.served import LiveServer, LiveUser, OrgKeys, Signer, read_servers, read_user
from gatelodge.store import Store

log = structlog.get_logger()

POLL = 1.0
"""Seconds between two looks at the feed, whatever wakes us earlier: the floor of propagation."""
HEARTBEAT = 3.0
STALE_AFTER = 3.0
"""Seconds without a look at the feed after which nothing is served from memory."""
FOREVER = 1 << 40
KEY_SHAPE = re.compile(r"3MVG9[A-Za-z0-9._]{80}")


class Place(NamedTuple):
    """A place in the feed: the change, and the position in it, that were applied last."""

    seq: int
    position: int


class LiveNode:
    """What this node serves, and the task that keeps it true."""

    def __init__(self, store: Store, clock: Clock, ring: KeyRing, *, node_id: str, name: str, public_url: str) -> None:
        self._store, self._clock, self._ring = store, clock, ring
        self.node_id, self._name, self._public_url = node_id, name, public_url
        self._place = Place(0, propagation.ALL_POSITIONS)
        self._is_lost = True
        self._newest_client = self._acknowledged = 0
        self._read_at = float("-inf")
        self._beat_at = float("-inf")
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._reading: asyncio.Lock = asyncio.Lock()
        self._orgs: dict[str, Org] = {}
        self._ended: dict[str, int] = {}
        self._clients = Cache[tuple[str, str], list[Release]](self._read_releases)
        self._users = Cache[tuple[str, str], LiveUser | None](self._read_user)
        self._servers = Cache[str, dict[str, LiveServer]](self._read_servers)
        self._keys = Cache[str, OrgKeys](self._read_keys)
        self._told: list[Callable[[], None]] = []
        self.epoch = 0
        """A number that changes with whatever this node applies. What was found out in an epoch holds in it, as long as
        the feed is read (``is_fresh``) and time changes nothing (``stays_until``).
        """

    @property
    def applied(self) -> int:
        """The number of the last change that this node has applied."""
        return self._place.seq

    def on_applied(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called whenever this node has applied something new, so that what goes on by it may end: streams
        that were opened before are looked at again.
        """
        self._told.append(tell)

    # --- what is live -------------------------------------------------------------------------------------------

    def org_at(self, name: str) -> Org | None:
        """The org of this name, with its settings as the feed last told them; "" is the first one. What a static page
        needs of it must not wait for the feed: orgs are only ever added.
        """
        return self._orgs.get(name)

    def orgs(self) -> list[Org]:
        """Every org of the deployment."""
        return list(self._orgs.values())

    async def client(self, org_id: str, client_id: str) -> LiveClient | None:
        """The live client with this id; an unknown one is looked up before it is refused, so a new app works at once."""
        if not KEY_SHAPE.fullmatch(client_id):
            return None
        await self._be_fresh()
        found = await self._clients.get((org_id, client_id))
        now = self._clock.now_ms()
        client = next((each.client for each in found if each.live_from <= now), None)
        return None if client is not None and 0 < client.ends_at <= now // 1000 else client

    async def seconds_until_live(self, org_id: str, client_id: str) -> int:
        """How long a released client is still held back by the propagation delay; 0: it is not."""
        if not KEY_SHAPE.fullmatch(client_id):
            return 0
        await self._be_fresh()
        found = await self._clients.get((org_id, client_id))
        waits = min((each.live_from for each in found), default=0) - self._clock.now_ms()
        return max(0, -(-waits // 1000))

    async def connected_app(self, org_id: str, client_id: str) -> ConnectedApp | None:
        """The Connected App that this key is known to belong to: only a refusal asks."""
        if not connected_apps.KEY_SHAPE.fullmatch(client_id):
            return None
        return await self._store.read(connected_apps.find, org_id, client_id)

    async def user(self, org_id: str, user_id: str) -> LiveUser | None:
        """The user with their permissions; None when unknown or deactivated."""
        await self._be_fresh()
        return await self._users.get((org_id, user_id))

    async def servers(self, org_id: str) -> dict[str, LiveServer]:
        """The org's active MCP servers by name."""
        known = self._servers.at_hand(org_id)
        if known is not None and self.is_fresh():
            return known
        await self._be_fresh()
        return await self._servers.get(org_id)

    async def keys(self, org_id: str) -> OrgKeys:
        """The org's keys, as they are now. Raises ``KeyMissing`` when the master key doesn't open them."""
        await self._be_fresh()
        found = await self._keys.get(org_id)
        if found.until <= self._clock.now():
            self._keys.drop(org_id)
            found = await self._keys.get(org_id)
        return found

    async def has_ended(self, *record_ids: str) -> bool:
        """Whether any of these authorizations and connections has ended."""
        await self._be_fresh()
        return any(record_id in self._ended for record_id in record_ids)

    def are_as_before(self, org_id: str, keys: OrgKeys, client: LiveClient, user: LiveUser, *record_ids: str) -> bool:
        """Whether these are what would be answered now, from memory, and no such authorization or connection has ended."""
        now = self._clock.now_ms()
        releases = self._clients.at_hand((org_id, client.client_id)) or ()
        return self.is_fresh() and (
            self._keys.at_hand(org_id) is keys
            and next((each.client for each in releases if each.live_from <= now), None) is client
            and now // 1000 < min(keys.until, client.ends_at or keys.until)
            and self._users.at_hand((org_id, user.user.id)) is user
            and not any(record_id in self._ended for record_id in record_ids)
        )

    def stays_until(self, org_id: str, keys: OrgKeys, client: LiveClient) -> int:
        """Until when, in epoch seconds, time alone changes none of these: no other key signs, no release that waits is
        live, and the app has not ended.
        """
        now = self._clock.now_ms()
        releases = self._clients.at_hand((org_id, client.client_id)) or ()
        coming = min((each.live_from // 1000 for each in releases if each.live_from > now), default=keys.until)
        return min(keys.until, client.ends_at or keys.until, coming)

    # --- following the feed -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what must be known before the first request, and follow the feed from there.

        Raises ``KeyMissing`` when the master key doesn't open the keys of every org.
        """
        self._store.on_change(self._woken.set)
        await self._catch_up()
        self._acknowledged = self._newest_client  # what was released before this node began did not wait for it
        for org in self.orgs():
            _ = await self.keys(org.id)
        await self._beat()
        self._task = asyncio.create_task(self._follow(), name="feed")

    async def stop(self) -> None:
        """Stop following, and say so to the other nodes."""
        for task in (self._task, self._refreshing):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        with contextlib.suppress(Unavailable):
            await self._store.run(propagation.leave, self.node_id)

    def is_fresh(self) -> bool:
        """Whether the feed was read in the last three seconds."""
        return asyncio.get_running_loop().time() - self._read_at < STALE_AFTER

    async def _be_fresh(self) -> None:
        """Raise ``Unavailable`` rather than answer from an old memory. All who come while the feed is unread wait for
        one reading of it, so that a database that hangs piles nobody up.
        """
        if self.is_fresh():
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._catch_up(), name="refreshing")
        await asyncio.shield(self._refreshing)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL)
            self._woken.clear()
            try:
                await self._catch_up()
                await self._acknowledge()
                if asyncio.get_running_loop().time() - self._beat_at >= HEARTBEAT:
                    await self._beat()
            except Unavailable as error:
                log.warning("feed.unavailable", reason=str(error))
            except Exception:
                log.exception("feed.failed")

    async def catch_up(self) -> None:
        """Apply at once what was changed just now, so that this node's next answer knows of it. Where the database is
        away, the change is applied when it is back, and until then nothing is served from memory.
        """
        with contextlib.suppress(Unavailable):
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Apply what is new. After a failure all is read anew: a database that went away may have come back as a
        standby that never had our last changes, and will count on from an earlier one.
        """
        async with self._reading:
            asked_at, before = asyncio.get_running_loop().time(), self._place
            try:
                if not self._is_lost:
                    self._is_lost = not await self._read_feed()
                if self._is_lost:
                    await self._read_all()
            except Exception:
                self._is_lost = True
                raise
            self._is_lost = False
            self._read_at = asked_at
            if self._place != before:
                for tell in self._told:
                    tell()

    async def _read_feed(self) -> bool:
        """Apply the changes after our place, page by page. False: some of them are no longer kept."""
        while True:
            received = await self._store.read(propagation.changes_after, *self._place)
            if received and received[0].seq > self._place.seq + 1:
                return False
            for change in received:
                await self._apply(change)
                self._place = Place(change.seq, change.position)
            if len(received) < propagation.MOST_CHANGES:
                return True

    async def _read_all(self) -> None:
        """Forget every answer, and load what is asked without a query."""
        place = Place(await self._store.read(propagation.newest_change), propagation.ALL_POSITIONS)
        self.epoch += 1
        for cache in (self._clients, self._users, self._servers, self._keys):
            cache.clear()
        await self._load_orgs()
        then = self._clock.now() - tokens.LONGEST_LIFETIME - tokens.LEEWAY
        for ended in (authorizations.ended_since, connections.ended_since):
            self._remember_ended(await self._store.read(ended, then))
        self._place = place
        self._newest_client, self._acknowledged = place.seq, -1

    async def _acknowledge(self) -> None:
        """Say when a client's change was applied here: the app's page shows how far it has come."""
        if self._newest_client > self._acknowledged:
            applied = self.applied
            await self._store.run(propagation.acknowledge, self.node_id, applied, self._clock.now_ms())
            self._acknowledged = applied

    async def _apply(self, change: Received) -> None:
        self.epoch += 1
        match change.kind:
            case "client":
                self._clients.drop((change.org_id, change.key))
                self._newest_client = change.seq
            case "authorization" | "connection":
                self._remember_ended([change.key])
            case "user":
                self._users.drop((change.org_id, change.key))
            case "permission_set":
                self._users.clear()
            case "server":
                self._servers.drop(change.org_id)
                self._beat_at = float("-inf")  # its page shows on how many nodes that is live
            case "keys":
                self._keys.drop(change.org_id)
            case "grant" | "approval":
                pass  # whoever keeps an answer of these compares the place in the feed
            case _:
                await self._load_orgs()

    async def _beat(self) -> None:
        measured = await self._store.database_time()
        if measured is not None:
            self._clock.correct(measured)
        now_ms = self._clock.now_ms()
        await self._store.run(propagation.heartbeat, self.node_id, self._name, self.applied, now_ms)
        self._beat_at = asyncio.get_running_loop().time()
        self._forget_ended(now_ms // 1000 - tokens.LONGEST_LIFETIME - 2 * tokens.LEEWAY)

    def _remember_ended(self, record_ids: list[str]) -> None:
        """Bounded by time: as long as a token of what ended could still be shown. The oldest stand first."""
        self.epoch, now = self.epoch + 1, self._clock.now()
        for record_id in record_ids:
            self._ended.pop(record_id, None)
            self._ended[record_id] = now

    def _forget_ended(self, then: int) -> None:
        while self._ended:
            oldest = next(iter(self._ended))
            if self._ended[oldest] >= then:
                return
            del self._ended[oldest]

    # --- reading ------------------------------------------------------------------------------------------------

    async def _load_orgs(self) -> None:
        self._orgs = {org.name: org for org in await self._store.read(orgs.all_orgs, self._public_url)}

    async def _read_releases(self, key: tuple[str, str]) -> list[Release]:
        return await self._store.read(propagation.releases, *key)

    async def _read_user(self, key: tuple[str, str]) -> LiveUser | None:
        return await self._store.read(read_user, *key)

    async def _read_servers(self, org_id: str) -> dict[str, LiveServer]:
        return {live.server.name: live for live in await self._store.read(read_servers, org_id)}

    async def _read_keys(self, org_id: str) -> OrgKeys:
        now = self._clock.now()
        stored = await self._store.read(keys.of_org, org_id, now)
        signing = keys.signing(stored, now)
        turns = [at for key in stored for at in (key.signs_from, key.gone_at) if at is not None and at > now]
        return OrgKeys(
            signer=Signer(signing.kid, signing.algorithm, keys.unseal(self._ring, signing)),
            verifying={key.kid: tokens.VerifyingKey(key.algorithm, keys.public_key(key)) for key in stored},
            published=msgspec.json.encode(keys.jwk_set(stored)),
            algorithms=tuple(sorted({signing.algorithm} | {key.algorithm for key in stored if key.signs_from > now})),
            until=min(turns, default=FOREVER),
        )
