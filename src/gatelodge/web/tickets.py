"""Tickets: what a page hands out to be brought back once, by the same browser, within minutes.

A ticket is its own statement under a MAC, so that showing a page writes nothing; using one up is one row of
``used_once``, which every node sees. The browser's cookie, the org and the kind are in the MAC and not in the text.
"""

import base64
import binascii

import msgspec
from starlette.requests import Request

from gatelodge.core import secrets, used_once
from gatelodge.core.orgs import Org
from gatelodge.web import browser
from gatelodge.web.site import Site

LIFETIME = 300
"""Seconds from the page to its answer."""
LONGEST = 4096
KIND = "ticket"


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What is under the MAC besides the binding: its key's id, its end (epoch seconds), chance, and the content."""

    key_id: str
    ends_at: int
    nonce: bytes
    content: tuple[str, ...]


def issue(site: Site, org: Org, request: Request, kind: str, *content: str, lifetime: int = LIFETIME) -> str:
    """A fresh ticket for this browser."""
    made = Statement(site.ring.current_id, site.clock.now() + lifetime, secrets.random_bytes(16), content)
    body = secrets.base64url(msgspec.msgpack.encode(made))
    return f"{body}.{_mac(site, org, request, kind, made.key_id, body)}"


def read(site: Site, org: Org, request: Request, kind: str, ticket: str) -> tuple[str, ...] | None:
    """What this browser's ticket says while its time is not over; None for any other. Reading uses nothing up."""
    body, _, mac = ticket.rpartition(".")
    if not body or len(ticket) > LONGEST:
        return None
    try:
        made = msgspec.msgpack.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Statement)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return None
    expected = _mac(site, org, request, kind, made.key_id, body)
    if expected is None or not secrets.are_equal(mac, expected) or made.ends_at <= site.clock.now():
        return None
    return made.content


async def use(site: Site, org: Org, request: Request, kind: str, ticket: str) -> tuple[str, ...] | None:
    """The same, for exactly one caller."""
    content = read(site, org, request, kind, ticket)
    if content is None:
        return None
    # What a ticket says lasts for minutes: its mark may go when no ticket of its time can be read any more.
    ends_at = site.clock.now() + 24 * 3600
    is_first = await site.store.run(used_once.use, org.id, KIND, secrets.digest(ticket), expires_at=ends_at)
    return content if is_first else None


def _mac(site: Site, org: Org, request: Request, kind: str, key_id: str, body: str) -> str | None:
    return site.ring.mac("ticket", org.id, kind, browser.tie_of(site, org, request), body, key_id=key_id)
