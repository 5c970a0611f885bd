"""The schema: forward only, once, and never by a program that doesn't know it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatelodge.core.operation import Operation, many
from gatelodge.store import StoreRefused, open_store
from gatelodge.store.migrations import Migration, all_migrations, missing
from tests.requirements import requirement
from tests.store import operations
from tests.store.operations import opened

OPEN = """
import asyncio, sys
from gatelodge.store import open_store
async def main():
    sys.stdin.read(1)  # all are released at once
    await (await open_store(sys.argv[1])).close()
asyncio.run(main())
"""


def receipts() -> Operation[list[int]]:
    return (
        yield from many("SELECT version FROM schema_version ORDER BY version LIMIT :limit", version_only, limit=10_000)
    )


def version_only(version: int) -> int:
    return version


@requirement("store:migrates-once")
@pytest.mark.slow
def test_four_processes_that_start_at_once_apply_each_step_once(database: str, run_async: Callable[..., Any]):
    started = [
        subprocess.Popen([sys.executable, "-c", OPEN, database], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"!")
    assert [(process.communicate()[1], process.returncode) for process in started] == [(b"", 0)] * 4

    async def applied() -> list[int]:
        async with opened(database) as store:
            return await store.read(receipts)

    assert run_async(applied()) == [migration.version for migration in all_migrations()]


def refused_after(database: str, change: str, **values: str | int) -> str:
    """What the program says of this database once the change was made to it behind its back."""

    async def story() -> str:
        async with opened(database) as store:
            await store.run(operations.raw, change, **values)
        with pytest.raises(StoreRefused) as refused:
            await open_store(database)
        return str(refused.value)

    return asyncio.run(story())


@requirement("store:newer-database")
def test_a_newer_database_is_refused_with_both_versions(database: str):
    said = refused_after(
        database, "INSERT INTO schema_version (version, name, digest) VALUES (9000, 'from_the_future', 'x')"
    )
    assert "9000 (from_the_future)" in said
    assert f"up to {all_migrations()[-1].version}:" in said
    assert "start the newer program" in said


@requirement("store:edited-migration")
def test_an_edited_migration_is_refused_by_name(database: str):
    said = refused_after(database, "UPDATE schema_version SET digest = 'other' WHERE version = 1")
    assert "0001 (first) was edited" in said


@requirement("store:edited-migration")
def test_a_step_that_the_program_lacks_is_refused_by_name():
    known = [Migration(1, "one", (), "a"), Migration(3, "three", (), "c")]
    with pytest.raises(StoreRefused, match=r"0002 \(two\)"):
        missing([(1, "one", "a"), (2, "two", "b")], known)
    assert missing([(1, "one", "a")], known) == [known[1]]


@requirement("store:foreign-file")
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, run_async: Callable[..., Any]):
    file = tmp_path / "letter.txt"
    file.write_text("Dear Robin, " * 100)
    with pytest.raises(StoreRefused, match=r"letter\.txt can't be opened as a database: file is not a database"):
        run_async(open_store(str(file)))
    with pytest.raises(StoreRefused, match="can't be opened as a database"):
        run_async(open_store(str(tmp_path)))


@requirement("store:foreign-file")
@pytest.mark.parametrize(
    "url",
    ["postgresql://gatelodge@127.0.0.1:1/none", "postgresql://127.0.0.1:port/none", "postgresql://u@127.0.0.1:1?a=b"],
)
def test_a_postgresql_that_can_not_be_had_is_refused(url: str, run_async: Callable[..., Any]):
    with pytest.raises(StoreRefused, match=r"the PostgreSQL database can't be opened: \S+"):
        run_async(open_store(url))
