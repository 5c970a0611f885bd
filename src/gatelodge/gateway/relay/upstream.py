"""One upstream as the relay knows it: where it is, its connections, and what stops a bad one from hurting others.

A line is made once for each upstream and lives on: no client, no TLS context and no session is made inside a call.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

import msgspec

from gatelodge.core.server_terms import USER_BOUND, Terms
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.relay.breaker import Breaker
from gatelodge.gateway.relay.wire import (
    Broken,
    NoHttp,
    NotConnectedInTime,
    NotWritten,
    Pool,
    Times,
    place_of,
)
from gatelodge.web.outbound import Address, NotFetched, Outbound
from gatelodge.words import Because, Reason, mark, reason

MOST_STREAMS = 2000
"""Streams that are open for listening, for each upstream and node. They take nothing from the connections of calls."""
QUEUE = 4
"""How many calls may wait for each connection before the next is turned away."""
DOWN = (502, 503, 504)

Given = dict[str, str]
Credential = Callable[[Caller, Given | None], Awaitable[Given]]
"""The headers that an upstream gets from us for one caller; asked again with those that it answered with 401."""


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server of somebody's. ``instructions`` are the org's own words about it; what it says itself isn't told.
    ``command`` are the words of a local command, which has no URL.
    """

    url: str
    terms: Terms
    name: str
    org_id: str
    server_id: str
    instructions: str = ""
    command: tuple[str, ...] = ()

    @property
    def knows_callers(self) -> bool:
        """Whether it can tell one user from another: by a child, a credential or a header of their own."""
        return bool(self.command) or self.terms.sends_identity or self.terms.credential in USER_BOUND


class Failed(Because):
    """The upstream gave no answer that can be passed on: what a record says, the HTTP status for the client, and why.

    ``retry_after`` is in seconds, 0 when nobody knows.
    """

    def __init__(
        self, outcome: str, status: int, why: Reason, *, retry_after: int = 0, data: dict[str, str] | None = None
    ) -> None:
        super().__init__(why)
        self.outcome, self.status, self.why, self.retry_after = outcome, status, str(why), retry_after
        self.data = data or {}


class Unauthorized(Failed):
    """The upstream is there and wants a credential, or another one (HTTP 401)."""


class Eras(msgspec.Struct):
    """Which eras an upstream speaks; None: nobody has asked yet."""

    modern: bool | None = None
    legacy: bool | None = None


class Answer(Protocol):
    """What the relay reads of an upstream's answer, whatever it is reached by. ``headers`` are by lower-case name."""

    status: int
    headers: dict[str, str]
    content_length: int | None

    def at_hand(self) -> bytes | None:
        """The whole body, if all of it has come; None otherwise."""
        ...

    def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes. Raises ``ConnectionError`` and ``TimeoutError``."""
        ...

    def close(self) -> None:
        """Nobody reads it any more. Where it was read to its end, its connection is used again."""
        ...


class Line:
    """The way to one upstream, whatever it is reached by. ``eras`` is what was learned about it."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.eras = Eras(*{"auto": (None, None), "modern": (True, False), "legacy": (False, True)}[upstream.terms.era])
        self.asking = asyncio.Lock()

    async def close(self) -> None:
        """End every connection."""
        raise NotImplementedError

    async def send(
        self,
        method: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        is_stream: bool = False,
        waits: bool = False,
    ) -> Answer:
        """Send one request, once. The head of the answer has come; its body is the caller's to read, and to close.
        ``is_stream``: it takes none of the connections of calls; with it, or if it ``waits``, silence is no failure.

        Raises ``Failed``.
        """
        raise NotImplementedError


class HttpLine(Line):
    """The connections to one upstream."""

    def __init__(self, upstream: Upstream, outbound: Outbound) -> None:
        super().__init__(upstream)
        terms = upstream.terms
        self._outbound = outbound
        self._breaker = Breaker()
        self._under_way = 0
        self._clock = asyncio.get_running_loop().time
        self._calls = self._pool(terms.most_connections)
        self._streams = self._pool(MOST_STREAMS)
        self._call_times = Times(terms.first_byte_seconds, terms.idle_seconds, terms.call_seconds)
        self._stream_times = Times(terms.first_byte_seconds, None, None)

    def _pool(self, most: int) -> Pool:
        place = place_of(self.upstream.url)
        tls = self._outbound.tls if place.is_tls else None
        return Pool(place, self._addresses, most=most, seconds=self.upstream.terms.connect_seconds, tls=tls)

    async def _addresses(self) -> tuple[Address, ...]:
        """Through the guard of all foreign URLs: what it lets through is what is connected to."""
        return await self._outbound.addresses(self.upstream.url, allows_private=self.upstream.terms.allows_private)

    async def close(self) -> None:
        """End every connection."""
        self._calls.close()
        self._streams.close()

    async def send(
        self,
        method: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        is_stream: bool = False,
        waits: bool = False,
        target: str = "",
    ) -> Answer:
        """Send one request over HTTP; ``target``: another path and query at the same host. Raises ``Failed``."""
        self._check_room(is_stream=is_stream)
        self._under_way += 1
        try:
            pool = self._streams if is_stream else self._calls
            times = self._stream_times if is_stream or waits else self._call_times
            answer = await pool.ask(method, target, headers, body, times)
        except NotWritten as error:
            self._breaker.gave_up()
            raise self._failed(
                "upstream_error", 502, mark("the upstream of {name} can't be asked this: {error}"), error=str(error)
            ) from None
        except (OSError, NotFetched) as error:
            self._breaker.failed(self._clock())
            raise self._why(error) from None
        except BaseException:
            self._breaker.gave_up()
            raise
        finally:
            self._under_way -= 1
        if answer.status in DOWN:
            self._breaker.failed(self._clock())
        else:
            self._breaker.succeeded()
        return answer

    def _check_room(self, *, is_stream: bool) -> None:
        """Raises ``Failed`` when nothing more may be sent there now."""
        if not is_stream and self._under_way >= self.upstream.terms.most_connections * (1 + QUEUE):
            raise self._failed(
                "upstream_error",
                503,
                mark("the upstream of {name} has as many calls under way as it may have"),
                retry_after=1,
            )
        if wait := self._breaker.wait(self._clock()):
            raise self._failed(
                "upstream_error", 503, mark("the upstream of {name} has failed several times in a row and is left alone for now"),
                retry_after=int(wait) + 1,
            )  # fmt: skip

    def _why(self, error: Exception) -> Failed:
        match error:
            case NotConnectedInTime():
                return self._failed("timeout", 504, mark("the upstream of {name} could not be connected to in time"))
            case TimeoutError():
                return self._failed("timeout", 504, mark("the upstream of {name} did not begin to answer in time"))
            case NotFetched():
                return self._failed(
                    "upstream_error", 502, mark("the upstream of {name} may not be asked: {error}"), error=error.reason
                )
            case Broken():
                return self._failed(
                    "upstream_error", 502, mark("the upstream of {name} closed the connection before it answered")
                )
            case NoHttp():
                return self._failed(
                    "upstream_error",
                    502,
                    mark("the upstream of {name} answered with what is no HTTP ({error})"),
                    error=str(error),
                )
            case _:
                return self._failed("upstream_error", 502, mark("the upstream of {name} can't be connected to"))

    def _failed(
        self, outcome: str, status: int, text: str, *, retry_after: int = 0, error: Reason | str = ""
    ) -> Failed:
        why = reason(text, name=self.upstream.name, error=error)
        return Failed(outcome, status, why, retry_after=retry_after)
