"""Opaque access tokens, for apps that issue no JWT: what they stand for is known to this database alone.

They open userinfo, the identity URL and introspection, and no MCP server.
"""

import re

import msgspec

from gatelodge.core import connections, secrets, tokens
from gatelodge.core.operation import Operation, execute, one, remove_some
from gatelodge.core.tokens import Claims

SHAPE = re.compile(r"00D[0-9A-Za-z]{12}![A-Za-z0-9_-]{43}")


class OpaqueToken(msgspec.Struct, frozen=True, kw_only=True):
    """What an opaque token stands for."""

    digest: str
    org_id: str
    connection_id: str
    client_id: str
    scopes: tuple[str, ...]
    audience: str
    dpop_jkt: str
    issued_at: int
    expires_at: int


COLUMNS = "digest, org_id, connection_id, client_id, scopes, audience, dpop_jkt, issued_at, expires_at"


def new_text(org_id: str) -> str:
    """A fresh token in the original's shape: the org's 15-character id, an exclamation mark, and 256 bits."""
    return f"{org_id[:15]}!{secrets.new_token()}"


def token(*, scopes: str, **columns: object) -> OpaqueToken:
    """An ``OpaqueToken`` from its row."""
    return msgspec.convert({**columns, "scopes": scopes.split()}, OpaqueToken)


def issue(made: OpaqueToken) -> Operation[None]:
    """Keep a token."""
    yield from execute(
        f"INSERT INTO opaque_tokens ({COLUMNS}) VALUES (:digest, :org_id, :connection_id, :client_id, :scopes,"
        " :audience, :dpop_jkt, :issued_at, :expires_at)",
        **(msgspec.structs.asdict(made) | {"scopes": " ".join(made.scopes)}),
    )


def find_claims(org_id: str, digest: str, issuer: str, now: int) -> Operation[Claims | None]:
    """What the token with this digest says, as a JWT would, while it and its connection are live."""
    found = yield from one(
        f"SELECT {COLUMNS} FROM opaque_tokens WHERE org_id = :org_id AND digest = :digest AND expires_at > :now",
        token,
        org_id=org_id,
        digest=digest,
        now=now,
    )
    connection = (yield from connections.find(org_id, found.connection_id)) if found else None
    if found is None or connection is None:
        return None
    narrowed = msgspec.structs.replace(
        connection, scopes=found.scopes, resource=found.audience, dpop_jkt=found.dpop_jkt
    )
    return tokens.claims(
        narrowed,
        issuer=issuer,
        client_id=found.client_id,
        jti=found.digest,
        now=found.issued_at,
        lifetime=found.expires_at - found.issued_at,
        custom_attributes={},
    )


def forget_old(now: int) -> Operation[bool]:
    """Remove some of the tokens whose time is over. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM opaque_tokens WHERE digest IN (SELECT digest FROM opaque_tokens WHERE expires_at <= :now"
            " ORDER BY expires_at LIMIT :limit) RETURNING digest",
            now=now,
        )
    )
