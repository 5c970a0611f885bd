"""Secrets that an administrator entered for an upstream MCP server: a header's value, or our client secret at the issuer
of its tokens. Kept sealed, bound to their row, and never shown again but for four characters and a date.
"""

import msgspec

from gatelodge.core import audit
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, announce, execute, many, one, text
from gatelodge.core.secrets import KeyRing
from gatelodge.words import _

HEADER = "header"
CLIENT_SECRET = "client_secret"
KINDS = (HEADER, CLIENT_SECRET)
PURPOSE = "upstream-secret"
"""Of the key under which they are sealed."""
LONGEST = 4096
LONG_ENOUGH = 16
"""Characters from which four tell nothing worth knowing."""


class UpstreamSecret(msgspec.Struct, frozen=True, kw_only=True):
    """One secret as it is stored. ``last_four`` is "" for a short one; ``made_at`` is in epoch seconds."""

    org_id: str
    server_id: str
    kind: str
    sealed: bytes
    last_four: str
    made_by: str
    made_at: int

    def __repr__(self) -> str:
        return f"UpstreamSecret({self.server_id}, {self.kind})"


def row_name(org_id: str, server_id: str, kind: str) -> str:
    """What a sealed secret is bound to."""
    return f"{org_id}/{server_id}/{kind}"


def sealed(
    ring: KeyRing, value: str, *, org_id: str, server_id: str, kind: str, made_by: str, now: int
) -> UpstreamSecret:
    """A secret ready to be kept. Raises ``Refused`` for one that can't be sent: RFC 9110 §5.5 for the value of a header,
    RFC 6749 §A.2 for a client secret.
    """
    if kind not in KINDS:
        raise Refused(_("{kind!r:.40} is not one of: {kinds}").format(kind=kind, kinds=", ".join(KINDS)), "kind")
    if not value.strip():
        raise Refused(_("Enter the secret. The one that is kept stays until you do."), "secret")
    if len(value) > LONGEST:
        raise Refused(
            _("The secret has {n} characters; at most {longest} are allowed.").format(n=len(value), longest=LONGEST),
            "secret",
        )
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise Refused(_("The secret may hold printable ASCII characters alone, with no blank at its ends."), "secret")
    return UpstreamSecret(
        org_id=org_id,
        server_id=server_id,
        kind=kind,
        sealed=ring.seal(PURPOSE, value.encode(), row_name(org_id, server_id, kind)),
        last_four=value[-4:] if len(value) >= LONG_ENOUGH else "",
        made_by=made_by,
        made_at=now,
    )


def opened(ring: KeyRing, kept: UpstreamSecret) -> str:
    """The secret itself. Raises ``KeyMissing``."""
    return ring.open(PURPOSE, kept.sealed, row_name(kept.org_id, kept.server_id, kept.kind)).decode()


COLUMNS = "org_id, server_id, kind, sealed, last_four, made_by, made_at"


def keep(made: UpstreamSecret, *, actor: str, now_ms: int) -> Operation[None]:
    """Keep a secret in the place of the one before, on every node within a second."""
    yield from execute(
        f"INSERT INTO upstream_secrets ({COLUMNS}) VALUES (:org_id, :server_id, :kind, :sealed, :last_four, :made_by,"
        " :made_at) ON CONFLICT (org_id, server_id, kind) DO UPDATE SET sealed = excluded.sealed,"
        " last_four = excluded.last_four, made_by = excluded.made_by, made_at = excluded.made_at",
        **msgspec.structs.asdict(made),
    )
    said: dict[str, object] = {"kind": made.kind}
    yield from audit.record(made.org_id, now_ms, actor, "upstream:secret:set", made.server_id, said)
    yield from announce(made.org_id, "server", made.server_id)


def find(org_id: str, server_id: str, kind: str) -> Operation[UpstreamSecret | None]:
    """The secret of this kind for this server."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM upstream_secrets WHERE org_id = :org_id AND server_id = :server_id AND kind = :kind",
            UpstreamSecret,
            org_id=org_id,
            server_id=server_id,
            kind=kind,
        )
    )


def of_server(org_id: str, server_id: str) -> Operation[list[UpstreamSecret]]:
    """Every secret for this server, by kind."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM upstream_secrets WHERE org_id = :org_id AND server_id = :server_id ORDER BY kind"
            " LIMIT :limit",
            UpstreamSecret,
            org_id=org_id,
            server_id=server_id,
            limit=len(KINDS),
        )
    )


def remove(org_id: str, server_id: str, kind: str, *, actor: str, now_ms: int) -> Operation[bool]:
    """Forget a secret, on every node within a second. False: there was none."""
    gone = yield from one(
        "DELETE FROM upstream_secrets WHERE org_id = :org_id AND server_id = :server_id AND kind = :kind"
        " RETURNING kind AS value",
        text,
        org_id=org_id,
        server_id=server_id,
        kind=kind,
    )
    if gone is None:
        return False
    yield from audit.record(org_id, now_ms, actor, "upstream:secret:remove", server_id, {"kind": kind})
    yield from announce(org_id, "server", server_id)
    return True


def remove_all(org_id: str, server_id: str) -> Operation[None]:
    """The server goes, and its secrets with it."""
    yield from execute(
        "DELETE FROM upstream_secrets WHERE org_id = :org_id AND server_id = :server_id",
        org_id=org_id,
        server_id=server_id,
    )
