"""What a first start makes: a development org with everything in it, or a production org and the way into it."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from gatelodge.cli.verb import ACTOR
from gatelodge.core import (
    audit,
    keys,
    mcp_servers,
    orgs,
    permissions,
    propagation,
    refresh,
    secrets,
    server_kinds,
    setup_links,
    users,
)
from gatelodge.core.apps import policies, presets, registry, settings
from gatelodge.core.errors import Refused
from gatelodge.core.ids import APP, MCP_SERVER, ORG, PERMISSION_SET, USER
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import ObjectGrant, PermissionSet
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN
from gatelodge.core.secrets import KeyRing
from gatelodge.web.site import Site

SAMPLE_OBJECTS = ("Account", "Contact", "Opportunity", "Case", "Task", "User")
STANDARD = PermissionSet(
    api_name="Standard_User",
    label="Standard User",
    system=(permissions.USE_MCP_SERVERS,),
    objects={
        name: ObjectGrant(without=("Amount",)) if name == "Opportunity" else ObjectGrant() for name in SAMPLE_OBJECTS
    },
)
NO_MCP = PermissionSet(api_name="No_MCP_Access", label="No MCP Access")
PEOPLE = (
    ("robin@acme.example", "Robin Okafor", permissions.ADMINISTRATOR, "administrator"),
    ("sam@acme.example", "Sam Lindqvist", STANDARD, "standard user: no Lead, no Opportunity.Amount"),
    ("noor@acme.example", "Noor Haddad", NO_MCP, "no access to MCP servers"),
)
CLIENTS = ("claude-code", "codex", "cursor", "vscode", "mcp-inspector", "postman")
SERVER = "sobject-reads"
SERVERS = {
    SERVER: "SObject Reads",
    "sobject-mutations": "SObject Mutations",
    "sobject-deletes": "SObject Deletes",
    "sobject-all": "SObject All",
}
PASSWORD_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a start prints."""

    issuer: str
    setup_url: str
    mcp_servers: list[dict[str, str]] = []
    users: list[dict[str, str]] = []
    apps: list[dict[str, str]] = []
    setup_link: str = ""

    def as_json(self) -> str:
        """One line: what a program needs to connect."""
        shown = {name: getattr(self, name) for name in ("issuer", "setup_url", "mcp_servers", "users", "apps")}
        return msgspec.json.encode(shown).decode()

    def as_text(self) -> str:
        """The same for a person."""
        lines = ["", f"  Gatelodge   {self.issuer}", f"  Setup       {self.setup_url}"]
        if self.setup_link:
            lines += [f"  First step  {self.setup_link}  (makes the administrator; once, within 30 minutes)"]
        lines += [f"  MCP server  {server['url']}" for server in self.mcp_servers]
        if self.users:
            width = max(len(user["username"]) for user in self.users)
            lines += ["", "  Sign in as"]
            lines += [f"    {u['username']:<{width}}  {u['password']}  {u['role']}" for u in self.users]
        if self.apps and self.mcp_servers:
            lines += ["", "  Connect"]
            lines += [f"    {presets.BY_NAME[a['preset']].label:<14}{self._connect(a)}" for a in self.apps]
        return "\n".join([*lines, ""])

    def _connect(self, app: dict[str, str]) -> str:
        server = self.mcp_servers[0]
        return presets.in_one_line(
            presets.BY_NAME[app["preset"]],
            url=server["url"],
            key=app["consumer_key"],
            name=f"gatelodge-{server['name']}",
        )


def password_from(ring: KeyRing, org_id: str, username: str) -> str:
    """A seeded password: derived from the key file (64 bits and more), so that each start can print it again."""
    derived = ring.mac("seeded-password", org_id, username)
    assert derived is not None  # the current key is on the ring
    letters = "".join(PASSWORD_LETTERS[ord(c) % len(PASSWORD_LETTERS)] for c in secrets.digest(derived)[:16])
    return "-".join(letters[i : i + 4] for i in range(0, 16, 4))


def first_org(org: Org, key: keys.SigningKey, now: int) -> Operation[bool]:
    """Make the first org with its key and its permission sets, once. False: it was there already."""
    try:
        yield from orgs.create(org, now)
    except Refused:
        return False  # ON CONFLICT has changed nothing: another start was first
    yield from keys.add(key)
    yield from permissions.create(org.id, secrets.new_id(PERMISSION_SET), permissions.ADMINISTRATOR)
    said: dict[str, object] = {"name": org.name, "label": org.label, "kind": org.kind}
    yield from audit.record(org.id, now * 1000, ACTOR, "org:settings:create", org.id, said)
    return True


async def make_org(site: Site, *, name: str, label: str, kind: str) -> Org:
    """An org of this name, made now or found; never two of one name."""
    issuer = f"{site.config.public_url}/o/{name}" if name else site.config.public_url
    fresh = Org(
        id=secrets.new_id(ORG), name=name, label=label, kind=kind, refresh_window=refresh.WINDOW, issuer=issuer, path=""
    )
    now = site.clock.now()
    key = keys.generate(site.ring, org_id=fresh.id, algorithm=fresh.signing_algorithm, now=now, signs_from=now)
    await site.store.run(first_org, fresh, key, now)
    found = await site.store.read(orgs.all_orgs, site.config.public_url)
    return next(org for org in found if org.name == name)


async def production(site: Site) -> Told:
    """The first org of a deployment and, while nobody administers it, a one-time link into Setup."""
    org = await make_org(site, name="", label="Production", kind=orgs.PRODUCTION)
    told = Told(issuer=org.issuer, setup_url=f"{org.issuer}/setup")
    if await site.store.read(users.in_order, org.id, limit=1):
        return told
    value = secrets.new_token()
    await site.store.run(setup_links.create, org.id, secrets.digest(value), site.clock.now())
    return msgspec.structs.replace(told, setup_link=f"{org.issuer}/setup/first?token={value}")


async def development(site: Site) -> Told:
    """The developer hub org with its people, its sample data and an app for each client on this machine.

    Raises ``Refused`` for the database of another kind of org.
    """
    org = await make_org(site, name="", label="Acme", kind=orgs.DEVELOPER_HUB)
    if org.kind != orgs.DEVELOPER_HUB:
        raise Refused(
            f"{site.config.database_name} holds a {org.kind} org; gatelodge dev makes a developer hub: choose another"
            " --data, or start this one with gatelodge serve"
        )
    if not await site.store.read(users.in_order, org.id, limit=1):
        passwords = [password_from(site.ring, org.id, username) for username, *_ in PEOPLE]
        hashes = await asyncio.gather(*(site.passwords.hash(password) for password in passwords))
        await site.store.run(_everything, site, org.id, hashes)
    return await _told(site, org, await site.store.read(users.in_order, org.id))


def _everything(site: Site, org_id: str, hashes: list[str]) -> Operation[None]:
    """All of it in one transaction: a start that was cut off leaves nothing half made."""
    yield from _people(org_id, hashes, site.clock.now())
    yield from _records(org_id, Path(site.config.data) / "sample.db", site.clock.now_ms())
    for name in CLIENTS:
        made = _app_for(site, org_id, presets.BY_NAME[name])
        yield from propagation.create_app(made, actor=ACTOR, now_ms=site.clock.now_ms(), delay=0)


def _people(org_id: str, hashes: list[str], now: int) -> Operation[None]:
    for made in (STANDARD, NO_MCP):
        yield from permissions.create(org_id, secrets.new_id(PERMISSION_SET), made)
    for (username, name, made, _), password_hash in zip(PEOPLE, hashes, strict=True):
        yield from users.create(
            id=secrets.new_id(USER),
            org_id=org_id,
            username=username,
            name=name,
            email=username,
            password_hash=password_hash,
            permission_sets=(made.api_name,),
            now=now,
            password_is_seeded=True,
        )


def _records(org_id: str, sample: Path, now_ms: int) -> Operation[None]:
    """Register the four records servers, the reading one active. The sample database behind them is made at the first
    call, from the same seed.
    """
    actor = PEOPLE[0][0]
    for variant, label in SERVERS.items():
        made = mcp_servers.McpServer(
            id=secrets.new_id(MCP_SERVER),
            org_id=org_id,
            name=variant,
            label=label,
            kind=server_kinds.RECORDS,
            variant=variant,
            source=f"sample:{sample.resolve()}",
            is_active=False,
        )
        yield from mcp_servers.register(made, actor=actor, now_ms=now_ms)
    yield from mcp_servers.set_active(org_id, SERVER, is_active=True, actor=actor, now_ms=now_ms)


def _app_for(site: Site, org_id: str, preset: presets.Preset) -> registry.ExternalClientApp:
    made = settings.Settings(
        label=preset.label,
        api_name=settings.api_name_from(preset.label),
        contact_email=PEOPLE[0][0],
        description=f"Lets {preset.label} on this computer reach the sample records.",
        callback_urls=preset.callback_urls,
        scopes=(MCP_API, REFRESH_TOKEN),
    )
    return new_app(site, org_id, made, preset=preset.name, created_by=PEOPLE[0][0])


def new_app(
    site: Site, org_id: str, made: settings.Settings, *, preset: str, created_by: str
) -> registry.ExternalClientApp:
    """An app with fresh ids, ready to be created."""
    return registry.ExternalClientApp(
        id=secrets.new_id(APP),
        org_id=org_id,
        consumer_key=secrets.new_consumer_key(),
        revision=1,
        settings=made,
        policies=policies.Policies(),
        preset=preset,
        created_by=created_by,
        created_at=site.clock.now(),
        updated_at=site.clock.now(),
    )


async def _told(site: Site, org: Org, found: list[users.User]) -> Told:
    roles = {username: role for username, _, _, role in PEOPLE}
    servers = await site.store.read(mcp_servers.of_org, org.id)
    apps = await site.store.read(registry.in_order, org.id, limit=200)
    people: list[dict[str, Any]] = [
        {
            "username": user.username,
            "password": password_from(site.ring, org.id, user.username)
            if user.password_is_seeded
            else "(set by its owner)",
            "role": roles.get(user.username, "user"),
        }
        for user in found
        if user.username in roles
    ]
    return Told(
        issuer=org.issuer,
        setup_url=f"{org.issuer}/setup",
        mcp_servers=[{"name": s.name, "url": mcp_servers.resource(org, s.name)} for s in servers if s.is_active],
        users=sorted(people, key=lambda user: list(roles).index(user["username"])),
        apps=[
            {"api_name": app.settings.api_name, "consumer_key": app.consumer_key, "preset": app.preset}
            for app in apps
            if app.preset in CLIENTS
        ],
    )
