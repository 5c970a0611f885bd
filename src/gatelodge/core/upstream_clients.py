"""Who we are at the authorization server of an upstream, where we registered ourselves (RFC 7591). What was registered at
one issuer is never shown to another (MCP: client registration).
"""

import msgspec

from gatelodge.core.operation import Operation, execute, one
from gatelodge.core.secrets import KeyRing

PURPOSE = "upstream-client"
"""Of the key under which the secret is sealed."""


class UpstreamClient(msgspec.Struct, frozen=True, kw_only=True):
    """A registration as it is stored. ``expires_at`` (epoch seconds) is the end of its secret, 0 for never."""

    org_id: str
    server_id: str
    issuer: str
    client_id: str
    sealed: bytes
    auth_method: str
    registered_at: int
    expires_at: int

    def __repr__(self) -> str:
        return f"UpstreamClient({self.client_id} at {self.issuer})"


def row_name(org_id: str, server_id: str, issuer: str) -> str:
    """What a sealed secret is bound to."""
    return f"{org_id}/{server_id}/{issuer}"


def secret_of(ring: KeyRing, client: UpstreamClient) -> str:
    """Our secret, "" for a public client. Raises ``KeyMissing``."""
    return ring.open(PURPOSE, client.sealed, row_name(client.org_id, client.server_id, client.issuer)).decode()


COLUMNS = "org_id, server_id, issuer, client_id, sealed, auth_method, registered_at, expires_at"


def find(org_id: str, server_id: str, issuer: str, now: int) -> Operation[UpstreamClient | None]:
    """Our registration at this issuer, while it is good."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM upstream_clients WHERE org_id = :org_id AND server_id = :server_id"
            " AND issuer = :issuer AND (expires_at = 0 OR expires_at > :now)",
            UpstreamClient,
            org_id=org_id,
            server_id=server_id,
            issuer=issuer,
            now=now,
        )
    )


def keep(made: UpstreamClient, now: int) -> Operation[UpstreamClient]:
    """Keep a registration, unless another was made at the same time: the one that all use from now on is returned."""
    yield from execute(
        f"INSERT INTO upstream_clients ({COLUMNS}) VALUES (:org_id, :server_id, :issuer, :client_id, :sealed,"
        " :auth_method, :registered_at, :expires_at) ON CONFLICT (org_id, server_id, issuer) DO UPDATE SET"
        " client_id = excluded.client_id, sealed = excluded.sealed, auth_method = excluded.auth_method,"
        " registered_at = excluded.registered_at, expires_at = excluded.expires_at"
        " WHERE upstream_clients.expires_at > 0 AND upstream_clients.expires_at <= :now",
        **msgspec.structs.asdict(made),
        now=now,
    )
    return (yield from find(made.org_id, made.server_id, made.issuer, now)) or made


def remove_all(org_id: str, server_id: str) -> Operation[None]:
    """The server goes, or stands elsewhere now: we are nobody there."""
    yield from execute(
        "DELETE FROM upstream_clients WHERE org_id = :org_id AND server_id = :server_id",
        org_id=org_id,
        server_id=server_id,
    )
