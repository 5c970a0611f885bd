"""What each page of Setup costs the server, in an org with many apps and many authorizations.

    PYTHONPATH=. .venv/bin/python bench/setup_pages.py [--apps 10000] [--authorizations 100000] [--rounds 15]

It builds the org in a folder of its own, signs its administrator in, and asks for every GET row of the route table
in the same process, through ASGI. A line tells the CPU milliseconds of the process for one answer (the median of the
rounds; the store's thread counts too), and beside it the floor: an empty page in the same frame, asked for in turn
with it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec

from gatelodge import setup
from gatelodge.cli.seeding import new_app
from gatelodge.core import authorizations, connections, propagation, secrets, users
from gatelodge.core.apps.settings import Settings
from gatelodge.core.connections import Connection
from gatelodge.core.ids import AUTHORIZATION, CONNECTION, USER
from gatelodge.core.operation import Operation
from tests.house import House
from tests.setup import offices

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


def furnish(house: House, apps: int, agreed: int) -> None:
    """Fill the org. Half of what was agreed is with the 50 apps of the list's first page, which is the worst case."""
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


def cost(front: object, path: str) -> float:
    """CPU milliseconds of the process for one answer."""
    before = time.process_time()
    answer = front.get(path)  # type: ignore[attr-defined]
    spent = (time.process_time() - before) * 1000
    assert answer.status_code in (200, 303, 404), (path, answer.status_code)
    return spent


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description="CPU per page of Setup.")
    parser.add_argument("--apps", type=int, default=10_000)
    parser.add_argument("--authorizations", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, House(Path(folder) / "data") as house:
        furnish(house, asked.apps, asked.authorizations)
        robin = offices.administrator(house)
        app = offices.app_of(house, "App_7")
        user = house.told.users[1]["username"]
        user_id = house.read(users.find_by_username, house.org.id, user).id
        print(f"{asked.apps} apps, {asked.authorizations} authorizations, SQLite; CPU ms of one answer, and its floor")
        rows = [row.path for row in setup.ROUTES if "GET" in row.methods and row.path.startswith("/setup")]
        more = ["/setup/apps?q=sales", "/setup/apps?status=ready&sort=created&order=desc", "/setup/apps?by=nobody"]
        for path in [*rows, *more]:
            filled = path.replace("{app_id}", app.id).replace("{user_id}", user_id)
            if "{" in filled:
                continue
            _ = cost(robin.front, filled)
            both = [(cost(robin.front, filled), cost(robin.front, FLOOR)) for _ in range(asked.rounds)]
            page, floor = (statistics.median(each) for each in zip(*both, strict=True))
            print(f"{page:8.1f} {floor:6.1f}  {path}{'   OVER 30 ms' if page > 30 else ''}")


if __name__ == "__main__":
    main()
