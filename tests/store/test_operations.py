"""What an operation may rely on, the same on SQLite and PostgreSQL."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core import propagation
from gatelodge.core.errors import Denied, Refused
from gatelodge.store.driving import check_rows, check_values
from tests.generated import MANY
from tests.requirements import requirement
from tests.store import operations
from tests.store.operations import opened, two_nodes

Run = Callable[..., Any]


@requirement("store:raising-undoes")
def test_an_exception_undoes_everything_the_operation_wrote(database: str, run_async: Run):
    async def story() -> list[str]:
        async with opened(database) as store:
            with pytest.raises(Refused):
                await store.run(operations.add_then_raise, "gone")
            assert await store.read(propagation.newest_change) == 0
            return await store.read(operations.names)

    assert run_async(story()) == []


@requirement("store:returned-refusal-commits")
def test_a_returned_refusal_commits_with_its_mark(database: str, run_async: Run):
    async def story() -> list[str]:
        async with opened(database) as store:
            answer = await store.run(operations.add_then_return, "marked")
            assert isinstance(answer, Denied)
            return await store.read(operations.names)

    assert run_async(story()) == ["marked"]


@requirement("store:group-commit", "store:raising-undoes")
def test_of_many_operations_at_once_those_that_fail_undo_themselves_alone(database: str, run_async: Run):
    async def story() -> None:
        async with opened(database) as store:
            work = [
                store.run(operations.add_then_raise if n % 3 == 0 else operations.add, f"org-{n:03}")
                for n in range(300)
            ]
            answers = await asyncio.gather(*work, return_exceptions=True)
            assert [isinstance(answer, Refused) for answer in answers] == [n % 3 == 0 for n in range(300)]
            assert await store.read(operations.names) == [f"org-{n:03}" for n in range(300) if n % 3]

    run_async(story())


@requirement("store:group-commit")
def test_a_mistake_in_one_statement_is_told_to_its_caller_and_nobody_else(database: str, run_async: Run):
    async def story() -> list[str]:
        async with opened(database) as store:
            broken = store.run(operations.raw, "INSERT INTO no_such_table (a) VALUES (1)")
            answers = await asyncio.gather(
                store.run(operations.add, "one"), broken, store.run(operations.add, "two"), return_exceptions=True
            )
            # A mistake of ours is no outage: it must reach the log as what it is.
            assert [type(answer).__name__ for answer in answers if isinstance(answer, Exception)] in (
                ["OperationalError"], ["UndefinedTableError"],
            )  # fmt: skip
            return await store.read(operations.names)

    assert run_async(story()) == ["one", "two"]


@requirement("store:group-commit")
def test_a_caller_who_goes_away_takes_nothing_with_it(database: str, run_async: Run):
    async def story() -> None:
        async with opened(database) as store:
            impatient = asyncio.create_task(store.run(operations.add, "impatient"))
            patient = asyncio.create_task(store.run(operations.add, "patient"))
            await asyncio.sleep(0)
            impatient.cancel()
            await patient
            assert "patient" in await store.read(operations.names)

    run_async(story())


class Numbered(int):
    """A whole number of a class of its own, as an ``HTTPStatus`` is."""


@requirement("store:same-characters")
@pytest.mark.parametrize("value", ["a\x00b", "\ud800", "tail \udfff", 2**63, -(2**63) - 1, Numbered(2**63)])
def test_values_that_the_databases_disagree_on_are_refused_by_both(database: str, run_async: Run, value: str | int):
    async def story() -> str | None:
        async with opened(database) as store:
            await store.run(operations.add, "there")
            with pytest.raises(ValueError, match=r"NUL|surrogate|BIGINT"):
                await store.run(operations.label, "there", value)
            with pytest.raises(ValueError, match=r"NUL|surrogate|BIGINT"):
                await store.read(operations.label_of, value)
            return await store.read(operations.label_of, "there")

    assert run_async(story()) == "there"


@requirement("store:same-characters")
@MANY
@given(st.text())
def test_every_other_text_passes(value: str):
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        encoded = b"\x00"
    if b"\x00" in encoded:
        with pytest.raises(ValueError, match=r"NUL|surrogate"):
            check_values({"value": value})
    else:
        check_values({"value": value})


@requirement("store:same-characters")
@MANY
@given(st.lists(st.one_of(st.text(), st.integers(), st.integers(-(2**64), 2**64), st.binary(), st.none())))
def test_many_rows_are_refused_where_one_of_them_would_be(values: list[str | int | bytes | None]):
    def is_refused(check: Callable[[Any], None], *given: Any) -> bool:
        try:
            for each in given:
                check(each)
        except ValueError:
            return True
        return False

    rows = [{"value": value} for value in values]
    assert is_refused(check_rows, rows) == is_refused(check_values, *rows)


@requirement("store:same-characters")
def test_text_of_every_kind_comes_back_as_it_went(database: str, run_async: Run):
    value = "Zoë 漢字 🜚 'quoted' \"twice\" :named $1 %s \\ \t\r\n \x7f"

    async def story() -> str | None:
        async with opened(database) as store:
            await store.run(operations.add, "there")
            await store.run(operations.label, "there", value)
            return await store.read(operations.label_of, "there")

    assert run_async(story()) == value


@requirement("store:read-is-read-only")
def test_a_reading_operation_can_change_nothing(database: str, run_async: Run):
    async def story() -> list[str]:
        async with opened(database) as store:
            await store.run(operations.add, "kept")
            for sql in ("DELETE FROM orgs", "UPDATE orgs SET label = 'x'", "CREATE TABLE mine (a BIGINT)"):
                with pytest.raises(Exception, match=r"read-?only"):
                    await store.read(operations.raw, sql)
            with pytest.raises(AssertionError, match="must be run"):
                await store.read(operations.shout, "unheard")
            assert await store.read(propagation.newest_change) == 1
            return await store.read(operations.names)

    assert run_async(story()) == ["kept"]


@requirement("store:feed-order")
def test_a_reader_that_follows_the_feed_misses_no_commit(database: str, run_async: Run):
    writers, each = 8, 25

    async def follow(store: Any, seen: list[propagation.Received]) -> None:
        place = (0, propagation.ALL_POSITIONS)
        while len(seen) < writers * each * 2:
            for change in await store.read(propagation.changes_after, *place):
                seen.append(change)
                place = (change.seq, change.position)
            await asyncio.sleep(0)

    async def write(store: Any, writer: int) -> None:
        for n in range(each):
            await store.run(twice, f"{writer}-{n}")

    def twice(key: str) -> Any:
        yield from operations.shout(f"{key}-a")
        yield from operations.shout(f"{key}-b")

    async def story() -> None:
        seen: list[propagation.Received] = []
        async with two_nodes(database) as (one, two):
            async with asyncio.timeout(60):
                work = [write((one, two)[n % 2], n) for n in range(writers)]
                await asyncio.gather(follow(one, seen), follow(two, later := []), *work)
        assert [(change.seq, change.position) for change in seen] == [
            (seq, position) for seq in range(1, writers * each + 1) for position in (0, 1)
        ]
        assert later == seen

    run_async(story())


@requirement("store:wakes-other-nodes")
def test_a_commit_wakes_whoever_follows_the_feed(database: str, run_async: Run):
    async def story() -> None:
        async with two_nodes(database) as (one, two):
            woken = asyncio.Event()
            two.on_change(woken.set)
            async with asyncio.timeout(10):
                while not woken.is_set():  # until it listens, a node is woken by its poll alone
                    await one.run(operations.shout, "hello")
                    await asyncio.sleep(0)
            woken.clear()
            await one.run(operations.label, "nobody", "silent")
            await one.run(operations.shout, "again")
            async with asyncio.timeout(10):
                await woken.wait()

    run_async(story())
