"""Both sides speak the same era: what the client sent goes on, and what comes back comes back."""

import contextlib
from functools import partial

from gatelodge.gateway.relay import filtering, words
from gatelodge.gateway.relay.answers import Reading, deliver, deliver_stream, kind_of
from gatelodge.gateway.relay.asking import BOTH, end_session
from gatelodge.gateway.relay.exchange import Exchange
from gatelodge.gateway.relay.header_values import passed_on
from gatelodge.gateway.relay.inbound import NULL, Refused
from gatelodge.gateway.relay.sessions import Session, Sessions, State, new_state, owner_of
from gatelodge.gateway.relay.upstream import Failed, Line


def reading_of(exchange: Exchange) -> Reading | None:
    """What must be looked at in the answer to this request."""
    if exchange.inbound.method in words.LISTING:
        return partial(_filtered, exchange)
    if exchange.inbound.method in (words.DISCOVER, words.INITIALIZE):
        return partial(filtering.introduced, upstream=exchange.line.upstream)
    return None


def _filtered(exchange: Exchange, message: bytes) -> bytes:
    """By what the caller may do when the message comes, which on a stream may be much later."""
    return filtering.filtered(message, exchange.caller.permitted, exchange.note_drift)


def headers_of(exchange: Exchange, session: Session | None = None) -> dict[str, str]:
    """What the upstream gets in place of the client's headers."""
    headers = passed_on(exchange.sent)
    if headers.get("Accept", "*/*") == "*/*":
        headers["Accept"] = BOTH
    if session is not None and session.state.upstream_id:
        headers["Mcp-Session-Id"] = session.state.upstream_id
    headers.update(exchange.given)
    return headers


async def modern(exchange: Exchange) -> None:
    """A request of 2026-07-28. Raises ``Failed``."""
    found = exchange.inbound
    headers = headers_of(exchange)
    if found.method == words.LISTEN:
        answer = await exchange.line.send("POST", headers, found.body(), is_stream=True)
        await deliver_stream(exchange, answer, partial(_filtered, exchange))
        return
    answer = await exchange.sent_on("POST", headers, found.body())
    await deliver(exchange, answer, reading_of(exchange))


async def begin(exchange: Exchange, sessions: Sessions) -> bool:
    """``initialize``: the upstream's session becomes one of ours. False: the upstream knows no sessions, and nothing was
    said to the client. Raises ``Failed``.
    """
    line = exchange.line
    answer = await exchange.sent_on("POST", headers_of(exchange), exchange.inbound.body())
    if line.eras.legacy is None:
        if answer.status in (400, 404, 405, 406):
            answer.close()
            return False
        line.eras.legacy = answer.status == 200 or None  # noqa: PLR2004
    if (upstream_id := answer.headers.get("mcp-session-id", "")) and answer.status == 200:  # noqa: PLR2004
        state = new_state("", upstream_id, exchange.now)
        owner = owner_of(exchange.caller, line.upstream)
        session = sessions.begin(owner, state, lambda: exchange.later(end_at(line, exchange.given, state)))
        exchange.session_id = session.id.encode()
    await deliver(exchange, answer, reading_of(exchange))
    return True


async def end_at(line: Line, given: dict[str, str], state: State) -> None:
    """End a session at the upstream, if it can be told."""
    with contextlib.suppress(Failed):
        await end_session(line, given, state.version, state.upstream_id)


async def legacy(exchange: Exchange, session: Session | None, sessions: Sessions) -> None:
    """A message of the old era, within a session or where the upstream has none. Raises ``Failed``, ``Refused``."""
    found = exchange.inbound
    answer = await exchange.sent_on("POST", headers_of(exchange, session), found.body())
    if answer.status == 404 and session is not None and kind_of(answer) == words.JSON:  # noqa: PLR2004
        answer.close()
        sessions.forget(session)
        raise over(exchange)
    if not found.is_request and answer.status in (200, 202, 204):
        answer.close()
        await exchange.answer(202, b"")
        return
    await deliver(exchange, answer, reading_of(exchange))


def over(exchange: Exchange) -> Refused:
    """What is said of a session that is over, and of one that never was this caller's (MCP: Session Management)."""
    return Refused(404, words.INVALID_REQUEST, "Session not found", id=exchange.inbound.id)


async def listen(exchange: Exchange, session: Session | None) -> None:
    """The stream of a session, by GET. Raises ``Failed``."""
    headers = headers_of(exchange, session)
    _ = headers.pop("Content-Type", None)
    if session is None:  # nothing says whose events they would be that are sent again
        _ = headers.pop("Last-Event-ID", None)
    answer = await exchange.line.send("GET", headers, is_stream=True)
    if answer.status == 405:  # noqa: PLR2004 - it sends nothing of its own accord
        answer.close()
        raise Refused(405, words.INVALID_REQUEST, "this server opens no stream of its own", id=NULL)
    await deliver_stream(exchange, answer, partial(_filtered, exchange))


async def end(exchange: Exchange, session: Session, sessions: Sessions) -> None:
    """DELETE: the session is over on both sides, also where the upstream would keep it. Raises ``Failed``."""
    sessions.forget(session)
    await end_session(exchange.line, exchange.given, session.state.version, session.state.upstream_id)
    await exchange.answer(204, b"")
