"""What goes back to the client when the user, or an administrator for them, has said yes: a code, or the token of the
user-agent flow. What may be answered once is settled in the same transaction.
"""

import enum
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import authorizations, codes, connections, pushed_requests, secrets
from gatelodge.core.authorizations import Authorization
from gatelodge.core.codes import Code
from gatelodge.core.connections import Connection
from gatelodge.core.ids import AUTHORIZATION, CONNECTION
from gatelodge.core.operation import Operation
from gatelodge.core.sessions import Session
from gatelodge.oauth import issuing, references
from gatelodge.oauth.grants.granted import Granted
from gatelodge.oauth.requests import Asked
from gatelodge.oauth.way_back import back
from gatelodge.web.site import Site

T = TypeVar("T")
USER_AGENT = "implicit"
"""RFC 6749 §4.2: how metadata would name the grant, were it listed."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What this answer ends: the waiting request of a browser ("" for one that never waited), and the pushed one.
    ``widens``: the user's authorization grows by what is asked for.
    """

    widens: bool
    waiting: str = ""
    browser: str = ""
    pushed: str = ""


class Before(enum.Enum):
    """What another answer has ended already: the waiting request, or the pushed one that other pages show as well."""

    WAITING = enum.auto()
    PUSHED = enum.auto()


def connection(asked: Asked, session: Session, known: Authorization | None) -> Connection:
    """The connection that this request would begin."""
    return Connection(
        id=secrets.new_id(CONNECTION),
        org_id=asked.org.id,
        authorization_id=known.id if known else secrets.new_id(AUTHORIZATION),
        user_id=session.user.id,
        app_id=asked.client.app_id,
        client_id=asked.client.client_id,
        scopes=asked.scopes,
        resource=asked.resource,
        signed_in_at=session.signed_in_at,
        level=session.level,
        methods=session.methods,
        dpop_jkt=asked.request.dpop_jkt,
        grant_type=USER_AGENT if asked.returns_token else "authorization_code",
    )


async def give(site: Site, request: Request, asked: Asked, made: Connection, settled: Settled) -> Response:
    """Send the browser back with a fresh code or token.

    Raises ``AnsweredBefore`` when the waiting request was answered, ``ToldToTheUser`` when the pushed one was.
    """
    now = site.clock.now()
    if asked.returns_token:
        begun = first(asked, await site.store.run(begin, made, settled, now))
        parameters = await _token(site, asked, begun)
    else:
        value, code = new_code(asked, made, now)
        _ = first(asked, await site.store.run(keep, code, settled, now))
        parameters = {"code": value}
    return back(site, request, asked, parameters)


class AnsweredBefore(Exception):
    """A double click: the first answer is on its way back."""


def first(asked: Asked, answered: T | Before) -> T:
    """What came of an answer that was the first. Raises ``AnsweredBefore`` or ``ToldToTheUser`` for any other."""
    if not isinstance(answered, Before):
        return answered
    raise AnsweredBefore if answered is Before.WAITING else references.used_up(asked.request.client_id)


def new_code(asked: Asked, made: Connection, now: int) -> tuple[str, Code]:
    """A code's text for the client and what is kept of it."""
    value = secrets.new_token()
    return value, Code(
        digest=secrets.digest(value),
        connection=made,
        redirect_uri=asked.redirect_uri,
        code_challenge=asked.request.code_challenge,
        nonce=asked.request.nonce,
        expires_at=now + codes.LIFETIME,
    )


def close(org_id: str, settled: Settled, now: int) -> Operation[Before | None]:
    """End what an answer ends, a refusal too; or say which of it another answer ended before."""
    if settled.waiting and not (yield from authorizations.release_held(org_id, settled.waiting, settled.browser, now)):
        return Before.WAITING
    if settled.pushed and not (yield from pushed_requests.use(org_id, settled.pushed, now)):
        return Before.PUSHED
    return None


def decline(asked: Asked, user_id: str, settled: Settled, now: int) -> Operation[Before | None]:
    """The person said no: end what that ends, written down."""
    before = yield from close(asked.org.id, settled, now)
    if before is None:
        client = asked.client
        yield from authorizations.declined(
            asked.org.id, user_id, client.app_id, client_id=client.client_id, scopes=asked.scopes, now=now
        )
    return before


def settle(made: Connection, settled: Settled, now: int) -> Operation[Connection | Before]:
    """The connection that may begin now, or what another answer has ended."""
    if (before := (yield from close(made.org_id, settled, now))) is not None:
        return before
    return (yield from connections.agree(made, now)) if settled.widens else made


def keep(code: Code, settled: Settled, now: int) -> Operation[Connection | Before]:
    """Settle, and keep the code."""
    made = yield from settle(code.connection, settled, now)
    if isinstance(made, Connection):
        yield from codes.issue(msgspec.structs.replace(code, connection=made), now)
    return made


def begin(made: Connection, settled: Settled, now: int) -> Operation[Connection | Before]:
    """Settle, and begin the connection of a token that is sent at once."""
    settled_for = yield from settle(made, settled, now)
    if isinstance(settled_for, Connection):
        yield from connections.begin(settled_for, now)
    return settled_for


async def _token(site: Site, asked: Asked, begun: Connection) -> dict[str, str]:
    """RFC 6749 §4.2.2, with the original's own fields. Never a refresh token."""
    granted = Granted(connection=begun, scopes=begun.scopes, audience=begun.resource)
    issued = await issuing.access_token(site, asked.org, asked.client, granted, dpop_jkt="")
    return {
        "access_token": issued.text,
        "token_type": "Bearer",
        "expires_in": str(issued.lifetime),
        "scope": " ".join(begun.scopes),
        "instance_url": asked.org.issuer,
        "id": f"{asked.org.issuer}/id/{asked.org.id}/{begun.user_id}",
        "issued_at": str(site.clock.now_ms()),
    }
