"""MCP servers that apps of the org may call: registered, then activated. Hosted here, or relayed to an upstream."""

import re
from urllib.parse import urlsplit

import msgspec

from gatelodge.core import approval_rules, audit, server_health, upstream_clients, upstream_grants, upstream_secrets
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.operation import Operation, announce, many, one, text
from gatelodge.core.orgs import Org, str_id
from gatelodge.core.server_kinds import KINDS, source_problem, variant_problem
from gatelodge.core.server_terms import Decided, Terms, problems
from gatelodge.words import _

NAME_SHAPE = re.compile(r"[a-z][a-z0-9-]{1,39}")
NOT_A_NAME = "new"
LONGEST_LABEL = 80
MOST_SERVERS = server_health.MOST_SERVERS
MOST_ORIGINS = 100
ORIGIN_SHAPE = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?"
)
DEFAULT_PORTS = {"http": 80, "https": 443}
"""Browsers leave these out of an origin, so that a listed one with such a port would never match."""


class McpServer(Decided, frozen=True, kw_only=True):
    """One MCP server of an org.

    ``source`` is where a records server reads (the URL of its database), the MCP URL of an upstream, the base URL of a
    REST API, or a command line as a JSON list. ``variant`` says which tools a records server has. ``allowed_origins``
    are the web pages' origins, besides its own, that may call it from a browser.
    """

    id: str
    org_id: str
    name: str
    label: str
    kind: str
    source: str
    is_active: bool
    variant: str = ""
    allowed_origins: tuple[str, ...] = ()
    terms: Terms = Terms()
    revision: int = 1


COLUMNS = "id, org_id, name, label, kind, variant, source, is_active, allowed_origins, decided, terms, revision"


def server(*, is_active: int, allowed_origins: str, decided: str, terms: str, **columns: object) -> McpServer:
    """An ``McpServer`` from its row."""
    own = {
        **msgspec.structs.asdict(msgspec.json.decode(decided, type=Decided)),
        "terms": msgspec.json.decode(terms, type=Terms),
        "is_active": bool(is_active),
        "allowed_origins": allowed_origins.split(),
    }
    return msgspec.convert({**columns, **own}, McpServer)


def decided(of: McpServer) -> Decided:
    """What the org decides about it, and nothing else of it."""
    return Decided(**{name: getattr(of, name) for name in Decided.__struct_fields__})


def resource(org: Org, name: str) -> str:
    """The canonical URI of an MCP server: its ``aud`` and the ``resource`` that clients send (RFC 8707 §2)."""
    return f"{org.issuer}/mcp/{name}"


def register(made: McpServer, *, actor: str, now_ms: int) -> Operation[None]:
    """Add a server, inactive. Raises ``Invalid`` for a field that breaks a rule, ``Refused`` when the name is taken."""
    check(made)
    added = yield from one(
        f"INSERT INTO mcp_servers ({COLUMNS}) VALUES (:id, :org_id, :name, :label, :kind, :variant, :source, 0, '',"
        " :decided, :terms, 1) ON CONFLICT (org_id, name) DO NOTHING RETURNING id",
        str_id,
        id=made.id,
        org_id=made.org_id,
        name=made.name,
        kind=made.kind,
        variant=made.variant,
        **_changeable(made),
    )
    if added is None:
        raise Refused(
            _("this org has an MCP server named {name!r} already; choose another name").format(name=made.name), "name"
        )
    yield from server_health.begin(made.org_id, made.id)
    yield from audit.record(made.org_id, now_ms, actor, "server:register", made.id, {"name": made.name})
    yield from announce(made.org_id, "server", made.name)


def change(before: McpServer, after: McpServer, *, actor: str, now_ms: int) -> Operation[None]:
    """Save the label, the source, what is decided and the terms. Raises ``Invalid``, and ``Refused`` when somebody else
    was faster.
    """
    check(after)
    saved = yield from one(
        "UPDATE mcp_servers SET label = :label, source = :source, decided = :decided, terms = :terms,"
        " revision = revision + 1 WHERE org_id = :org_id AND id = :id AND revision = :revision RETURNING id",
        str_id,
        org_id=before.org_id,
        id=before.id,
        revision=before.revision,
        **_changeable(after),
    )
    if saved is None:
        raise Refused(
            _("{label} was changed by somebody else meanwhile: nothing is saved. Look at it again.").format(
                label=before.label
            )
        )
    yield from audit.record(before.org_id, now_ms, actor, "server:change", before.id, differences(before, after))
    yield from announce(before.org_id, "server", before.name)


def _changeable(of: McpServer) -> dict[str, str]:
    return {
        "label": of.label,
        "source": of.source,
        "decided": msgspec.json.encode(decided(of)).decode(),
        "terms": msgspec.json.encode(of.terms).decode(),
    }


def differences(before: McpServer, after: McpServer) -> dict[str, object]:
    """What a change changes, by field: from what, to what."""
    old, new = ({**msgspec.to_builtins(each.terms), **msgspec.to_builtins(each)} for each in (before, after))
    return {name: [old[name], new[name]] for name in old if name != "terms" and old[name] != new[name]}


def set_active(org_id: str, name: str, *, is_active: bool, actor: str, now_ms: int) -> Operation[bool]:
    """Activate or deactivate, everywhere within a second. False: the org has no such server."""
    changed = yield from one(
        "UPDATE mcp_servers SET is_active = :is_active WHERE org_id = :org_id AND name = :name RETURNING id",
        str_id,
        is_active=int(is_active),
        org_id=org_id,
        name=name,
    )
    if changed is None:
        return False
    tag = "server:activate" if is_active else "server:deactivate"
    yield from audit.record(org_id, now_ms, actor, tag, changed, {"name": name})
    yield from announce(org_id, "server", name)
    return True


def remove(org_id: str, id: str, *, actor: str, now_ms: int) -> Operation[bool]:
    """Remove a server with its items for good. False: it was gone already."""
    removed = yield from one(
        "DELETE FROM mcp_servers WHERE org_id = :org_id AND id = :id RETURNING name AS value",
        text,
        org_id=org_id,
        id=id,
    )
    if removed is None:
        return False
    yield from upstream_secrets.remove_all(org_id, id)
    yield from approval_rules.remove_all(org_id, id)
    yield from upstream_clients.remove_all(org_id, id)
    yield from upstream_grants.end_all_of_server(org_id, id)
    yield from audit.record(org_id, now_ms, actor, "server:remove", id, {"name": removed})
    yield from announce(org_id, "server", removed)
    return True


def allow_origins(org_id: str, name: str, origins: tuple[str, ...]) -> Operation[bool]:
    """Let pages of exactly these origins, and of the server's own, call it. False: the org has no such server.

    Raises ``Refused`` for what is no origin.
    """
    for origin in origins:
        if not is_origin(origin):
            raise Refused(
                _(
                    "{origin!r:.100} is no origin that can be allowed: write scheme and host as browsers do,"
                    " without a path and in lower case, for example https://app.example.com; http is for this"
                    " computer alone"
                ).format(origin=origin),
                "allowed_origins",
            )
    if len(origins) > MOST_ORIGINS:
        raise Refused(
            _("there are {n} origins; at most {most_origins} are allowed").format(
                n=len(origins), most_origins=MOST_ORIGINS
            ),
            "allowed_origins",
        )
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


def find(org_id: str, name: str) -> Operation[McpServer | None]:
    """The server of this name, active or not."""
    sql = f"SELECT {COLUMNS} FROM mcp_servers WHERE org_id = :org_id AND name = :name"
    return (yield from one(sql, server, org_id=org_id, name=name))


def check(made: McpServer) -> None:
    """Raises ``Invalid`` with a sentence for each field that breaks a rule."""
    texts = {
        "name": _name_problem(made.name),
        "label": _label_problem(made.label),
        "kind": ""
        if made.kind in KINDS
        else _("{kind!r:.40} is not one of: {kinds}.").format(kind=made.kind, kinds=", ".join(KINDS)),
        "variant": variant_problem(made.kind, made.variant),
        "source": source_problem(made.kind, made.source, allows_private=made.terms.allows_private),
        **problems(made, made.terms),
    }
    found = {name: sentence for name, sentence in texts.items() if sentence}
    if found:
        raise Invalid(found)


def _name_problem(name: str) -> str:
    if name == NOT_A_NAME:
        return _("The name {name!r} is kept for Setup's own page; choose another").format(name=name)
    if NAME_SHAPE.fullmatch(name):
        return ""
    return _("The name {name!r:.60} must be 2 to 40 of a-z, 0-9 and -, beginning with a letter").format(name=name)


def _label_problem(label: str) -> str:
    if not 1 <= len(label) <= LONGEST_LABEL:
        return _("The label has {n} characters; enter 1 to {longest_label}.").format(
            n=len(label), longest_label=LONGEST_LABEL
        )
    return (
        ""
        if label.isprintable()
        else _("The label {label!r:.100} holds characters that can't be seen.").format(label=label)
    )


def canonical(uri: str) -> str:
    """A resource as we write it: scheme and host in lower case, without one slash at the end (MCP: Canonical Server
    URI accepts both).
    """
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower()}{slash}{path}".removesuffix("/")
