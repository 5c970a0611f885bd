"""The one door from Setup to the servers: what Setup releases here is what OAuth and the gateway see (decision 0004).

Setup writes revisions; nodes serve what is live and say which change they have applied. A released revision is live at
once, or after the delay that a development org imitates.
"""

import msgspec

from gatelodge.core import audit, credentials, mcp_servers, org_options, orgs, permissions, server_items, users
from gatelodge.core.apps import policies as app_policies
from gatelodge.core.apps import registry
from gatelodge.core.apps import settings as app_settings
from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.apps.settings import Settings
from gatelodge.core.credentials import Credential
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, announce, execute, many, number, one, remove_some
from gatelodge.words import _

MOST_CHANGES = 10_000
ALL_POSITIONS = 2**31
"""A position behind the last one of any change."""
MOST_NODES = 1000
NODE_IS_GONE_AFTER = 10
"""Seconds without a heartbeat after which a node no longer counts."""
KEEP_CHANGES = 24 * 3600
"""Seconds that the feed and its receipts are kept."""


class LiveClient(msgspec.Struct, frozen=True, kw_only=True):
    """An app as the servers see it, under one of its consumer keys.

    Here the consumer key becomes ``client_id`` and Callback URLs ``redirect_uris``. ``ends_at`` (epoch seconds, 0 for
    never) is when a staged key stops working.
    """

    org_id: str
    app_id: str
    client_id: str
    secret_digest: str
    registered_by: str
    revision: int
    settings: Settings
    policies: Policies
    ends_at: int = 0

    def __repr__(self) -> str:
        return f"LiveClient({self.client_id}, {self.revision})"

    @property
    def name(self) -> str:
        """What people call it."""
        return self.settings.label

    @property
    def api_name(self) -> str:
        """What programs call it."""
        return self.settings.api_name

    @property
    def is_enabled(self) -> bool:
        """Whether an administrator (Policies) and its developer (Settings) both let it be used."""
        return self.policies.is_enabled and self.settings.oauth_enabled

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """Where it may be sent back to."""
        return self.settings.callback_urls

    @property
    def scopes(self) -> tuple[str, ...]:
        """What it may be given."""
        return self.settings.scopes


class Release(msgspec.Struct, frozen=True):
    """A revision on its way to the nodes: live from ``live_from`` (epoch milliseconds)."""

    revision: int
    live_from: int
    client: LiveClient


class Received(msgspec.Struct, frozen=True):
    """One change of the feed as a node reads it: the ``position`` counts what one transaction changed."""

    seq: int
    position: int
    org_id: str
    kind: str
    key: str


class LiveOn(msgspec.Struct, frozen=True, kw_only=True):
    """How far a change has come: on how many of the nodes, in how many milliseconds, and how many are left if it is
    held back by the org's propagation delay.
    """

    nodes: int
    live_nodes: int
    milliseconds: int
    waits: int


def create_app(made: ExternalClientApp, *, actor: str, now_ms: int, delay: int) -> Operation[ExternalClientApp]:
    """Register an app and release it. ``delay`` is in seconds. Raises ``Invalid`` or ``Refused``."""
    app_settings.check(made.settings, (yield from orgs.own_scopes(made.org_id)))
    org_options.check_settings((yield from orgs.app_rules(made.org_id)), made.settings)
    stored = yield from registry.create(made)
    yield from credentials.add(
        Credential(
            client_id=made.consumer_key,
            org_id=made.org_id,
            app_id=made.id,
            secret_digest="",
            made_by=made.created_by,
            made_at=made.created_at,
        )
    )
    said: dict[str, object] = {"api_name": made.settings.api_name}
    yield from audit.record(made.org_id, now_ms, actor, "app:settings:create", made.id, said)
    yield from release_app(stored, now_ms=now_ms, delay=delay)
    return stored


def change_app(
    before: ExternalClientApp,
    *,
    revision: int,
    settings: Settings,
    policies: Policies,
    actor: str,
    now_ms: int,
    delay: int,
) -> Operation[ExternalClientApp]:
    """Save an app's next revision and release it. Disabling bites at once, whatever the delay.

    Raises ``Invalid`` for a field that breaks a rule, ``Refused`` when the app was changed meanwhile.
    """
    app_settings.check(settings, (yield from orgs.own_scopes(before.org_id)))
    if settings != before.settings:
        org_options.check_settings((yield from orgs.app_rules(before.org_id)), settings)
    # Policies that are left as they are may name a user, server or permission set that has gone since. That is nothing
    # to whoever saves the Settings, and must not stand in the way of disabling the app.
    if msgspec.structs.replace(policies, is_enabled=before.policies.is_enabled) != before.policies:
        app_policies.check(policies, (yield from known_to(before.org_id, policies)))
    if before.settings.api_name != settings.api_name:
        raise Refused(
            _("The API Name can't change after the app is created; it is {api_name}.").format(
                api_name=before.settings.api_name
            ),
            "api_name",
        )
    saved = yield from registry.save(
        before.org_id, before.id, revision=revision, settings=settings, policies=policies, now=now_ms // 1000
    )
    yield from audit.record(
        before.org_id, now_ms, actor, "app:settings:change", before.id,
        {"revision": saved.revision, **_changed(before.settings, settings), **_changed(before.policies, policies)},
    )  # fmt: skip
    yield from release_app(saved, now_ms=now_ms, delay=delay if saved.policies.is_enabled else 0)
    return saved


def _changed(before: Settings | Policies, after: Settings | Policies) -> dict[str, object]:
    return audit.changes(msgspec.structs.asdict(before), msgspec.structs.asdict(after))


def known_to(org_id: str, policies: Policies) -> Operation[app_policies.Known]:
    """What the org has of that which these policies may name."""
    servers = yield from mcp_servers.of_org(org_id)
    sets = yield from permissions.of_org(org_id)
    tools = (yield from server_items.tools_of(servers)) if policies.mcp_tools else frozenset[str]()
    runs_as = (yield from users.find_by_username(org_id, policies.run_as)) if policies.run_as else None
    return app_policies.Known(
        servers=tuple(server.name for server in servers),
        permission_sets=tuple(each.api_name for each in sets),
        tools=tools,
        run_as_exists=runs_as is not None and runs_as.is_active,
    )


def release_app(app: ExternalClientApp, *, now_ms: int, delay: int) -> Operation[None]:
    """Hand an app's newest revision to the nodes, under each consumer key that works."""
    for credential in (yield from credentials.of_app(app.org_id, app.id, now_ms // 1000)):
        client = LiveClient(
            org_id=app.org_id,
            app_id=app.id,
            client_id=credential.client_id,  # the single line where the word changes
            secret_digest=credential.secret_digest,
            registered_by=app.created_by,
            revision=app.revision,
            settings=app.settings,
            policies=app.policies,
            ends_at=credential.expires_at or 0,
        )
        yield from _release(client, now_ms=now_ms, delay=delay)


def withdraw(org_id: str, client_id: str) -> Operation[None]:
    """A consumer key works no longer, on any node."""
    yield from execute(
        "DELETE FROM live_clients WHERE org_id = :org_id AND client_id = :client_id",
        org_id=org_id,
        client_id=client_id,
    )
    yield from announce(org_id, "client", client_id)


def _release(client: LiveClient, *, now_ms: int, delay: int) -> Operation[None]:
    # What was superseded before this release is no longer served by anyone.
    yield from execute(
        "DELETE FROM live_clients WHERE org_id = :org_id AND client_id = :client_id AND revision < ("
        "SELECT MAX(revision) FROM live_clients WHERE org_id = :org_id AND client_id = :client_id"
        " AND live_from <= :now)",
        org_id=client.org_id,
        client_id=client.client_id,
        now=now_ms,
    )
    yield from execute(
        "INSERT INTO live_clients (org_id, client_id, revision, live_from, released_at, document)"
        " VALUES (:org_id, :client_id, :revision, :live_from, :now, :document)",
        org_id=client.org_id,
        client_id=client.client_id,
        revision=client.revision,
        live_from=now_ms + delay * 1000,
        now=now_ms,
        document=msgspec.json.encode(client).decode(),
    )
    yield from announce(client.org_id, "client", client.client_id)


def releases(org_id: str, client_id: str) -> Operation[list[Release]]:
    """Every revision of a client that is live or on its way, the newest first. Empty: no app has this key."""
    return (
        yield from many(
            "SELECT revision, live_from, document FROM live_clients WHERE org_id = :org_id AND client_id = :client_id"
            " ORDER BY revision DESC LIMIT :limit",
            release,
            org_id=org_id,
            client_id=client_id,
            limit=MOST_CHANGES,
        )
    )


def waiting(org_id: str, client_ids: tuple[str, ...], now_ms: int) -> Operation[set[str]]:
    """Those of these clients whose newest revision is held back by the org's propagation delay."""
    found: set[str] = set()
    for client_id in client_ids:
        held = yield from one(
            "SELECT COUNT(*) AS n FROM live_clients WHERE org_id = :org_id AND client_id = :client_id"
            " AND live_from > :now",
            number,
            org_id=org_id,
            client_id=client_id,
            now=now_ms,
        )
        if held:
            found.add(client_id)
    return found


def release(revision: int, live_from: int, document: str) -> Release:
    """A ``Release`` from its row."""
    return Release(revision, live_from, msgspec.json.decode(document, type=LiveClient))


def newest_change() -> Operation[int]:
    """The number of the feed's last change."""
    return (yield from one("SELECT seq AS n FROM feed WHERE id = 1", number)) or 0


def changes_after(seq: int, position: int) -> Operation[list[Received]]:
    """A page of the changes that a node at this place must apply next, in order."""
    return (
        yield from many(
            "SELECT seq, position, org_id, kind, key FROM changes WHERE seq >= :seq"
            " AND (seq > :seq OR position > :position) ORDER BY seq, position LIMIT :limit",
            Received,
            seq=seq,
            position=position,
            limit=MOST_CHANGES,
        )
    )


def heartbeat(node_id: str, name: str, seq: int, now_ms: int) -> Operation[None]:
    """A node says that it lives and which change it has applied."""
    yield from execute(
        "INSERT INTO nodes (id, name, seen_at, applied_seq) VALUES (:id, :name, :now, :seq)"
        " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, applied_seq = excluded.applied_seq",
        id=node_id,
        name=name,
        now=now_ms,
        seq=seq,
    )


def acknowledge(node_id: str, seq: int, now_ms: int) -> Operation[None]:
    """A node says when it had applied the changes up to ``seq``."""
    yield from execute(
        "INSERT INTO applied_changes (node_id, seq, at) VALUES (:node_id, :seq, :now)"
        " ON CONFLICT (node_id, seq) DO NOTHING",
        node_id=node_id,
        seq=seq,
        now=now_ms,
    )
    yield from execute(
        "UPDATE nodes SET applied_seq = :seq, seen_at = :now WHERE id = :id", id=node_id, seq=seq, now=now_ms
    )


def leave(node_id: str) -> Operation[None]:
    """A node that stops says so, and no longer counts."""
    yield from execute("DELETE FROM nodes WHERE id = :id", id=node_id)


def forget_old_changes(now: int) -> Operation[bool]:
    """Remove nodes that are gone, some of the receipts older than a day and some of the changes that no node needs.
    True: there may be more.
    """
    yield from execute("DELETE FROM nodes WHERE seen_at < :then", then=(now - 60) * 1000)
    has_receipts = yield from remove_some(
        "DELETE FROM applied_changes WHERE (node_id, seq) IN (SELECT node_id, seq FROM applied_changes"
        " WHERE at < :then ORDER BY at LIMIT :limit) RETURNING seq",
        then=(now - KEEP_CHANGES) * 1000,
    )
    has_changes = yield from remove_some(
        "DELETE FROM changes WHERE (seq, position) IN (SELECT seq, position FROM changes"
        " WHERE seq <= (SELECT COALESCE(MAX(seq), 0) FROM changes) - :keep ORDER BY seq, position LIMIT :limit)"
        " RETURNING seq",
        keep=MOST_CHANGES * 10,
    )
    return has_receipts or has_changes


def live_on(org_id: str, client_id: str, now_ms: int) -> Operation[LiveOn]:
    """On how many of the living nodes the newest revision of a client is live, and how long the last of them took."""
    newest = yield from one(
        "SELECT live_from, released_at, (SELECT MAX(seq) FROM changes WHERE org_id = :org_id AND kind = 'client'"
        " AND key = :client_id) AS seq FROM live_clients WHERE org_id = :org_id AND client_id = :client_id"
        " ORDER BY revision DESC LIMIT 1",
        _newest,
        org_id=org_id,
        client_id=client_id,
    )
    if newest is None:
        return LiveOn(nodes=0, live_nodes=0, milliseconds=0, waits=0)
    live_from, released_at, seq = newest
    return (yield from _applied_by(seq, live_from=live_from, released_at=released_at, now_ms=now_ms))


def server_live_on(org_id: str, name: str, now_ms: int) -> Operation[LiveOn]:
    """On how many of the living nodes the newest change of an MCP server is live."""
    seq = yield from one(
        "SELECT COALESCE(MAX(seq), 0) AS n FROM changes WHERE org_id = :org_id AND kind = 'server' AND key = :name",
        number,
        org_id=org_id,
        name=name,
    )
    return (yield from _applied_by(seq or 0, live_from=0, released_at=now_ms, now_ms=now_ms))


def _applied_by(seq: int, *, live_from: int, released_at: int, now_ms: int) -> Operation[LiveOn]:
    nodes = yield from many(
        "SELECT n.applied_seq AS seq, (SELECT MIN(a.at) FROM applied_changes a WHERE a.node_id = n.id AND a.seq >= :seq)"
        " AS at FROM nodes n WHERE n.seen_at > :then ORDER BY n.id LIMIT :limit",
        _applied,
        seq=seq,
        then=now_ms - NODE_IS_GONE_AFTER * 1000,
        limit=MOST_NODES,
    )
    waits = max(0, live_from - now_ms)
    reached = [at for applied, at in nodes if applied >= seq and not waits]
    # At least 1: 0 says that no node wrote down when it was (the change is older than the receipts that are kept).
    took = max((max(1, max(at, live_from) - released_at) for at in reached if at), default=0)
    return LiveOn(nodes=len(nodes), live_nodes=len(reached), milliseconds=took, waits=waits)


def _newest(live_from: int, released_at: int, seq: int | None) -> tuple[int, int, int]:
    return live_from, released_at, seq or 0


def _applied(seq: int, at: int | None) -> tuple[int, int]:
    return seq, at or 0
