"""What it costs to write calls down: CPU for each row beside a bare INSERT, and pages of a million of them by an index."""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measuring import cpu_seconds_of_all, median

sys.path.insert(0, str(Path(__file__).parent.parent))
from gatelodge.core import calls, chains, orgs
from gatelodge.core.calls import Batch, Call, counts
from gatelodge.core.calls.records import COLUMNS, FIELDS
from gatelodge.core.operation import Operation, execute, many
from gatelodge.store import Store, open_store
from gatelodge.store.opening import is_postgres
from tests import postgres

ORG = "00D000000000001AAA"
APP, USER, SERVER = "0xI00000000000", "00500000000000", "sobject-reads"
AT = 1_790_000_000_000
A_BATCH = 96
A_STEP, COUNTERS = 20_000, 960_000


def batch(rows: int) -> Batch:
    """So many calls of one second, of ten apps and a hundred users."""
    made = [
        Call(
            org_id=ORG, at=AT + n, app_id=f"{APP}{n % 10}", client_id="3MVG9" + "x" * 80,
            user_id=f"{USER}{n % 100}", connection_id="0uC000000000001AAA", server=SERVER, method="tools/call",
            name="soqlQuery", outcome="ok", status=200, duration_us=2500, bytes_in=300, bytes_out=900, rows=20,
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736", arguments_digest="1." + "x" * 43,
        )
        for n in range(rows)
    ]  # fmt: skip
    return Batch(made, [], {})


def bare(made: Batch, first: int) -> Operation[None]:
    """The same rows in a table with nothing but its key, one statement each."""
    sql = f"INSERT INTO bare ({COLUMNS}) VALUES (:org_id, {', '.join(f':{name}' for name in FIELDS)})"
    for n, call in enumerate(made.calls):
        values = {name: getattr(call, name) for name in FIELDS if name not in ("seq", "hash")}
        yield from execute(sql, org_id=ORG, seq=first + n, hash="", **values)


def prepared() -> Operation[None]:
    """An org, and the table of the floor."""
    made = orgs.make("http://localhost")(
        id=ORG, name="", label="Bench", kind=orgs.PRODUCTION, refresh_window=30, trusted_ranges="", preferences="{}",
        app_rules="{}", custom_scopes="[]",
    )  # fmt: skip
    yield from orgs.create(made, 1)
    yield from execute(
        "CREATE TABLE bare (org_id TEXT NOT NULL, seq BIGINT NOT NULL, "
        + ", ".join(f"{name} {'BIGINT' if name in NUMBERS else 'TEXT'} NOT NULL" for name in FIELDS if name != "seq")
        + ", PRIMARY KEY (org_id, seq))"
    )


NUMBERS = ("at", "status", "duration_us", "bytes_in", "bytes_out", "rows")


def filled(first: int, last: int) -> Operation[None]:
    """The calls from one number to another, by the database itself: of 100 apps, 5 servers and 1000 users."""
    texts = {
        "app_id": f"'{APP}' || (i % 100)", "user_id": f"'{USER}' || (i % 1000)", "server": "'server-' || (i % 5)",
        "method": "'tools/call'", "outcome": "'ok'", "name": "'find'", "hash": "'x'",
    }  # fmt: skip
    numbers = {"seq": "i", "at": f"{AT} + i", "status": "200"}
    values = (numbers.get(n, "0") if n in (*NUMBERS, "seq") else texts.get(n, "''") for n in FIELDS)
    yield from execute(
        f"INSERT INTO calls ({COLUMNS}) WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
        f" SELECT '{ORG}', {', '.join(values)} FROM n",
        last=last,
    )
    head = yield from chains.take(ORG, chains.CALLS)
    yield from chains.move(head, last, "x")


def counted(first: int, last: int) -> Operation[None]:
    """Some of the counters of those 100 apps, for 400 days of hours on one server: 960,000 rows in all."""
    zeros = ", ".join("1" for _ in counts.COUNTED)
    yield from execute(
        f"INSERT INTO call_counts (org_id, app_id, server, hour, {counts.COUNTED_COLUMNS}) WITH RECURSIVE n(i) AS"
        f" (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT '{ORG}', '{APP}' || (i % 100), 's',"
        f" {AT // 3_600_000} - i / 100, {zeros} FROM n"
    )


def by_day() -> Operation[None]:
    """What those counters come to by day."""
    yield from execute(
        "INSERT INTO call_days (org_id, app_id, day, calls) SELECT org_id, app_id, hour / 24, CAST(SUM(calls) AS BIGINT)"
        " FROM call_counts GROUP BY org_id, app_id, hour / 24"
    )


def explained(prefix: str, operation: Operation[Any]) -> Operation[list[str]]:
    """How the database would answer the operation's first statement."""
    asked: Any = next(operation)
    values = {name: value for name, value in asked.values.items() if name != "limit"}
    rows = yield from many(prefix + asked.sql, lambda **row: row, limit=asked.values["limit"], **values)
    return [str(row.get("detail") or row.get("QUERY PLAN")) for row in rows]


async def costs(store: Store, cpu: Callable[[], float], rounds: int) -> None:
    """CPU of this process and of the database for each row, by turns of the calls and of the floor."""
    await store.run(prepared)
    found: dict[str, list[float]] = {"calls": [], "bare": []}
    first = 1
    for turn in range(rounds + 1):
        for name, measured in found.items():
            began = cpu()
            for _ in range(50):
                made = batch(A_BATCH)
                if name == "calls":
                    await store.run(calls.write, ORG, made)
                else:
                    await store.run(bare, made, first)
                    first += A_BATCH
            if turn:  # the first warms up
                measured.append((cpu() - began) / 50 / A_BATCH * 1e6)
    whole, floor = median(found["calls"]), median(found["bare"])
    print(f"  a row of calls {whole:.0f} us of CPU, a bare INSERT {floor:.0f} us, {whole / floor:.2f} times")


async def plans(store: Store, prefix: str, rows: int) -> None:
    """Pages of so many calls, and what their counters add up to: how they are found, and how long it takes."""
    for first in range(1, rows + 1, A_STEP):
        await store.run(filled, first, min(first + A_STEP - 1, rows))
    for first in range(0, COUNTERS, A_STEP):
        await store.run(counted, first, min(first + A_STEP, COUNTERS) - 1)
    await store.run(by_day)
    hour = AT // 3_600_000
    asked: dict[str, tuple[Any, dict[str, Any]]] = {
        "a page of the org": (calls.page, {"limit": 50, "before": rows // 2}),
        "a page of an app": (calls.page, {"limit": 50, "app_id": f"{APP}7", "before": rows // 2}),
        "a page of a server": (calls.page, {"limit": 50, "server": "server-3"}),
        "a page of a user": (calls.page, {"limit": 50, "user_id": f"{USER}77"}),
        "an app's 90 days": (calls.of_app, {"app_id": f"{APP}7", "since": hour - 24 * 90, "length": 24}),
        "12 days of 50 apps": (calls.sparkline, {"app_ids": [f"{APP}{n}" for n in range(50)], "until": AT // 1000}),
    }
    for what, (operation, named) in asked.items():
        told = await store.run(explained, prefix, operation(ORG, **named))
        times: list[float] = []
        for _ in range(9):
            began = time.perf_counter()
            await store.read(operation, ORG, **named)
            times.append((time.perf_counter() - began) * 1000)
        by = next((line.strip() for line in told if "ndex" in line or "INDEX" in line), "NO INDEX")
        print(f"  {what}: {median(times):.1f} ms; {by[:110]}")


@contextlib.contextmanager
def databases(wanted: list[str]) -> Iterator[list[tuple[str, Callable[[], float]]]]:
    """Empty ones, each with what tells the CPU that it and this process have used."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made: list[tuple[str, Callable[[], float]]] = []
        if "sqlite" in wanted:
            made.append((str(folder / "calls.db"), time.process_time))
        if "postgresql" in wanted:
            cluster = stack.enter_context(postgres.running(folder / "postgres", "fsync=on"))
            pid = int((cluster.folder / "data/postmaster.pid").read_text().split()[0])
            made.append((cluster.fresh_database(), lambda: time.process_time() + cpu_seconds_of_all(pid)))
        yield made


async def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--databases", default="sqlite,postgresql")
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--rows", type=int, default=1_000_000)
    told = asked.parse_args()
    with databases(told.databases.split(",")) as found:
        for database, cpu in found:
            print(f"{'PostgreSQL' if is_postgres(database) else 'SQLite'}, {A_BATCH} rows a transaction:")
            store = await open_store(database)
            try:
                await costs(store, cpu, told.rounds)
                await store.run(lambda: execute("DELETE FROM calls"))
                await plans(store, "EXPLAIN " if is_postgres(database) else "EXPLAIN QUERY PLAN ", told.rows)
            finally:
                await store.close()


if __name__ == "__main__":
    asyncio.run(main())
