"""The database behind a records server: the sealed password of its connection, and what its tables are called."""

import msgspec

from gatelodge.core import audit, mcp_servers
from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.operation import Operation, announce, execute, number, one
from gatelodge.core.secrets import KeyRing

PURPOSE = "record-database"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a database brought: the URL as it may be kept and shown, the password apart from it, the mapping as
    it is kept, its objects by API name, and a sentence for each table that can't be shown.
    """

    source: str
    password: str = ""
    mapping: str = "{}"
    objects: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Found({self.source})"


class RecordDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """What a records server has beside its ``source``. ``mapping`` is JSON; ``revision`` counts its changes."""

    org_id: str
    server_id: str
    mapping: str = "{}"
    revision: int = 0
    sealed_password: bytes | None = None

    def __repr__(self) -> str:
        return f"RecordDatabase({self.server_id}, revision {self.revision})"

    def password(self, ring: KeyRing) -> str:
        """The connection's password, "" for none. Raises ``KeyMissing``."""
        sealed = self.sealed_password
        return ring.open(PURPOSE, sealed, _row(self.org_id, self.server_id)).decode() if sealed else ""


def sealed(ring: KeyRing, org_id: str, server_id: str, password: str) -> bytes | None:
    """A password as it is kept, bound to its server; None for no password."""
    return ring.seal(PURPOSE, password.encode(), _row(org_id, server_id)) if password else None


def of_server(org_id: str, server_id: str) -> Operation[RecordDatabase]:
    """What is kept of a server's database: nothing was ever saved is no password and no mapping."""
    found = yield from one(
        "SELECT org_id, server_id, mapping, revision, sealed_password FROM record_databases"
        " WHERE org_id = :org_id AND server_id = :server_id",
        RecordDatabase,
        org_id=org_id,
        server_id=server_id,
    )
    return found or RecordDatabase(org_id=org_id, server_id=server_id)


def register(made: McpServer, sealed_password: bytes | None, *, actor: str, now_ms: int) -> Operation[None]:
    """Add a server with its password, inactive; both or neither. Raises as ``mcp_servers.register``."""
    yield from mcp_servers.register(made, actor=actor, now_ms=now_ms)
    if sealed_password is not None:
        yield from set_password(made, sealed_password, actor=actor, now_ms=now_ms)


def move(
    before: McpServer, after: McpServer, sealed_password: bytes | None, *, actor: str, now_ms: int
) -> Operation[None]:
    """Read another database from now on, with its password: the one before is never sent anywhere else. Raises as
    ``mcp_servers.change``.
    """
    yield from mcp_servers.change(before, after, actor=actor, now_ms=now_ms)
    yield from set_password(after, sealed_password, actor=actor, now_ms=now_ms)


def set_password(server: McpServer, sealed_password: bytes | None, *, actor: str, now_ms: int) -> Operation[None]:
    """Keep another password, or none; used from the next call on."""
    yield from execute(
        "INSERT INTO record_databases (org_id, server_id, sealed_password, mapping, revision)"
        " VALUES (:org_id, :server_id, :sealed, '{}', 1) ON CONFLICT (org_id, server_id) DO UPDATE"
        " SET sealed_password = excluded.sealed_password, revision = record_databases.revision + 1",
        org_id=server.org_id,
        server_id=server.id,
        sealed=sealed_password,
    )
    yield from audit.record(server.org_id, now_ms, actor, "server:database:password", server.id, {"name": server.name})
    yield from announce(server.org_id, "server", server.name)


def set_mapping(
    server: McpServer, mapping: str, *, seen: int | None = None, actor: str, now_ms: int
) -> Operation[None]:
    """Keep another mapping (JSON that ``records.mapping`` has read); used from the next call on. ``seen``: only while
    this is the revision. Raises ``Refused`` when it isn't.
    """
    condition = "" if seen is None else " WHERE record_databases.revision = :seen"
    saved = yield from one(
        "INSERT INTO record_databases (org_id, server_id, mapping, revision) VALUES (:org_id, :server_id, :mapping, 1)"
        " ON CONFLICT (org_id, server_id) DO UPDATE SET mapping = excluded.mapping,"
        f" revision = record_databases.revision + 1{condition} RETURNING revision AS n",
        number,
        org_id=server.org_id,
        server_id=server.id,
        mapping=mapping,
        **({} if seen is None else {"seen": seen}),
    )
    if saved is None:
        raise Refused("It was changed by somebody else meanwhile: nothing is saved. Look at it again.", "mapping")
    yield from audit.record(server.org_id, now_ms, actor, "server:database:mapping", server.id, {"name": server.name})
    yield from announce(server.org_id, "server", server.name)


def _row(org_id: str, server_id: str) -> str:
    return f"record_databases/{org_id}/{server_id}"
