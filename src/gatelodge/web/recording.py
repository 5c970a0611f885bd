"""Writing down the calls of this node: noted in memory, written every 100 ms, many rows in one transaction.

What can't be written isn't lost quietly. A call that writes is kept before it is made (``admit``), and refused where that
fails; one that reads waits or goes on as its org says, and what was lost is counted in the audit (decision 0040).
"""

import asyncio
import contextlib
import hmac
import re
from collections import defaultdict
from typing import Any

import msgspec
import structlog

from gatelodge.core import audit, calls, chains, recording, secrets
from gatelodge.core.calls import Batch, Call
from gatelodge.core.clock import Clock
from gatelodge.core.errors import Unavailable
from gatelodge.core.operation import Operation
from gatelodge.core.recording import Rules
from gatelodge.core.secrets import KeyRing
from gatelodge.store import Store

log = structlog.get_logger()

EVERY = 0.1
"""Seconds from a call to its row, at most: what a crash can lose of calls that read."""
MOST_WAITING = 20_000
"""Calls that wait to be written; while there are more, it counts as not being able to write."""
MOST_IN_A_BATCH = 256
LOOK_EVERY = 10.0
"""Seconds between two looks at the orgs' rules, at other nodes' ends and at what is to be sealed."""
TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
NO_TRACE = "0" * 32
TRACE_ID = "gatelodge.trace_id"
"""Where a request's scope holds its trace id."""
TRACES_AT_ONCE = 64
"""Trace ids that are drawn together: to ask the system for each costs more than the rest of a record."""
_chances: list[str] = []
PURPOSE = "call-arguments"
ACTOR = "the node"
LOST = "calls:records:lost"
PURGED = "calls:records:purge"
AUDIT_PURGED = "audit:events:purge"
DAY = 86_400_000
SORTED = msgspec.json.Encoder(order="sorted")


class Lost(msgspec.Struct):
    """Calls of one org that went on and couldn't be kept."""

    calls: int = 0
    since: int = 0


class Calls:
    """What this node has to write down. Made by ``app.build``; ``start`` it before calls come, ``stop`` it after."""

    def __init__(self, store: Store, clock: Clock, ring: KeyRing, *, node_id: str, name: str, is_alone: bool) -> None:
        self._store, self._clock, self._ring = store, clock, ring
        self._node_id, self._name, self._is_alone = node_id, name, is_alone
        self._waiting: dict[str, Batch] = {}
        self._n = 0
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_stopping = False
        self._why = ""
        self._lost: dict[str, Lost] = defaultdict(Lost)
        self._rules: dict[str, Rules] = {}
        self._keyed: dict[str, hmac.HMAC] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.checked: dict[str, Any] = {}

    # --- what the gateway says ------------------------------------------------------------------------------------

    async def admit(self, call: Call, *, is_write: bool) -> str:
        """Let a call be made, or raise ``Unavailable`` because it couldn't be written down. A call that writes is kept
        from here on: hand the answer to ``note``. "" for one that reads.
        """
        if not is_write:
            self.admit_read(call.org_id)
            return ""
        begun = secrets.new_token()[:22]
        await self._store.run(calls.begin, begun, self._node_id, call)
        return begun

    def admit_read(self, org_id: str) -> None:
        """The same for a call of which it is known that it only reads: nothing but a look at how this node is."""
        if self._is_stuck() and self.rules(org_id).reads_wait:
            raise Unavailable(f"calls can't be written down now, so none are made: {self.trouble()}")

    def note(self, call: Call, begun: str = "") -> None:
        """A call has ended; it is written within 100 ms. ``begun`` is what ``admit`` said of it."""
        if self._n >= MOST_WAITING and not begun:
            lost = self._lost[call.org_id]
            lost.calls, lost.since = lost.calls + 1, lost.since or call.at
            return
        batch = self._of(call.org_id)
        batch.calls.append(call)
        if begun:
            batch.begun.append(begun)
        self._n += 1

    def note_sign_in(self, org_id: str, app_id: str) -> None:
        """Somebody has connected an app: it counts in the app's activity."""
        key = (app_id, self._clock.now() // 3600)
        sign_ins = self._of(org_id).sign_ins
        sign_ins[key] = sign_ins.get(key, 0) + 1

    def digest(self, org_id: str, arguments: bytes) -> str:
        """What stands for a call's arguments (JSON): the same arguments have the same digest in this org, however they
        are spaced and ordered, and nobody without the master key can try values against it.
        """
        keyed = self._keyed.get(org_id)
        if keyed is None:
            sub_key = self._ring.sub_key(PURPOSE)
            assert sub_key is not None  # the current key is on the ring
            keyed = hmac.new(hmac.digest(sub_key, org_id.encode(), "sha256"), digestmod="sha256")
            self._keyed[org_id] = keyed
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            arguments = SORTED.encode(msgspec.json.decode(arguments))
        digest = keyed.copy()  # with the key taken in already, which is most of the work
        digest.update(arguments)
        return f"{self._ring.current_id}.{secrets.base64url(digest.digest())}"

    def rules(self, org_id: str) -> Rules:
        """The org's rules as they were at the last look, ten seconds ago at most."""
        return self._rules.get(org_id) or Rules(org_id=org_id)

    def trouble(self) -> str:
        """Why calls can't be written now; "" when they can."""
        return (self._why or "too many calls wait") if self._is_stuck() else ""

    def _is_stuck(self) -> bool:
        return bool(self._why) or self._n >= MOST_WAITING

    def _of(self, org_id: str) -> Batch:
        batch = self._waiting.get(org_id)
        if batch is None:
            batch = self._waiting[org_id] = Batch()
            self._some.set()
        return batch

    # --- writing --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Say that this node records, tell what nodes before it have lost, and begin to write."""
        await self._look()
        self._tasks = [
            asyncio.create_task(self._write_on(), name="recording"),
            asyncio.create_task(self._look_on(), name="recording-look"),
        ]

    async def stop(self) -> None:
        """Write what waits, and say that nothing of this node is missing."""
        if not self._tasks:
            return
        writing, looking = self._tasks
        self._is_stopping = True
        self._some.set()
        looking.cancel()
        await asyncio.wait({writing, looking})  # what is being written now must not be written twice
        try:
            await self.settle()
            _ = await self._store.run(recording.end, self._node_id)
        except Unavailable as error:
            log.exception("calls.lost", calls=self._n, reason=str(error))

    async def settle(self) -> None:
        """Write all that waits now. Raises ``Unavailable``, and then it waits on."""
        async with self._writing:  # what another is writing is not there yet, though nothing waits any more
            while self._waiting:
                await self._write()

    async def _write_on(self) -> None:
        while not self._is_stopping:
            await self._some.wait()
            await asyncio.sleep(0 if self._is_stopping else EVERY)
            try:
                await self.settle()
            except Unavailable as error:
                self._stuck(str(error))
            except Exception:
                log.exception("recording.failed")
                self._stuck("a mistake of ours, see the log")

    def _stuck(self, why: str) -> None:
        if not self._why:
            log.error("calls.unwritten", reason=why)
        self._why = why
        self._some.set()  # to be tried again

    async def _write(self) -> None:
        """Write one batch of each org. What fails is put back to be tried again, in its order."""
        self._some.clear()
        taken, self._waiting = self._waiting, {}
        try:
            for org_id, batch in list(taken.items()):
                await self._write_org(org_id, batch)
                del taken[org_id]
            await self._tell_losses()
        finally:
            for org_id, batch in taken.items():
                later = self._waiting.get(org_id, Batch())
                for key, n in later.sign_ins.items():
                    batch.sign_ins[key] = batch.sign_ins.get(key, 0) + n
                batch.calls += later.calls
                batch.begun += later.begun
                self._waiting[org_id] = batch
                self._some.set()
        self._why = ""

    async def _write_org(self, org_id: str, batch: Batch) -> None:
        """A part of the batch in one transaction, until all of it is written; it shrinks by what is."""
        while batch.calls or batch.sign_ins:
            last = len(batch.calls) <= MOST_IN_A_BATCH
            # A begun call stays kept until its row is there.
            part = Batch(batch.calls[:MOST_IN_A_BATCH], batch.begun if last else [], batch.sign_ins)
            await self._store.run(calls.write, org_id, part)
            batch.calls, batch.sign_ins = batch.calls[MOST_IN_A_BATCH:], {}
            self._n -= len(part.calls)
        batch.begun = []

    async def _tell_losses(self) -> None:
        for org_id, lost in list(self._lost.items()):
            said: dict[str, object] = {"calls": lost.calls, "since": lost.since, "why": self._why or "too many waited"}
            await self._store.run(audit.record, org_id, self._clock.now_ms(), ACTOR, LOST, self._name, said)
            del self._lost[org_id]

    # --- looking after it -----------------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._look()
            except Unavailable:
                continue  # the next look does it
            except Exception:
                log.exception("recording.look_failed")

    async def _look(self) -> None:
        now = self._clock.now()
        await self._store.run(recording.begin, self._node_id, self._name, now)
        self._rules = {each.org_id: each for each in await self._store.read(recording.all_rules)}
        for recorder in await self._store.read(recording.gone, self._node_id, now, is_alone=self._is_alone):
            while await self._store.run(tell_crash, recorder, self._clock.now_ms()):
                pass
        await self.seal()

    async def seal(self) -> None:
        """Seal the heads of all chains that have grown."""
        place = ("", "")
        while heads := await self._store.read(chains.unsealed, place):
            for head in heads:
                await self._store.run(chains.seal, head, chains.sealed(self._ring, head))
            place = (heads[-1].org_id, heads[-1].name)


def trace_of(traceparent: str) -> str:
    """The trace id of a request: the client's (W3C Trace Context, traceparent), or a fresh one of 32 hex digits."""
    found = TRACE.fullmatch(traceparent.strip())
    if found and found[1] != NO_TRACE and (traceparent[:2] != "00" or traceparent.count("-") == 3):  # noqa: PLR2004
        return found[1]
    if not _chances:
        drawn = secrets.random_bytes(16 * TRACES_AT_ONCE).hex()
        _chances.extend(drawn[at : at + 32] for at in range(0, len(drawn), 32))
    return _chances.pop()


def tell_crash(recorder: recording.Recorder, now_ms: int) -> Operation[bool]:
    """A node ended without a word: what it had begun is written as of unknown outcome, and each org's audit says which
    calls may be missing. True: there may be more.
    """
    left = yield from calls.leftover(recorder.node_id)
    batches: dict[str, Batch] = defaultdict(Batch)
    for call in left:
        batches[call.org_id].calls.append(call)
    for org_id, batch in sorted(batches.items()):
        yield from calls.write(org_id, batch)
    if left:
        return True
    if (yield from recording.end(recorder.node_id)):
        why = f"the node ended without a word; reading calls of its last {calls.LOST_BY_CRASH} ms may be missing"
        for org_id in (yield from chains.orgs_with(chains.CALLS)):
            said: dict[str, object] = {"node": recorder.name, "seen_at": recorder.seen_at, "why": why}
            yield from audit.record(org_id, now_ms, ACTOR, "calls:records:crash", recorder.name, said)
    return False


async def purge(store: Store, rules: Rules, now_ms: int) -> None:
    """Remove what the org keeps no longer, a batch at a time; the audit says up to which row."""
    while await store.run(purge_calls, rules, now_ms):
        pass
    while await store.run(purge_audit, rules, now_ms):
        pass


def purge_calls(rules: Rules, now_ms: int) -> Operation[bool]:
    """One batch of calls. True: there may be more."""
    n, seq, link = yield from calls.purge(rules.org_id, now_ms - rules.calls_days * DAY)
    if n:
        said: dict[str, object] = {"calls": n, "through": seq, "hash": link}
        yield from audit.record(rules.org_id, now_ms, ACTOR, PURGED, chains.CALLS, said)
    return bool(n)


def purge_audit(rules: Rules, now_ms: int) -> Operation[bool]:
    """One batch of events. True: there may be more."""
    n, seq, link = yield from audit.purge(rules.org_id, now_ms - rules.audit_days * DAY)
    if n:
        said: dict[str, object] = {"events": n, "through": seq, "hash": link}
        yield from audit.record(rules.org_id, now_ms, ACTOR, AUDIT_PURGED, chains.AUDIT, said)
    return bool(n)
