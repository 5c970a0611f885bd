"""PostgreSQL asks for a transaction to be started again; the caller of an operation never hears of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from gatelodge.core.errors import Unavailable
from gatelodge.core.operation import Operation, execute
from tests.postgres import Cluster
from tests.requirements import requirement
from tests.store import operations
from tests.store.operations import opened

pytestmark = pytest.mark.slow
GATE = 71
WAITING = f"SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"


def crosswise(first: str, second: str, starts: list[str]) -> Operation[str]:
    """Two rows, with a gate between them that the test holds shut until both sides have their first."""
    starts.append(first)
    yield from operations.label(first, f"by {first}")
    yield from execute(f"SELECT pg_advisory_xact_lock_shared({GATE})")
    yield from operations.label(second, f"by {first}")
    return first


@requirement("store:starts-again")
def test_both_sides_of_a_deadlock_are_done_in_the_end(postgres_server: Cluster, run_async: Callable[..., Any]):
    url = postgres_server.fresh_database()

    async def story() -> None:
        starts: list[str] = []
        async with opened(url) as store:
            await asyncio.gather(store.run(operations.add, "left"), store.run(operations.add, "right"))
            gate = await asyncpg.connect(url)
            await gate.execute(f"SELECT pg_advisory_lock({GATE})")
            both = asyncio.gather(
                store.run(crosswise, "left", "right", starts), store.run(crosswise, "right", "left", starts)
            )
            async with asyncio.timeout(10):
                while await gate.fetchval(WAITING) < 2:  # noqa: ASYNC110 - PostgreSQL has no event for it
                    await asyncio.sleep(0)
            await gate.close()
            assert await both == ["left", "right"]
            assert len(starts) == 3  # one of the two was chosen to begin anew
            labels = {await store.read(operations.label_of, name) for name in ("left", "right")}
            assert len(labels) == 1  # one after the other, never half of each

    run_async(story())


@requirement("store:starts-again")
def test_an_operation_is_started_again_three_times_and_no_more(postgres_server: Cluster, run_async: Callable[..., Any]):
    starts: list[int] = []

    def never_serializable() -> Operation[None]:
        starts.append(1)
        yield from operations.add(f"try-{len(starts)}")
        yield from execute("DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END $$")

    async def story() -> list[str]:
        async with opened(postgres_server.fresh_database()) as store:
            with pytest.raises(Unavailable, match="too busy"):
                await store.run(never_serializable)
            return await store.read(operations.names)

    assert run_async(story()) == []
    assert len(starts) == 4


@requirement("store:starts-again")
def test_a_neighbours_migration_is_no_error(postgres_server: Cluster, run_async: Callable[..., Any]):
    """Nodes of two versions run side by side: a statement whose plan became invalid is planned anew."""
    url = postgres_server.fresh_database()

    async def story() -> None:
        async with opened(url) as store:
            await store.run(operations.add, "there")
            for _ in range(3):
                assert await store.read(operations.everything) == 1
            neighbour = await asyncpg.connect(url)
            await neighbour.execute("ALTER TABLE orgs ADD COLUMN colour TEXT")
            await neighbour.close()
            assert await store.read(operations.everything) == 1

    run_async(story())
