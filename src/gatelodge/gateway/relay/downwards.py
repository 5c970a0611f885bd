"""A client of the ``initialize`` era at an upstream of 2026-07-28: a session of ours over requests that stand alone."""

import asyncio
from contextlib import aclosing
from functools import partial

import msgspec
from msgspec import Raw

from gatelodge import __version__
from gatelodge.core import secrets
from gatelodge.gateway.relay import asking, filtering, inbound, words
from gatelodge.gateway.relay.answers import SILENCE, SMALL, check, kind_of, reading, whole, with_comments
from gatelodge.gateway.relay.events import Event, events, written
from gatelodge.gateway.relay.exchange import Exchange
from gatelodge.gateway.relay.filtering import Unreadable
from gatelodge.gateway.relay.inbound import NULL, Refused, Spans
from gatelodge.gateway.relay.own_answers import outcome_of
from gatelodge.gateway.relay.parameter_headers import headers_of
from gatelodge.gateway.relay.sessions import LONGEST_TOLD, Session, Sessions, State, new_state, owner_of
from gatelodge.gateway.relay.upstream import Answer, Failed
from gatelodge.words import reason

NEWER = ("resultType", "ttlMs", "cacheScope")
"""Members of a result that the old era doesn't know."""
MOST_ROUNDS = 20
"""How often an upstream may ask for more within one call."""
EMPTY = Raw(b"{}")
WANTED = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
_spans = msgspec.json.Decoder(Spans)
_map = msgspec.json.Decoder(dict[str, Spans])
_string = msgspec.json.Decoder(str)


async def begin(exchange: Exchange, sessions: Sessions) -> None:
    """``initialize``, answered from ``server/discover``. Raises ``Failed``."""
    found, upstream = exchange.inbound, exchange.line.upstream
    capabilities = bytes(found.params.get("capabilities", EMPTY))
    client = bytes(found.params.get("clientInfo", EMPTY))
    is_long = len(capabilities) + len(client) > LONGEST_TOLD
    asked = _text(found.params.get("protocolVersion"))
    state = new_state(asked if asked in words.LEGACY else words.LEGACY[-1], "", exchange.now)
    state = msgspec.structs.replace(
        state, is_bridged=True, capabilities=b"{}" if is_long else capabilities, client=b"" if is_long else client
    )
    known = await asking.discover(exchange.line, exchange.given, _envelope(state, "info"))
    if known is None:
        raise asking.refuses(exchange.line)
    meta = _spans.decode(known.get("_meta", EMPTY))
    result: dict[str, object] = {
        "protocolVersion": state.version,
        "capabilities": filtering.offered(upstream, known.get("capabilities", EMPTY)),
        "serverInfo": meta.get(
            words.SERVER_KEY, Raw(msgspec.json.encode({"name": upstream.name, "version": __version__}))
        ),
    }
    if upstream.instructions:
        result["instructions"] = upstream.instructions
    session = sessions.begin(owner_of(exchange.caller, upstream), state, lambda: None)
    exchange.session_id = session.id.encode()
    await exchange.finish(_answer(found.id, result))


def _envelope(state: State, level: str) -> dict[str, object]:
    meta = asking.envelope(Raw(state.capabilities), Raw(state.client) if state.client else asking.US)
    return meta | {words.LEVEL_KEY: level}


def _answer(id: Raw, result: object) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "result": result})


def _text(raw: Raw | None) -> str:
    try:
        return "" if raw is None else _string.decode(raw)
    except msgspec.DecodeError:
        return ""


async def serve(exchange: Exchange, session: Session) -> None:
    """One message of a session. Raises ``Failed`` and ``Refused``."""
    found = exchange.inbound
    if not found.is_request:
        _take(session, found)
        await exchange.answer(202, b"")
        return
    match found.method:
        case "ping":
            pass
        case "logging/setLevel":
            session.level = _text(found.params.get("level"))
        case "resources/subscribe":
            session.subscribed[found.name] = None
        case "resources/unsubscribe":
            _ = session.subscribed.pop(found.name, None)
        case _:
            await _call(exchange, session)
            return
    if found.name and session.relisten is not None:
        _ = session.relisten()
    await exchange.finish(_answer(found.id, EMPTY))


def _take(session: Session, found: inbound.Inbound) -> None:
    """A notification, or the answer to what the upstream wanted to know."""
    if not found.method:
        answered = session.asked.pop(_text(found.id), None)
        if answered is not None:
            _ = answered(msgspec.json.encode(found.top))
    elif found.method == words.CANCELLED:
        call = session.calls.get(bytes(found.params.get("requestId", NULL)))
        if call is not None:
            _ = call()


async def _call(exchange: Exchange, session: Session) -> None:
    found = exchange.inbound
    more: dict[str, object] = {}
    session.calls[bytes(found.id)] = partial(exchange.end, "the client called it off")
    try:
        for _ in range(MOST_ROUNDS):
            message = await _sent(exchange, session, more)
            top, result = filtering.result_of(message)
            if result is None or bytes(result.get("resultType", NULL)) != b'"input_required"':
                exchange.done.outcome = outcome_of(message)
                await exchange.finish(_older(exchange, top, result))
                return
            more = {"inputResponses": await _asked_of_client(exchange, session, result)}
            if "requestState" in result:
                more["requestState"] = result["requestState"]
    except Unreadable:
        why = reason("the upstream of {name} answered with what can't be read", name=exchange.line.upstream.name)
        raise Failed("upstream_error", 502, why) from None
    finally:
        _ = session.calls.pop(bytes(found.id), None)
    why = reason(
        "the upstream of {name} asked for more {n} times and did not come to an end",
        name=exchange.line.upstream.name,
        n=MOST_ROUNDS,
    )
    raise Failed("upstream_error", 502, why)


async def _sent(exchange: Exchange, session: Session, more: dict[str, object]) -> bytes:
    """Send the call, with what the client has answered so far; pass on what comes before its answer. Raises ``Failed``."""
    found, line = exchange.inbound, exchange.line
    meta: dict[str, object] = {**found.meta, **_envelope(session.state, session.level or "info")}
    headers = asking.modern_headers(found.method, found.name if found.method in words.NAMED else "")
    if found.method == words.CALL:
        definition = exchange.caller.permitted.definition("tool", found.name)
        headers |= headers_of(definition, found.params.get("arguments"))
    found.params.setdefault("_meta", EMPTY)
    answer = await exchange.sent_on("POST", {**headers, **exchange.given}, found.body(_meta=meta, **more))
    await check(line, answer)
    largest = line.upstream.terms.largest_answer
    async with reading(line, answer):
        if kind_of(answer) == words.JSON:
            return await whole(answer, largest if answer.status == 200 else SMALL)  # noqa: PLR2004
        async with aclosing(events(answer.pieces(), largest)) as source:
            async for event in source:
                if b'"result"' in event.data or b'"error"' in event.data:
                    return event.data
                await _pass(exchange, event)
    raise Failed(
        "upstream_error", 502, reason("the upstream of {name} ended without an answer", name=line.upstream.name)
    )


async def _pass(exchange: Exchange, event: Event) -> None:
    """A notification on the way: it makes the answer a stream, if the client takes one."""
    if not event.data or not inbound.takes(exchange.headers.get(b"accept", b""))[1]:
        return
    if not exchange.has_started:
        await exchange.start_events()
    await exchange.write_event(written(event.data))


def _older(exchange: Exchange, top: Spans, result: Spans | None) -> bytes:
    """The answer in the old era's words."""
    if result is None:
        return msgspec.json.encode({**top, "id": exchange.inbound.id})
    for key in NEWER:
        _ = result.pop(key, None)
    message = filtering.with_result({**top, "id": exchange.inbound.id}, result)
    return filtering.filtered(message, exchange.caller.permitted, exchange.note_drift)


async def _asked_of_client(exchange: Exchange, session: Session, result: Spans) -> dict[str, Raw]:
    """Ask the client what the upstream wants to know, as requests on the stream of its call. Raises ``Refused`` when it
    answers with an error.
    """
    found = exchange.inbound
    try:
        wanted = _map.decode(result.get("inputRequests", EMPTY))
    except msgspec.DecodeError:
        raise Unreadable from None
    if not inbound.takes(exchange.headers.get(b"accept", b""))[1]:
        raise Refused(200, words.INTERNAL_ERROR, "the tool wants to ask the user, and the client takes no stream")
    if not exchange.has_started:
        await exchange.start_events()
    loop = asyncio.get_running_loop()
    waiting: dict[str, asyncio.Future[bytes]] = {}
    ids: list[str] = []
    try:
        for key, request in wanted.items():
            ask_id = f"ask-{secrets.new_token()}"
            ids.append(ask_id)
            waiting[key] = loop.create_future()
            session.asked[ask_id] = partial(_settle, waiting[key])
            body = {
                "jsonrpc": "2.0",
                "id": ask_id,
                **{name: request[name] for name in ("method", "params") if name in request},
            }
            await exchange.write_event(written(msgspec.json.encode(body)))
        answers = {key: filtering.result_of(await future)[1] for key, future in waiting.items()}
    finally:
        for ask_id in ids:
            _ = session.asked.pop(ask_id, None)
    if any(each is None for each in answers.values()):
        raise Refused(200, words.INTERNAL_ERROR, "the client refused what the tool wanted to ask", id=found.id)
    return {key: Raw(msgspec.json.encode(each)) for key, each in answers.items()}


def _settle(future: asyncio.Future[bytes], message: bytes) -> None:
    if not future.done():
        future.set_result(message)


async def listen(exchange: Exchange, session: Session) -> None:
    """The GET stream of a session, over ``subscriptions/listen``: asked anew whenever the client subscribes to more.

    Raises ``Failed``.
    """
    changed = asyncio.Event()
    session.relisten = changed.set
    try:
        while True:
            changed.clear()
            answer = await _listening(exchange, session)
            async with reading(exchange.line, answer):
                if not exchange.has_started:
                    await exchange.start_events()
                if not await _pass_on(exchange, answer, changed):
                    break
        await exchange.write(b"", is_last=True)
    finally:
        session.relisten = None


async def _listening(exchange: Exchange, session: Session) -> Answer:
    wanted: dict[str, object] = {**WANTED, "resourceSubscriptions": list(session.subscribed)}
    params = {"_meta": _envelope(session.state, session.level or "info"), "notifications": wanted}
    headers = asking.modern_headers(words.LISTEN) | exchange.given
    body = asking.request(words.LISTEN, params, id=f"listen-{session.state.chance}")
    answer = await exchange.line.send("POST", headers, body, is_stream=True)
    await check(exchange.line, answer)
    if kind_of(answer) != words.EVENTS or answer.status != 200:  # noqa: PLR2004
        answer.close()
        raise Refused(405, words.INVALID_REQUEST, "this server opens no stream of its own")
    return answer


async def _pass_on(exchange: Exchange, answer: Answer, changed: asyncio.Event) -> bool:
    """Pass notifications on until the stream ends (False), or the client wants to be told of other things (True)."""
    largest = exchange.line.upstream.terms.largest_answer
    waiting = asyncio.ensure_future(changed.wait())
    async with aclosing(with_comments(events(answer.pieces(), largest), waiting)) as source:
        async for event in source:
            if event is None:
                await exchange.write_event(SILENCE)
            elif event.data and (plain := _plain(event.data)):
                await exchange.write_event(written(plain))
    return changed.is_set()


def _plain(message: bytes) -> bytes:
    """A notification without what ties it to a subscription; nothing for what only a subscriber knows."""
    top = _spans.decode(message)
    if _text(top.get("method")) in ("", "notifications/subscriptions/acknowledged"):
        return b""
    params = _spans.decode(top["params"]) if "params" in top else {}
    meta = _spans.decode(params.pop("_meta", EMPTY))
    _ = meta.pop(words.SUBSCRIPTION_KEY, None)
    said: dict[str, object] = {**params, **({"_meta": meta} if meta else {})}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": top["method"], **({"params": said} if said else {})})
