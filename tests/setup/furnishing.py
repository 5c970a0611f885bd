"""An org in which things have happened for twelve days: apps in every state, users, servers, calls, what waits, what failed.

It is made in process, in a folder on which ``gatelodge dev`` is then started. Chance has a seed of its own.
"""

import random
import time
from pathlib import Path
from typing import Any

import msgspec

from gatelodge.cli import verbs
from gatelodge.cli.arguments import parser
from gatelodge.cli.commands import OF_THE_COMMAND
from gatelodge.cli.seeding import new_app
from gatelodge.core import authorizations, calls, connections, propagation, secrets, server_health, users
from gatelodge.core.apps import presets, registry
from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.settings import Settings, api_name_from
from gatelodge.core.calls import Batch, Call
from gatelodge.core.connections import Connection
from gatelodge.core.ids import AUTHORIZATION, CONNECTION, USER
from gatelodge.core.operation import Operation
from gatelodge.core.server_health import Health
from tests.approvals import asking
from tests.house import House
from tests.oauth import scenes
from tests.people import Person
from tests.servers import offering
from tests.setup import offices

DAY = 86_400
ROBIN = "robin@acme.example"
NAMES = (
    "Mara Ito", "Jonas Weber", "Priya Raman", "Lena Ferrer", "Tom Achterberg", "Aiko Tanaka", "Kofi Mensah",
    "Elena Petrova", "Oskar Nyman", "Fatima Zahra", "Ben Ayala", "Wei Chen",
)  # fmt: skip
HOSTILE = f'Z<b>"😀 שלום {"W" * 50}'
"""What a name may be: markup, an emoji, letters from right to left, and a word without an end."""
APPS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Claude for sales", "claude", "Drafts account plans from the org's records.", {}),
    ("ChatGPT research", "chatgpt", "Answers questions about open cases.", {"mcp_read_only": True}),
    ("Support desk", "postman-web", "What the support team tries out.", {"mcp_calls_per_minute": 60}),
    ("Ledger bot", "other", "Books invoices every night.", {"is_enabled": False}),
    ("Release notes", "vscode", "", {"mcp_servers": ("sobject-reads", "tickets")}),
    ("Field visits", "other", "Plans visits on the road.", {"mcp_servers": ()}),
    (HOSTILE, "other", f"<script>{HOSTILE * 3}</script>", {}),
)
TOOLS = (
    ("search_tickets", "Finds tickets by words, status and owner.", True),
    ("get_ticket", "One ticket with its comments.", True),
    ("create_ticket", "Opens a ticket for a customer.", False),
    ("add_comment", "Writes a comment under a ticket.", False),
    ("close_ticket", "Closes a ticket, which tells its customer.", False),
)
CALLED = ("soqlQuery", "find", "getObjectSchema", "listRecentSobjectRecords")
OUTCOMES = ("ok",) * 30 + ("tool_error", "refused", "timeout")


def furnish(data: Path, public_url: str) -> None:
    """Make the org in this folder, for a server at this URL."""
    with House(data, public_url=public_url) as house:
        house.time = time.time()
        chance = random.Random(7)
        people = house.write(_people, house)
        _servers(house)
        for row in APPS:
            house.write(_app, house, *row)
        house.catch_up()
        in_use = [app for app in house.read(registry.in_order, house.org.id, limit=50) if app.policies.is_enabled]
        house.write(_use, house, people, in_use, chance)
        _administer(house)
        _wait(house)
        house.run(house.site.calls.seal())


def _people(house: House) -> Operation[list[str]]:
    """Users without a password, who came one after another, the last of them gone again; the ids of the others."""
    made: list[str] = []
    for n, name in enumerate(NAMES):
        username = f"{name.split()[0].lower()}@acme.example"
        user = yield from users.create(
            id=secrets.new_id(USER), org_id=house.org.id, username=username, name=name, email=username,
            password_hash="", permission_sets=("Standard_User",) if n % 4 else ("Standard_User", "No_MCP_Access"),
            now=house.site.clock.now() - (40 - 3 * n) * DAY,
        )  # fmt: skip
        made.append(user.id)
    yield from users.set_active(house.org.id, made[-1], is_active=False)
    return made[:-1]


def _servers(house: House) -> None:
    """One that answers, with a tool that has changed and one that is new; and one that doesn't answer."""
    tickets, weather = offering.add_upstream(house, "tickets"), offering.add_upstream(house, "weather")
    offering.offer(house, tickets, *(_tool(*row) for row in TOOLS[:4]))
    offering.turn_on(house, tickets, *(name for name, *_ in TOOLS[:3]))
    changed = ("search_tickets", "Finds tickets of every customer by words, status and owner.", True)
    offering.offer(house, tickets, *(_tool(*row) for row in (changed, *TOOLS[1:])))
    now = house.site.clock.now()
    well = Health(server_id=tickets.id, checked_at=now - 20, milliseconds=41, why="", speaks="2026-07-28")
    ill = Health(server_id=weather.id, checked_at=now - 31, milliseconds=0, why="It could not be reached.", speaks="")
    for found in (well, ill):
        house.write(server_health.note, house.org.id, found)


def _tool(name: str, description: str, is_reading: bool) -> Any:
    return offering.reading(name, description=description) if is_reading else offering.tool(name, description)


def _app(house: House, label: str, preset: str, description: str, policies: dict[str, Any]) -> Operation[None]:
    callbacks = presets.BY_NAME[preset].callback_urls or ("https://client.example/callback",)
    settings = Settings(
        label=label, api_name=api_name_from(label), contact_email="it@acme.example", description=description,
        callback_urls=callbacks, scopes=("mcp_api", "refresh_token"),
    )  # fmt: skip
    made = new_app(house.site, house.org.id, settings, preset=preset, created_by=ROBIN)
    then = house.site.clock.now() - 20 * DAY
    made = msgspec.structs.replace(made, created_at=then, updated_at=then)
    now_ms = house.site.clock.now_ms()
    stored = yield from propagation.create_app(made, actor=ROBIN, now_ms=now_ms, delay=0)
    if policies:
        told: dict[str, Any] = {"revision": stored.revision, "actor": ROBIN, "now_ms": now_ms, "delay": 0}
        yield from propagation.change_app(stored, settings=settings, policies=Policies(**policies), **told)


def _use(house: House, people: list[str], apps: list[registry.ExternalClientApp], chance: random.Random) -> Any:
    """What the users let the apps do, their connections, and the calls of twelve days."""
    org_id, now = house.org.id, house.site.clock.now()
    made: list[Call] = []
    for n, app in enumerate(apps):
        for user_id in people[: max(1, 11 - 2 * n)]:
            agreed = yield from authorizations.consent(
                id=secrets.new_id(AUTHORIZATION), org_id=org_id, user_id=user_id, app_id=app.id,
                scopes=("mcp_api", "refresh_token"), resource="", now=now - 12 * DAY,
            )  # fmt: skip
            begun = {
                "id": secrets.new_id(CONNECTION), "org_id": org_id, "authorization_id": agreed.id, "user_id": user_id,
                "app_id": app.id, "client_id": app.consumer_key, "scopes": ("mcp_api", "refresh_token"), "resource": "",
                "signed_in_at": now - 12 * DAY, "level": "STANDARD", "methods": (), "dpop_jkt": "",
                "grant_type": "authorization_code",
            }  # fmt: skip
            connection = msgspec.convert(begun, Connection)
            yield from connections.begin(connection, now - chance.randrange(600, 9 * DAY))
            made += [_call(connection, now, chance) for _ in range(chance.randrange(6, 40))]
    made.sort(key=lambda call: call.at)
    hours = {(app.id, now // 3600 - hours): chance.randrange(1, 4) for app in apps for hours in range(0, 288, 24)}
    yield from calls.write(org_id, Batch(made, [], hours))


def _call(of: Connection, now: int, chance: random.Random) -> Call:
    return Call(
        org_id=of.org_id, at=(now - int(chance.triangular(60, 12 * DAY, 2 * DAY))) * 1000, app_id=of.app_id,
        client_id=of.client_id, user_id=of.user_id, connection_id=of.id, server="sobject-reads", method="tools/call",
        name=chance.choice(CALLED), outcome=chance.choice(OUTCOMES), status=200, rows=chance.randrange(40),
        duration_us=int(chance.lognormvariate(9.6, 0.9)), bytes_in=310, bytes_out=chance.randrange(200, 9000),
    )  # fmt: skip


def _administer(house: House) -> None:
    """What an administrator did meanwhile: an app of the past, a scope and a provider of the org's own, an edit."""
    robin = offices.administrator(house)
    gone = scenes.add_app(house, label="Old prototype")
    offices.send(robin, f"/setup/apps/{scenes.app_id(house, gone)}/delete", confirm="Old prototype")
    app = offices.app_of(house, "Claude_for_sales")
    offices.send(robin, f"/setup/apps/{app.id}/edit", description="Drafts account plans for the sales team.")
    _tell(
        house, "scope", "create", "tickets.write", "--label", "Change tickets", "--meaning", "Open and answer tickets."
    )
    _tell(
        house, "identity-provider", "add", "--name", "okta", "--label", "Acme single sign-on", "--client-id",
        "0oa1gatelodge", "--issuer", "https://acme.okta.example", "--permission-set", "Standard_User",
    )  # fmt: skip
    sam = scenes.person(house, 1)
    offices.sign_in(sam)
    Person(house.client("198.51.100.9"), sam.username, "not the password").sign_in_to_setup()


def _tell(house: House, *words: str) -> None:
    """A command beside the running server."""
    told = parser().parse_args(words)
    values = {name: value for name, value in vars(told).items() if name not in OF_THE_COMMAND}
    house.run(verbs.perform(house.site, f"{told.command} {told.verb}", values | {"client_secret": ""}))


def _wait(house: House) -> None:
    """Calls that ask a person first: one is allowed, one waits, each for the user and for an approver."""
    asking.mark(house, asks_first=True)
    asking.call(asking.client(house, 1), {"q": "SELECT Name, Industry FROM Account ORDER BY Name LIMIT 20"})
    asking.rule(house, approvers="*", four_eyes=False, seconds=86_400)
    for query in ("SELECT Name FROM Account WHERE Industry = 'Energy'", "SELECT Subject FROM Case LIMIT 5"):
        asking.call(asking.client(house, 1), {"q": query})
