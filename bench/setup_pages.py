"""What each page of Setup costs the server, in an org with many apps, authorizations and calls.

    python bench/setup_pages.py [--apps 10000] [--authorizations 100000] [--calls 1000000] [--rounds 15]
                                [--databases sqlite,postgresql]

It builds the org in a folder of its own, signs its administrator in, and asks for every page of the route table in the
same process, through ASGI. A line tells the CPU milliseconds of the process for one answer (the median of the rounds;
the store's thread and the client's part count too), the floor beside it (an empty page in the same frame, asked for in
turn with it), and PostgreSQL's own CPU, the mean over the rounds.
"""

import argparse
import contextlib
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
import structlog

from bench.measuring import cpu_seconds_of_all
from gatelodge.cli.seeding import new_app
from gatelodge.core import authorizations, chains, connections, propagation, secrets, users
from gatelodge.core.apps.settings import Settings
from gatelodge.core.calls import counts
from gatelodge.core.calls.records import COLUMNS as CALL_COLUMNS
from gatelodge.core.calls.records import FIELDS as CALL_FIELDS
from gatelodge.core.connections import Connection
from gatelodge.core.ids import AUTHORIZATION, CONNECTION, USER
from gatelodge.core.operation import Operation, execute
from tests import postgres
from tests.house import House
from tests.setup import offices, places
from tests.setup.test_every_route import filled

FLOOR = "/setup/search"
"""A page with nothing in it but the frame."""
A_BATCH = 250
NAMES = ("Claude", "Cursor", "Sales agent", "Ledger bot", "Support desk", "Postman bench", "Research")


def some_apps(house: House, first: int, n: int) -> Operation[list[str]]:
    """A batch of apps; their ids."""
    made: list[str] = []
    for i in range(first, first + n):
        settings = Settings(
            label=f"{NAMES[i % len(NAMES)]} {i}",
            api_name=f"App_{i}",
            contact_email="dev@client.example",
            callback_urls=("https://client.example/callback",),
            scopes=("mcp_api", "refresh_token"),
        )
        app = new_app(house.site, house.org.id, settings, preset="other", created_by="robin@acme.example")
        _ = yield from propagation.create_app(app, actor="bench", now_ms=house.site.clock.now_ms(), delay=0)
        made.append(app.id)
    return made


def some_users(house: House, first: int, n: int) -> Operation[list[str]]:
    """A batch of users without a password; their ids."""
    made: list[str] = []
    for i in range(first, first + n):
        user = yield from users.create(
            id=secrets.new_id(USER),
            org_id=house.org.id,
            username=f"user{i}@acme.example",
            name=f"User {i}",
            email=f"user{i}@acme.example",
            password_hash="",
            permission_sets=("Standard_User",),
            now=house.site.clock.now(),
        )
        made.append(user.id)
    return made


def some_connections(house: House, pairs: list[tuple[str, str]]) -> Operation[None]:
    """What each of these users lets each of these apps do, with a connection."""
    now = house.site.clock.now()
    for user_id, app_id in pairs:
        agreed = yield from authorizations.consent(
            id=secrets.new_id(AUTHORIZATION),
            org_id=house.org.id,
            user_id=user_id,
            app_id=app_id,
            scopes=("mcp_api", "refresh_token"),
            resource="",
            now=now,
        )
        begun = {
            "id": secrets.new_id(CONNECTION), "org_id": house.org.id, "authorization_id": agreed.id,
            "user_id": user_id, "app_id": app_id, "client_id": "k", "scopes": ("mcp_api",), "resource": "",
            "signed_in_at": now, "level": "STANDARD", "methods": (), "dpop_jkt": "", "grant_type": "authorization_code",
        }  # fmt: skip
        yield from connections.begin(msgspec.convert(begun, Connection), now)


def furnish(house: House, apps: int, agreed: int) -> list[str]:
    """Fill the org; the ids of its apps. Half of what was agreed is with the 50 apps of the list's first page, which is
    the worst case.
    """
    made, people = list[str](), list[str]()
    for first in range(0, apps, A_BATCH):
        made += house.write(some_apps, house, first, min(A_BATCH, apps - first))
    several = max(1, agreed // 50)
    for first in range(0, several, A_BATCH):
        people += house.write(some_users, house, first, min(A_BATCH, several - first))
    pairs: list[tuple[str, str]] = []
    for n in range(agreed):
        busy = n % 2 == 0
        app = made[(n // 2) % 50] if busy else made[50 + (n // 2) % max(1, len(made) - 50)]
        pairs.append((people[(n // 100) % len(people)], app))
    pairs = list(dict.fromkeys(pairs))
    for first in range(0, len(pairs), A_BATCH):
        house.write(some_connections, house, pairs[first : first + A_BATCH])
    house.catch_up()
    return made


def some_calls(house: House, app_id: str, user_id: str, first: int, last: int) -> Operation[None]:
    """The calls from one number to another of one app, over 90 days, by the database itself."""
    step = 90 * 86_400_000 // max(1, last)
    texts = {
        "app_id": f"'{app_id}'", "user_id": f"'{user_id}'", "server": "'sobject-reads'", "method": "'tools/call'",
        "outcome": "CASE WHEN i % 50 = 0 THEN 'upstream_error' ELSE 'ok' END", "name": "'find'", "hash": "'x'",
    }  # fmt: skip
    numbers = {
        "seq": "i",
        "at": f"{house.site.clock.now_ms() - 90 * 86_400_000} + CAST(i AS BIGINT) * {step}",
        "status": "200",
    }
    whole = ("seq", "at", "status", "duration_us", "bytes_in", "bytes_out", "rows")
    values = (numbers.get(n, "0") if n in whole else texts.get(n, "''") for n in CALL_FIELDS)
    yield from execute(
        f"INSERT INTO calls ({CALL_COLUMNS}) WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n"
        f" WHERE i < :last) SELECT '{house.org.id}', {', '.join(values)} FROM n",
        last=last,
    )
    head = yield from chains.take(house.org.id, chains.CALLS)
    yield from chains.move(head, last, "x")


def some_counters(house: House, app_id: str, hours: int, servers: int) -> Operation[None]:
    """The counters of an app for so many hours up to now, on so many servers."""
    ones = ", ".join("1 + i % 7" for _ in counts.COUNTED)
    yield from execute(
        f"INSERT INTO call_counts (org_id, app_id, server, hour, {counts.COUNTED_COLUMNS}) WITH RECURSIVE n(i) AS"
        f" (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {hours * servers - 1}) SELECT '{house.org.id}', '{app_id}',"
        f" 'server-' || (i % {servers}), {house.site.clock.now() // 3600} - i / {servers}, {ones} FROM n"
    )
    yield from execute(
        f"INSERT INTO call_days (org_id, app_id, day, calls) SELECT org_id, app_id, hour / 24, SUM(calls) FROM call_counts"
        f" WHERE app_id = '{app_id}' GROUP BY org_id, app_id, hour / 24"
    )


def call(house: House, apps: list[str], calls: int) -> None:
    """So many calls, all of one app, the worst case of its Activity; the counters of that app over five servers and 90
    days, and of the 50 apps of the list's first page over 12 days.
    """
    user_id = house.read(users.find_by_username, house.org.id, house.told.users[1]["username"]).id
    for first in range(1, calls + 1, 20_000):
        house.write(some_calls, house, apps[7], user_id, first, min(first + 19_999, calls))
    for n, app_id in enumerate(apps[:50]):
        house.write(some_counters, house, app_id, 24 * (90 if n == 7 else 12), 5)


@contextlib.contextmanager
def houses(wanted: list[str]) -> Iterator[Iterator[tuple[str, House, Callable[[], float]]]]:
    """A house on each database, one after another, and what tells the CPU seconds of the database's own processes."""

    def each() -> Iterator[tuple[str, House, Callable[[], float]]]:
        for name in wanted:
            with contextlib.ExitStack() as stack:
                folder, database, spent = Path(stack.enter_context(tempfile.TemporaryDirectory())), "", lambda: 0.0
                if name == "postgresql":
                    cluster = stack.enter_context(postgres.running(folder / "postgres", "fsync=off"))
                    database = cluster.fresh_database()
                    pid = int((cluster.folder / "data/postmaster.pid").read_text().split()[0])
                    spent = lambda pid=pid: cpu_seconds_of_all(pid)  # noqa: E731
                yield name, stack.enter_context(House(folder / "data", database=database)), spent

    yield each()


def cost(front: object, path: str) -> float:
    """CPU milliseconds of the process for one answer."""
    before = time.process_time()
    answer = front.get(path)  # type: ignore[attr-defined]
    spent = (time.process_time() - before) * 1000
    assert answer.status_code < 500, (path, answer.status_code)
    return spent


MORE = (
    "/setup/apps?q=sales", "/setup/apps?status=ready&sort=created&order=desc", "/setup/apps?by=nobody",
    "/setup/apps?sort=users&order=desc", "/setup/apps?sort=calls&order=desc&client=other", "/setup/apps?sort=used",
    "/setup/apps/{app_id}/activity?range=90d", "/setup/apps/{app_id}/activity?range=24h",
    "/setup/apps/{app_id}/activity.csv?range=90d", "/setup/search?q=sales", "/setup/audit?kind=app",
    "/setup/apps/{app_id}/connect?client=claude-code", "/setup/apps/{app_id}/usage?q=user1",
)  # fmt: skip
"""Beside the rows: what their queries make of them."""


def measured(house: House, app_id: str, rounds: int, spent: Callable[[], float]) -> None:
    """Ask for each page, and print what it cost."""
    robin = offices.administrator(house)
    user_id = house.read(users.find_by_username, house.org.id, house.told.users[1]["username"]).id
    rows = [row.path for row in places.ROWS if "GET" in row.methods and row.path not in places.REDIRECTS]
    for path in [*rows, *MORE]:
        asked = filled(house, path.replace("{app_id}", app_id).replace("{user_id}", user_id)).replace("{token}", "x")
        _ = cost(robin.front, asked)
        both = [(cost(robin.front, asked), cost(robin.front, FLOOR)) for _ in range(rounds)]
        page, floor = (statistics.median(each) for each in zip(*both, strict=True))
        before = spent()
        for _ in range(rounds):
            _ = cost(robin.front, asked)
        database = (spent() - before) / rounds * 1000
        print(f"{page:8.1f} {floor:6.1f} {database:6.1f}  {path}{'   OVER 30 ms' if page > 30 else ''}", flush=True)


def main() -> None:
    """Build, measure, print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(description="CPU per page of Setup.")
    parser.add_argument("--apps", type=int, default=10_000)
    parser.add_argument("--authorizations", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--databases", default="sqlite,postgresql")
    asked = parser.parse_args()
    with houses(asked.databases.split(",")) as found:
        for name, house, spent in found:
            apps = furnish(house, asked.apps, asked.authorizations)
            call(house, apps, asked.calls)
            house.run(house.app.counting.count())
            print(f"{asked.apps} apps, {asked.authorizations} authorizations, {asked.calls} calls, {name}")
            print("CPU ms of one answer, its floor, the database's own")
            measured(house, apps[7], asked.rounds, spent)


if __name__ == "__main__":
    main()
