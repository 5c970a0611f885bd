"""Authorization requests that a client pushed before it sends its user (RFC 9126): each leads to one answer."""

import msgspec

from gatelodge.core import authorizations
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, execute, number, one, remove_some, text

LIFETIME = 60
"""Seconds from the push to the user's browser (RFC 9126 §2.2 suggests 5 to 600)."""
URN = "urn:ietf:params:oauth:request_uri:"
LONGEST = 200
MOST_PER_ADDRESS = 200


class PushedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client pushed; ``digest`` is that of the reference which its request_uri ends in. ``address`` is "" for a
    client that proved who it is.
    """

    digest: str
    org_id: str
    client_id: str
    address: str
    request: str
    expires_at: int


def keep(pushed: PushedRequest, now: int) -> Operation[None]:
    """Keep a request for its minute, and for as long after it as one may wait for its user.

    Raises ``Refused`` when this address has pushed too many.
    """
    _ = yield from forget_old(now)
    waiting = yield from one(
        "SELECT COUNT(*) AS n FROM pushed_requests WHERE org_id = :org_id AND address = :address AND address <> ''"
        " AND expires_at > :now",
        number,
        org_id=pushed.org_id,
        address=pushed.address,
        now=now,
    )
    if (waiting or 0) >= MOST_PER_ADDRESS:
        raise Refused(f"{waiting} pushed requests of this address are waiting, as many as are kept: wait a minute")
    yield from execute(
        "INSERT INTO pushed_requests (digest, org_id, client_id, address, browser, request, expires_at)"
        " VALUES (:digest, :org_id, :client_id, :address, '', :request, :expires_at)",
        **msgspec.structs.asdict(pushed),
    )


def forget_old(now: int) -> Operation[bool]:
    """Remove some of the requests that nobody can wait for any more. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM pushed_requests WHERE digest IN (SELECT digest FROM pushed_requests WHERE expires_at < :then"
            " ORDER BY expires_at LIMIT :limit) RETURNING digest",
            then=now - authorizations.HELD_FOR,
        )
    )


def drop(org_id: str, before: int) -> Operation[None]:
    """Forget every request pushed before this time (epoch seconds)."""
    yield from execute(
        "DELETE FROM pushed_requests WHERE org_id = :org_id AND expires_at < :until",
        org_id=org_id,
        until=before + LIFETIME,
    )


def find(org_id: str, digest: str, client_id: str, browser: str, now: int) -> Operation[PushedRequest | None]:
    """The request that this client pushed, unanswered and within its minute, for the browser that it was shown in."""
    return (
        yield from one(
            "SELECT digest, org_id, client_id, address, request, expires_at FROM pushed_requests WHERE org_id = :org_id"
            " AND digest = :digest AND client_id = :client_id AND browser IN ('', :browser) AND expires_at > :now"
            " AND used_at IS NULL",
            PushedRequest,
            org_id=org_id,
            digest=digest,
            client_id=client_id,
            browser=browser,
            now=now,
        )
    )


def show(org_id: str, digest: str, browser: str) -> Operation[bool]:
    """A browser was shown a page for it, and from now on no other is. The same one may look again."""
    shown = yield from one(
        "UPDATE pushed_requests SET browser = :browser WHERE org_id = :org_id AND digest = :digest"
        " AND browser IN ('', :browser) AND used_at IS NULL RETURNING digest AS value",
        text,
        org_id=org_id,
        digest=digest,
        browser=browser,
    )
    return shown is not None


def use(org_id: str, digest: str, now: int) -> Operation[bool]:
    """Its answer is on the way back to the client. True for exactly one answer (RFC 9126 §4)."""
    used = yield from one(
        "UPDATE pushed_requests SET used_at = :now WHERE org_id = :org_id AND digest = :digest AND used_at IS NULL"
        " RETURNING digest AS value",
        text,
        now=now,
        org_id=org_id,
        digest=digest,
    )
    return used is not None
