"""MCP servers that apps of the org may call: registered, then activated. Here: hosted records servers."""

import re
from urllib.parse import urlsplit

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, announce, many, one
from gatelodge.core.orgs import Org, str_id

RECORDS = "records"
NAME_SHAPE = re.compile(r"[a-z][a-z0-9-]{1,39}")
MOST_SERVERS = 1000
MOST_ORIGINS = 100
ORIGIN_SHAPE = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?"
)
DEFAULT_PORTS = {"http": 80, "https": 443}
"""Browsers leave these out of an origin, so that a listed one with such a port would never match."""


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server of an org. ``source`` is where a records server reads: a path of a database file;
    ``allowed_origins`` are the web pages' origins, besides its own, that may call it from a browser.
    """

    id: str
    org_id: str
    name: str
    label: str
    kind: str
    source: str
    is_active: bool
    allowed_origins: tuple[str, ...] = ()


COLUMNS = "id, org_id, name, label, kind, source, is_active, allowed_origins"


def server(*, is_active: int, allowed_origins: str, **columns: object) -> McpServer:
    """An ``McpServer`` from its row."""
    own = {"is_active": bool(is_active), "allowed_origins": allowed_origins.split()}
    return msgspec.convert({**columns, **own}, McpServer)


def resource(org: Org, name: str) -> str:
    """The canonical URI of an MCP server: its ``aud`` and the ``resource`` that clients send (RFC 8707 §2)."""
    return f"{org.issuer}/mcp/{name}"


def register(made: McpServer) -> Operation[None]:
    """Add a server, inactive. Raises ``Refused`` when the name is taken or has another shape."""
    if not NAME_SHAPE.fullmatch(made.name):
        raise Refused(f"the name {made.name!r} must be 2 to 40 of a-z, 0-9 and -, beginning with a letter", "name")
    added = yield from one(
        f"INSERT INTO mcp_servers ({COLUMNS}) VALUES (:id, :org_id, :name, :label, :kind, :source, 0, '')"
        " ON CONFLICT (org_id, name) DO NOTHING RETURNING id",
        str_id,
        id=made.id,
        org_id=made.org_id,
        name=made.name,
        label=made.label,
        kind=made.kind,
        source=made.source,
    )
    if added is None:
        raise Refused(f"this org has an MCP server named {made.name!r} already", "name")
    yield from announce(made.org_id, "server", made.name)


def set_active(org_id: str, name: str, *, is_active: bool) -> Operation[bool]:
    """Activate or deactivate, everywhere within a second. False: the org has no such server."""
    changed = yield from one(
        "UPDATE mcp_servers SET is_active = :is_active WHERE org_id = :org_id AND name = :name RETURNING id",
        str_id,
        is_active=int(is_active),
        org_id=org_id,
        name=name,
    )
    yield from announce(org_id, "server", name)
    return changed is not None


def allow_origins(org_id: str, name: str, origins: tuple[str, ...]) -> Operation[bool]:
    """Let pages of exactly these origins, and of the server's own, call it. False: the org has no such server.

    Raises ``Refused`` for what is no origin.
    """
    for origin in origins:
        if not is_origin(origin):
            raise Refused(
                f"{origin!r:.100} is no origin that can be allowed: write scheme and host as browsers do, without a path"
                " and in lower case, for example https://app.example.com; http is for this computer alone",
                "allowed_origins",
            )
    if len(origins) > MOST_ORIGINS:
        raise Refused(f"there are {len(origins)} origins; at most {MOST_ORIGINS} are allowed", "allowed_origins")
    changed = yield from one(
        "UPDATE mcp_servers SET allowed_origins = :origins WHERE org_id = :org_id AND name = :name RETURNING id",
        str_id,
        origins="\n".join(origins),
        org_id=org_id,
        name=name,
    )
    yield from announce(org_id, "server", name)
    return changed is not None


def is_origin(text: str) -> bool:
    """Whether this is an origin as browsers write one (RFC 6454 §6.2) that may be trusted: https, or on this computer."""
    if not ORIGIN_SHAPE.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return (parts.scheme == "https" or is_local) and port not in (0, DEFAULT_PORTS[parts.scheme])


def of_org(org_id: str) -> Operation[list[McpServer]]:
    """Every server of the org by name, active or not."""
    sql = f"SELECT {COLUMNS} FROM mcp_servers WHERE org_id = :org_id ORDER BY name LIMIT :limit"
    return (yield from many(sql, server, org_id=org_id, limit=MOST_SERVERS))


def canonical(uri: str) -> str:
    """A resource as we write it: scheme and host in lower case, without one slash at the end (MCP: Canonical Server
    URI accepts both).
    """
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower()}{slash}{path}".removesuffix("/")
