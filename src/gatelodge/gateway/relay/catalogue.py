"""All that an upstream offers, read page by page: when it is registered, and when somebody looks whether it has changed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial

import msgspec
from msgspec import Raw

from gatelodge.core.server_items import Catalogue, Offered
from gatelodge.gateway.relay import asking, words
from gatelodge.gateway.relay.asking import Said
from gatelodge.gateway.relay.inbound import Spans
from gatelodge.gateway.relay.upstream import Failed, Line
from gatelodge.words import reason

MOST_PAGES = 100
MOST_OFFERED = 5000
CAPABILITY = {"tools": "tools", "prompts": "prompts", "resources": "resources", "resourceTemplates": "resources"}
EMPTY = Raw(b"{}")
_spans = msgspec.json.Decoder(Spans)
_list = msgspec.json.Decoder(list[Raw])
_string = msgspec.json.Decoder(str)


class Found(msgspec.Struct, kw_only=True):
    """An upstream that has answered: what it says of itself, and how to ask it for a list."""

    said: Spans
    server: Spans
    version: str
    session_id: str = ""

    async def list(self, line: Line, given: Mapping[str, str], method: str, cursor: Raw | None) -> Said:
        """One page of a list. Raises ``Failed``."""
        params: dict[str, object] = {} if cursor is None else {"cursor": cursor}
        if self.version in words.MODERN:
            params["_meta"] = asking.envelope({}, asking.US)
            return await asking.ask(line, given, asking.modern_headers(method), method, params)
        return await asking.ask(line, given, asking.legacy_headers(self.version, self.session_id), method, params)


async def read(line: Line, given: Mapping[str, str]) -> Catalogue:
    """Everything that an upstream offers to whoever brings these headers. Raises ``Failed``."""
    found = await find(line, given)
    offered: list[Offered] = []
    try:
        capabilities = _spans.decode(found.said.get("capabilities", EMPTY))
        for method, key in words.LISTING.items():
            if CAPABILITY[key] in capabilities:
                page = partial(found.list, line, given, method)
                offered += [each async for each in _pages(page, key)]
    except (msgspec.DecodeError, KeyError):
        why = reason("the upstream of {name} lists what it offers in a way that can't be read", name=line.upstream.name)
        raise Failed("upstream_error", 502, why) from None
    finally:
        await _leave(line, given, found)
    return Catalogue(
        offered=tuple(offered),
        name=_text(found.server.get("name")),
        version=_text(found.server.get("version")),
        instructions=_text(found.said.get("instructions")),
        protocol_version=found.version,
    )


async def find(line: Line, given: Mapping[str, str]) -> Found:
    """Which era an upstream speaks, and what it says of itself: the newer one first. Raises ``Failed``."""
    if line.eras.modern is not False:
        known = await asking.discover(line, given, asking.envelope({}, asking.US))
        if known is not None:
            meta = _spans.decode(known.get("_meta", EMPTY))
            return Found(said=known, server=_spans.decode(meta.get(words.SERVER_KEY, EMPTY)), version=words.MODERN[0])
    begun = await asking.initialize(line, given, {}, asking.US)
    if begun is None:
        raise asking.refuses(line)
    said, version, session_id = begun
    return Found(said=said, server=_spans.decode(said.get("serverInfo", EMPTY)), version=version, session_id=session_id)


async def probe(line: Line, given: Mapping[str, str]) -> str:
    """The revision that an upstream speaks, which it has just answered in. Raises ``Failed``."""
    found = await find(line, given)
    await _leave(line, given, found)
    return found.version


async def _leave(line: Line, given: Mapping[str, str], found: Found) -> None:
    if found.session_id:
        await asking.end_session(line, given, found.version, found.session_id)


async def _pages(page: Callable[[Raw | None], Awaitable[Said]], key: str) -> AsyncIterator[Offered]:
    """What is on every page. A cursor that came before leads in a circle, and no further."""
    kind, name = words.LISTS[key]
    seen: set[bytes] = set()
    cursor: Raw | None = None
    count = 0
    for _ in range(MOST_PAGES):
        said = await page(cursor)
        if said.result is None:
            return
        for each in _list.decode(said.result.get(key, Raw(b"[]"))):
            yield Offered(kind, _string.decode(_spans.decode(each)[name]), bytes(each).decode())
            count += 1
            if count >= MOST_OFFERED:
                return
        cursor = said.result.get("nextCursor")
        if cursor is None or bytes(cursor) in (b"null", *seen):
            return
        seen.add(bytes(cursor))


def _text(raw: Raw | None) -> str:
    try:
        return "" if raw is None else _string.decode(raw)
    except msgspec.DecodeError:
        return ""
