"""An org is a tenant and an OAuth issuer (decision 0003). The first answers at the public URL, others at /o/<name>."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, announce, execute, many, one

PRODUCTION = "production"
DEVELOPER_HUB = "developer hub"
SANDBOX = "sandbox"
SCRATCH = "scratch"
KINDS = (PRODUCTION, DEVELOPER_HUB, SANDBOX, SCRATCH)

NAME_SHAPE = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
MOST_ORGS = 1000


class Org(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant. ``name`` is "" for the first org; ``refresh_window`` is in seconds (decision 0006).

    ``issuer`` is a plain string, compared byte for byte (RFC 8414 §3.3); ``path`` is the part of it after the host,
    with no slash at its end.
    """

    id: str
    name: str
    label: str
    kind: str
    refresh_window: int
    issuer: str
    path: str


def make(public_url: str) -> Callable[..., Org]:
    """The maker of ``Org`` values for a deployment whose public URL this is."""
    base = public_url.rstrip("/")

    def made(*, name: str, **columns: object) -> Org:
        issuer = f"{base}/o/{name}" if name else base
        return msgspec.convert({"name": name, "issuer": issuer, "path": urlsplit(issuer).path, **columns}, Org)

    return made


def all_orgs(public_url: str) -> Operation[list[Org]]:
    """Every org of the deployment, the first one first."""
    return (
        yield from many(
            "SELECT id, name, label, kind, refresh_window FROM orgs ORDER BY name LIMIT :limit",
            make(public_url),
            limit=MOST_ORGS,
        )
    )


def create(*, id: str, name: str, label: str, kind: str, refresh_window: int, now: int) -> Operation[None]:
    """Make an org. Raises ``Refused`` when the name is taken or has another shape."""
    if name and not NAME_SHAPE.fullmatch(name):
        raise Refused(f"the org name {name!r} must be 2 to 40 of a-z, 0-9 and -, beginning with a letter", "name")
    if kind not in KINDS:
        raise Refused(f"the kind {kind!r} is not one of: {', '.join(KINDS)}", "kind")
    made = yield from one(
        "INSERT INTO orgs (id, name, label, kind, refresh_window, created_at)"
        " VALUES (:id, :name, :label, :kind, :refresh_window, :now) ON CONFLICT (name) DO NOTHING RETURNING id",
        str_id,
        id=id,
        name=name,
        label=label,
        kind=kind,
        refresh_window=refresh_window,
        now=now,
    )
    if made is None:
        raise Refused(f"an org named {name!r} exists already; choose another name", "name")
    yield from announce(id, "org", id)


def str_id(id: str) -> str:
    """For statements that return only an id."""
    return id


def set_refresh_window(org_id: str, seconds: int) -> Operation[None]:
    """Change the grace window of refresh rotation, 0 to 120 seconds (decision 0006)."""
    if not 0 <= seconds <= 120:  # noqa: PLR2004 - the two limits are the rule
        raise Refused(f"the refresh window is {seconds} s; it must be 0 to 120", "refresh_window")
    yield from execute("UPDATE orgs SET refresh_window = :seconds WHERE id = :org_id", seconds=seconds, org_id=org_id)
    yield from announce(org_id, "org", org_id)
