"""An upstream's answer on its way to a client: whole where something in it must be looked at, piece by piece otherwise."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from gatelodge.gateway.relay import words
from gatelodge.gateway.relay.events import Event, TooLarge, events
from gatelodge.gateway.relay.exchange import Exchange
from gatelodge.gateway.relay.filtering import Unreadable
from gatelodge.gateway.relay.own_answers import alone, outcome_of
from gatelodge.gateway.relay.upstream import Answer, Failed, Line, Unauthorized
from gatelodge.words import reason

SMALL = 64 * 1024
"""Bytes of an answer that is read whole before its first byte goes on."""
PASSED_STATUS = (400, 404, 406, 409, 413, 415, 422, 429)
"""Statuses that tell a client something about its own request, where the body is a JSON-RPC error."""
QUIET_SECONDS = 15.0
"""Silence on an open stream after which a comment is sent, so that no proxy takes the connection for dead."""
SILENCE = b":\n\n"

SHARED = re.compile(rb'("cacheScope"\s{0,16}:\s{0,16})"public"')
LONGEST_SHARED = 64
"""More bytes than such a member has."""

Reading = Callable[[bytes], bytes]
"""What is made of a message that holds a result."""


def kind_of(answer: Answer) -> str:
    """The media type of an answer without its parameters."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def failed_of(line: Line, error: Exception) -> Failed:
    """What went wrong while an answer's body was read. Anything else that was raised is raised again."""
    name, terms = line.upstream.name, line.upstream.terms
    match error:
        case Failed():
            return error
        case TooLarge():
            why = reason(
                "the upstream of {name} answered with more than {most} bytes", name=name, most=terms.largest_answer
            )
            return Failed("too_large", 502, why)
        case Unreadable():
            return Failed(
                "upstream_error", 502, reason("the upstream of {name} answered with what can't be read", name=name)
            )
        case TimeoutError():
            why = reason("the upstream of {name} stopped within its answer, or took too long", name=name)
            return Failed("timeout", 504, why)
        case ConnectionError():
            return Failed(
                "upstream_error", 502, reason("the upstream of {name} broke off within its answer", name=name)
            )
        case _:
            raise error


@contextlib.asynccontextmanager
async def reading(line: Line, answer: Answer) -> AsyncIterator[None]:
    """Whatever goes wrong while an answer's body is read becomes ``Failed``; then its connection is let go."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - what isn't known is raised again
        raise failed_of(line, error) from None
    finally:
        answer.close()


async def whole(answer: Answer, largest: int) -> bytes:
    """The whole body. Raises ``TooLarge``."""
    if (answer.content_length or 0) > largest:
        raise TooLarge
    body = answer.at_hand()  # all of it has come with its head, as small answers do
    if body is not None:
        if len(body) > largest:
            raise TooLarge
        return body
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.pieces():
        size += len(chunk)
        if size > largest:
            raise TooLarge
        chunks.append(chunk)
    return b"".join(chunks) if len(chunks) != 1 else chunks[0]


async def check(line: Line, answer: Answer) -> None:
    """Raises ``Failed`` for an answer that says nothing to the client: it is about what stands between us and the
    upstream. Its challenges and cookies stay here.
    """
    name, terms, status = line.upstream.name, line.upstream.terms, answer.status
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        why = reason("the upstream of {name} answered compressed, which was not asked for", name=name)
    elif status in (401, 403):
        why = reason(
            "the upstream of {name} refuses the credential that this org has for it (HTTP {status}; credential:"
            " {credential}). Your own sign-in is fine; an administrator must mend the server in Setup",
            name=name,
            status=status,
            credential=terms.credential,
        )
    elif 300 <= status < 400:  # noqa: PLR2004 - nobody has checked where that leads
        why = reason("the upstream of {name} redirects, and redirects are not followed", name=name)
    elif status >= 500 or (status >= 400 and status not in PASSED_STATUS):  # noqa: PLR2004
        why = reason("the upstream of {name} answered HTTP {status}", name=name, status=status)
    else:
        return
    answer.close()
    raise (Unauthorized if status == 401 else Failed)("upstream_error", 502, why)  # noqa: PLR2004


async def deliver(exchange: Exchange, answer: Answer, read: Reading | None = None) -> None:
    """Give a request's answer to its client. ``read`` is asked about every message in it that holds a result.

    Raises ``Failed``.
    """
    line = exchange.line
    await check(line, answer)
    try:
        kind = kind_of(answer)
        if kind == words.EVENTS and answer.status == 200:  # noqa: PLR2004
            await _deliver_events(exchange, answer, read)
        elif kind == words.JSON:
            await _deliver_json(exchange, answer, read)
        else:
            raise Unreadable
    except Exception as error:  # noqa: BLE001 - as in ``reading``, which would cost every call a generator
        raise failed_of(line, error) from None
    finally:
        answer.close()


def pieces_of(exchange: Exchange, answer: Answer) -> AsyncIterator[bytes]:
    """An answer's body as it comes; what may depend on the caller is marked as theirs alone on the way."""
    chunks = answer.pieces()
    return _owned(chunks) if exchange.is_callers_own else chunks


async def _owned(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """MCP 2026-07-28: Caching. No string of JSON has such a member in it, since its quotes would be escaped."""
    held = b""
    async for chunk in chunks:
        held = SHARED.sub(rb'\1"private"', held + chunk)
        if len(held) > LONGEST_SHARED:
            yield held[:-LONGEST_SHARED]
            held = held[-LONGEST_SHARED:]
    yield held


async def _deliver_json(exchange: Exchange, answer: Answer, read: Reading | None) -> None:
    largest = exchange.line.upstream.terms.largest_answer
    length = answer.content_length
    if read is None and answer.status == 200 and (length is None or length > SMALL):  # noqa: PLR2004
        await _deliver_pieces(exchange, answer, largest, length)
        return
    body = await whole(answer, largest if answer.status == 200 else SMALL)  # noqa: PLR2004
    # What isn't found or can't be read is answered under ids of all kinds, and only with an error.
    exchange.done.outcome = outcome_of(body, exchange.inbound.id if answer.status == 200 else None)  # noqa: PLR2004
    if answer.status != 200 and exchange.done.outcome != "error":  # noqa: PLR2004 - a page of a proxy between us
        raise Unreadable
    if read is not None and answer.status == 200:  # noqa: PLR2004
        body = read(body)
    elif exchange.is_callers_own:
        body = SHARED.sub(rb'\1"private"', body)
    again = answer.headers.get("retry-after", "")
    headers = [(b"retry-after", again.encode())] if again.isdigit() and len(again) < 6 else None  # noqa: PLR2004
    await exchange.answer(answer.status, body, headers)


async def _deliver_pieces(
    exchange: Exchange, answer: Answer, largest: int, length: int | None
) -> None:  # fmt: skip
    """JSON of unknown or great length. What turns out to be small is looked at; the rest goes on as it comes."""
    if (length or 0) > largest:
        raise TooLarge
    held = b""
    chunks = pieces_of(exchange, answer)
    async for chunk in chunks:
        held += chunk
        if len(held) > SMALL:
            break
    else:
        exchange.done.outcome = outcome_of(held, exchange.inbound.id)
        await exchange.answer(200, held)
        return
    await exchange.start(200, [(b"cache-control", b"no-store"), (b"content-type", b"application/json")])
    size = 0
    async for chunk in alone(held, chunks, exchange.inbound.id):
        size += len(chunk)
        if size > largest:
            raise TooLarge
        await exchange.write(chunk)
    await exchange.write(b"", is_last=True)


async def _deliver_events(exchange: Exchange, answer: Answer, read: Reading | None) -> None:
    largest = exchange.line.upstream.terms.largest_answer
    await exchange.start_events()
    size = 0
    async for event in events(pieces_of(exchange, answer), largest):
        size += len(event.raw)
        if size > largest:
            raise TooLarge
        if read is not None:
            await exchange.write(_read_event(event, read))
            continue
        if event.data:
            exchange.done.outcome = outcome_of(event.data, exchange.inbound.id) or exchange.done.outcome
        await exchange.write(event.raw)
    await exchange.write(b"", is_last=True)


def _read_event(event: Event, read: Reading) -> bytes:
    """The event with what was made of its message. Notifications and requests of the server's pass."""
    if b"result" not in event.data and b"\\" not in event.data:
        return event.raw
    seen = read(event.data)
    if seen is event.data:
        return event.raw
    head = b"" if event.id is None else b"id: " + event.id + b"\n"
    return b"event: message\n" + head + b"data: " + seen.replace(b"\n", b"") + b"\n\n"


async def deliver_stream(exchange: Exchange, answer: Answer, read: Reading) -> None:
    """An open stream, event by event, for as long as both sides want it. Silence is filled with comments."""
    line = exchange.line
    await check(line, answer)
    async with reading(line, answer):
        if answer.status != 200 or kind_of(answer) != words.EVENTS:  # noqa: PLR2004
            await _deliver_json(exchange, answer, None)
            return
        await exchange.start_events()
        async for event in with_comments(events(answer.pieces(), line.upstream.terms.largest_answer)):
            await exchange.write_event(SILENCE if event is None else _read_event(event, read))
        await exchange.write(b"", is_last=True)


async def with_comments(
    source: AsyncIterator[Event], until: asyncio.Future[Any] | None = None
) -> AsyncGenerator[Event | None]:
    """The events of a stream, and None whenever none came for a while; until it ends, or ``until`` is done."""
    following: asyncio.Future[Event | None] = asyncio.ensure_future(anext(source, None))
    waited = {until} if until is not None else set[asyncio.Future[Any]]()
    try:
        while True:
            done, _ = await asyncio.wait(
                {following, *waited}, timeout=QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )  # fmt: skip
            if until is not None and until.done():
                return
            if not done:
                yield None
                continue
            event = following.result()
            if event is None:
                return
            yield event
            following = asyncio.ensure_future(anext(source, None))
    finally:
        for each in (following, *waited):
            _ = each.cancel()
        await asyncio.wait({following})
