"""A client of 2026-07-28 at an upstream of the ``initialize`` era: requests that stand alone, over a session that we hold."""

from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
from msgspec import Raw

from gatelodge.gateway.relay import asking, filtering, words
from gatelodge.gateway.relay.answers import (
    SILENCE,
    check,
    failed_of,
    kind_of,
    reading,
    whole,
    with_comments,
)
from gatelodge.gateway.relay.events import Event, Following, events, written
from gatelodge.gateway.relay.exchange import Exchange
from gatelodge.gateway.relay.filtering import Unreadable
from gatelodge.gateway.relay.held_calls import HeldCalls, UpstreamSession, Waiting, digest_of, id_of, over, requests_of
from gatelodge.gateway.relay.inbound import NULL, Inbound, Refused, Spans
from gatelodge.gateway.relay.own_answers import outcome_of
from gatelodge.gateway.relay.sessions import owner_of
from gatelodge.gateway.relay.upstream import Answer, Failed

REMOVED = ("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe")
"""Methods that 2026-07-28 doesn't have."""
CACHED = (*words.LISTING, "resources/read", words.DISCOVER)
"""Methods whose results say how long they are good for. What depends on the caller is good for nobody else, and not at
all once policies change.
"""
ASKING = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
"""What an upstream may want to know, and what the client must be able to do for it."""
HONOURED = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
TOGETHER = 0.1
"""Seconds in which an upstream asks what it asks at once."""
EMPTY = Raw(b"{}")
_spans = msgspec.json.Decoder(Spans)
_string = msgspec.json.Decoder(str)


async def serve(exchange: Exchange, held: HeldCalls) -> None:
    """One request. Raises ``Failed`` and ``Refused``."""
    found = exchange.inbound
    if found.method in REMOVED:
        raise Refused(404, words.METHOD_NOT_FOUND, f"Method not found: {found.method}", id=found.id)
    if found.method == words.DISCOVER:
        await _discover(exchange, await held.session(exchange))
    elif found.method == words.LISTEN:
        await _listen(exchange, held)
    elif "requestState" in found.params:
        await _resume(exchange, held)
    else:
        await _call(exchange, held)


async def _discover(exchange: Exchange, session: UpstreamSession) -> None:
    upstream = exchange.line.upstream
    result: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": list(words.MODERN),
        "capabilities": filtering.offered(upstream, session.result.get("capabilities", EMPTY)),
        "ttlMs": 0,
        "cacheScope": "private",
    }
    if upstream.instructions:
        result["instructions"] = upstream.instructions
    if "serverInfo" in session.result:
        result["_meta"] = {words.SERVER_KEY: session.result["serverInfo"]}
    await exchange.finish(filtering.with_result({"jsonrpc": Raw(b'"2.0"'), "id": exchange.inbound.id}, result))


async def _call(exchange: Exchange, held: HeldCalls) -> None:
    session = await held.session(exchange)
    await _set_level(exchange, session)
    call_id, answer = await _sent(exchange, session)
    if answer.status == 404 and session.id:  # noqa: PLR2004 - the upstream has forgotten our session
        answer.close()
        held.lose(exchange)
        session = await held.session(exchange)
        call_id, answer = await _sent(exchange, session)
    await check(exchange.line, answer)
    waiting = Waiting(
        caller=exchange.caller,
        owner=owner_of(exchange.caller, exchange.line.upstream),
        digest=digest_of(exchange.inbound),
        session=session,
        id=call_id,
        answer=answer,
        source=Following(_messages(exchange, answer)),
        asked={},
        since=exchange.loop_time,
        ids={},
    )
    await _follow(exchange, held, waiting)


async def _set_level(exchange: Exchange, session: UpstreamSession) -> None:
    """A session has one level for its log; here each request says its own."""
    level = _text(exchange.inbound.meta.get(words.LEVEL_KEY))
    if level and level != session.level and b'"logging"' in bytes(session.result.get("capabilities", EMPTY)):
        headers = asking.legacy_headers(session.version, session.id)
        _ = await asking.ask(exchange.line, exchange.given, headers, "logging/setLevel", {"level": level})
        session.level = level


async def _sent(exchange: Exchange, session: UpstreamSession) -> tuple[int, Answer]:
    found, call_id = exchange.inbound, session.next_id()
    params: dict[str, object] = {
        key: value for key, value in found.params.items() if key not in ("_meta", "inputResponses")
    }
    meta = {key: value for key, value in found.meta.items() if key not in words.ENVELOPE}
    if meta:
        params["_meta"] = meta
    headers = asking.legacy_headers(session.version, session.id) | exchange.given
    body = asking.request(found.method, params, call_id)
    return call_id, await exchange.sent_on("POST", headers, body, waits=True)


async def _messages(exchange: Exchange, answer: Answer) -> AsyncIterator[Event]:
    """The messages of an answer, whichever kind it is."""
    largest = exchange.line.upstream.terms.largest_answer
    if kind_of(answer) == words.JSON:
        body = await whole(answer, largest)
        yield Event(body, body)
        return
    async for event in events(answer.pieces(), largest):
        if event.data:
            yield event


async def _follow(exchange: Exchange, held: HeldCalls, waiting: Waiting) -> None:
    """Go on with a call until it is answered, or the upstream wants to know something of the client's; then it is held,
    with all that the upstream asks at once.
    """
    is_over = is_held = False
    try:
        while (event := await waiting.source.next(TOGETHER if waiting.asked else None)) is not None:
            top = _spans.decode(event.data)
            if "method" not in top:
                is_over = True
                await _finish(exchange, top)
                return
            if "id" not in top:
                await _notify(exchange, top)
            elif _may_ask(exchange.inbound, top):
                # What an upstream of that era asks has no name; it gets one of ours.
                key = f"answer-{len(waiting.asked) + 1}" if waiting.asked else "answer"
                waiting.asked[key], waiting.ids[key] = top, id_of(top)
            else:
                await _reply(exchange, waiting, top)
        if not waiting.asked:
            raise Unreadable
        is_held = True
        await _ask(exchange, held, waiting)
    except msgspec.DecodeError:
        raise failed_of(exchange.line, Unreadable()) from None
    except Exception as error:  # noqa: BLE001 - what isn't known is raised again
        raise failed_of(exchange.line, error) from None
    finally:
        if not is_held:
            waiting.source.stop()
            waiting.answer.close()
            if not is_over:  # the client has left, or the upstream broke off
                exchange.later(_cancel(waiting))


def _may_ask(found: Inbound, asked: Spans) -> bool:
    capability = ASKING.get(_text(asked.get("method")))
    try:
        return capability is not None and capability in _spans.decode(found.meta[words.CAPABILITIES_KEY])
    except msgspec.DecodeError:
        return False


async def _reply(exchange: Exchange, waiting: Waiting, asked: Spans) -> None:
    """What the upstream asks us and not the client: a ping, and what the client can't do."""
    head: dict[str, object] = {"jsonrpc": "2.0", "id": id_of(asked)}
    if _text(asked.get("method")) == "ping":
        head["result"] = EMPTY
    else:
        head["error"] = {"code": words.METHOD_NOT_FOUND, "message": "the client can't do that"}
    await _post(exchange, waiting.session, msgspec.json.encode(head))


async def _post(exchange: Exchange, session: UpstreamSession, body: bytes) -> None:
    headers = asking.legacy_headers(session.version, session.id) | exchange.given
    answer = await exchange.line.send("POST", headers, body)
    answer.close()


async def _notify(exchange: Exchange, top: Spans) -> None:
    """A notification within a call. One of the log is for those who asked for it."""
    if _text(top.get("method")) == "notifications/message" and words.LEVEL_KEY not in exchange.inbound.meta:
        return
    if not exchange.has_started:
        await exchange.start_events()
    await exchange.write_event(written(msgspec.json.encode(top)))


async def _ask(exchange: Exchange, held: HeldCalls, waiting: Waiting) -> None:
    waiting.since = exchange.loop_time
    result = {
        "resultType": "input_required",
        "inputRequests": requests_of(waiting),
        "requestState": held.hold(waiting),
    }
    await exchange.finish(filtering.with_result({"jsonrpc": Raw(b'"2.0"'), "id": exchange.inbound.id}, result))


async def _resume(exchange: Exchange, held: HeldCalls) -> None:
    found = exchange.inbound
    waiting = held.take(exchange, found.params["requestState"])
    try:
        answers = _spans.decode(found.params.get("inputResponses", EMPTY))
        given = {key: _spans.decode(answers[key]) for key in waiting.asked if key in answers}
    except msgspec.DecodeError:
        given = {}
    if set(given) != set(waiting.asked):  # it is asked again, as if for the first time
        await _ask(exchange, held, waiting)
        return
    asked, ids = waiting.asked, waiting.ids
    waiting.asked, waiting.ids = {}, {}
    for key in asked:
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": ids[key], "result": given[key]})
        await _post(exchange, waiting.session, body)
    await _follow(exchange, held, waiting)


async def _finish(exchange: Exchange, top: Spans) -> None:
    """The answer, in the words of 2026-07-28."""
    found = exchange.inbound
    top = {**top, "id": found.id}
    if "result" not in top:
        failed = _spans.decode(top.get("error", EMPTY))
        code = msgspec.json.decode(failed.get("code", Raw(b"0")), type=int)
        code = words.INVALID_PARAMS if code == words.RESOURCE_NOT_FOUND else code
        top["error"] = Raw(msgspec.json.encode({**failed, "code": code}))
        exchange.done.outcome = "error"
        await exchange.finish(msgspec.json.encode(top), words.STATUS.get(code, 200))
        return
    result: dict[str, object] = {**_spans.decode(top["result"]), "resultType": "complete"}
    if found.method in CACHED:
        result |= {"ttlMs": 0, "cacheScope": "private"}
    message = filtering.with_result(top, result)
    if found.method in words.LISTING:
        message = filtering.filtered(message, exchange.caller.permitted, exchange.note_drift)
    exchange.done.outcome = outcome_of(message)
    await exchange.finish(message)


async def _cancel(waiting: Waiting) -> None:
    """Tell the upstream that nobody waits any more. In its era, a closed connection doesn't say so."""
    session = waiting.session
    body = {"jsonrpc": "2.0", "method": words.CANCELLED, "params": {"requestId": waiting.id}}
    headers = asking.legacy_headers(session.version, session.id) | session.given
    with suppress(Failed):
        answer = await session.line.send("POST", headers, msgspec.json.encode(body))
        answer.close()


async def _listen(exchange: Exchange, held: HeldCalls) -> None:
    """``subscriptions/listen``, over the GET stream of a session of its own: an upstream gives one stream to each."""
    found = exchange.inbound
    session = await held.begin(exchange)
    try:
        wanted = _spans.decode(found.params.get("notifications", EMPTY))
        uris = await _subscribed(exchange, session, wanted)
        headers = asking.legacy_headers(session.version, session.id) | exchange.given
        _ = headers.pop("Content-Type")
        answer = await exchange.line.send("GET", headers, is_stream=True)
        async with reading(exchange.line, answer):
            is_heard = answer.status == 200 and kind_of(answer) == words.EVENTS  # noqa: PLR2004
            honoured: dict[str, object] = {key: True for key in HONOURED if bytes(wanted.get(key, NULL)) == b"true"}
            honoured |= {"resourceSubscriptions": uris} if uris else {}
            await exchange.start_events()
            told: dict[str, object] = {"notifications": honoured if is_heard else {}}
            await _tell(exchange, "notifications/subscriptions/acknowledged", told)
            if is_heard:
                await _pass_on(exchange, answer, {HONOURED[key] for key in honoured if key in HONOURED}, set(uris))
        await exchange.write(b"", is_last=True)
    finally:
        exchange.later(over(session))


async def _subscribed(exchange: Exchange, session: UpstreamSession, wanted: Spans) -> list[str]:
    """Subscribe to each resource; those that the upstream agreed to."""
    uris = msgspec.json.decode(wanted.get("resourceSubscriptions", Raw(b"null")), type=list[str] | None) or []
    headers = asking.legacy_headers(session.version, session.id)
    agreed: list[str] = []
    for uri in uris:
        said = await asking.ask(exchange.line, exchange.given, headers, "resources/subscribe", {"uri": uri})
        if said.result is not None:
            agreed.append(uri)
    return agreed


async def _tell(exchange: Exchange, method: str, params: dict[str, object]) -> None:
    meta = {words.SUBSCRIPTION_KEY: exchange.inbound.id}
    body = {"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": meta}}
    await exchange.write_event(written(msgspec.json.encode(body)))


async def _pass_on(exchange: Exchange, answer: Answer, methods: set[str], uris: set[str]) -> None:
    largest = exchange.line.upstream.terms.largest_answer
    async for event in with_comments(events(answer.pieces(), largest)):
        if event is None:
            await exchange.write_event(SILENCE)
            continue
        top = _spans.decode(event.data) if event.data else {}
        method = _text(top.get("method"))
        params = _spans.decode(top["params"]) if "params" in top else {}
        is_wanted = method in methods or (
            method == "notifications/resources/updated" and _text(params.get("uri")) in uris
        )  # fmt: skip
        if is_wanted:
            await _tell(exchange, method, {key: value for key, value in params.items() if key != "_meta"})


def _text(raw: Raw | None) -> str:
    try:
        return "" if raw is None else _string.decode(raw)
    except msgspec.DecodeError:
        return ""
